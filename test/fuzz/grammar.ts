import { METHODS } from 'node:http'
import type { RawAnswer } from '../clients/raw-client.js'
import type { Random } from '../inputs/random.js'

/** A logged-in user whose name is stored in the session under `whose`. */
export interface Visitor {
  readonly name: string
  readonly ticket: string
}

/**
 * How a server may treat a production.
 *
 * - `plain`: well-formed. It gets the expected answer, and the connection stays open unless the request closes it
 * - `odd`: complete in every interpretation. It gets one answer of any kind, or the end of the connection;
 *   later requests are answered in order or not at all
 * - `refused`: invalid in every interpretation of the RFC. No later request is answered
 * - `open`: the server may wait for more
 * - `wild`: any result is possible
 */
export type Reading = 'plain' | 'odd' | 'refused' | 'open' | 'wild'

export interface Production {
  /** In latin1. */
  readonly text: string
  readonly kind: string
  readonly method: string
  readonly reading: Reading
  /** Whether the connection ends with the answer. */
  readonly isLast?: boolean
  /** Returns what is wrong with the answer to a plain request; null if nothing is. */
  flawOf?: (answer: RawAnswer) => string | null
}

export interface Grammar {
  readonly visitors: readonly Visitor[]
  /** Whether nginx is in front. */
  readonly isProxied: boolean
  /** A text that no other request has, and that the answer must contain. */
  mark (): string
}

/** A request hidden in a body: a server that answers it has lost track of the boundaries. */
export const SMUGGLED = 'smuggled'
const HIDDEN = `GET /login?next=%2F${SMUGGLED} HTTP/1.1\r\nHost: localhost\r\n\r\n`

const TOKENS = ['a', 'X-Request-Id', 'Accept-Language', 'DNT', 'x_y', 'X.Y', "!#$%&'*+-.^_`|~", 'Via', 'Range', 'If-None-Match', 'If-Modified-Since', 'TE', 'Max-Forwards', 'Referer', 'Origin-Trial', 'Priority', 'Cache-Control', 'Pragma']
const VALUES = ['', 'a', '0', 'trailers', '"x"', 'W/"x"', 'bytes=0-1', 'Thu, 01 Jan 1970 00:00:00 GMT', 'a, b,, c', '\u00e4\u00f6', 'u=1, i', 'x'.repeat(300), '\t tab \t', '%00', '() { :; }', '$(x)', '../../etc/passwd', '{"a":1}']
const HOSTS = ['localhost', '127.0.0.1', '127.0.0.1:3000', '[::1]', '[::1]:80', 'example.com', 'EXAMPLE.com:80', 'a.b-c.example:65535', 'xn--bcher-kva.example']
const FORM = 'application/x-www-form-urlencoded'
/** Methods without a body and without effect on the connection, and that nginx forwards. */
const ORDINARY = METHODS.filter((method) => method !== 'CONNECT' && method !== 'TRACE' && method !== 'HEAD')

/** A well-formed request, by the grammar of RFC 9112, whose answer shows its user. */
export function plain (random: Random, grammar: Grammar): Production {
  return random.of([form, form, form, verified, verified, verified, verified, named, named, valued, valued, anonymous, faulty, faulty, changed, missing, elsewhere, alive, guessed])(random, grammar)
}

/** A request that is malformed, or only just well-formed, in one point. */
export function odd (random: Random, grammar: Grammar): Production {
  return random.of([oddMethod, oddTarget, oddVersion, oddLines, oddHost, oddHeader, oddHeader, oddLength, oddLength, oddCoding, oddCoding, oddChunk, oddChunk, oddCookie, oddBody, oddBody, oddForwarding, oddConnection])(random, grammar)
}

/** A well-formed request, damaged at random. */
export function wild (random: Random, grammar: Grammar): Production {
  let { text, method } = random.next() < 0.8 ? plain(random, grammar) : odd(random, grammar)
  for (let damage = 1 + random.integer(4); damage > 0; damage--) {
    const at = random.integer(text.length + 1)
    const to = Math.min(text.length, at + random.integer(random.of([2, 4, 40, 400])))
    text = random.of([
      () => text.slice(0, at) + String.fromCharCode(random.integer(256)) + text.slice(at + 1),
      () => text.slice(0, at) + random.of(['\r', '\n', '\r\n', '\r\n\r\n', '\0', ' ', '\t', ':', ';', ',', '%', '0', 'f', '\u007f', '\u00ff', '/', '?', '#', '@', '"']) + text.slice(at),
      () => text.slice(0, at) + text.slice(to),
      () => text.slice(0, at) + text.slice(at, to).repeat(2) + text.slice(to),
      () => text.slice(0, at),
      () => text.slice(0, at) + random.of(['Transfer-Encoding: chunked\r\n', 'Content-Length: 5\r\n', 'Connection: close\r\n', 'Expect: 100-continue\r\n', 'Upgrade: websocket\r\nConnection: upgrade\r\n', HIDDEN]) + text.slice(at)
    ])()
  }
  return { text, method, kind: 'damaged', reading: 'wild' }
}

/** The beginning of a well-formed request. */
export function cut (random: Random, grammar: Grammar): Production {
  const { text, method } = plain(random, grammar)
  return { text: text.slice(0, 1 + random.integer(text.length - 1)), method, kind: 'cut short', reading: 'open' }
}

// Well-formed ones.

function form (random: Random, grammar: Grammar): Production {
  const mark = grammar.mark()
  const isJson = random.next() < 0.3
  return request(random, {
    kind: 'login form',
    target: `/login?next=%2F${mark}${random.of(['', '%3Fa', '&x=1', '&%C3%A4=%f0%9f%8d%80', `&q=${'x'.repeat(random.integer(500))}`])}`,
    headers: [isJson ? 'Accept: application/json' : 'Accept: text/html,*/*;q=0.8'],
    flawOf: has(200, mark)
  })
}

/** /verify decides before it reads a body, for every method. */
function verified (random: Random, grammar: Grammar): Production {
  const mark = grammar.mark()
  const method = random.of(random.next() < 0.2 ? ['HEAD'] : random.next() < 0.5 ? ['GET', 'POST', 'PUT'] : ORDINARY)
  return request(random, {
    kind: 'verify',
    method,
    target: random.of(['/verify', '/verify?', '/verify?user=a']),
    headers: [`X-Forwarded-Uri: /${mark}`, 'X-Forwarded-Method: GET', 'Accept: text/html', ...grammar.isProxied ? [] : ['X-Forwarded-For: 192.0.2.7']],
    // Some methods are never sent with a body, and nginx and Node treat them differently.
    body: ['GET', 'HEAD'].includes(method) ? undefined : random.next() < 0.7 ? content(random) : undefined,
    flawOf: has(303, mark)
  })
}

function named (random: Random, grammar: Grammar): Production {
  const { name, ticket } = random.of(grammar.visitors)
  return request(random, { kind: 'home', target: random.of(['/', '/?', '/?a=b']), headers: ['Accept: application/json', cookie(random, ticket)], flawOf: has(200, `"${name}"`) })
}

function valued (random: Random, grammar: Grammar): Production {
  const { name, ticket } = random.of(grammar.visitors)
  return request(random, { kind: 'value', target: random.of(['/session/whose', '/session/%77hose', '/session/whose?x']), headers: [cookie(random, ticket)], flawOf: has(200, `"${name}"`) })
}

function anonymous (random: Random, { visitors }: Grammar): Production {
  const { ticket } = random.of(visitors)
  const forged = random.of([ticket.slice(1), ticket.slice(0, -1), ticket.split('').reverse().join(''), `${ticket}x`, '', 'a'.repeat(87), ticket.replace('.', '')])
  return request(random, { kind: 'anonymous', target: '/', headers: ['Accept: application/json', `Cookie: hatcheck=${forged}`], flawOf: has(200, '"user":null') })
}

/** Never a login: the password is missing. */
function faulty (random: Random, grammar: Grammar): Production {
  const mark = grammar.mark()
  const isJson = random.next() < 0.3
  const noise = random.of(['', 'a', '%zz', '%ff%fe', 'x'.repeat(random.integer(2_000)), '&&&', 'a=1&a=2', '__proto__=1', 'permanent=on', isJson ? '' : `\r\n\r\n${HIDDEN}`])
  return request(random, {
    kind: 'login without a password',
    method: 'POST',
    target: `/login?next=%2F${mark}`,
    headers: ['Accept: text/html', `Content-Type: ${isJson ? 'application/json' : FORM}`],
    body: isJson ? JSON.stringify({ client_name: noise, x: [noise] }) : `client_name=x&y=${noise}`,
    flawOf: has(400, mark)
  })
}

function changed (random: Random, { visitors }: Grammar): Production {
  const { ticket } = random.of(visitors)
  return request(random, {
    kind: 'change',
    method: 'PUT',
    target: `/session/${random.of(['a', 'b', '%F0%9F%8D%80', 'a.b', 'x'.repeat(100)])}`,
    headers: ['Content-Type: application/json', cookie(random, ticket)],
    body: random.of(['1', 'null', '"text"', '[]', '{"a":[1,{"b":null}]}', JSON.stringify('x'.repeat(random.integer(1_000))), ' 0.1 ', '"\\u0000"']),
    // Over a long run, damaged requests fill a session with keys.
    flawOf: ({ status, body }) => status === 201 || status === 204 || (status === 413 && body.includes('HATCHECK_SESSION_TOO_LARGE')) ? null : `${status}`
  })
}

function missing (random: Random, { visitors }: Grammar): Production {
  const { ticket } = random.of(visitors)
  return request(random, { kind: 'no such value', method: random.of(['GET', 'DELETE']), target: '/session/nothing', headers: [cookie(random, ticket)], flawOf: has(404, 'HATCHECK_NO_SUCH_KEY') })
}

function elsewhere (random: Random): Production {
  const [method, target, status] = random.of([['GET', '/nothing', 404], ['POST', '/a/b/c', 404], ['PATCH', '/login', 405], ['DELETE', '/', 405], ['OPTIONS', '/sessions', 204], ['GET', '/sessions', 401], ['POST', '/password', 401], ['DELETE', '/sessions/x', 401]] as const)
  return request(random, { kind: 'elsewhere', method, target, headers: [], flawOf: has(status, '') })
}

function alive (random: Random): Production {
  return request(random, { kind: 'alive', target: '/healthz', headers: [], flawOf: has(200, '"ok"') })
}

/** Rare, since the service hashes its password. */
function guessed (random: Random, grammar: Grammar): Production {
  if (random.next() > 0.005) return alive(random)
  return request(random, {
    kind: 'wrong password',
    method: 'POST',
    target: '/login',
    headers: ['Accept: application/json', `Content-Type: ${FORM}`],
    body: `client_name=${random.of(grammar.visitors).name}&password=not+the+right+one`,
    flawOf: ({ status }) => status === 401 || status === 429 ? null : `${status}`
  })
}

interface Parts {
  kind: string
  method?: string
  target: string
  headers: string[]
  /** Sent with a length or in chunks. */
  body?: string | undefined
  flawOf: (answer: RawAnswer) => string | null
}

/** The same request in one of its spellings. */
function request (random: Random, { kind, method = 'GET', target, headers: own, body, flawOf }: Parts): Production {
  const headers = [`${spelled(random, 'Host')}: ${random.of(HOSTS)}`, ...own.map((line) => respelled(random, line))]
  // Each header once: nginx refuses duplicates of some.
  for (const name of new Set(Array.from({ length: random.integer(4) }, () => random.of(TOKENS)))) headers.push(`${name}:${random.of(['', ' ', '\t', '  '])}${random.of(VALUES)}${random.of(['', ' ', '\t'])}`)
  let sent = ''
  if (body !== undefined) {
    const isChunked = random.next() < 0.5
    headers.push(isChunked ? `${spelled(random, 'Transfer-Encoding')}: ${random.of(['chunked', 'Chunked', 'CHUNKED'])}` : `${spelled(random, 'Content-Length')}: ${body.length}`)
    if (random.next() < 0.05) headers.push('Expect: 100-continue')
    sent = isChunked ? chunks(random, body) : body
  }
  const isOld = body === undefined && random.next() < 0.01
  const isLast = isOld || random.next() < 0.02
  if (isLast) headers.push(isOld ? random.of(['Connection: close', 'X: y']) : random.of(['Connection: close', 'connection: Close', 'Connection: x, close']))
  else if (random.next() < 0.1) headers.push(random.of(['Connection: keep-alive', 'Connection: x', 'Connection:']))
  return {
    text: `${random.next() < 0.02 ? '\r\n' : ''}${method} ${target} HTTP/1.${isOld ? 0 : 1}\r\n${shuffled(random, headers).join('\r\n')}\r\n\r\n${sent}`,
    kind,
    method,
    reading: 'plain',
    isLast,
    flawOf
  }
}

function has (status: number, text: string): (answer: RawAnswer) => string | null {
  return (answer) => {
    if (answer.status !== status) return `${answer.status} and not ${status}`
    return answer.body.includes(text) || answer.head.includes(text) ? null : `without ${text}`
  }
}

function content (random: Random): string {
  return random.of(['', 'x', 'a=b', '\0\r\n\r\n', HIDDEN, HIDDEN, `0\r\n\r\n${HIDDEN}`, `\r\n${HIDDEN}`, 'x'.repeat(random.integer(3_000)), '{"a":'])
}

function cookie (random: Random, ticket: string): string {
  const own = `hatcheck=${ticket}`
  return `Cookie: ${random.of([own, own, `a=b; ${own}`, `${own}; a=b`, `hatcheck=x.y; ${own}`, `hatcheck-device=x; ${own}; \u00e4=\u00f6`])}`
}

function chunks (random: Random, body: string): string {
  let text = ''
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + random.integer(random.of([3, 30, 3_000])))
    const digits = random.of([size.toString(16), size.toString(16).toUpperCase(), `0${size.toString(16)}`])
    text += `${digits}${random.of(['', '', '', ';a', ';a=b', ';a="b"'])}\r\n${body.slice(at, at + size)}\r\n`
    at += size
  }
  return `${text}${random.of(['0', '0', '000', '0;a'])}\r\n${random.of(['', '', '', 'X-Trailer: a\r\n'])}\r\n`
}

function respelled (random: Random, line: string): string {
  const colon = line.indexOf(':')
  return `${spelled(random, line.slice(0, colon))}:${random.of([' ', ' ', '', '\t', '   '])}${line.slice(colon + 2)}${random.of(['', '', ' ', '\t'])}`
}

function spelled (random: Random, name: string): string {
  return random.of([name, name, name.toLowerCase(), name.toUpperCase()])
}

function shuffled<T> (random: Random, list: readonly T[]): T[] {
  const rest = [...list]
  return list.map(() => rest.splice(random.integer(rest.length), 1)[0] as T)
}

// Malformed ones, or only just well-formed.

function oddMethod (random: Random): Production {
  const method = random.of(['get', 'Get', 'GETT', 'G', 'X', '', ' GET', 'G ET', 'GET\t', 'G\0T', 'M'.repeat(random.integer(9_000)), '"GET"', 'CONNECT', 'TRACE', 'PRI', 'ABC', '\u00e4', '{}', 'HTTP/1.1', 'SOURCE', 'ANNOUNCE', 'SETUP', 'DESCRIBE'])
  return oddity('method', `${method} /login HTTP/1.1\r\nHost: localhost\r\n\r\n`)
}

function oddTarget (random: Random): Production {
  const target = random.of(['', ' ', '*', '/ /', '/\t', 'login', '//', '//login', '///', 'http://localhost/login', 'http://', 'http:///', 'http://evil.example/session', 'http://localhost:99999/', 'http://a@b/', 'HTTP://LOCALHOST/', 'https://localhost/', 'localhost:80', 'ftp://x/', '/%', '/%zz', '/%00', '/session/%00', '/session/%ff', '/session/%', '/session/', '/session/__proto__', '/session/constructor', '/session/a%2fb', '/session/..%2f', `/session/${'x'.repeat(101)}`, '/../login', '/./login', '/login/../session', '/login;a=b', '/login#a', '/#', '#', '?', '/?%', '/login?next=%', '/login?next=//evil.example&next=1', `/login?${'next=/&'.repeat(random.integer(900))}`, '/\u00e4', '/\u00ff\u00fe', '/\0', '/"<>\\^`{|}', '/\u007f', `/${'a'.repeat(random.integer(20_000))}`, `/${'a/'.repeat(random.integer(4_000))}`, `/?${'%41'.repeat(random.integer(4_000))}`, '/verify?user=%', `/verify?${'user=a&'.repeat(random.integer(900))}`, '/sessions/%ff', '/LOGIN', '/openapi.json', '/metrics', '/readyz', '/docs'])
  return oddity('target', `${random.of(['GET', 'GET', 'GET', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'QUERY'])} ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
}

function oddVersion (random: Random): Production {
  const version = random.of(['HTTP/0.9', 'HTTP/1.2', 'HTTP/1.9', 'HTTP/2.0', 'HTTP/2', 'HTTP/3.0', 'HTTP/9.9', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/1.10', 'HTTP/01.1', 'HTTP/1.1.1', 'http/1.1', 'HTTPS/1.1', 'HTTP/1.1 ', 'HTTP/1.1\t', ' HTTP/1.1', 'HTTP/-1.1', 'HTTP/1,1', 'HTTP /1.1', 'HTTP/ 1.1', 'HTCPCP/1.0', 'RTSP/1.0', 'ICE/1.0', 'HTTP/1.1x', 'HTTP/1.0'])
  return oddity('version', `${random.of(['GET', 'GET', 'POST', 'PRI', 'SOURCE'])} ${random.of(['/login', '*'])} ${version}\r\nHost: localhost\r\n${random.of(['', 'Connection: keep-alive\r\n', 'Transfer-Encoding: chunked\r\n\r\n0\r\n'])}\r\n`)
}

function oddLines (random: Random): Production {
  const { text } = random.of([
    () => ({ text: 'GET /login HTTP/1.1\nHost: localhost\n\n' }),
    () => ({ text: 'GET /login HTTP/1.1\r\nHost: localhost\n\r\n' }),
    () => ({ text: 'GET /login HTTP/1.1\r\nHost: localhost\r\n\n' }),
    () => ({ text: 'GET /login HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n' }),
    () => ({ text: 'GET /login HTTP/1.1\r\r\nHost: localhost\r\n\r\n' }),
    () => ({ text: 'GET /login HTTP/1.1\r\n Host: localhost\r\n\r\n' }),
    () => ({ text: '\n\n\nGET /login HTTP/1.1\r\nHost: localhost\r\n\r\n' }),
    () => ({ text: `${'\r\n'.repeat(random.integer(2_000))}GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n` }),
    () => ({ text: ' GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n' }),
    () => ({ text: 'GET  /login  HTTP/1.1\r\nHost: localhost\r\n\r\n' }),
    () => ({ text: 'GET\t/login\tHTTP/1.1\r\nHost: localhost\r\n\r\n' }),
    () => ({ text: 'GET /login\r\n\r\n' }),
    () => ({ text: '\r\n\r\n\r\n\r\n\0\r\n\r\n' }),
    () => ({ text: '\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003\r\n\r\n' }),
    () => ({ text: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0' }),
    () => ({ text: 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /login HTTP/1.1\r\nHost: localhost\r\n\r\n' })
  ])()
  // A server may interpret bytes before or instead of a request more than once, or not at all.
  return { text, kind: 'lines', method: 'GET', reading: 'wild' }
}

function oddHost (random: Random): Production {
  const hosts = random.of([[], [''], ['localhost', 'localhost'], ['localhost', 'evil.example'], ['a b'], ['a,b'], ['a/b'], ['a?b'], ['a#b'], ['user@host'], ['user:password@host:80'], ['host:99999'], ['host:-1'], ['host:x'], ['host:'], [':80'], ['[::1'], ['::1'], ['[::1%25lo]'], ['[v1.x]'], ['\u00e4.example'], ['a'.repeat(random.integer(9_000))], ['..'], ['-'], ['*'], ['%'], ['\0'], ['"'], ['<script>'], ['http://localhost'], ['127.1'], ['0x7f000001'], ['evil.example']])
  return oddity('Host', `GET ${random.of(['/', '/login', '/session', '/sessions', '/metrics'])} HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}${random.of(['', 'Origin: http://localhost\r\n'])}\r\n`)
}

function oddHeader (random: Random): Production {
  const line = random.of([
    ': a', 'no colon', 'A b: c', 'A : b', 'A\t: b', '\u00e4: b', 'A\0: b', '(a): b', 'A: \0', 'A: \u0001', 'A: \u007f', 'A: \u001b[31m', 'A: a\r\n folded', 'A: a\r\n\tfolded', 'A:\r\n ', '"A": b', 'A:b:c',
    `A: ${'x'.repeat(random.integer(20_000))}`, `${'A'.repeat(random.integer(20_000))}: b`, Array.from({ length: random.integer(2_500) }, (_, i) => `a${i}: b`).join('\r\n'), `A: b${'\r\nA: b'.repeat(random.integer(500))}`,
    '__proto__: a', 'constructor: a', 'toString: a', 'Accept: ', `Accept: ${'text/html;q=0.1,'.repeat(random.integer(900))}`, 'Accept: text/html;q=x', 'Accept: \u0001', `Accept-Encoding: ${'gzip,'.repeat(100)}`, 'Accept-Language: ;;;', `User-Agent: ${'Mozilla/5.0 ('.repeat(random.integer(500))}`, 'User-Agent: \u00ff',
    'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Site: x\r\nSec-Fetch-Site: y', 'Origin: null', 'Origin: \u00e4', 'Origin: http://[', 'Referer: http://[', 'Sec-Purpose: prefetch', 'Authorization: Basic \u00ff', 'Content-Type: a/b/c', 'Content-Type: ', 'Content-Encoding: gzip', 'Range: bytes=9-1', 'If-Match: *', 'Date: x', 'Trailer: Host', 'X-HTTP-Method-Override: DELETE'
  ])
  return oddity('header', `${random.of(['GET', 'GET', 'POST'])} ${random.of(['/', '/login', '/sessions', '/verify', '/logout'])} HTTP/1.1\r\nHost: localhost\r\n${line}\r\n\r\n`)
}

/** A body of five bytes, with something hidden after it or in it. */
function oddLength (random: Random): Production {
  const [line, reading] = random.of<[string, Reading]>([
    ['Content-Length: -5', 'refused'], ['Content-Length: +5', 'refused'], ['Content-Length: 0x5', 'refused'], ['Content-Length: 5.0', 'refused'], ['Content-Length: 5e0', 'refused'], ['Content-Length: five', 'refused'],
    ['Content-Length: 5\r\nContent-Length: 6', 'refused'], ['Content-Length: 5 5', 'refused'], ['Content-Length: 99999999999999999999999', 'refused'], ['Content-Length: 18446744073709551621', 'refused'], ['Content-Length : 5', 'refused'], ['Content-Length: 5, 6', 'refused'],
    ['Content-Length: \u00b5', 'refused'], ['Content-Length:', 'wild'], ['Content-Length: 5\r\nContent-Length: 5', 'odd'], ['Content-Length: 5, 5', 'odd'], ['Content-Length: 00005', 'odd'], ['Content-Length:5', 'odd'], ['Content-Length: \t 5 \t ', 'odd'],
    [`Content-Length: ${'0'.repeat(random.integer(400))}5`, 'odd'], ['Content-Length: 9007199254740993', 'open'], ['Content-Length: 18446744073709551615', 'open'], ['Content-Length: 6', 'open'], ['Content-Length: 2000000', 'open'], ['Content-Length: 5\r\nTransfer-Encoding: chunked', 'refused'], ['Transfer-Encoding: chunked\r\nContent-Length: 5', 'refused']
  ])
  return { kind: 'length', method: 'POST', reading, text: `${random.of(['POST', 'PUT'])} ${random.of(['/login', '/verify', '/nothing', '/session/a'])} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${random.of([FORM, 'application/json'])}\r\n${line}\r\n\r\n0\r\n\r\n${reading === 'refused' ? HIDDEN : ''}` }
}

function oddCoding (random: Random): Production {
  const [coding, reading] = random.of<[string, Reading]>([
    ['Transfer-Encoding: chunked, identity', 'refused'], ['Transfer-Encoding: chunked, chunked', 'wild'], ['Transfer-Encoding: gzip', 'refused'], ['Transfer-Encoding: identity', 'wild'], ['Transfer-Encoding: xchunked', 'refused'], ['Transfer-Encoding: chunkedx', 'refused'], ['Transfer-Encoding: \u000bchunked', 'refused'],
    ['Transfer-Encoding : chunked', 'refused'], ['Transfer-Encoding:\r\n chunked', 'wild'], ['Transfer-Encoding: "chunked"', 'refused'], ['Transfer-Encoding: chunked;q=1', 'refused'], ['Transfer-Encoding: x\r\nTransfer-Encoding: chunked', 'wild'], ['Transfer-Encoding: chunked\r\nTransfer-Encoding: x', 'refused'], ['Transfer-Encoding: gzip, chunked', 'wild'],
    ['Transfer-Encoding:', 'wild'], ['Transfer_Encoding: chunked', 'wild'], ['Content-Length: 5\r\nTransfer-Encoding: x', 'refused'], ['TE: chunked', 'wild'], ['Transfer-Encoding: ,chunked', 'wild'], ['Transfer-Encoding: chunked,', 'wild']
  ])
  return { kind: 'coding', method: 'POST', reading, text: `POST ${random.of(['/login', '/verify', '/nothing'])} HTTP/1.1\r\nHost: localhost\r\n${coding}\r\n\r\n0\r\n\r\n${reading === 'refused' ? HIDDEN : ''}` }
}

function oddChunk (random: Random): Production {
  const [body, reading] = random.of<[string, Reading]>([
    ['x\r\n', 'refused'], ['0x5\r\nabcde\r\n0\r\n\r\n', 'refused'], ['-5\r\nabcde\r\n0\r\n\r\n', 'refused'], ['+5\r\nabcde\r\n0\r\n\r\n', 'refused'], ['5\r\nabcdefgh\r\n0\r\n\r\n', 'refused'], ['5\r\nabcde0\r\n\r\n', 'refused'], ['\r\n', 'refused'], [' \r\n', 'refused'], [';a\r\n', 'refused'],
    ['fffffffffffffffff\r\nabcde', 'refused'], ['10000000000000005\r\nabcde\r\n0\r\n\r\n', 'refused'], ['5\nabcde\n0\n\n', 'wild'], ['5\r\nabcde\n0\r\n\r\n', 'wild'], ['5 \r\nabcde\r\n0\r\n\r\n', 'wild'], ['5;\r\nabcde\r\n0\r\n\r\n', 'wild'], ['5;a=b\nc\r\nabcde\r\n0\r\n\r\n', 'wild'], [`5;${'a'.repeat(random.integer(40_000))}\r\nabcde\r\n0\r\n\r\n`, 'wild'],
    ['5\r\nabcde\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil.example\r\nCookie: a=b\r\n\r\n', 'odd'], [`0\r\n${'a: b\r\n'.repeat(random.integer(3_000))}\r\n`, 'odd'], [`0\r\nA: ${'b'.repeat(random.integer(40_000))}\r\n\r\n`, 'odd'], ['0\r\nno colon\r\n\r\n', 'wild'],
    ['ffffffff\r\nabcde', 'open'], ['5\r\nabc', 'open'], ['5\r\nabcde\r\n', 'open'], ['0\r\n', 'open'], ['', 'open'], [`${'1\r\na\r\n'.repeat(random.integer(3_000))}0\r\n\r\n`, 'odd'], [`${'00000'.repeat(random.integer(400))}5\r\nabcde\r\n0\r\n\r\n`, 'wild']
  ])
  return { kind: 'chunk', method: 'POST', reading, text: `POST ${random.of(['/login', '/login', '/verify', '/nothing', '/session/a'])} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${random.of([FORM, 'application/json'])}\r\nTransfer-Encoding: chunked\r\n\r\n${body}${reading === 'refused' ? HIDDEN : ''}` }
}

function oddCookie (random: Random, { visitors }: Grammar): Production {
  const { ticket } = random.of(visitors)
  const value = random.of(['', '=', ';', '='.repeat(random.integer(9_000)), ';'.repeat(random.integer(9_000)), `hatcheck=${ticket}; hatcheck=${random.of(visitors).ticket}`, 'hatcheck=x; '.repeat(random.integer(900)), `hatcheck="${ticket}"`, `hatcheck=${ticket}\r\nCookie: hatcheck=x`, '\u0001', '\u00ff\u00fe', 'hatcheck=%00', `hatcheck=${ticket.slice(0, 43)}.${'A'.repeat(43)}`, '__proto__=a; constructor=b; toString=c', 'a="', `hatcheck-flash=${'%'.repeat(random.integer(100))}`, 'hatcheck-notice=login', `hatcheck-device=${ticket}`])
  return oddity('cookie', `GET ${random.of(['/', '/login', '/session', '/sessions', '/verify'])} HTTP/1.1\r\nHost: localhost\r\nAccept: ${random.of(['text/html', 'application/json'])}\r\nCookie: ${value}\r\n\r\n`)
}

function oddBody (random: Random, { visitors }: Grammar): Production {
  const deep = random.integer(8_000)
  const body = random.of(['', '{', '}', '[', 'nul', '""', 'null', '"\\ud800"', '{"__proto__":{"a":1}}', '{"constructor":{"prototype":{}}}', `${'['.repeat(deep)}${']'.repeat(deep)}`, `{"client_name":${JSON.stringify('\u0300'.repeat(30))},"password":"x"}`, '{"client_name":["a"],"password":{}}', '{"client_name":1e999}', '\u00ff\u00fe', '\u00ef\u00bb\u00bf{}', 'client_name=%', 'client_name=%ff&password=', 'client_name=a&client_name=b&password=', `${'a=1&'.repeat(random.integer(4_000))}`, `client_name=${'a'.repeat(random.integer(17_000))}`, `"${'x'.repeat(random.integer(60_000))}"`, '1'.repeat(random.integer(400)), '-0', '1e400', '\0', '{"a":1,"a":2}', `{${Array.from({ length: random.integer(800) }, (_, i) => `"${i}":${i}`).join()}}`, '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--', '<a/>'])
  const type = random.of(['application/json', 'application/json', FORM, FORM, 'text/plain', 'multipart/form-data; boundary=x', 'application/json; charset=utf-16', 'APPLICATION/JSON', 'application/problem+json', 'text/html', 'application/json, text/plain', ''])
  const [method, target] = random.of([['POST', '/login'], ['POST', '/login'], ['PUT', '/session/odd'], ['PUT', '/session/odd'], ['PUT', '/session/__proto__'], ['POST', '/logout'], ['POST', '/sessions'], ['POST', '/password'], ['DELETE', '/session/odd'], ['GET', '/login'], ['POST', '/verify'], ['QUERY', '/login']] as const)
  // A logout would end the session that other requests expect.
  const isKnown = target.startsWith('/session/') && random.next() < 0.5
  return oddity('body', `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n${isKnown ? `Cookie: hatcheck=${random.of(visitors).ticket}\r\n` : ''}${random.of(['', 'Accept: text/html\r\n', 'Expect: 100-continue\r\n'])}Content-Length: ${body.length}\r\n\r\n${body}`)
}

function oddForwarding (random: Random, grammar: Grammar): Production {
  const { ticket } = random.of(grammar.visitors)
  const line = random.of(['X-Forwarded-For: ', 'X-Forwarded-For: x', 'X-Forwarded-For: unknown, 1.2.3.4', 'X-Forwarded-For: [::1]:80', 'X-Forwarded-For: 1.2.3.4:5', 'X-Forwarded-For: ::ffff:1.2.3.4', `X-Forwarded-For: ${'1.2.3.4, '.repeat(random.integer(900))}`, `X-Forwarded-For: ${'::1,'.repeat(random.integer(2_000))}`, 'X-Forwarded-For: \u00ff', 'X-Forwarded-Proto: https', 'X-Forwarded-Proto: x', 'X-Forwarded-Proto: https, http', 'X-Forwarded-Proto: \r\nX-Forwarded-Proto: https', 'X-Forwarded-Host: evil.example', 'X-Forwarded-Host: ,', 'X-Forwarded-Host: \u00ff', 'Forwarded: for="', 'X-Forwarded-Uri: //evil.example', 'X-Forwarded-Uri: \u00c3\u00a4\u00ff', `X-Forwarded-Uri: /${'%'.repeat(random.integer(9_000))}`, 'X-Forwarded-Uri: /a\r\nX-Forwarded-Uri: /b', 'X-Forwarded-Method: \u0001', 'X-Real-IP: x'])
  return oddity('forwarding', `GET ${random.of(['/', '/login', '/verify', '/sessions', '/metrics', '/session'])} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nX-Forwarded-Method: GET\r\nX-Forwarded-For: 192.0.2.1\r\n${random.of(['', `Cookie: hatcheck=${ticket}\r\n`])}${line}\r\n\r\n`)
}

function oddConnection (random: Random): Production {
  const lines = random.of(['Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__', 'Upgrade: x', 'Connection: upgrade', 'Connection: Host, Cookie, Content-Length', 'Connection: transfer-encoding', 'Connection: close, keep-alive', 'Connection: keep-alive\r\nConnection: close', `Connection: ${'a,'.repeat(random.integer(2_000))}`, 'Connection: \u0001', 'Keep-Alive: timeout=-1', 'Proxy-Connection: keep-alive', 'Expect: x', 'Expect: 100-continue, x', 'Expect: 100-continue', 'Expect: 100-continue\r\nContent-Length: 0', 'Max-Forwards: 0', 'Via: 1.0 x'])
  const production = oddity('connection', `${random.of(['GET', 'GET', 'POST', 'OPTIONS'])} /login HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n\r\n`)
  // After a request for another protocol, a server may read no more requests.
  return lines.includes('Upgrade:') ? { ...production, reading: 'wild' } : production
}

function oddity (kind: string, text: string): Production {
  return { text, kind, method: 'GET', reading: 'odd' }
}
