import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { Client, type Answer } from './client.js'
import { build, buildHost } from './helper.js'
import { openStore, watched, type StoreCall } from './watched-store.js'

const HOST = 'localhost:3000'
const PARTNER = 'https://app.example.com'
const BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

/** Of a header that comes twice, node keeps the last one here. */
const SITES = [undefined, 'same-origin', 'none', 'same-site', 'cross-site', 'nonsense', '', 'Same-Origin', 'same-origin, same-origin'] as const
const ORIGINS = [
  undefined, `http://${HOST}`, `http://${HOST.toUpperCase()}`, `HTTP://${HOST}`, `https://${HOST}`, 'http://localhost', 'http://localhost:3001', 'http://localhost.:3000', `http://${HOST}.example.com`, `http://www.${HOST}`, `app://${HOST}`, `ws://${HOST}`,
  'http://evil.example', 'null', '', 'nonsense', HOST, `http://${HOST}, http://${HOST}`, PARTNER, `${PARTNER}.evil.example`, `${PARTNER}:444`, `${PARTNER}.`, 'https://APP.example.com', 'http://app.example.com'
] as const

type Site = typeof SITES[number]
type Origin = typeof ORIGINS[number]

/** The headers with which a browser describes the origin of a request; an undefined header is not sent. */
function headersOf (site: Site, origin: Origin): Record<string, string> {
  return { host: HOST, ...site !== undefined && { 'sec-fetch-site': site }, ...origin !== undefined && { origin } }
}

/** The rule in three lines, written independently of the plugin. */
function mayChange (site: Site, origin: Origin, allowed: readonly string[]): boolean {
  if (origin !== undefined && allowed.includes(origin)) return true
  if (site !== undefined) return ['same-origin', 'none'].includes(site)
  // An untrusted proxy hides that the user's connection is https.
  return origin === undefined || [`http://${HOST}`, `https://${HOST}`].includes(origin.toLowerCase())
}

for (const allowedOrigins of [[], [PARTNER]]) {
  const whom = allowedOrigins.length === 0 ? 'nobody' : 'another origin'

  test(`a request that another site makes a browser send changes nothing, with ${whom} allowed`, async (t) => {
    let asked = 0
    const fastify = await build(t, { allowedOrigins, authenticate: (name) => { asked++; return { name } } })
    const harry = new Client(fastify)
    for (const site of SITES) {
      for (const origin of ORIGINS) {
        const what = `Sec-Fetch-Site: ${site}, Origin: ${origin}`
        const headers = headersOf(site, origin)
        const may = mayChange(site, origin, allowedOrigins)
        asked = 0

        const login = await new Client(fastify).post('/login', { client_name: 'Mallory', password: '12345678' }, headers)
        t.equal(login.statusCode, may ? 303 : 403, `login, ${what}`)
        t.equal(asked, may ? 1 : 0, 'no password is checked before that')

        await harry.login('Harry')
        const before = harry.cookieHeader
        const logout = await harry.post('/logout', {}, headers)
        t.equal(logout.statusCode, may ? 303 : 403, `logout, ${what}`)
        t.equal(await isLoggedIn(fastify, before), !may)
        if (!may) assertRefused(t, [login, logout])
      }
    }
  })
}

test('the default port of an origin can be left out or written', async (t) => {
  const fastify = await build(t, { mode: 'service', sessionCookieSecure: 'auto', authenticate: (name) => ({ name }) })
  const cases: Array<[host: string, origin: string, isOwn: boolean]> = [
    ['example.com:443', 'https://example.com', true],
    ['EXAMPLE.com:443', 'https://example.com', true],
    ['example.com:80', 'http://example.com', true],
    ['[::1]:80', 'http://[::1]', true],
    ['[::1]:443', 'https://[::1]', true],
    ['example.com', 'https://example.com:443', true],
    ['example.com:80', 'https://example.com', false],
    ['example.com:443', 'http://example.com', false],
    ['example.com:4430', 'https://example.com', false],
    ['example.com:8080', 'http://example.com', false],
    ['example.com.443:443', 'https://example.com', false],
    ['[::443]', 'https://[::]', false],
    ['[::80]', 'http://[::]', false],
    ['evil.example', 'https://example.com', false]
  ]
  for (const [host, origin, isOwn] of cases) {
    const login = await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678' }, { host, origin })
    t.equal(login.statusCode, isOwn ? 303 : 403, `${origin} at ${host}`)
    const logout = await fastify.inject({ url: '/logout', headers: { host, referer: `${origin}/cart` } })
    t.equal(logout.statusCode, isOwn ? 303 : 200, `a link of ${origin} at ${host}`)
  }
})

test('of all methods, addresses, origins and body types, only allowed requests change anything', async (t) => {
  let changes = 0
  const store = watched(openStore(t, 'memory:'), (call) => { if (!READING.has(call)) changes++ })
  const fastify = await build(t, { sessionStore: store, allowedOrigins: [PARTNER], authenticate: (name) => ({ name }) })
  const harry = new Client(fastify)
  await harry.login()
  const bodies: Array<[type: string | undefined, payload: string]> = [
    ['application/x-www-form-urlencoded', 'client_name=Sally&password=12345678'], ['application/json', '{"client_name":"Sally","password":"12345678"}'],
    ['text/plain', '{"client_name":"Sally","password":"12345678"}'], ['multipart/form-data; boundary=x', '--x--'], [undefined, '']
  ]
  const wrong: string[] = []
  let sent = 0
  for (const site of SITES) {
    for (const origin of ORIGINS) {
      const may = mayChange(site, origin, [PARTNER])
      for (const url of ['/', '/login', '/logout']) {
        for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'] as const) {
          for (const [index, [type, payload]] of bodies.entries()) {
            // For the other methods the body makes no difference: test/http.test.ts covers them.
            if (method !== 'POST' && index !== 4) continue
            changes = 0
            const cookie = harry.cookieHeader
            const { statusCode, headers } = await fastify.inject({
              method, url, payload, headers: { cookie, ...headersOf(site, origin), ...type !== undefined && { 'content-type': type } }
            })
            sent++
            const [status, changed] = verdict(method, url, index, may, site)
            const what = `${method} ${url} as ${type}, Sec-Fetch-Site: ${site}, Origin: ${origin}`
            if (statusCode !== status || (changes > 0) !== changed || (headers['set-cookie'] !== undefined) !== changed) wrong.push(`${what} → ${statusCode}, ${changes} changes, expected ${status}`)
            if (changed) await harry.login()
          }
        }
      }
    }
  }
  t.strictSame(wrong.slice(0, 10), [], `${sent} requests`)
})

const READING: ReadonlySet<StoreCall> = new Set(['read', 'touch', 'sweep', 'count', 'ofUser', 'close'])

/** The status, and whether something changes, written independently of the code. */
function verdict (method: string, url: string, body: number, may: boolean, site: Site): [status: number, changes: boolean] {
  const isLogin = url === '/login'
  switch (method) {
    case 'OPTIONS': return [204, false]
    case 'HEAD': return [isLogin ? 303 : 200, false]
    case 'GET':
      if (url !== '/logout') return [isLogin ? 303 : 200, false]
      // A link on another site sends these headers; a request without them comes from a typed address.
      return site === undefined || site === 'same-origin' || site === 'none' ? [303, true] : [200, false]
    case 'POST':
      if (url === '/') return [405, false]
      if (!may) return [403, false]
      if (body < 2) return [303, true]
      if (body < 4) return [415, false]
      return isLogin ? [400, false] : [303, true]
    default: return [405, false]
  }
}

test('login CSRF: another site cannot log a browser in as a user of its choice', async (t) => {
  const fastify = await build(t, { authenticate: (name) => ({ name }) })
  for (const cookies of ['nobody', 'Harry']) {
    const victim = new Client(fastify)
    if (cookies === 'Harry') await victim.login('Harry')
    const before = victim.cookieHeader
    // A form, a form in a type that can carry JSON, and a script; from a browser that sends every header, and from an old one.
    for (const [type, payload] of [['application/x-www-form-urlencoded', 'client_name=Mallory&password=12345678'], ['text/plain', '{"client_name":"Mallory","password":"12345678","x":"="}'], ['application/json', '{"client_name":"Mallory","password":"12345678"}']] as const) {
      for (const headers of [{ 'sec-fetch-site': 'cross-site', origin: 'http://evil.example' }, { origin: 'http://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'same-site', origin: 'http://sub.localhost:3000' }]) {
        const { statusCode } = await victim.send({ method: 'POST', url: '/login', payload, headers: { host: HOST, 'content-type': type, ...headers } })
        t.equal(statusCode, 403, `${type} ${JSON.stringify(headers)}`)
        t.equal(victim.cookieHeader, before)
      }
    }
    t.match((await victim.get('/')).body, cookies === 'nobody' ? 'You are not logged in' : 'Harry Your account is logged in.')
  }
  t.equal(await fastify.sessions.store.count(), 1)
})

test('logout CSRF: another site cannot end the session of a browser', async (t) => {
  const fastify = await build(t, { authenticate: (name) => ({ name }) })
  const victim = new Client(fastify)
  await victim.login('Harry')
  const evil = { host: HOST, 'sec-fetch-site': 'cross-site', origin: 'http://evil.example', referer: 'http://evil.example/' }
  for (const method of ['POST', 'GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT'] as const) {
    // An image, a frame, a form, a script, a link.
    for (const destination of ['image', 'iframe', 'document', 'empty', 'script']) await victim.send({ method, url: '/logout', headers: { ...evil, 'sec-fetch-dest': destination, accept: '*/*' } })
    t.ok(await isLoggedIn(fastify, victim.cookieHeader), method)
  }
  t.equal((await victim.post('/logout', {}, { host: HOST, 'sec-fetch-site': 'same-origin', origin: `http://${HOST}` })).statusCode, 303, 'and the user can')
  t.notOk(victim.cookies.has('hatcheck'))
})

test('over https, a page loaded over http counts as another site', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate: (name) => ({ name }) }, { trustProxy: true })
  for (const [origin, status] of [['https://sso.example', 303], ['http://sso.example', 403], ['app://sso.example', 403], ['https://sso.example:443', 303], ['https://sso.example:80', 403]] as const) {
    const proxied = { host: 'sso.example', 'x-forwarded-proto': 'https' }
    t.equal((await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678' }, { ...proxied, origin })).statusCode, status, origin)
    t.equal((await fastify.inject({ url: '/logout', headers: { ...proxied, referer: `${origin}/` } })).statusCode, status === 303 ? 303 : 200)
  }
})

test('no answer allows another origin to read it', async (t) => {
  const fastify = await build(t, { allowedOrigins: [PARTNER] })
  for (const url of ['/', '/login', '/no/such/page']) {
    const { headers } = await fastify.inject({ url, headers: headersOf('cross-site', 'http://evil.example') })
    t.equal(headers['access-control-allow-origin'], undefined)
    t.equal(headers['cross-origin-resource-policy'], 'same-origin')
  }
})

test('GET /logout ends the session only for a user who means it', async (t) => {
  const fastify = await build(t)
  const own = `http://${HOST}/cart`
  const cases: Array<[Record<string, string>, boolean]> = [
    [{}, false],
    [{ 'sec-fetch-site': 'none' }, true],
    [{ 'sec-fetch-site': 'same-origin' }, true],
    [{ 'sec-fetch-site': 'same-origin', referer: own }, true],
    [{ referer: own }, true],
    [{ 'sec-fetch-site': 'same-site' }, false],
    [{ 'sec-fetch-site': 'cross-site' }, false],
    [{ 'sec-fetch-site': 'cross-site', referer: own }, false],
    [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-user': '?1' }, false],
    [{ 'sec-fetch-site': 'nonsense' }, false],
    [{ referer: 'http://evil.example/' }, false],
    [{ referer: `http://evil.example/?${own}` }, false],
    [{ referer: `http://${HOST}.evil.example/` }, false],
    [{ referer: `http://${HOST}@evil.example/` }, false],
    [{ 'sec-purpose': 'prefetch' }, false],
    [{ 'sec-purpose': 'prefetch;prerender', 'sec-fetch-site': 'same-origin' }, false],
    [{ 'sec-purpose': 'prefetch;anonymous-client-ip', 'sec-fetch-site': 'none' }, false],
    [{ purpose: 'prefetch', 'sec-fetch-site': 'none' }, false],
    [{ 'x-moz': 'prefetch' }, false]
  ]
  for (const [headers, ends] of cases) {
    const harry = new Client(fastify)
    await harry.login()
    const before = harry.cookieHeader
    const what = JSON.stringify(headers)
    const page = await harry.get('/logout', { host: HOST, ...BROWSER, ...headers })
    t.equal(await isLoggedIn(fastify, before), !ends, what)
    if (ends) {
      t.equal(page.statusCode, 303, what)
      continue
    }
    t.equal(page.statusCode, 200, what)
    t.equal(page.headers['set-cookie'], undefined)
    t.match(page.body, '<form method="post" action="/logout">')
    t.match(page.body, 'Log out your account here')
    // A program sends none of these headers.
    const json = await harry.get('/logout', { host: HOST, accept: 'application/json', 'sec-fetch-site': 'cross-site', ...headers })
    t.equal(json.statusCode, 403, 'a program gets an error')
    t.equal(json.json().code, 'HATCHECK_CROSS_ORIGIN')
    t.ok(await isLoggedIn(fastify, before))
    t.equal((await harry.post('/logout', {}, headersOf('same-origin', `http://${HOST}`))).statusCode, 303, 'the form on that page does end the session')
    t.notOk(await isLoggedIn(fastify, before))
  }
})

test('HEAD /logout changes nothing, whatever its headers', async (t) => {
  const fastify = await build(t)
  const harry = new Client(fastify)
  await harry.login()
  const before = harry.cookieHeader
  const from: Array<Record<string, string>> = [{}, { 'sec-fetch-site': 'none' }, headersOf('same-origin', `http://${HOST}`), headersOf('cross-site', 'http://evil.example'), { 'sec-purpose': 'prefetch' }]
  for (const headers of from) {
    for (const [accept, status] of [[BROWSER.accept, 200], ['application/json', 403]] as const) {
      const head = await harry.send({ method: 'HEAD', url: '/logout', headers: { host: HOST, accept, ...headers } })
      t.equal(head.statusCode, status, `${accept} ${JSON.stringify(headers)}`)
      t.equal(head.body, '')
      t.equal(head.headers['set-cookie'], undefined)
      t.ok(await isLoggedIn(fastify, before))
    }
  }
})

test('hatcheck does not guard the routes of an application against other sites', async (t) => {
  const fastify = await buildHost(t, { routes: true, authenticate: (name) => ({ name }) })
  fastify.post('/hook', async () => 'done')
  t.equal((await fastify.inject({ method: 'POST', url: '/hook', headers: headersOf('cross-site', 'http://evil.example') })).statusCode, 200)
  t.equal((await fastify.inject({ method: 'POST', url: '/logout', headers: headersOf('cross-site', 'http://evil.example') })).statusCode, 403)
})

async function isLoggedIn (fastify: FastifyInstance, cookie: string): Promise<boolean> {
  const { body } = await fastify.inject({ url: '/', headers: { cookie, accept: 'application/json' } })
  return JSON.parse(body).user !== null
}

function assertRefused (t: Test, responses: Answer[]): void {
  for (const response of responses) {
    t.match(response.json(), { status: 403, code: 'HATCHECK_CROSS_ORIGIN', detail: 'This request comes from another site, which may not make changes here.' })
    t.equal(response.headers['set-cookie'], undefined)
  }
}
