import { test, type Test } from 'tap'
import { refuseCrossOrigin, requireLogin } from '../app.js'
import { visitor } from '../plugins/testing/index.js'
import { logEach } from './apps/log-lines.js'
import { AS_BROWSER } from './clients/accept.js'
import { Client, userOf, type Answer } from './clients/client.js'
import { HOST, ORIGINS, PARTNER, SITES, headersOf, mayChange } from './clients/cross-site.js'
import { build, buildHost } from './helper.js'

for (const allowedOrigins of [[], [PARTNER]]) {
  const whom = allowedOrigins.length === 0 ? 'nobody' : 'another origin'

  test(`a request that another site makes a browser send changes nothing, with ${whom} allowed`, async (t) => {
    let asked = 0
    // Some of these combinations are those of a proxy, which demo mode and a cookie by the connection refuse.
    const fastify = await build(t, { mode: 'service', sessionCookieSecure: 'false', allowedOrigins, authenticate: (name) => { asked++; return { name } } })
    for (const site of SITES) {
      for (const origin of ORIGINS) {
        const what = `Sec-Fetch-Site: ${site}, Origin: ${origin}`
        const headers = headersOf(site, origin)
        const may = mayChange(site, origin, allowedOrigins)
        asked = 0

        const login = await new Client(fastify).post('/login', { client_name: 'Mallory', password: '12345678' }, headers)
        const passwordsChecked = asked
        const harry = await visitor(fastify).login('Harry')
        const before = harry.cookieHeader()
        const logout = await harry.inject({ method: 'POST', url: '/logout', headers })
        const outcome = { login: login.statusCode, passwordsChecked, logout: logout.statusCode, user: await userOf(fastify, before) }
        t.strictSame(outcome, may ? { login: 303, passwordsChecked: 1, logout: 303, user: null } : { login: 403, passwordsChecked: 0, logout: 403, user: 'Harry' }, what)
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
  const victim = await visitor(fastify).login('Harry')
  const evil = { host: HOST, 'sec-fetch-site': 'cross-site', origin: 'http://evil.example', referer: 'http://evil.example/' }
  for (const method of ['POST', 'GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT'] as const) {
    // An image, a frame, a form, a script, a link.
    for (const destination of ['image', 'iframe', 'document', 'empty', 'script']) await victim.inject({ method, url: '/logout', headers: { ...evil, 'sec-fetch-dest': destination, accept: '*/*' } })
    t.equal(await userOf(fastify, victim.cookieHeader()), 'Harry', method)
  }
  t.equal((await victim.inject({ method: 'POST', url: '/logout', headers: headersOf('same-origin', `http://${HOST}`) })).statusCode, 303, 'and the user can')
  t.notOk(await victim.isLoggedIn())
})

test('over https, a page loaded over http counts as another site', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate: (name) => ({ name }) }, { trustProxy: true })
  for (const proto of ['https', 'HTTPS', 'wss']) {
    for (const [origin, status] of [['https://sso.example', 303], ['http://sso.example', 403], ['app://sso.example', 403], ['https://sso.example:443', 303], ['https://sso.example:80', 403]] as const) {
      const proxied = { host: 'sso.example', 'x-forwarded-proto': proto }
      t.equal((await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678' }, { ...proxied, origin })).statusCode, status, `${origin}, ${proto}`)
      t.equal((await fastify.inject({ url: '/logout', headers: { ...proxied, referer: `${origin}/` } })).statusCode, status === 303 ? 303 : 200)
    }
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
    [{ 'x-moz': 'prefetch' }, false],
    [{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, true],
    [{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }, true],
    [{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', referer: own }, true],
    ...['image', 'script', 'style', 'video', 'object', 'embed', 'worker', 'manifest', 'nonsense'].map((dest): [Record<string, string>, boolean] =>
      [{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': dest, referer: own }, false])
  ]
  for (const [headers, ends] of cases) {
    const harry = await visitor(fastify).login('Harry')
    const before = harry.cookieHeader()
    const what = JSON.stringify(headers)
    const page = await harry.inject({ url: '/logout', headers: { host: HOST, ...AS_BROWSER, ...headers } })
    t.equal(await userOf(fastify, before), ends ? null : 'Harry', what)
    if (ends) {
      t.equal(page.statusCode, 303, what)
      continue
    }
    t.equal(page.statusCode, 200, what)
    t.equal(page.headers['set-cookie'], undefined)
    t.match(page.body, '<form method="post" action="/logout">')
    t.match(page.body, 'Log out your account here')
    // A program sends none of these headers.
    const json = await harry.inject({ url: '/logout', headers: { host: HOST, accept: 'application/json', 'sec-fetch-site': 'cross-site', ...headers } })
    t.equal(json.statusCode, 403, 'a program gets an error')
    t.equal(json.json().code, 'HATCHECK_CROSS_ORIGIN')
    t.equal(await userOf(fastify, before), 'Harry')
    t.equal((await harry.inject({ method: 'POST', url: '/logout', headers: headersOf('same-origin', `http://${HOST}`) })).statusCode, 303, 'the form on that page does end the session')
    t.equal(await userOf(fastify, before), null)
  }
})

test('a part of a page of this site does not log out, such as an image that another user has put there', async (t) => {
  const fastify = await build(t)
  const metadata = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }
  for (const from of [metadata, {}] as Array<Record<string, string>>) {
    for (const accept of ['image/avif,image/webp,image/apng,*/*;q=0.8', 'text/css,*/*;q=0.1', 'video/webm,video/ogg,video/*;q=0.9,*/*;q=0.5']) {
      const harry = await visitor(fastify).login('Harry')
      const before = harry.cookieHeader()
      const { headers, statusCode } = await harry.inject({ url: '/logout', headers: { host: HOST, accept, referer: `http://${HOST}/wiki`, ...from } })
      t.equal(statusCode, 200)
      t.equal(headers['set-cookie'], undefined)
      t.equal(await userOf(fastify, before), 'Harry', `${accept} ${JSON.stringify(from)}`)
    }
  }
})

test('HEAD /logout changes nothing, whatever its headers', async (t) => {
  const fastify = await build(t)
  const harry = await visitor(fastify).login('Harry')
  const before = harry.cookieHeader()
  const from: Array<Record<string, string>> = [{}, { 'sec-fetch-site': 'none' }, headersOf('same-origin', `http://${HOST}`), headersOf('cross-site', 'http://evil.example'), { 'sec-purpose': 'prefetch' }]
  for (const headers of from) {
    for (const [accept, status] of [[AS_BROWSER.accept, 200], ['application/json', 403]] as const) {
      const head = await harry.inject({ method: 'HEAD', url: '/logout', headers: { host: HOST, accept, ...headers } })
      t.equal(head.statusCode, status, `${accept} ${JSON.stringify(headers)}`)
      t.equal(head.body, '')
      t.equal(head.headers['set-cookie'], undefined)
      t.equal(await userOf(fastify, before), 'Harry')
    }
  }
})

test('hatcheck does not guard the routes of an application against other sites', async (t) => {
  const fastify = await buildHost(t, { routes: true, authenticate: (name) => ({ name }) })
  fastify.post('/hook', async () => 'done')
  t.equal((await fastify.inject({ method: 'POST', url: '/hook', headers: headersOf('cross-site', 'http://evil.example') })).statusCode, 200)
  t.equal((await fastify.inject({ method: 'POST', url: '/logout', headers: headersOf('cross-site', 'http://evil.example') })).statusCode, 403)
})

test('refuseCrossOrigin keeps other sites out of forms and sockets', async (t) => {
  const events: string[] = []
  const write = (line: string): void => {
    const { event, reason } = JSON.parse(line) as { event?: string, reason?: string }
    if (event !== undefined) events.push(`${event} ${reason}`)
  }
  const app = await buildHost(t, { allowedOrigins: ['https://app.example.com'] }, logEach('info', write))
  app.post('/form', { onRequest: refuseCrossOrigin }, async () => 'done')
  app.get('/socket', { onRequest: refuseCrossOrigin }, async () => 'open')
  app.options('/form', { onRequest: refuseCrossOrigin }, async () => 'asked')
  const host = { host: 'shop.example.com' }
  const upgrade = { connection: 'Upgrade', upgrade: 'WebSocket' }
  const cases: Array<[headers: Record<string, string>, may: boolean]> = [
    [{}, true],
    [{ origin: 'http://shop.example.com' }, true],
    [{ origin: 'https://shop.example.com' }, true],
    [{ origin: 'https://app.example.com', 'sec-fetch-site': 'same-site' }, true],
    [{ 'sec-fetch-site': 'same-origin', origin: 'https://shop.example.com' }, true],
    [{ origin: 'https://evil.example' }, false],
    [{ origin: 'null' }, false],
    [{ 'sec-fetch-site': 'cross-site' }, false],
    [{ 'sec-fetch-site': 'same-site', origin: 'https://other.example.com' }, false]
  ]
  for (const [headers, may] of cases) {
    for (const [method, url, more] of [['POST', '/form', {}], ['GET', '/socket', upgrade]] as const) {
      const answer = await app.inject({ method, url, headers: { ...host, ...headers, ...more } })
      t.equal(answer.statusCode, may ? 200 : 403, `${method} ${JSON.stringify(headers)}`)
      if (!may) t.equal(answer.json().code, 'HATCHECK_CROSS_ORIGIN')
      t.strictSame(events.splice(0), may ? [] : ['malicious_cors cross_origin'])
    }
    t.equal((await app.inject({ url: '/socket', headers: { ...host, ...headers } })).statusCode, 200, 'a link changes nothing')
    t.equal((await app.inject({ method: 'OPTIONS', url: '/form', headers: { ...host, ...headers } })).statusCode, 200, 'a preflight changes nothing')
  }
})

test('a WebSocket of another site cannot follow the link to log out', async (t) => {
  const app = await buildHost(t, { routes: true, authenticate: (name) => ({ name }) })
  app.get('/me', { onRequest: requireLogin }, async () => 'in')
  const client = new Client(app)
  await client.login()
  const opened = await app.inject({ url: '/logout', headers: { cookie: client.cookie(), origin: 'https://evil.example', connection: 'Upgrade', upgrade: 'websocket' } })
  t.equal(opened.statusCode, 403)
  t.equal((await client.get('/me')).body, 'in')
})

function assertRefused (t: Test, responses: Answer[]): void {
  for (const response of responses) {
    t.match(response.json(), { status: 403, code: 'HATCHECK_CROSS_ORIGIN', detail: 'This request comes from another site, which may not make changes here.' })
    t.equal(response.headers['set-cookie'], undefined)
  }
}
