import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { steadyClock } from '../plugins/common/clock.js'
import type { SessionStore } from '../plugins/store/sessions.js'
import { visitor, type Visitor } from '../plugins/testing/index.js'
import { buildHost, needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { kinds, openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { HOUR, MINUTE, START } from './time/units.js'

const YEAR = 365 * 24 * HOUR

async function host (t: Test, sessionStore: SessionStore | string, now: () => number): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { sessionStore, now })
  fastify.get('/', async (request) => request.user?.name ?? 'nobody')
  return fastify
}

async function loggedIn (fastify: FastifyInstance): Promise<Visitor> {
  return await visitor(fastify).login('Harry')
}

/** A thousand reads, within one second of the clock. */
async function readOften (client: Visitor, clock: { time: number }): Promise<void> {
  for (let i = 0; i < 100; i++) {
    await Promise.all(Array.from({ length: 10 }, () => client.inject('/')))
    clock.time += 10
  }
}

for (const kind of kinds) {
  test(`a thousand reads in a second record activity once, on ${kind}`, async (t) => {
    const clock = { time: START }
    let touches = 0
    const store = watched(openStore(t, kind, { now: () => clock.time }), (call) => { if (call === 'touch') touches++ })
    const client = await loggedIn(await host(t, store, () => clock.time))
    await readOften(client, clock)
    t.equal(touches, 0, 'not at all right after the login')
    clock.time += 10 * MINUTE
    await readOften(client, clock)
    t.equal(touches, 1)
  })
}

test('a thousand reads in a second record activity once, on Redis', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const clock = { time: START }
  const client = await loggedIn(await host(t, server.url, () => clock.time))
  clock.time += 10 * MINUTE
  const before = await server.commandCalls()
  await readOften(client, clock)
  const after = await server.commandCalls()
  const made = (command: string): number => (after.get(command) ?? 0) - (before.get(command) ?? 0)
  t.equal(made('evalsha') + made('eval'), 1)
  t.ok(made('hgetall') >= 1_000, 'the reads did reach the store')
})

/** Steps of the machine's clock, and when the session ends after them, in ms of real time. */
const steps = [
  ['it is set back by an hour', -HOUR, HOUR],
  ['it is set back by a year', -YEAR, HOUR],
  ['it is set forward by half an hour', HOUR / 2, HOUR / 2],
  ['it is set forward by an hour', HOUR, 0],
  ['it is set forward by a year', YEAR, 0]
] as const

for (const kind of kinds) {
  test(`a session never lives longer than its time, whatever the clock does, on ${kind}`, async (t) => {
    for (const [what, step, rest] of steps) {
      let [wall, elapsed] = [START, 0]
      const now = steadyClock(() => wall, () => elapsed)
      const pass = (ms: number): void => {
        wall += ms
        elapsed += ms
      }
      const fastify = await host(t, openStore(t, kind, { now }), now)
      const client = await loggedIn(fastify)
      wall += step
      if (rest > 0) {
        pass(rest - 1)
        // A read of the session would be activity; a read of the user index is not.
        t.equal((await fastify.sessions.store.ofUser('Harry')).length, 1, `${what}: it is live a moment before`)
        pass(1)
      }
      t.equal((await client.inject('/')).body, 'nobody', `${what}: and no longer`)
      wall = START
      t.equal((await client.inject('/')).body, 'nobody', `${what}: and does not come back with the clock`)
    }
  })
}

test('fake time that is set after the application was built applies to its sessions', async (t) => {
  // As test runners do it: another Date, with and without another performance.now.
  for (const [what, fakesElapsed] of [['Date alone', false], ['Date and performance', true]] as const) {
    for (const start of [START, Date.now(), Date.now() - YEAR, 1_000]) {
      const fastify = await buildHost(t)
      fastify.get('/', async (request) => request.user?.name ?? 'nobody')
      await loggedIn(fastify)
      const clock = { time: start }
      const real = { now: Date.now, elapsed: performance.now.bind(performance) }
      Date.now = () => clock.time
      if (fakesElapsed) performance.now = () => clock.time - start
      try {
        const client = await loggedIn(fastify)
        t.equal((await client.inject('/')).body, 'Harry', what)
        const [session] = await fastify.sessions.ofUser('Harry').then((sessions) => sessions.filter(({ createdAt }) => createdAt === start))
        t.equal(session?.createdAt, start)
        clock.time += HOUR - 5_000
        t.equal((await fastify.sessions.ofUser('Harry')).some(({ createdAt }) => createdAt === start), true)
        clock.time += 5_000
        t.equal((await client.inject('/')).body, 'nobody')
        clock.time -= MINUTE
        t.equal((await client.inject('/')).body, 'nobody', 'and setting the clock back revives nothing')
      } finally {
        Date.now = real.now
        performance.now = real.elapsed
      }
      const late = await loggedIn(fastify)
      t.equal((await late.inject('/')).body, 'Harry', 'and real time goes on')
      await fastify.close()
    }
  }
})

test('a clock with fractions of a millisecond works with every store', async (t) => {
  const folder = t.testdir()
  const stores = ['memory:', `lmdb:${folder}/sessions`, `cookie:lmdb:${folder}/ends`]
  if (needs('redis-server').skip === false) stores.push((await startRedis(t)).url)
  for (const sessionStore of stores) {
    const fastify = await host(t, sessionStore, () => START + 0.5)
    const client = await loggedIn(fastify)
    t.equal((await client.inject('/')).body, 'Harry', sessionStore)
    t.equal(fastify.hatcheck.config.now(), START)
  }
})

/** What a test runner puts in place of the timers: nothing fires by itself. */
function fakeTimers (): () => void {
  const names = ['setTimeout', 'setInterval', 'setImmediate'] as const
  const real = names.map((name) => globalThis[name])
  const timer = { ref: () => timer, unref: () => timer }
  for (const name of names) globalThis[name] = (() => timer) as never
  return () => { names.forEach((name, i) => { globalThis[name] = real[i] as never }) }
}

test('under fake timers every store answers', async (t) => {
  // The package lmdb keeps the timers that are there when it is loaded.
  const stores: Array<[store: string, moments: string[]]> = [['memory:', ['before', 'after']], [`lmdb:${t.testdir()}`, ['after']]]
  if (needs('redis-server').skip === false) stores.push([(await startRedis(t)).url, ['before', 'after']])
  for (const [sessionStore, moments] of stores) {
    for (const moment of moments) {
      let restore = moment === 'before' ? fakeTimers() : () => {}
      try {
        const fastify = await host(t, sessionStore, Date.now)
        fastify.get('/save', async ({ session }) => {
          Object.assign(session, { count: 1 })
          await session.save()
        })
        await fastify.ready()
        if (moment === 'after') restore = fakeTimers()
        const client = await loggedIn(fastify)
        const answers = [await client.inject('/'), await client.inject('/save')].map(({ statusCode }) => statusCode)
        t.equal(await fastify.sessions.revokeUser('Harry'), 1)
        answers.push((await client.inject('/')).statusCode)
        t.strictSame(answers, [200, 200, 200], `${sessionStore}, faked ${moment} the application was built`)
      } finally {
        restore()
      }
    }
  }
})

test('a steady clock does not go back if the monotonic clock does', (t) => {
  let [wall, elapsed] = [START, 5_000]
  const now = steadyClock(() => wall, () => elapsed)
  t.equal(now(), START)
  wall -= HOUR
  elapsed = 0
  t.equal(now(), START)
  wall += 1
  elapsed += 10
  t.equal(now(), START + 10)
  t.end()
})

test('if the clocks of two servers differ, each server uses its own', async (t) => {
  const clock = { time: START }
  const AHEAD = 30_000
  const store = openStore(t, 'lmdb:', { now: () => clock.time })
  const here = await host(t, store, () => clock.time)
  const ahead = await host(t, store, () => clock.time + AHEAD)
  const client = await loggedIn(here)
  const at = async (fastify: FastifyInstance): Promise<string> => (await fastify.inject({ url: '/', headers: { cookie: client.cookieHeader() } })).body
  clock.time = START + HOUR - AHEAD
  t.equal(await at(ahead), 'nobody', 'for the server ahead it ends earlier by the difference')
  t.equal(await at(here), 'Harry')
  await until('the activity is recorded', async () => (await store.ofUser('Harry'))[0]?.record.seenAt === clock.time)
  clock.time += MINUTE
  t.equal(await at(ahead), 'Harry', 'activity that one has recorded counts for both')
})
