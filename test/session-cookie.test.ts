import { test } from 'tap'
import { CookieJar } from 'tough-cookie'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import type { Bag } from './apps/bag.js'
import { HandlerApp, dataOf, login, logout, type Handler } from './apps/handler-app.js'
import { Client } from './clients/client.js'
import { openStore } from './stores/watched-store.js'
import { DAY, START } from './time/units.js'

test('the Set-Cookie header is exact, for every option', async (t) => {
  const now = (): number => START
  const write: Handler = (session) => { session['a'] = 1 }
  const remember: Handler = (session) => {
    session['a'] = 1
    session['permanent'] = true
  }
  const TICKET = '[\\w-]{43}\\.[\\w-]{43}'
  const GONE = '=; Max-Age=0;'
  const expires = 'Expires=Thu, 01 Jan 1970 00:00:00 GMT; '
  const cases: Array<{ what: string, options?: HatcheckOptions, https?: boolean, name: string, path?: string, before?: string, after: string }> = [
    { what: 'on http', name: 'hatcheck', after: 'HttpOnly; SameSite=Lax' },
    { what: 'on https', https: true, name: '__Host-hatcheck', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'for a domain', options: { sessionCookieDomain: 'example.com', sessionCookieSecure: true }, https: true, name: '__Secure-hatcheck', before: 'Domain=example.com; ', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'for a path', options: { sessionCookiePath: '/run', sessionCookieSecure: true }, https: true, name: '__Secure-hatcheck', path: '/run', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'of its own name and mode', options: { sessionCookieName: 'sid', sessionCookieSamesite: 'Strict' }, name: 'sid', after: 'HttpOnly; SameSite=Strict' },
    { what: 'for other sites', options: { sessionCookieSecure: true, sessionCookieSamesite: 'none', sessionCookiePartitioned: true }, https: true, name: '__Host-hatcheck', after: 'HttpOnly; Secure; Partitioned; SameSite=None' }
  ]
  for (const { what, options = {}, https = false, name, path = '/', before = '', after } of cases) {
    await t.test(what, async (t) => {
      const { run } = (await HandlerApp.start(t, { now, ...options }, { trustProxy: '127.0.0.1' })).visitor()
      const headers = { ...https && { 'x-forwarded-proto': what === 'on https' ? 'HTTPS' : 'https' }, ...before !== '' && { 'x-forwarded-host': 'app.example.com' } }
      t.match((await run(write, headers)).cookie, new RegExp(`^${name}=${TICKET}; ${before}Path=${path}; ${after}$`))
      t.match((await run(remember, headers)).cookie, new RegExp(`^${name}=${TICKET}; Max-Age=2592000; ${before}Path=${path}; ${after}$`))
      t.match((await run((session) => { session['permanent'] = false }, headers)).cookie, new RegExp(`^${name}=${TICKET}; ${before}Path=${path}; ${after}$`))
      t.match((await run((_session, request) => request.login('Harry', { permanent: true }), headers)).cookie, new RegExp(`^${name}=${TICKET}; Max-Age=2592000; `))
      t.equal((await run(logout, headers)).cookie, `${name}${GONE} ${before}Path=${path}; ${expires}${after}`)
    })

    await t.test(`${what}, a browser has no cookie left after the logout`, async (t) => {
      const host = await HandlerApp.start(t, { now: () => Date.now(), ...options }, { trustProxy: '127.0.0.1' })
      const url = `${https ? 'https' : 'http'}://${before === '' ? 'localhost' : 'app.example.com'}${path}`
      const jar = new CookieJar(undefined, { prefixSecurity: 'strict' })
      const headers = { host: new URL(url).host, ...https && { 'x-forwarded-proto': 'https' } }
      const { cookie: set } = await host.run(new Client(host.fastify), login, headers)
      await jar.setCookie(set as string, url)
      const sent = await jar.getCookieString(url)
      t.match(sent, `${name}=`)
      const { cookie: removal } = await host.run(new Client(host.fastify), logout, { ...headers, cookie: sent })
      await jar.setCookie(removal as string, url)
      t.equal(await jar.getCookieString(url), '')
    })
  }

  t.test('the age of a permanent session\'s cookie counts from the beginning of the session', async (t) => {
    let time = START
    const { run } = (await HandlerApp.start(t, { now: () => time })).visitor()
    await run(remember)
    time += 10 * DAY
    t.match((await run((session) => session['regenerate'](['a']))).cookie, `Max-Age=${20 * 86_400};`)
  })

  t.test('a claim of https by an untrusted client does not set a Secure cookie', async (t) => {
    for (const server of [{}, { trustProxy: '10.0.0.1' }]) {
      const { run } = (await HandlerApp.start(t, {}, server)).visitor()
      const { response, cookie } = await run(write, { 'x-forwarded-proto': 'https' })
      t.equal(response.statusCode, 400)
      t.equal(cookie, undefined, 'nor a cookie for http, since the claim may be true')
    }
  })

  t.test('the cookie is not sent again while nothing changes', async (t) => {
    const { run } = (await HandlerApp.start(t)).visitor()
    await run(write)
    for (const handler of [dataOf, write, (session: Bag) => { session['b'] = 2 }]) t.equal((await run(handler)).cookie, undefined)
  })
})

test('a Secure cookie over http is an error instead of being dropped silently', async (t) => {
  const rule = 'The session cookie is Secure but this connection is plain http, so the browser would drop it. ' +
    'Use https, or set trustProxy of Fastify if a proxy ends TLS, or set sessionCookieSecure to false for a test on http.'
  const handlers: Record<string, Handler> = {
    'a login': login,
    'a first write': (session) => { session['a'] = 1 },
    'a first write with save()': async (session) => {
      session['a'] = 1
      await session['save']()
    },
    'a write after destroy()': async (session) => {
      await session['destroy']()
      session['a'] = 1
    }
  }
  for (const [what, handler] of Object.entries(handlers)) {
    for (const [options, headers] of [[{ sessionCookieSecure: true }, {}], [{}, { host: 'example.com' }]] as Array<[HatcheckOptions, Record<string, string>]>) {
      const store = openStore(t, 'memory:')
      const { run } = (await HandlerApp.start(t, { ...options, sessionStore: store })).visitor()
      const { response, cookie } = await run(handler, headers)
      t.equal(response.statusCode, 400, what)
      t.match(response.json(), { code: 'HATCHECK_INSECURE_TRANSPORT', message: rule })
      t.equal(cookie, undefined)
      t.equal(await store.count(), 0)
      t.equal((await run(dataOf, headers)).response.statusCode, 200, 'reading works')
    }
  }
  const { run } = (await HandlerApp.start(t, { sessionCookieSecure: false })).visitor()
  t.equal((await run(login, { host: 'example.com' })).response.statusCode, 200, 'unless sessionCookieSecure is false')
})
