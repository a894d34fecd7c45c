import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import type { CompleteSessionStore } from '../plugins/store/traits.js'
import { Client } from './clients/client.js'
import { buildHost, testKey } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'

/** An application whose session cookie has these options. */
async function app (t: Test, sessionStore: CompleteSessionStore, options: GivenOptions): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { sessionStore, ...options })
  fastify.post('/in', async (request) => { await request.login('Harry') })
  fastify.post('/out', async (request) => { await request.logout() })
  fastify.post('/cart', async ({ session }) => { session.set('cart' as 'client_name', 'apple') })
  fastify.get('/', async ({ user, session }) => ({ user: user?.name ?? null, cart: session.get('cart' as 'client_name') ?? null }))
  fastify.get('/plain', async () => 'style')
  return fastify
}

/** A browser that has the cookies of another one. */
function browser (fastify: FastifyInstance, cookies: ReadonlyMap<string, string>): Client {
  const client = new Client(fastify)
  for (const [name, value] of cookies) client.cookies.set(name, value)
  return client
}

for (const sync of [true, false]) {
  test(`a session under a former cookie name continues under the current one (${sync ? 'synchronous' : 'asynchronous'} store)`, async (t) => {
    const store = watched(openStore(t, 'memory:'), () => {}, sync)
    const before = new Client(await app(t, store, { sessionCookieName: 'shop' }))
    await before.send({ method: 'POST', url: '/in' })
    await before.send({ method: 'POST', url: '/cart' })
    const ticket = before.cookies.get('shop')

    const after = browser(await app(t, store, { sessionCookieName: 'store', formerCookieNames: ['shop'], realm: 'shop' }), before.cookies)
    await after.get('/plain')
    t.strictSame([...after.cookies.keys()], ['shop'], 'a response that does not depend on the session changes no cookie')
    t.strictSame((await after.get('/')).json(), { user: 'Harry', cart: 'apple' })
    t.strictSame([...after.cookies], [['store', ticket]])
    t.strictSame((await after.get('/')).json(), { user: 'Harry', cart: 'apple' })

    await after.send({ method: 'POST', url: '/out' })
    t.strictSame([...after.cookies.keys()], [])
    for (const name of ['shop', 'store']) {
      after.cookies.set(name, ticket as string)
      t.strictSame((await after.get('/')).json(), { user: null, cart: null })
    }
  })
}

test('a logout under a former cookie name ends the session and clears that cookie, as it was set', async (t) => {
  const store = openStore(t, 'memory:')
  const attributes = { sessionCookieDomain: 'example.com', sessionCookiePath: '/shop', sessionCookieSecure: false }
  const before = new Client(await app(t, store, { sessionCookieName: 'shop', ...attributes }))
  const host = { host: 'www.example.com' }
  await before.send({ method: 'POST', url: '/in', headers: host })
  const after = browser(await app(t, store, { sessionCookieName: 'store', formerCookieNames: 'first, shop', realm: 'shop', ...attributes }), before.cookies)
  const { headers } = await after.send({ method: 'POST', url: '/out', headers: host })
  t.strictSame([...after.cookies], [])
  t.match([headers['set-cookie']].flat().find((line) => line?.startsWith('shop=')), /^shop=; Max-Age=0; Domain=example\.com; Path=\/shop;/)
  t.equal(await store.count(), 0)
})

test('a former cookie stays as long as the response does not bring the current one', async (t) => {
  let isFull = false
  const store = watched(openStore(t, 'memory:'), (call) => { if (isFull && call === 'touch') throw new Error('no space') })
  const before = new Client(await app(t, store, { sessionCookieName: 'shop' }))
  await before.send({ method: 'POST', url: '/in' })
  const after = browser(await app(t, store, { sessionCookieName: 'store', formerCookieNames: ['shop'], realm: 'shop' }), before.cookies)
  isFull = true
  t.match((await after.get('/')).json(), { user: 'Harry' })
  t.strictSame([...after.cookies], [...before.cookies])
  isFull = false
  t.match((await after.get('/')).json(), { user: 'Harry' })
  t.strictSame([...after.cookies.keys()], ['store'])
})

test('the session under the current name comes before that under a former one', async (t) => {
  const store = openStore(t, 'memory:')
  const before = new Client(await app(t, store, { sessionCookieName: 'shop' }))
  await before.send({ method: 'POST', url: '/in' })
  const after = browser(await app(t, store, { sessionCookieName: 'store', formerCookieNames: ['shop', 'store'], realm: 'shop' }), new Map())
  await after.send({ method: 'POST', url: '/cart' })
  after.cookies.set('shop', before.cookies.get('shop') as string)
  t.strictSame((await after.get('/')).json(), { user: null, cart: 'apple' })
})

test('a former cookie with __Host- is cleared as browsers need it, also once the cookie has a domain', async (t) => {
  const store = openStore(t, 'memory:')
  const https = { 'x-forwarded-proto': 'https', host: 'www.example.com' }
  const server = { trustProxy: true }
  const build = async (options: GivenOptions): Promise<FastifyInstance> => {
    const fastify = await buildHost(t, { sessionStore: store, ...options }, server)
    fastify.post('/in', async (request) => { await request.login('Harry') })
    fastify.get('/', async ({ user }) => ({ user: user?.name ?? null }))
    return fastify
  }
  const before = new Client(await build({}))
  await before.send({ method: 'POST', url: '/in', headers: https })
  t.strictSame([...before.cookies.keys()], ['__Host-hatcheck'])
  const after = browser(await build({ sessionCookieDomain: 'example.com', formerCookieNames: ['__Host-hatcheck'] }), before.cookies)
  const { headers, json } = await after.get('/', https)
  t.strictSame(json(), { user: 'Harry' })
  t.match([headers['set-cookie']].flat().find((line) => line?.startsWith('__Host-hatcheck=')), /^__Host-hatcheck=; Max-Age=0; Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=Lax$/)
  t.strictSame([...after.cookies.keys()], ['__Secure-hatcheck'])
})

test('a new name needs the realm of the former one, unless both have the same', async (t) => {
  const resolve = (options: GivenOptions): ReturnType<typeof resolveConfig> => resolveConfig({ secretKey: testKey, sessionStore: 'memory:', ...options }, 'plugin')
  t.throws(() => resolve({ sessionCookieName: 'store', formerCookieNames: ['shop'] }), {
    code: 'HATCHECK_CONFIG',
    message: 'realm must be set beside formerCookieNames, because it comes from the name of the cookie otherwise: the sessions of the cookie "shop" are in the realm "shop".'
  })
  t.throws(() => resolveConfig({ sessionStore: 'memory:', secretKey: testKey, formerCookieNames: '__Host-shop' }, 'service'), {
    message: 'REALM must be set beside FORMER_COOKIE_NAMES, because it comes from the name of the cookie otherwise: the sessions of the cookie "__Host-shop" are in the realm "shop".'
  })
  t.equal(resolve({ sessionCookieName: 'shop', formerCookieNames: ['__Secure-shop'] }).realm, 'shop')
  t.equal(resolve({ formerCookieNames: ['__Host-hatcheck', 'hatcheck'] }).realm, 'hatcheck')
  t.equal(resolve({ sessionCookieName: 'store', formerCookieNames: ['shop', 'first'], realm: 'first' }).realm, 'first')
  t.throws(() => resolve({ formerCookieNames: ['a b'] }), { message: 'formerCookieNames must be cookie names, as a list or separated by commas; got "a b".' })
  t.throws(() => resolve({ formerCookieNames: 1 as never }), { message: 'formerCookieNames must be a list, or text with commas between the parts.' })
  t.strictSame(resolve({}).formerCookies, [])
})
