import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyRequest } from 'fastify'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import { Client } from './clients/client.js'
import { buildHost, gate, newFastify, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'
import { blocksOf } from './pages/walk.js'

/**
 * What docs/from-secure-session.md says about @fastify/secure-session, one scenario for each row: run on it, to show that it
 * behaves so, and on hatcheck, to show that hatcheck does not.
 */

// Not imported, since its types conflict with those of hatcheck.
const secureSession = createRequire(import.meta.url)('@fastify/secure-session') as FastifyPluginCallback<Record<string, unknown>>

type Bag = Record<string, unknown> & { delete (): void, data (): Record<string, unknown> }

function bag (request: FastifyRequest): Bag {
  return request.session as unknown as Bag
}

const oldOptions = { key: randomBytes(32), cookie: { path: '/' } }

async function theirs (t: Test): Promise<FastifyInstance> {
  const fastify = Fastify() as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(secureSession, oldOptions)
  fastify.post('/login', async (request) => { bag(request)['user'] = 'Harry' })
  fastify.post('/logout', async (request) => { bag(request).delete() })
  fastify.get('/', async (request) => bag(request)['user'] ?? 'nobody')
  addRoutes(fastify)
  return fastify
}

async function ours (t: Test, options = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options)
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.get('/', async (request) => request.user?.name ?? 'nobody')
  addRoutes(fastify)
  return fastify
}

function addRoutes (fastify: FastifyInstance): void {
  fastify.put<{ Body: Record<string, unknown> }>('/values', async (request) => { Object.assign(request.session, request.body) })
  fastify.get<{ Querystring: { key: string } }>('/values', async (request) => ({ value: bag(request)[request.query.key] ?? null }))
  fastify.post('/cart', async (request) => { (bag(request)['cart'] as string[]).push('apple') })
}

async function loggedIn (fastify: FastifyInstance): Promise<Client> {
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/login' })
  return client
}

/** The user of a cookie. */
async function userOf (fastify: FastifyInstance, cookie: string): Promise<string> {
  return (await fastify.inject({ url: '/', headers: { cookie } })).body
}

async function put (client: Client, values: object): Promise<number> {
  return (await client.send({ method: 'PUT', url: '/values', payload: values })).statusCode
}

async function get (client: Client, key: string): Promise<unknown> {
  return (await client.send({ url: `/values?key=${key}` })).json().value
}

/** A request that changes the session and answers when the gate is open. */
function addSlowChange (fastify: FastifyInstance): { open: () => void } {
  const { open, passed } = gate()
  fastify.post('/slow', async (request) => {
    bag(request)['slow'] = 1
    await passed
  })
  return { open }
}

test('in @fastify/secure-session, a copy of the cookie survives the logout', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<string> => {
    const client = await loggedIn(fastify)
    const copy = client.cookieHeader
    await client.send({ method: 'POST', url: '/logout' })
    t.equal(await userOf(fastify, client.cookieHeader), 'nobody')
    return await userOf(fastify, copy)
  }
  t.equal(await scenario(await theirs(t)), 'Harry')
  t.equal(await scenario(await ours(t)), 'nobody')
})

test('in @fastify/secure-session, a request in flight brings a logged-out session back', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<string> => {
    const { open } = addSlowChange(fastify)
    const client = await loggedIn(fastify)
    const slow = client.send({ method: 'POST', url: '/slow' })
    await client.send({ method: 'POST', url: '/logout' })
    open()
    await slow
    return await userOf(fastify, client.cookieHeader)
  }
  t.equal(await scenario(await theirs(t)), 'Harry')
  t.equal(await scenario(await ours(t)), 'nobody')
})

test('in @fastify/secure-session, one of two simultaneous writes to different keys is lost', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<unknown[]> => {
    const { open } = addSlowChange(fastify)
    const client = await loggedIn(fastify)
    const slow = client.send({ method: 'POST', url: '/slow' })
    await put(client, { fast: 1 })
    open()
    await slow
    return [await get(client, 'slow'), await get(client, 'fast')]
  }
  t.strictSame(await scenario(await theirs(t)), [1, null])
  t.strictSame(await scenario(await ours(t)), [1, 1])
})

test('in @fastify/secure-session, an older copy of the cookie has the older values', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<unknown> => {
    const client = await loggedIn(fastify)
    await put(client, { coupons: 1 })
    const copy = new Map(client.cookies)
    await put(client, { coupons: 0 })
    for (const [name, value] of copy) client.cookies.set(name, value)
    return await get(client, 'coupons')
  }
  t.equal(await scenario(await theirs(t)), 1)
  t.equal(await scenario(await ours(t)), 0)
})

test('in @fastify/secure-session, a change within a value is lost', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<unknown> => {
    const client = await loggedIn(fastify)
    await put(client, { cart: [] })
    await client.send({ method: 'POST', url: '/cart' })
    return await get(client, 'cart')
  }
  t.strictSame(await scenario(await theirs(t)), [])
  t.strictSame(await scenario(await ours(t)), ['apple'])
})

test('in @fastify/secure-session, a user who only reads is logged out when the expiry has passed since the last change', async (t) => {
  let time = Date.now()
  t.intercept(Date, 'now', { value: () => time })
  const scenario = async (fastify: FastifyInstance): Promise<string> => {
    const client = await loggedIn(fastify)
    let user = ''
    for (let hour = 0; hour < 25; hour++) {
      time += 3_600_000
      user = (await client.send({ url: '/' })).body
    }
    return user
  }
  t.equal(await scenario(await theirs(t)), 'nobody')
  t.equal(await scenario(await ours(t, { now: () => time, sessionIdleTimeout: 7_200, sessionLifetime: 172_800 })), 'Harry')
})

test('@fastify/secure-session sends cookies that are larger than browsers keep', async (t) => {
  const values = { text: 'x'.repeat(4_096) }
  const theirClient = await loggedIn(await theirs(t))
  t.equal(await put(theirClient, values), 200)
  t.ok(theirClient.cookie('session').length > 4_096)

  const client = await loggedIn(await ours(t))
  t.equal(await put(client, values), 200)
  t.equal(await get(client, 'text'), values.text)
  const refused = await client.send({ method: 'PUT', url: '/values', payload: { text: 'x'.repeat(20_000) } })
  t.match(refused.json(), { code: 'HATCHECK_SESSION_TOO_LARGE' })
})

test('in @fastify/secure-session, a value that JSON cannot hold is lost, or fails as the response leaves', async (t) => {
  const scenario = async (fastify: FastifyInstance, value: unknown): Promise<{ set: unknown, got: unknown }> => {
    fastify.post('/odd', async (request) => { bag(request)['odd'] = value })
    const client = await loggedIn(fastify)
    const answer = await client.send({ method: 'POST', url: '/odd' })
    return { set: answer.statusCode === 200 ? 'set' : answer.json().code ?? answer.statusCode, got: await get(client, 'odd') }
  }
  t.strictSame(await scenario(await theirs(t), () => {}), { set: 'set', got: null })
  t.strictSame(await scenario(await theirs(t), 1n), { set: 500, got: null })
  for (const value of [() => {}, 1n]) {
    t.strictSame(await scenario(await ours(t), value), { set: 'HATCHECK_SESSION_VALUE', got: null })
  }
})

test('the hook in docs/from-secure-session.md continues an old session', async (t) => {
  const [example = ''] = blocksOf(pageAt('docs/from-secure-session.md'), 'js')
  const folder = t.testdir({
    'move.mjs': `export const move = async (app, hatcheck, process, secureSession, oldOptions) => {\n${example.replace('secretKey', "sessionStore: 'memory:', secretKey")}}\n`
  })
  const old = await loggedIn(await theirs(t))
  await put(old, { color: 'blue' })
  const app = newFastify(t)
  const { move } = await import(pathToFileURL(join(folder, 'move.mjs')).href)
  await move(app, hatcheck, { env: { SECRET_KEY: testKey } }, secureSession, oldOptions)
  app.get('/', async (request) => ({ user: request.user?.name, color: bag(request)['color'] }))
  app.post('/logout', async (request) => { await request.logout() })

  const browser = new Client(app)
  browser.cookies.set('session', old.cookies.get('session') as string)
  t.strictSame((await browser.send({ url: '/' })).json(), { user: 'Harry', color: 'blue' })
  t.strictSame([...browser.cookies.keys()], ['hatcheck'], 'the old cookie is removed')
  t.strictSame((await browser.send({ url: '/' })).json(), { user: 'Harry', color: 'blue' })
  await browser.send({ method: 'POST', url: '/logout' })
  t.strictSame((await browser.send({ url: '/' })).json(), {})
})
