import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { Client } from '../clients/client.js'
import { unescaped } from '../clients/unescaped.js'
import { build } from '../helper.js'

const HERE = 'http://127.0.0.1:3000'
const EVIL = 'evil.example'
const PARTNER = 'https://app.example.com'
/** An origin that is allowed while others are tested. */
const ALLOWED = 'https://allowed.example'

/** Spellings of an address on another origin that some parsers take for a path on this one. */
const PAYLOADS = [
  // Another address as it is, and schemes that run code.
  `http://${EVIL}`, `https://${EVIL}/`, `HTTPS://${EVIL}`, `http:${EVIL}`, `http:/${EVIL}`, `http:///${EVIL}`, `https:\\\\${EVIL}`, `ftp://${EVIL}`, `ws://${EVIL}`, `//${EVIL}:80`,
  'javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', '\u0001javascript:alert(1)', 'javascript://%0aalert(1)', '/javascript:alert(1)//\n//evil.example',
  'data:text/html,<script>alert(1)</script>', 'vbscript:msgbox(1)', 'blob:https://evil.example/1', 'file:///etc/passwd', 'about:blank', 'view-source:https://evil.example', 'mailto:a@evil.example',
  // Slashes of every kind.
  `//${EVIL}`, `///${EVIL}`, `////${EVIL}`, `//////${EVIL}`, `/\\${EVIL}`, `\\/${EVIL}`, `\\\\${EVIL}`, `/\\/${EVIL}`, `//\\${EVIL}`, `\\/\\/${EVIL}`, `/\\\\${EVIL}`, `\\${EVIL}`, `/ /${EVIL}`, `/ \\${EVIL}`,
  `/\u2215${EVIL}`, `/\u2044${EVIL}`, `/\uFF0F${EVIL}`, `\uFF0F\uFF0F${EVIL}`, `\u2215\u2215${EVIL}`, `/\uFF3C${EVIL}`, `\u29F8/${EVIL}`, `/\u29F5${EVIL}`, `\u3000//${EVIL}`, `\u00A0//${EVIL}`, `\uFEFF//${EVIL}`,
  // White space and controls that browsers drop.
  `/\t/${EVIL}`, `/\n/${EVIL}`, `/\r/${EVIL}`, `/\r\n/${EVIL}`, `\t//${EVIL}`, `\n//${EVIL}`, ` //${EVIL}`, `  /\t\\${EVIL}`, `\u0000//${EVIL}`, `/\u0000/${EVIL}`, `\u000B//${EVIL}`, `\u000C//${EVIL}`, `\u001F//${EVIL}`,
  `/\u007F/${EVIL}`, `/\u0085/${EVIL}`, `/\u2028/${EVIL}`, `/\u200B/${EVIL}`, `/\u00AD/${EVIL}`, `\u0008//${EVIL}`, `/\t\\${EVIL}`, `//\t${EVIL}`, `h\nttps://${EVIL}`, `https:/\t/${EVIL}`,
  // Encodings, once and twice.
  `/%09/${EVIL}`, `/%0a/${EVIL}`, `/%0d/${EVIL}`, `/%0d%0a/${EVIL}`, `/%2f${EVIL}`, `/%2F%2F${EVIL}`, `%2f%2f${EVIL}`, `/%5c${EVIL}`, `/%5C/${EVIL}`, `%5c%5c${EVIL}`, `/%252f${EVIL}`, `/%255c${EVIL}`, `%252f%252f${EVIL}`, `/%00/${EVIL}`,
  `%00//${EVIL}`, `%20//${EVIL}`, `%09//${EVIL}`, `/%20/${EVIL}`, `/%E2%88%95${EVIL}`, `/%EF%BC%8F${EVIL}`, `/%c0%af${EVIL}`, `/&#47;${EVIL}`, `&sol;&sol;${EVIL}`, `/\\u002f${EVIL}`, `https%3a%2f%2f${EVIL}`, 'javascript%3aalert(1)',
  // Dots that disappear and leave two slashes.
  `/.//${EVIL}`, `/..//${EVIL}`, `/./\\${EVIL}`, `/../\\${EVIL}`, `/a/..//${EVIL}`, `/a/../..//${EVIL}`, `/%2e//${EVIL}`, `/%2e%2e//${EVIL}`, `/.%2e//${EVIL}`, `/a/%2E%2E//${EVIL}`, `/.\t//${EVIL}`, `/..\\\\${EVIL}`, `/.//.//${EVIL}`, `/./..//./${EVIL}`,
  `.//${EVIL}`, `..//${EVIL}`, `./${EVIL}`, `../${EVIL}`, `.${EVIL}`, EVIL, `${EVIL}/`, `/;//${EVIL}`, `;//${EVIL}`, `?//${EVIL}`, `#//${EVIL}`, `?next=//${EVIL}`,
  // User names, ports, and names that resemble this host.
  `//127.0.0.1:3000@${EVIL}`, `//user:pass@${EVIL}`, `http://127.0.0.1:3000@${EVIL}`, `http://127.0.0.1:3000.${EVIL}`, `//127.0.0.1:3000.${EVIL}`, `//127.0.0.1:3000%40${EVIL}`, `@${EVIL}`, `/@${EVIL}`, `:@${EVIL}`, `//[::1]@${EVIL}`, `//${EVIL}%2F@127.0.0.1:3000`,
  `//${EVIL}#@127.0.0.1:3000`, `//${EVIL}?@127.0.0.1:3000`, `//${EVIL}\\@127.0.0.1:3000`, '//0x7f.1', '//2130706433', '//evil。example', '//ｅｖｉｌ.example', '//xn--evil', '//[::ffff:1.2.3.4]', '//localhost', 'http://127.0.0.1:3001/', 'https://127.0.0.1:3000/', 'http://next.invalid', '//next.invalid', 'http://next.invalid//evil.example',
  '//', '///', '\\', '', ' ', '/\\', '//\\', 'null', 'undefined', '[object Object]'
]

/** One other address in every combination of spellings of its parts. */
const SLASHES = ['//', '///', '/\\', '\\/', '\\\\', '/\t/', '/\n/', '/\r\\', '\t//', ' //', '\u0000//', '\u001f//', '\ufeff//', '/%09/', '/%2f', '%2f%2f', '/%5c', '/.//', '/..//', '/a/..//', '/%2e%2e//', '/./\\', 'http://', 'https:', 'hTTps:\\\\', 'http:/\t/'] as const
const BEFORE = ['', 'user@', 'user:pass@', '127.0.0.1:3000@', '127.0.0.1%3a3000@', '%00@', '@'] as const
const HOSTS = [EVIL, 'EVIL.EXAMPLE', `${EVIL}:80`, `${EVIL}.`, 'ｅｖｉｌ。ｅｘａｍｐｌｅ', '[::ffff:1.2.3.4]', '0x7f.1', '3232235777', 'xn--evil-.example', 'next.invalid'] as const
const AFTER = ['', '/', '\\', '?', '#', '/@127.0.0.1:3000/', '#@127.0.0.1:3000', '?@127.0.0.1:3000', '/..', '%0d%0aSet-Cookie:a=b', '\r\nSet-Cookie: a=b', ';@127.0.0.1', ' ', '\u0000', '\u2028'] as const

/** A selection: each pair of spellings occurs at least once. */
const GENERATED = [...new Set(SLASHES.flatMap((slashes, s) => BEFORE.flatMap((before, b) => HOSTS.filter((_, h) => (h + s + b) % 9 === 0)
  .map((host, h) => slashes + before + host + AFTER[(s + 2 * b + 3 * h) % AFTER.length]))))]

/** Schemes that must never become a target. */
const SCHEMES = ['javascript', 'data', 'vbscript', 'file', 'ftp', 'blob', 'about', 'view-source', 'intent', 'tel', 'sms', 'ms-word', 'filesystem', 'ws', 'wss', 'chrome', 'jar', 'x']
  .flatMap((scheme) => [`${scheme}:alert(1)`, `${scheme}://${EVIL}/`, ` ${scheme}:alert(1)`, `${scheme[0]}\t${scheme.slice(1)}:alert(1)`, `/${scheme}:alert(1)`, `${scheme.toUpperCase()}:alert(1)`, `${scheme}%3aalert(1)`])

/** Addresses near an allowed origin that must stay refused. */
const NEAR_PARTNER = [
  `${PARTNER}.${EVIL}`, `${PARTNER}.${EVIL}/`, `${PARTNER}@${EVIL}`, `${PARTNER}:443@${EVIL}/`, `${PARTNER}:444/`, `${PARTNER}%2F@${EVIL}`, `${PARTNER}\\@${EVIL}`, `${PARTNER}\t@${EVIL}`, 'http://app.example.com/', 'https://app.example.co/',
  'https://x.app.example.com/', 'https://user@app.example.com/', '//app.example.com/', 'https:app.example.com', 'https:/app.example.com/', `https://app.example.com。${EVIL}/`, `javascript:${PARTNER}/`, `${PARTNER}-${EVIL}/`, ` ${PARTNER}.${EVIL}`
]

test('of hundreds of payloads none leads to another origin, in any route, as a browser reads the answer', async (t) => {
  const payloads = [...new Set([...PAYLOADS, ...NEAR_PARTNER, ...GENERATED, ...SCHEMES])]
  t.ok(payloads.length >= 300, `${payloads.length} payloads`)
  const fastify = await buildWithout(t, { allowedOrigins: [ALLOWED] })
  const harry = new Client(fastify)
  await harry.login()
  const form = { client_name: 'Harry', password: '12345678' }
  const ways: Record<string, (next: string) => Promise<unknown>> = {
    'GET, logged in': async (next) => await locationOf(harry, next),
    'GET as JSON': async (next) => (await fastify.inject({ url: `/login?next=${encodeURIComponent(next)}`, headers: { accept: 'application/json' } })).json().next,
    'POST of the form': async (next) => (await new Client(fastify).post('/login', { ...form, next })).headers.location,
    'POST of JSON': async (next) => (await fastify.inject({ method: 'POST', url: '/login', payload: { ...form, next } })).headers.location,
    'POST for JSON': async (next) => (await fastify.inject({ method: 'POST', url: '/login', payload: { ...form, next }, headers: { accept: 'application/json' } })).json().next
  }
  const wrong: string[] = []
  for (const next of payloads) {
    for (const [way, follow] of Object.entries(ways)) {
      const location = String(await follow(next))
      if (!staysHere(location) || !/^\/(?![/\\])[\x21-\x7e]*$/.test(location)) wrong.push(`${way}: ${visible(next)} → ${visible(location)}`)
    }
  }
  for (const next of [`${ALLOWED}/`, `${ALLOWED}/cart?a=1#b`]) {
    for (const [way, follow] of Object.entries(ways)) if (await follow(next) !== next) wrong.push(`${way}: ${next} is allowed`)
  }
  t.strictSame(wrong.slice(0, 10), [], `${payloads.length} payloads in ${Object.keys(ways).length} ways`)
})

test('no next leads to another origin, from the form or for a user who is already logged in', async (t) => {
  const payloads = [...new Set(PAYLOADS)]
  t.ok(payloads.length >= 100, `${payloads.length} payloads`)
  const fastify = await buildWithout(t)
  const harry = new Client(fastify)
  await harry.login()
  for (const next of payloads) {
    const location = await locationOf(harry, next)
    t.ok(staysHere(location), `${visible(next)} → ${location}`)
    t.match(location, /^\/(?![/\\])[\x21-\x7e]*$/)

    const { body } = await new Client(fastify).get(`/login?next=${encodeURIComponent(next)}`)
    const [, field = 'none'] = /<input type="hidden" name="next" value="([^"]*)">/.exec(body) ?? []
    const onwards = await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678', next: unescaped(field) })
    t.equal(onwards.headers.location, location, 'the form has the same value')
    for (const way of [
      await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678', next }),
      await new Client(fastify).post(`/login?next=${encodeURIComponent(next)}`, { client_name: 'Harry', password: '12345678' })
    ]) t.equal(way.headers.location, location, 'and so does every other route')
  }
})

test('unencoded payloads in the query do not lead to another origin either', async (t) => {
  const fastify = await buildWithout(t)
  const harry = new Client(fastify)
  await harry.login()
  for (const next of [...PAYLOADS, ...PAYLOADS.map((payload) => `/%2e%2e/${payload}`)].filter((payload) => /^[\x21-\x7e]*$/.test(payload))) {
    const response = await harry.get(`/login?next=${next}`)
    if (response.statusCode === 303) t.ok(staysHere(String(response.headers.location)), `${visible(next)} → ${response.headers.location}`)
    else t.ok(response.statusCode < 500, visible(next))
  }
})

test('next in JSON must be text or missing', async (t) => {
  const fastify = await buildWithout(t)
  for (const next of [5, true, null, {}, [], ['/cart'], { toString: '/cart' }]) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678', next }, headers: { accept: 'application/json' } })
    t.equal(response.json().next, '/')
  }
  for (const query of ['next=/a&next=/b', 'next[]=/a', 'next']) {
    const harry = new Client(fastify)
    await harry.login()
    t.equal((await harry.get(`/login?${query}`)).headers.location, '/')
  }
})

test('any mix of slashes, dots, controls and encodings stays on this origin, even if it is parsed twice', async (t) => {
  const { nextOf } = (await buildWithout(t, { allowedOrigins: [PARTNER] })).hatcheck.login
  const part = fc.constantFrom('/', '//', '\\', '.', '..', '%2e', '%2f', '%5c', '%09', '\t', '\n', '\r', ' ', '\u0000', '\u2028', '@', ':', '?', '#', ';', '&', 'http:', 'https:', 'javascript:', EVIL, 'a',
    PARTNER, 'next.invalid', '\uFF0F', '\u3002', '\uFEFF', '\ud800', '😀', '[', ']', '%', '"', "'", '<')
  fc.assert(fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
    const next = nextOf(parts.join(''))
    const again = nextOf(next)
    const { origin } = new URL(next, HERE)
    return (origin === HERE || origin === PARTNER) && again === next && /^[\x21-\x7e]+$/.test(next)
  }), { numRuns: 20_000 })
  t.pass('20000 of them')
})

test('a path of this origin is kept, with its query and fragment', async (t) => {
  const { nextOf } = (await buildWithout(t)).hatcheck.login
  for (const path of [
    '/', '/cart', '/a/b/', '/a/b?x=1&y=2', '/a?x=1#there', '/#there', '/?q=https://evil.example/', '/?next=//evil.example', '/#//evil.example', '/a//b', '/a/b//', '/search?q=a+b%20c%26d', '/%C3%BC', '/a%2Fb', '/a%5Cb',
    '/.well-known/x', '/a;b=c', '/a@b', '/a:b', '/~harry', '/a,b', '/login?next=%2Fcart', "/it's", '/a(b)*!$', '/-._', `/${'x'.repeat(2000)}`
  ]) t.equal(nextOf(path), path)
  for (const [path, kept] of [['/ü?ö#ä', '/%C3%BC?%C3%B6#%C3%A4'], ['/a b', '/a%20b'], ['/a/../b', '/b'], ['/a/./b', '/a/b'], ['/%2e%2e/b', '/b'], ['/"><script>', '/%22%3E%3Cscript%3E']] as const) t.equal(nextOf(path), kept)
  for (const other of [undefined, null, 5, ['/cart'], {}, '', 'cart', `/${'x'.repeat(8192)}`]) t.equal(nextOf(other), '/')
})

test('the length limit of next applies to its encoded form', async (t) => {
  const { nextOf, loginPathTo } = (await buildWithout(t, { allowedOrigins: [PARTNER] })).hatcheck.login
  for (const [letter, written] of [['x', 1], ['"', 3], ['ü', 6], ['語', 9]] as const) {
    for (const start of ['/', `${PARTNER}/`, '/?', '/#']) {
      const most = Math.floor((8_192 - start.length) / written)
      t.equal(nextOf(start + letter.repeat(most)).length, start.length + most * written, 'an address of the maximum length is kept')
      t.equal(nextOf(start + letter.repeat(most + 1)), '/', 'one more character is too long')
    }
  }
  // A server of Node takes 16 KiB of header, of which other headers need a part.
  for (const [letter, isKept] of [['x', true], ['/a', true], ['/', true], ['a=1,', true], ['a=&', true], ['%41', true], ['%2F', true], ['a+', false], ['&', false], ['"', false], ['ü', false], ['語', false], ['👩‍🚀', false]] as const) {
    const path = `/a?${letter.repeat(8_000 / letter.length)}`
    const page = String(loginPathTo(path))
    t.ok(page.length <= 14 * 1_024 + '/login?next='.length, `a header that a server can take: ${letter}`)
    t.equal(new URLSearchParams(page.slice('/login?'.length)).get('next'), isKept ? path : '/', letter)
  }
})

test('another origin is reached only if it is allowed, and only exactly that one', async (t) => {
  const fastify = await buildWithout(t, { allowedOrigins: [PARTNER, 'http://localhost:8080'] })
  const { nextOf } = fastify.hatcheck.login
  for (const address of [`${PARTNER}/`, `${PARTNER}/cart?x=1&y=2#there`, 'http://localhost:8080/a', `${PARTNER}/a//b`]) t.equal(nextOf(address), address)
  t.equal(nextOf(PARTNER), `${PARTNER}/`)
  t.equal(nextOf(`${PARTNER}/../a`), `${PARTNER}/a`)
  for (const address of [...NEAR_PARTNER, 'http://localhost:80801/', 'http://localhost:808/', 'http://localhost/']) t.equal(nextOf(address), '/', address)
  for (const payload of PAYLOADS) t.ok(staysHere(nextOf(payload)), visible(payload))

  const harry = new Client(fastify)
  const login = await harry.post('/login', { client_name: 'Harry', password: '12345678', next: `${PARTNER}/cart` })
  t.equal(login.headers.location, `${PARTNER}/cart`)
  const { headers } = await new Client(fastify).get('/login')
  t.match(headers['content-security-policy'], `form-action 'self' ${PARTNER} http://localhost:8080;`, 'or the browser would not follow the redirect')
})

test('with a prefix, the default target is the start page under it', async (t) => {
  const { nextOf } = (await buildWithout(t, { prefix: '/auth' })).hatcheck.login
  t.equal(nextOf('//evil.example'), '/auth/')
  t.equal(nextOf(undefined), '/auth/')
  t.equal(nextOf('/cart'), '/cart')
})

/** A service that accepts any password, so that no time goes into hashing. */
async function buildWithout (t: Test, options: HatcheckOptions = {}): Promise<FastifyInstance> {
  // The first login has to outlive the hundreds that follow.
  return await build(t, { authenticate: (name) => ({ name }), sessionsPerUser: 10_000, ...options })
}

async function locationOf (client: Client, next: string): Promise<string> {
  const response = await client.get(`/login?next=${encodeURIComponent(next)}`)
  return String(response.headers.location)
}

/** The address as a browser resolves it. */
function staysHere (location: string): boolean {
  return URL.canParse(location, `${HERE}/login`) && new URL(location, `${HERE}/login`).origin === HERE
}

/** The text without characters that could confuse a terminal or a parser of the report. */
function visible (text: string): string {
  return encodeURI(text).replace(/#/g, '%23')
}
