import type { FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import type { SessionStore } from '../../plugins/store/sessions.js'
import { bag, type Bag } from '../apps/bag.js'
import { Client } from '../clients/client.js'
import { buildHost, needs } from '../helper.js'
import { connect, startRedis } from '../programs/redis.js'
import { kinds, openStore } from '../stores/watched-store.js'

const FEW = 1_000
const MANY = 10 * FEW
/** Ten times the keys take ten times the work, plus cache misses; with the square it would be a hundred times. */
const MOST = 45
const MAX_BYTES = 1_048_576

const key = (i: number): string => `_${i.toString(36)}`
const valuesOf = (count: number, value: (i: number) => unknown): Bag => Object.fromEntries(Array.from({ length: count }, (_, i) => [key(i), value(i)]))

type Step = (session: Bag, request: FastifyRequest, count: number) => unknown

/** In this order. Each leaves the keys in place. */
const steps: Record<string, Step> = {
  'update()': (session, _request, count) => session['update'](valuesOf(count, () => 1)),
  'one value is read': (session) => session[key(1)],
  'one value is set': (session) => { session['x'] = Math.random() },
  'one value is saved': async (session) => {
    session['x'] = Math.random()
    await session['save']()
  },
  'each value is set': (session, _request, count) => { for (let i = 0; i < count; i++) session[key(i)] = [i, Math.random()] },
  'each value is read': (session) => { for (const name of session['keys']()) session['get'](name) },
  'each value is changed within': (session, _request, count) => { for (let i = 0; i < count; i++) session[key(i)].push(1) },
  'Object.keys': (session) => Object.keys(session),
  'a spread': (session) => ({ ...session }),
  'JSON.stringify': (session) => JSON.stringify(session),
  'a new ID with each key': (session) => session['regenerate'](session['keys']()),
  'a new ID, not awaited, and save()': async (session) => {
    session['x'] = Math.random()
    session['regenerate'](session['keys']())
    await session['save']()
  },
  'reload()': (session) => session['reload'](),
  'a message is left': (_session, request) => request.flash('info', 'hello'),
  'messages are taken': (_session, request) => request.flashes(),
  'a login with data': (_session, request, count) => request.login('Harry', { data: valuesOf(count, (i) => i) as never }),
  'a logout by pop()': (session) => session['pop']('client_name'),
  'each value is deleted': (session) => { for (const name of session['keys']()) delete session[name] },
  'update() and clear()': (session, _request, count) => {
    session['update'](valuesOf(count, () => 2))
    session['clear']()
  },
  'a logout': async (session, request, count) => {
    session['update'](valuesOf(count, () => 3))
    await session['save']()
    await request.logout()
  }
}

async function isLinear (t: Test, store: SessionStore): Promise<void> {
  const app = await buildHost(t, { sessionStore: store, sessionMaxBytes: MAX_BYTES }, { logger: false })
  app.get<{ Params: { at: string, count: string } }>('/:at/:count', async (request) => {
    await Object.values(steps)[Number(request.params.at)]?.(bag(request), request, Number(request.params.count))
    return 'done'
  })
  /** The work of each step, in ms of CPU: other processes do not count. */
  const workFor = async (count: number): Promise<number[]> => {
    const client = new Client(app)
    const works: number[] = []
    for (const [at, what] of Object.keys(steps).entries()) {
      const before = process.cpuUsage()
      const response = await client.get(`/${at}/${count}`)
      const { user, system } = process.cpuUsage(before)
      works.push((user + system) / 1_000)
      if (response.statusCode !== 200) t.fail(`${what}: ${response.body}`)
    }
    return works
  }
  await workFor(FEW)
  const few = [await workFor(FEW), await workFor(FEW)]
  const many = [await workFor(MANY)]
  const least = (works: number[][], at: number): number => Math.min(...works.map((work) => work[at] as number))
  const isTooMuch = (at: number): boolean => least(many, at) > MOST * Math.max(least(few, at), 2)
  const names = Object.keys(steps)
  // Garbage collection at the wrong moment would count as work.
  while (many.length < 4 && names.some((_, at) => isTooMuch(at))) many.push(await workFor(MANY))
  for (const [at, what] of names.entries()) {
    t.notOk(isTooMuch(at), `${what}: ${least(few, at).toFixed(1)} ms for ${FEW} keys, ${least(many, at).toFixed(1)} ms for ${MANY}`)
  }
}

for (const kind of kinds) {
  test(`the work grows in proportion to the number of keys, not with its square, on ${kind}`, async (t) => { await isLinear(t, openStore(t, kind, { maxBytes: MAX_BYTES })) })
}

test('the work grows in proportion to the number of keys, not with its square, on Redis', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  await isLinear(t, new RedisStore(await connect(t, url), { now: Date.now, maxBytes: MAX_BYTES, onCorrupt () {}, deadlineMs: 10_000 }))
})

test('more keys than a JavaScript call can take as arguments are kept, on Redis', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const store = new RedisStore(await connect(t, url), { now: Date.now, maxBytes: MAX_BYTES, onCorrupt () {}, deadlineMs: 60_000 })
  const times = { createdAt: Date.now(), seenAt: Date.now(), expiresAt: Date.now() + 3_600_000 }
  const fields = valuesOf(75_000, () => '1')
  t.equal(await store.create('one', { ...times, permanent: false, user: null, fields }), true)
  t.equal(await store.patch('one', { ...times, set: fields, remove: [] }), true)
  t.equal(Object.keys((await store.read('one'))?.fields ?? {}).length, 75_000)
})

test('a value with many nested elements is kept', async (t) => {
  const app = await buildHost(t, { sessionMaxBytes: MAX_BYTES }, { logger: false })
  const nested: Bag = { list: Array.from({ length: 100_000 }, (_, i) => i % 10), pairs: Array.from({ length: 20_000 }, (_, i) => ({ i })) }
  app.get('/set', async (request) => { Object.assign(request.session, nested) })
  app.get('/push', async (request) => { bag(request)['list'].push(1) })
  app.get('/size', async (request) => Object.values(bag(request)).map((list) => list.length))
  const client = new Client(app)
  t.equal((await client.get('/set')).statusCode, 200)
  t.equal((await client.get('/push')).statusCode, 200)
  t.same((await client.get('/size')).json(), [100_001, 20_000])
})
