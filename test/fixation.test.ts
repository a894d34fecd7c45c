import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { AS_PROGRAM } from './clients/accept.js'
import { Client, userOf } from './clients/client.js'
import { build, keyOf, needs } from './helper.js'
import { connect, startRedis } from './programs/redis.js'
import { inTwoSteps, kinds, openStore, stop, watched } from './stores/watched-store.js'

for (const kind of kinds) test(`session fixation fails, over ${kind}`, async (t) => { await fixation(t, openStore(t, kind)) })

test('session fixation fails, over Redis', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  await fixation(t, new RedisStore(await connect(t, url) as Redis, { now: Date.now, maxBytes: 16_384, onCorrupt () {} }))
})

/** Three ways for an attacker to know the victim's session in advance. None of them may work. */
async function fixation (t: Test, store: SessionStore): Promise<void> {
  await t.test('a planted cookie with a signed ID but no session is not adopted', async (t) => {
    const fastify = await serve(t, store)
    const mallory = new Client(fastify)
    await mallory.login('Mallory')
    const planted = mallory.cookieHeader
    await mallory.get('/logout')
    await logsInApart(t, fastify, store, planted)
  })

  await t.test('a planted cookie of the attacker\'s anonymous session is worth nothing after the login', async (t) => {
    const fastify = await serve(t, store)
    const mallory = new Client(fastify)
    await mallory.send({ method: 'POST', url: '/keep/planted' })
    t.not(mallory.cookieHeader, '')
    await logsInApart(t, fastify, store, mallory.cookieHeader)
  })

  await t.test('a planted cookie of the attacker\'s own login does not become the victim\'s', async (t) => {
    const fastify = await serve(t, store)
    const mallory = new Client(fastify)
    await mallory.login('Mallory')
    const form = await fastify.inject({ url: '/login', headers: { cookie: mallory.cookieHeader } })
    t.equal(form.headers['set-cookie'], undefined, 'the form gives the planted cookie no new life')
    await logsInApart(t, fastify, store, mallory.cookieHeader)
  })

  await t.test('a planted cookie beside the victim\'s own: both are worth nothing after the login', async (t) => {
    const fastify = await serve(t, store)
    const mallory = new Client(fastify)
    await mallory.send({ method: 'POST', url: '/keep/planted' })
    for (const order of ['before', 'behind']) {
      const victim = new Client(fastify)
      await victim.send({ method: 'POST', url: '/keep/own' })
      const cookies = order === 'before' ? [mallory.cookieHeader, victim.cookieHeader] : [victim.cookieHeader, mallory.cookieHeader]
      const login = await loginWith(fastify, cookies.join('; '))
      const fresh = cookieOf(login)
      t.notOk(cookies.includes(fresh))
      t.equal(await userOf(fastify, fresh), 'Harry')
      for (const cookie of cookies) t.not(await userOf(fastify, cookie), 'Harry', order)
    }
  })

  await t.test('the cookie from before the login is worth nothing after it, on any route', async (t) => {
    const fastify = await serve(t, store)
    for (const earlier of ['anonymous', 'Harry', 'Sally'] as const) {
      const victim = new Client(fastify)
      if (earlier === 'anonymous') await victim.send({ method: 'POST', url: '/keep/before' })
      else await victim.login(earlier)
      const old = victim.cookieHeader
      await victim.login('Harry')
      const { cookieHeader: now } = victim
      t.not(now, old)
      t.equal(await store.read(keyOf(old)), null, 'it is gone from the store')
      t.equal(await userOf(fastify, old), null)
      for (const [method, url] of [['GET', '/'], ['GET', '/login'], ['GET', '/private'], ['POST', '/keep/after'], ['HEAD', '/'], ['OPTIONS', '/login'], ['DELETE', '/login'], ['POST', '/logout'], ['GET', '/logout']] as const) {
        const response = await fastify.inject({ method, url, headers: { ...AS_PROGRAM, cookie: old } })
        t.notMatch(response.body, 'Harry', `${method} ${url}`)
        if (url === '/private') t.equal(response.statusCode, 401)
        t.not(cookieOf(response), old, 'nor is it given out again')
        t.equal(await store.read(keyOf(old)), null)
      }
      t.equal(await userOf(fastify, now), 'Harry', 'the login is unaffected')
      await victim.get('/logout')
    }
  })

  for (const call of ['replace', 'create', 'remove'] as const) {
    await t.test(`a request during the ${call} of the login gains nothing`, async (t) => {
      const pause = stop()
      let isOn = false
      const watching = watched(store, (name) => isOn && name === call ? pause.here() : undefined)
      const fastify = await serve(t, call === 'replace' ? watching : inTwoSteps(watching))
      const mallory = new Client(fastify)
      await mallory.send({ method: 'POST', url: '/keep/planted' })
      const planted = mallory.cookieHeader
      isOn = true
      const login = loginWith(fastify, planted)
      await pause.reached
      isOn = false
      // The attacker writes, reads and logs in with the planted cookie, during the login.
      const during = await Promise.all([
        fastify.inject({ method: 'POST', url: '/keep/during', headers: { cookie: planted } }),
        fastify.inject({ url: '/', headers: { ...AS_PROGRAM, cookie: planted } }),
        fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Mallory', password: '12345678' }, headers: { cookie: planted } })
      ])
      pause.go()
      await assertApart(t, fastify, store, planted, cookieOf(await login), during)
    })
  }

  await t.test('a request that began before the login and ends after it brings nothing back', async (t) => {
    const [slow, reader] = [stop(), stop()]
    const fastify = await serve(t, store, { slow: slow.here, reader: reader.here })
    const mallory = new Client(fastify)
    await mallory.send({ method: 'POST', url: '/keep/planted' })
    const planted = mallory.cookieHeader
    const late = ['slow', 'reader'].map((name) => fastify.inject({ method: 'POST', url: `/late/${name}`, headers: { cookie: planted } }))
    await Promise.all([slow.reached, reader.reached])
    const login = await loginWith(fastify, planted)
    slow.go()
    reader.go()
    await assertApart(t, fastify, store, planted, cookieOf(login), await Promise.all(late))
  })
}

/** The service with some routes of an application; passwords are not hashed. */
async function serve (t: Test, store: SessionStore, pauses: Record<string, () => Promise<void>> = {}): Promise<FastifyInstance> {
  // Several services use the store, one after the other.
  const fastify = await build(t, { sessionStore: { ...watched(store, () => {}), close () {} }, authenticate: (name) => ({ name }) })
  fastify.post<{ Params: { key: string } }>('/keep/:key', async (request) => {
    Object.assign(request.session, { [request.params.key]: 1 })
    return 'kept'
  })
  fastify.post<{ Params: { name: string } }>('/late/:name', async (request) => {
    const before = request.user?.name ?? null
    await pauses[request.params.name]?.()
    if (request.params.name === 'slow') Object.assign(request.session, { late: 1 })
    return { before }
  })
  fastify.get('/private', { preHandler: fastify.requireLogin }, async (request) => request.user?.name)
  return fastify
}

/** The victim logs in with the planted cookie; the session after that must be unrelated to it. */
async function logsInApart (t: Test, fastify: FastifyInstance, store: SessionStore, planted: string): Promise<void> {
  const login = await loginWith(fastify, planted)
  t.equal(await userOf(fastify, planted), null)
  await assertApart(t, fastify, store, planted, cookieOf(login), [])
}

async function assertApart (t: Test, fastify: FastifyInstance, store: SessionStore, planted: string, fresh: string, others: LightMyRequestResponse[]): Promise<void> {
  t.not(fresh, '')
  t.not(fresh, planted)
  t.equal(await userOf(fastify, fresh), 'Harry', 'the victim is logged in')
  t.equal(await userOf(fastify, planted), null, 'the planted cookie is not logged in')
  t.equal(await store.read(keyOf(planted)), null)
  for (const other of others) {
    t.not(cookieOf(other), planted)
    t.notMatch(other.body, 'Harry')
    if (cookieOf(other) !== '') t.not(await userOf(fastify, cookieOf(other)), 'Harry', 'nor is any cookie that was derived from it')
  }
  t.strictSame((await store.ofUser('Harry')).map(({ key }) => key).includes(keyOf(fresh)), true)
  t.equal((await fastify.inject({ url: '/private', headers: { cookie: planted } })).statusCode, 401)
}

async function loginWith (fastify: FastifyInstance, cookie: string): Promise<LightMyRequestResponse> {
  return await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678' }, headers: { cookie } })
}

function cookieOf ({ headers }: LightMyRequestResponse): string {
  const [cookie = ''] = [headers['set-cookie'] ?? []].flat().filter((one) => one.startsWith('hatcheck=') && !one.startsWith('hatcheck=;'))
  return cookie.split(';')[0] ?? ''
}
