import type { Sending } from '../../clients/client.js'

/** A request that has not been sent yet. */
export interface Asked extends Sending {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  headers?: Record<string, string>
  payload?: string
}

/** A part of a request, or of the store, that a visitor or a user controls. */
export interface Input {
  name: string
  /** In bytes: the limit of the service, or a little more. */
  size: number
  /** The sender. */
  as: 'stranger' | 'user'
  /** Whether the request hashes a password: then a few are enough to measure. */
  hashes?: boolean
  /** The value that an ordinary client sends. */
  ordinary: string
  /** The worst cases, by their ingredients. */
  worst: ReadonlyArray<readonly [what: string, value: string]>
  /** Values that a user has stored beforehand, for the worst cases. */
  before?: readonly Asked[]
  /** The request with the input in it. `turn` counts the requests. */
  ask (value: string, turn: number): Asked
}

export const OWNER = { name: 'Harry', password: 'correct horse battery' }

/** The limits of the service, minus the rest of the request. */
const BODY = 16_000
const HEADER = 15_000
const VALUE = 16_000
const LONGEST_PASSWORD = 1_024
const LONGEST_NAME = 256
const LONGEST_KEY = 100

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const JSON_BODY = { 'content-type': 'application/json' }
const AS_BROWSER = { accept: 'text/html' }
const CHROME = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36'

/** Texts whose processing cost grows faster than their length. */
const PIECES: ReadonlyArray<readonly [what: string, piece: string]> = [
  ['letters', 'a'],
  ['other letters', 'xk7pq2mvw'],
  ['combining marks', '\u0301\u0323'],
  ['combining marks out of order', '\u0315\u0300\u05AE\u0323'],
  ['ligatures', '\uFDFA'],
  ['fullwidth letters', '\uFF21'],
  ['letters that grow with their case', '\u0390'],
  ['old Hangul', '\u1100\u1161\u11A8'],
  ['family emoji', '\u{1F469}\u200D\u{1F469}\u200D\u{1F467}'],
  ['joiners', '\u200D\uFE0F'],
  ['flags', '\u{1F1E6}'],
  ['spaces', ' '],
  ['wide spaces', '\u3000\u2003'],
  ['signs of HTML', '"<&>\''],
  ['percent signs', '%'],
  ['encoded bytes', '%41'],
  ['digits', '1'],
  ['a row of keys and back', '1234567890987654321'],
  ['keys with leaps', '1237894560'],
  ['a piece that nearly repeats', 'aaaaaaab'],
  ['the name', 'harry'],
  ['commas', 'a,'],
  ['semicolons', 'a;'],
  ['equals signs', 'a=b&'],
  ['slashes', '/../'],
  ['backslashes', '\\'],
  ['quotes', '"\\'],
  ['dots', '1.'],
  ['colons', 'a:'],
  ['brackets', '([{']
]

/** A text of at most this many bytes of UTF-8. Its beginning and end make patterns search the whole text. */
export function filled (piece: string, bytes: number, [begin, end]: readonly [string, string] = ['', '']): string {
  const room = bytes - Buffer.byteLength(begin + end)
  const full = piece.repeat(Math.max(0, Math.floor(room / Buffer.byteLength(piece))))
  return begin + full + end
}

function texts (bytes: number, ends?: readonly [string, string]): Array<readonly [string, string]> {
  return PIECES.map(([what, piece]) => [what, filled(piece, bytes, ends)])
}

/** A text for a header, which carries it as bytes. */
function headerTexts (bytes: number, begin = ''): Array<readonly [string, string]> {
  return PIECES.map(([what, piece]) => {
    const sent = Buffer.from(piece).toString('latin1')
    return [what, begin + sent.repeat((bytes - begin.length) / sent.length)]
  })
}

/** A form, encoded in as few bytes as possible. */
export function inForm (url: string, fields: Record<string, string>, headers: Record<string, string> = {}): Asked {
  return { method: 'POST', url, headers: { ...FORM, ...headers }, payload: Object.entries(fields).map(([name, value]) => `${name}=${plain(value)}`).join('&') }
}

/** Encodes only what must be encoded, to save bytes. */
function plain (value: string): string {
  return value.replace(/[%&+=\r\n]/g, encodeURIComponent)
}

function logIn (fields: Record<string, string>, headers?: Record<string, string>): Asked {
  return inForm('/login', { client_name: OWNER.name, password: OWNER.password, ...fields }, headers)
}

function get (url: string, headers: Record<string, string> = {}): Asked {
  return { method: 'GET', url, headers }
}

/** Passwords that take the rules for new passwords the longest. */
function newPasswords (): Array<readonly [string, string]> {
  return [
    ...texts(LONGEST_PASSWORD, ['x', 'Z~']),
    ['rows of every keyboard, with too many leaps at the end', `!${filled('1237894560', 800)}harryhatcheck${filled('1237894560', 180)}7`]
  ]
}

const header = (name: string, url: string, ordinary: string, more: Partial<Input> = {}): Input => ({
  name: `header ${name}, ${url}`,
  size: HEADER,
  as: 'stranger',
  ordinary,
  worst: headerTexts(HEADER),
  ask: (value) => get(url, { [name]: value }),
  ...more
})

/** JSON of about this many bytes that costs more than its length suggests. */
function values (bytes: number): Array<readonly [string, string]> {
  const many = (item: (i: number) => string, length: number): string => Array.from({ length: Math.floor(bytes / length) }, (_, i) => item(i)).join(',')
  return [
    ['lists in lists', '['.repeat(bytes / 2) + ']'.repeat(bytes / 2)],
    ['objects in objects', '{"a":'.repeat(bytes / 6) + '1' + '}'.repeat(bytes / 6)],
    ['empty lists', `[${many(() => '[]', 3)}]`],
    ['empty objects', `[${many(() => '{}', 3)}]`],
    ['digits', `[${many(() => '1', 2)}]`],
    ['keys', `{${many((i) => `"${i.toString(36)}":1`, 8)}}`],
    ['numbers as keys', `{${many((i) => `"${i}":1`, 8)}}`],
    ['the same key', `{${many(() => '"a":1', 6)}}`],
    ['a long number', '9'.repeat(bytes)],
    ['a long fraction', `0.${'9'.repeat(bytes - 2)}`],
    ['exponents', `[${many(() => '1e9', 4)}]`],
    ['a text', JSON.stringify('a'.repeat(bytes - 2))],
    ['escapes', `"${'\\u0001'.repeat(bytes / 6)}"`],
    ['half characters', `"${'\\ud800'.repeat(bytes / 6)}"`],
    ['quotes', `"${'\\"'.repeat(bytes / 2)}"`],
    ['emoji', JSON.stringify('\u{1F469}'.repeat(bytes / 4))],
    ['near __proto__', `[${many(() => '"__proto_"', 10)}]`],
    ['__proto__ at the end', `[${many(() => '[]', 3)},{"__proto__":1}]`]
  ]
}

/** The methods that read a session with many values. */
const STORED: ReadonlyArray<readonly [string, Asked]> = [
  ['GET /', get('/')],
  ['GET /session', get('/session')],
  ['GET /session/one', get('/session/k1')],
  ['PUT /session/one', { method: 'PUT', url: '/session/k1', headers: JSON_BODY, payload: '2' }],
  ['GET /sessions', get('/sessions')],
  ['GET /verify', get('/verify')]
]

function put (key: string, body: string): Asked {
  return { method: 'PUT', url: `/session/${encodeURIComponent(key)}`, headers: JSON_BODY, payload: body }
}

function stored (what: string, before: readonly Asked[]): Input[] {
  return STORED.map(([name, asked]) => ({
    name: `stored ${what}, ${name}`,
    size: before.reduce((sum, { payload = '' }) => sum + payload.length, 0),
    as: 'user',
    ordinary: '',
    worst: [[what, ' ']],
    before,
    ask: () => asked
  }))
}

/** Every input, with a generated worst case. */
export const inputs: readonly Input[] = [
  { name: 'client_name of POST /login, at any length', size: BODY, as: 'stranger', ordinary: '', worst: texts(BODY, ['a', '!']), ask: (name) => logIn({ client_name: name }) },
  { name: 'client_name of POST /login, in JSON', size: BODY, as: 'stranger', ordinary: '', worst: texts(BODY / 2, ['a', '!']), ask: (name) => ({ ...logIn({}), headers: JSON_BODY, payload: JSON.stringify({ client_name: name, password: OWNER.password }) }) },
  { name: 'client_name of POST /login, shown again', size: BODY, as: 'stranger', ordinary: '', worst: texts(BODY, ['a', '!']), ask: (name) => logIn({ client_name: name }, AS_BROWSER) },
  { name: 'client_name of POST /login, nearly a name', size: LONGEST_NAME, as: 'stranger', ordinary: '', worst: texts(LONGEST_NAME), ask: (name) => logIn({ client_name: `${name}\u0000` }) },
  { name: 'password of POST /login', size: BODY, as: 'stranger', ordinary: '', worst: texts(BODY), ask: (password) => logIn({ password }) },
  { name: 'pwd and permanent of POST /login', size: BODY, as: 'stranger', ordinary: '', worst: texts(BODY / 2), ask: (text) => inForm('/login', { client_name: OWNER.name, pwd: text, permanent: text }) },
  { name: 'password of a new account', size: LONGEST_PASSWORD, as: 'stranger', hashes: true, ordinary: OWNER.password, worst: newPasswords(), ask: (password, turn) => logIn({ client_name: `user ${turn}`, password }, { 'x-forwarded-for': addressOf(turn) }) },
  { name: 'next of POST /login', size: BODY, as: 'stranger', ordinary: '/', worst: texts(BODY, ['/', '']), ask: (next) => logIn({ client_name: '', next }, AS_BROWSER) },
  { name: 'next of POST /login, not too long', size: 2_000, as: 'stranger', ordinary: '/', worst: texts(2_000, ['/', '']), ask: (next) => logIn({ client_name: '', next }, AS_BROWSER) },
  { name: 'fields of POST /login', size: BODY, as: 'stranger', ordinary: '', worst: [['as many as fit', 'a&'.repeat(BODY / 2)], ['of one name', 'a=1&'.repeat(BODY / 4)], ['encoded', 'a=%41&'.repeat(BODY / 6)], ['different ones', Array.from({ length: BODY / 6 }, (_, i) => `${i.toString(36)}=&`).join('')]], ask: (more) => ({ ...logIn({}), payload: `client_name=&password=x&${more}` }) },
  { name: 'JSON of POST /login', size: BODY, as: 'stranger', ordinary: '1', worst: values(BODY), ask: (value) => ({ ...logIn({}), headers: JSON_BODY, payload: `{"client_name":${value},"password":"x"}` }) },
  { name: 'next of GET /login', size: HEADER, as: 'stranger', ordinary: '/', worst: texts(HEADER / 3, ['/', '']), ask: (next) => get(`/login?next=${encodeURIComponent(next)}`) },
  { name: 'query of GET /', size: HEADER, as: 'stranger', ordinary: 'a=1', worst: [['as many as fit', 'a&'.repeat(HEADER / 2)], ['different ones', Array.from({ length: HEADER / 9 }, (_, i) => `${i.toString(36)}=%41&`).join('')]], ask: (query) => get(`/?${query}`) },
  { name: 'user of GET /verify', size: HEADER, as: 'user', ordinary: 'Sally', worst: [...names(HEADER)], ask: (user, turn) => get(`/verify?user=${user},${turn}`) },
  { name: 'user of GET /verify, by a stranger', size: HEADER, as: 'stranger', ordinary: 'Sally', worst: [...names(HEADER)], ask: (user, turn) => get(`/verify?user=${user},${turn}`) },
  { name: 'path', size: HEADER, as: 'stranger', ordinary: 'a', worst: [['letters', 'a'.repeat(HEADER)], ['encoded', '%41'.repeat(HEADER / 3)], ['slashes', 'a/'.repeat(HEADER / 2)], ['dots', '../'.repeat(HEADER / 3)], ['percent signs', '%'.repeat(HEADER)]], ask: (path) => get(`/${path}`) },
  { name: 'key of GET /session/:key', size: LONGEST_KEY, as: 'user', ordinary: 'a', worst: texts(LONGEST_KEY / 3), ask: (key) => get(`/session/${encodeURIComponent(key)}`) },
  { name: 'handle of DELETE /sessions/:handle', size: LONGEST_KEY, as: 'user', ordinary: 'a', worst: texts(LONGEST_KEY / 3), ask: (handle) => ({ method: 'DELETE', url: `/sessions/${encodeURIComponent(handle)}` }) },
  { name: 'handle of POST /sessions', size: BODY, as: 'user', ordinary: 'a', worst: texts(BODY), ask: (handle) => inForm('/sessions', { handle }) },
  { name: 'others and pwd of POST /sessions', size: BODY, as: 'user', ordinary: 'a', worst: texts(BODY / 2), ask: (text) => inForm('/sessions', { others: text, pwd: text }) },
  { name: 'password of POST /sessions', size: BODY, as: 'user', ordinary: 'a', worst: texts(BODY), ask: (password) => inForm('/sessions', { handle: 'a', password }) },
  { name: 'current_password of POST /password', size: BODY, as: 'user', ordinary: '', worst: texts(BODY), ask: (current) => inForm('/password', { current_password: current, new_password: current }) },
  { name: 'new_password of POST /password', size: BODY, as: 'user', ordinary: OWNER.password, worst: texts(BODY), ask: (next) => inForm('/password', { current_password: OWNER.password, new_password: next }) },
  { name: 'new_password_again of POST /password', size: BODY, as: 'user', ordinary: 'x', worst: texts(BODY), ask: (again) => inForm('/password', { current_password: 'x', new_password: 'y', new_password_again: again }) },
  { name: 'body of PUT /session/:key', size: VALUE, as: 'user', ordinary: '1', worst: values(VALUE), ask: (body) => put('value', body) },
  { name: 'body of PUT /session/:key, three times as long as a value', size: 3 * VALUE, as: 'user', ordinary: '1', worst: values(3 * VALUE), ask: (body) => put('value', body) },
  header('accept', '/', 'text/html', { worst: [...headerTexts(HEADER, 'application/json,text/html,'), ['types', 'a/b,'.repeat(HEADER / 4) + 'application/json'], ['parameters', `application/json${';a=1'.repeat(HEADER / 4)}`], ['json', 'application/json,'.repeat(HEADER / 17)], ['a text that does not end', `application/json;a="${'a,'.repeat(HEADER / 2)}`]] }),
  header('accept', '/login', 'text/html', { worst: [['types', 'a/b,'.repeat(HEADER / 4) + 'application/json']] }),
  header('accept', '/nowhere', 'text/html', { worst: [['types', 'a/b,'.repeat(HEADER / 4) + 'text/html,application/json']] }),
  header('cookie', '/', 'a=1', { worst: [...headerTexts(HEADER, 'hatcheck='), ['the same name', 'hatcheck=a;'.repeat(HEADER / 11)], ['as the ticket', `hatcheck=${'a'.repeat(43)}.${'b'.repeat(43)};`.repeat(HEADER / 97)], ['the name and nothing', 'hatcheck'.repeat(HEADER / 8)], ['spaces before the name', `;${' '.repeat(100)}hatcheck=`.repeat(HEADER / 110)], ['one letter less', ' hatchec='.repeat(HEADER / 9)]] }),
  { name: 'header cookie of POST /login', size: HEADER, as: 'stranger', hashes: true, ordinary: 'a=1', worst: [['devices', `hatcheck-device=${'a'.repeat(22)}.${'9'.repeat(12)}.${'b'.repeat(43)};`.repeat(HEADER / 97)], ['tickets', `hatcheck=${'a'.repeat(43)}.${'b'.repeat(43)};`.repeat(HEADER / 97)]], ask: (cookie) => logIn({}, { cookie }) },
  { name: 'header user-agent of POST /login', size: HEADER, as: 'stranger', hashes: true, ordinary: CHROME, worst: agents(HEADER), ask: (agent) => logIn({}, { 'user-agent': agent }) },
  header('host', '/', 'localhost', { worst: [['letters', 'a'.repeat(HEADER)], ['dots', 'a.'.repeat(HEADER / 2)], ['ports', `localhost${':1'.repeat(HEADER / 2)}`], ['digits', `localhost:${'1'.repeat(HEADER)}`], ['brackets', '['.repeat(HEADER)], ['colons', ':'.repeat(HEADER)]] }),
  { name: 'header origin', size: HEADER, as: 'stranger', ordinary: 'http://localhost', worst: [...headerTexts(HEADER, 'http://'), ['other letters', `http://${Buffer.from('ü').toString('latin1').repeat(HEADER / 4)}`], ['xn--', `http://${'xn--a.'.repeat(HEADER / 6)}`], ['an address', `http://[${'1:'.repeat(HEADER / 2)}]`]], ask: (origin) => logIn({ client_name: '' }, { origin }) },
  { name: 'header referer of GET /logout', size: HEADER, as: 'stranger', ordinary: 'http://localhost/', worst: [...headerTexts(HEADER, 'http://'), ...headerTexts(HEADER, 'http://localhost/')], ask: (referer) => get('/logout', { referer }) },
  header('sec-fetch-site', '/logout', 'same-origin'),
  header('sec-purpose', '/logout', 'a'),
  header('accept-language', '/', 'en'),
  header('accept-encoding', '/', 'gzip'),
  header('authorization', '/', 'Basic a'),
  header('if-none-match', '/', '"a"'),
  header('forwarded', '/', 'for=192.0.2.1'),
  header('x-forwarded-for', '/', '192.0.2.1', { worst: [...headerTexts(HEADER), ['addresses', '192.0.2.1,'.repeat(HEADER / 10)], ['proxies', '127.0.0.1,'.repeat(HEADER / 10)], ['proxies by IPv6', '::1,'.repeat(HEADER / 4)]] }),
  { name: 'header x-forwarded-for of POST /login', size: HEADER, as: 'stranger', hashes: true, ordinary: '192.0.2.1', worst: [['proxies', '127.0.0.1,'.repeat(HEADER / 10)], ['proxies by IPv6', '::1,'.repeat(HEADER / 4)], ['letters', 'a'.repeat(HEADER)], ['brackets', '['.repeat(HEADER)]], ask: (ips) => logIn({}, { 'x-forwarded-for': ips }) },
  header('x-forwarded-proto', '/', 'http', { worst: [...headerTexts(HEADER), ['protocols', 'http,'.repeat(HEADER / 5)]] }),
  header('x-forwarded-host', '/', 'localhost', { worst: [...headerTexts(HEADER), ['hosts', 'a,'.repeat(HEADER / 2)]] }),
  { name: 'header x-forwarded-uri of GET /verify', size: HEADER, as: 'stranger', ordinary: '/a', worst: headerTexts(HEADER, '/'), ask: (uri) => get('/verify', { ...AS_BROWSER, 'x-forwarded-for': '192.0.2.1', 'x-forwarded-method': 'GET', 'x-forwarded-uri': uri }) },
  header('x-forwarded-method', '/verify', 'GET'),
  { name: 'header content-type of POST /login', size: HEADER, as: 'stranger', ordinary: 'application/json', worst: [...headerTexts(HEADER, 'application/json;'), ['parameters', `application/x-www-form-urlencoded${';a=1'.repeat(HEADER / 4)}`]], ask: (type) => ({ method: 'POST', url: '/login', headers: { 'content-type': type }, payload: '{"client_name":"","password":"x"}' }) },
  { name: 'names of headers', size: HEADER, as: 'stranger', ordinary: '1', worst: [['as many as fit', '1000']], ask: (count) => get('/', Object.fromEntries(Array.from({ length: Number(count) }, (_, i) => [`x-forwarde${i.toString(36)}`, '1']))) },
  ...stored('tiny values', Array.from({ length: 1_000 }, (_, i) => put(`k${i}`, '1'))),
  ...stored('lists', [put('k1', '1'), ...values(3_600).filter(([what]) => /lists|objects|digits|^keys|escapes/.test(what)).slice(0, 4).map(([what, json]) => put(what, json))])
]

/** A different one for each account, since an address can sign up only a few times. */
function addressOf (turn: number): string {
  return `10.${turn >> 16 & 255}.${turn >> 8 & 255}.${turn & 255}`
}

/** Lists of users as a proxy sends them to `/verify`, without the user who asks. */
function names (bytes: number): Array<readonly [string, string]> {
  return [
    ['of one letter', 'a,'.repeat(bytes / 2)],
    ['different ones', Array.from({ length: bytes / 4 }, (_, i) => (i + 1_300).toString(36)).join(',')],
    ['encoded', '%C3%BC,'.repeat(bytes / 7)],
    ['one of combining marks', '%CC%81%CC%A3'.repeat(bytes / 12)],
    ['commas', ','.repeat(bytes)]
  ]
}

/** Beginnings after which the parser can continue in many ways. */
function agents (bytes: number): Array<readonly [string, string]> {
  const begins = ['Mozilla/5.0 (Windows NT ', 'Mozilla/5.0 (Macintosh; Intel Mac OS X ', 'Mozilla/5.0 (Linux; Android ', 'Version/', 'like android ']
  return begins.flatMap((begin) => ['1_', ' ', '(', 'Safari/', 'windows '].map((piece) => [`${begin}${piece}`, filled(piece, bytes, [begin, '!'])] as const))
}
