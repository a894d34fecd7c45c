import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import type { StoredSession } from '../../plugins/store/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { Visitor, listen } from '../apps/visitors.js'
import { Client } from '../clients/client.js'
import { buildHost, handleOf, needs } from '../helper.js'
import { startStoreProcess } from '../processes/store-process.js'
import { connect, startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { openStore, stop } from '../stores/watched-store.js'
import { MINUTE } from '../time/units.js'

const START = recordOf().createdAt

/** A store that several processes can open, and its URL. */
const kinds: Array<{ kind: string, needed: { skip: string | false }, open: (t: Test) => Promise<{ url: string, store: SessionStore }> }> = [
  {
    kind: 'memory',
    needed: { skip: false },
    open: async (t) => ({ url: '', store: openStore(t, 'memory:') })
  },
  {
    kind: 'LMDB',
    needed: { skip: false },
    open: async (t) => {
      const folder = fastFolder(t)
      return { url: `lmdb:${folder}`, store: openStore(t, 'lmdb:', { folder }) }
    }
  },
  {
    kind: 'Redis',
    needed: needs('redis-server'),
    open: async (t) => {
      const { url } = await startRedis(t)
      return { url, store: new RedisStore(await connect(t, url), { now: Date.now, maxBytes: 16_384, onCorrupt () {}, deadlineMs: 5_000 }) }
    }
  }
]

for (const { kind, needed, open } of kinds) {
  test(`of 50 simultaneous logins over HTTP, never more than the limit are live in ${kind}`, needed, async (t) => {
    const { store } = await open(t)
    const { fastify, url } = await listen(t, { sessionStore: store, sessionsPerUser: 5 })
    const revoked: unknown[] = []
    fastify.sessions.on('revoked', (event) => { revoked.push(event) })
    const sally = new Visitor(url, 'Sally')
    await sally.login()

    const visitors = Array.from({ length: 50 }, () => new Visitor(url, 'Harry'))
    const logins = Promise.all(visitors.map((visitor) => visitor.send('POST', '/login/Harry')))
    const most = await mostAtOnce(store, 'Harry', logins)
    t.ok(most <= 5, `${most} at once`)
    const users = await Promise.all(visitors.map(async (visitor) => (await visitor.send('GET', '/')).user))
    t.equal(users.filter((user) => user === 'Harry').length, 5, 'five of the cookies are good')
    t.equal((await sally.send('GET', '/')).user, 'Sally', 'no other request has noticed')

    const answers = await logins
    const begun = answers.filter(({ status }) => status === 200)
    t.ok(begun.every(({ cookie }) => cookie === 'sets'))
    t.equal(revoked.length, begun.length - 5, 'each session that was ended for another is reported once')
    if (kind !== 'Redis') t.equal(begun.length, 50)
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      t.match(answer, { status: 503, cookie: 'keeps', retryAfter: '1' }, 'a login that was over the limit before it had begun gets an error')
    }
  })
}

for (const { kind, needed, open } of kinds.slice(1)) {
  test(`logins of two processes together never exceed the limit in ${kind}`, needed, async (t) => {
    const { url, store } = await open(t)
    const call = startStoreProcess(t, url)
    await call('read', 'nothing')
    const time = Date.now()
    const record = recordOf({ createdAt: time, seenAt: time, expiresAt: time + 10 * MINUTE, user: 'Harry' })
    const limit = { perUser: 5 }
    const ours = async (lane: number): Promise<unknown[]> => {
      const answers = []
      for (let i = 0; i < 10; i++) answers.push(await store.create(`ours ${lane} ${i}`, record, limit))
      return answers
    }
    const logins = Promise.all([
      ...Array.from({ length: 5 }, (_, lane) => ours(lane)),
      ...Array.from({ length: 50 }, (_, i) => call('create', `theirs ${i}`, record, limit))
    ])
    const most = await mostAtOnce(store, 'Harry', logins)
    const begun = (await logins).flat().filter(Boolean).length
    t.ok(begun >= 5 && most <= 5, `${begun} have begun, ${most} at once`)
    const keys = (await store.ofUser('Harry')).map(({ key }) => key)
    t.equal(keys.length, 5)
    t.strictSame((await call('ofUser', 'Harry') as StoredSession[]).map(({ key }) => key), keys)
  })
}

async function host (t: Test, options: HatcheckOptions): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options)
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => { await request.login(request.params.name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.post('/set', async ({ session }) => { Object.assign(session, { a: 1 }) })
  fastify.post('/new-id', async ({ session }) => { await session.regenerate(session.keys() as never[]) })
  fastify.post('/login-and-new-id', async (request) => {
    await request.login('Harry')
    await request.session.regenerate(['client_name', 'authenticatedAt'])
  })
  fastify.get('/', async (request) => request.user?.name ?? null)
  return fastify
}

const post = async (client: Client, url: string): Promise<void> => { await client.send({ method: 'POST', url }) }

test('a login over the limit ends the oldest session', async (t) => {
  for (const sessionStore of ['memory:', `lmdb:${t.testdir()}`]) {
    const clock = { time: START }
    const fastify = await host(t, { sessionStore, sessionsPerUser: 3, now: () => clock.time++ })
    const revoked: unknown[] = []
    fastify.sessions.on('revoked', (event) => { revoked.push(event) })
    const clients = Array.from({ length: 4 }, () => new Client(fastify)) as [Client, Client, Client, Client]
    const users = (): Promise<string[]> => Promise.all(clients.map(async (client) => (await client.get('/')).body))
    const [first, second, third, fourth] = clients

    for (const client of [first, second, third]) await post(client, '/login/Harry')
    await post(third, '/login/Harry')
    await post(second, '/new-id')
    await post(fourth, '/set')
    t.strictSame(await users(), ['Harry', 'Harry', 'Harry', 'null'], 'a login that continues, and an anonymous session, do not add to the count')
    t.strictSame(revoked, [])

    const handle = handleOf(first.cookie())
    await post(fourth, '/login/Harry')
    t.strictSame(await users(), ['null', 'Harry', 'Harry', 'Harry'])
    t.strictSame(revoked, [{ handle, user: 'Harry' }])

    await post(first, '/login/Harry')
    t.strictSame(await users(), ['Harry', 'null', 'Harry', 'Harry'], 'a new ID does not make a login younger')

    await post(second, '/login-and-new-id')
    t.strictSame(await users(), ['Harry', 'Harry', 'null', 'Harry'], 'a login counts once, whatever its ID')
    await post(second, '/set')
    await post(third, '/login/Sally')
    t.strictSame(await users(), ['Harry', 'Harry', 'Sally', 'Harry'])
    await fastify.close()
  }
})

test('a lowered limit applies from the next login on', async (t) => {
  const folder = t.testdir()
  const before = await host(t, { sessionStore: `lmdb:${folder}`, sessionsPerUser: 10 })
  for (let i = 0; i < 10; i++) await post(new Client(before), '/login/Harry')
  await before.close()
  const after = await host(t, { sessionStore: `lmdb:${folder}`, sessionsPerUser: 2 })
  t.equal((await after.sessions.store.ofUser('Harry')).length, 10)
  await post(new Client(after), '/login/Harry')
  t.equal((await after.sessions.store.ofUser('Harry')).length, 2)
})

test('the limit holds in Redis', needs('redis-server'), async (t) => {
  const { url, client: raw } = await startRedis(t)
  const client = await connect(t, url) as Redis
  const clock = { time: START }
  const options = { now: () => clock.time, maxBytes: 4_096, onCorrupt () {} }
  const check = (sentence: string, run: (t: Test, store: SessionStore) => Promise<void>): void => {
    t.test(sentence, async (t) => {
      await raw.flushall()
      clock.time = START
      await run(t, new RedisStore(client, options))
    })
  }
  const login = async (store: SessionStore, key: string, perUser: number): Promise<boolean> =>
    await store.create(key, recordOf({ user: 'Harry', createdAt: clock.time, expiresAt: START + 60 * MINUTE }), { perUser })
  const keysOf = async (store: SessionStore): Promise<string[]> => (await store.ofUser('Harry')).map(({ key }) => key)

  check('a login that is ended by another one before it has begun gets an error and no cookie', async (t) => {
    const beginning = stop()
    let creates = 0
    const slow: Redis = new Proxy(client, {
      get (client, name: keyof Redis) {
        const member = client[name] as unknown
        if (typeof member !== 'function') return member
        const command = member.bind(client) as (...args: unknown[]) => unknown
        if ((name as string) !== 'hatcheckCreate' || creates++ > 0) return command
        return async (...args: unknown[]) => {
          await beginning.here()
          return await command(...args)
        }
      }
    })
    const fastify = await host(t, { sessionStore: new RedisStore(slow, { ...options, deadlineMs: 5_000 }), sessionsPerUser: 1, now: () => clock.time })
    const [first, second] = [new Client(fastify), new Client(fastify)]
    const late = first.send({ method: 'POST', url: '/login/Harry' })
    await beginning.reached
    await post(second, '/login/Harry')
    beginning.go()
    const response = await late
    t.equal(response.statusCode, 503)
    t.equal(response.headers['retry-after'], '1')
    t.equal(response.headers['set-cookie'], undefined)
    t.equal((await second.get('/')).body, 'Harry')
    await post(first, '/login/Harry')
    t.equal((await first.get('/')).body, 'Harry', 'as it then does')
    t.equal((await second.get('/')).body, 'null')
  })

  check('an index entry without a session ends no live session, and its session never begins', async (t, store) => {
    for (const key of ['one', 'two']) t.equal(await login(store, key, 3), true)
    await raw.zadd('hatcheck:user:Harry', START, 'never began')
    clock.time = START + MINUTE
    t.equal(await login(store, 'three', 3), true)
    t.strictSame((await keysOf(store)).sort(), ['one', 'three', 'two'])
    t.equal(await raw.zscore('hatcheck:user:Harry', 'never began'), null)
    t.equal(await store.create('never began', recordOf({ user: 'Harry' })), false)
  })

  check('a session that is about to begin counts', async (t, store) => {
    clock.time = START + 1
    t.equal(await login(store, 'oldest', 2), true)
    clock.time = START + 2
    await raw.zadd('hatcheck:user:Harry', clock.time, 'about to begin')
    clock.time = START + 3
    t.equal(await login(store, 'newest', 2), true)
    t.strictSame(await keysOf(store), ['newest'])
    t.equal(await store.create('about to begin', recordOf({ user: 'Harry' })), true)
  })

  check('an unreadable session does not count, and ends', async (t, store) => {
    t.equal(await login(store, 'one', 2), true)
    for (const key of ['text', 'hash']) await raw.zadd('hatcheck:user:Harry', START, key)
    await raw.set('hatcheck:session:text', 'x')
    await raw.hset('hatcheck:session:hash', { format: '2' })
    t.equal(await login(store, 'two', 2), true)
    t.strictSame((await keysOf(store)).sort(), ['one', 'two'])
    t.strictSame((await raw.zrange('hatcheck:user:Harry', 0, '-1')).sort(), ['one', 'two'])
  })

  check('an index with sessions that now belong to other users is repaired', async (t, store) => {
    for (let i = 0; i < 5; i++) {
      await login(store, `anonymous${i}`, 2)
      await store.patch(`anonymous${i}`, { set: {}, remove: [], seenAt: START, expiresAt: START, user: null })
    }
    clock.time = START + 16 * MINUTE
    for (const key of ['one', 'two']) t.equal(await login(store, key, 2), true)
    t.strictSame(await keysOf(store), ['one', 'two'])
    t.strictSame((await raw.zrange('hatcheck:user:Harry', 0, '-1')).sort(), ['one', 'two'])
    for (let i = 0; i < 5; i++) t.not(await store.read(`anonymous${i}`), null)
  })

  check('a failed login ends no session and takes no place', async (t, store) => {
    for (const key of ['one', 'two']) t.equal(await login(store, key, 2), true)
    clock.time = START + 1
    const unreadable: Redis = new Proxy(client, {
      get (client, name: keyof Redis) {
        if (name === 'hgetall') return async () => { throw new Error('not now') }
        const member = client[name] as unknown
        return typeof member === 'function' ? member.bind(client) as unknown : member
      }
    })
    await t.rejects(login(new RedisStore(unreadable, options), 'fails', 2), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
    t.equal((await keysOf(store)).length, 2, 'and ends nothing before it is known what to end')
    t.equal(await login(store, 'three', 3), true)
    t.strictSame((await keysOf(store)).sort(), ['one', 'three', 'two'])
  })
})

/**
 * The maximum number of the user's sessions at one moment during the work. One listing takes time, but a session that is
 * in two successive listings existed at the moment between them.
 */
async function mostAtOnce (store: SessionStore, user: string, work: Promise<unknown>): Promise<number> {
  const over = new AbortController()
  work.finally(() => { over.abort() }).catch(() => {})
  let before: string[] = []
  let most = 0
  while (!over.signal.aborted) {
    const now = (await store.ofUser(user)).map(({ key }) => key)
    most = Math.max(most, now.filter((key) => before.includes(key)).length)
    before = now
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  return most
}
