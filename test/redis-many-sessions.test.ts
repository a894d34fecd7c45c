import type { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { BATCH } from '../plugins/storage/redis/batches.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import { recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { TOMBSTONE_MS } from '../plugins/store/sessions.js'
import { needs } from './helper.js'
import { connect, startRedis, type RedisServer } from './programs/redis.js'
import { until } from './time/loop-clock.js'

const START = recordOf().createdAt
const MANY = 10 * BATCH
const INDEX = 'hatcheck:user:Harry'

test('many sessions of one user in Redis', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const client = await connect(t, server.url) as Redis
  const replies = sizesOfLists(client)
  const check = (sentence: string, run: (t: Test, setting: Setting) => Promise<void>): void => {
    t.test(sentence, async (t) => {
      await server.client.flushall()
      const clock = { time: START }
      const store = new RedisStore(client, { now: () => clock.time, maxBytes: 4_096, onCorrupt () {}, deadlineMs: 5_000 })
      replies.gate = undefined
      replies.sizes.length = 0
      await run(t, { server, store, clock, replies })
    })
  }

  for (const [when, apartMs] of [['one after another', 1], ['all at the same time', 0]] as const) {
    check(`sessions that were added ${when} are listed in pages`, async (t, { store, clock, replies }) => {
      await createMany(store, clock, apartMs)
      const listed = await store.ofUser('Harry')
      t.strictSame(new Set(listed.map(({ key }) => key)), new Set(Array.from({ length: MANY }, (_, i) => `key${i}`)))
      t.equal(listed.length, MANY, 'each once')
      if (apartMs > 0) {
        t.strictSame(listed.map(({ record: { createdAt } }) => createdAt), Array.from({ length: MANY }, (_, i) => START + i), 'oldest first')
        t.ok(Math.max(...replies.sizes) <= BATCH + 1, 'no page is longer than a batch and the entry that it begins with')
      }
    })
  }

  check('one that cannot be ended does not keep the others alive', async (t, { store, clock, server }) => {
    await createMany(store, clock, 1)
    const allButOne = Array.from({ length: MANY - 1 }, (_, i) => `~hatcheck:session:key${i + 1}`)
    await server.client.acl('SETUSER', 'default', 'resetkeys', `~${INDEX}`, ...allButOne)
    t.teardown(() => server.client.acl('SETUSER', 'default', 'allkeys'))
    const ended: string[] = []
    await t.rejects(store.removeOfUser('Harry', undefined, (key) => { ended.push(key) }), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    t.equal(new Set(ended).size, MANY - 1)
    t.strictSame(await server.client.zrange(INDEX, 0, '-1'), ['key0'])
  })

  check('they end in batches, and other calls run between them', async (t, { store, clock, replies, server }) => {
    await createMany(store, clock, 1)
    await store.create('of Sally', recordOf({ user: 'Sally' }))
    let reads = 0
    const done = new AbortController()
    const ended: string[] = []
    const reading = (async () => {
      for (; !done.signal.aborted; reads++) t.not(await store.read('of Sally'), null)
    })()
    t.equal(await store.removeOfUser('Harry', 'key500', (key) => { ended.push(key) }), MANY - 1)
    done.abort()
    await reading
    t.equal(new Set(ended).size, MANY - 1)
    t.ok(reads >= MANY / BATCH, `${reads} reads`)
    t.ok(Math.max(...replies.sizes) <= BATCH + 1, 'no batch is longer than that and the session that stays')
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['key500'])
    t.equal(await server.client.zcard(INDEX), 1, 'what has ended is out of the index')
  })

  check('a session ends that continues under a key at the beginning of the index meanwhile', async (t, { store, clock, replies }) => {
    await createMany(store, clock, 1)
    replies.gate = async (lists) => {
      if (lists !== 3) return
      clock.time = START - 1
      t.equal((await store.replace(`key${MANY - 1}`, 'renewed', replacementOf())).outcome, 'replaced')
    }
    t.equal(await store.removeOfUser('Harry'), MANY)
    t.equal(await store.read('renewed'), null)
    t.strictSame(await store.ofUser('Harry'), [])
  })

  check('every session ends that continues under another key again and again', async (t, { store, clock }) => {
    await createMany(store, clock, 1)
    const renewing = Array.from({ length: BATCH }, async (_, i) => {
      let key = `key${i * MANY / BATCH}`
      for (let next = `${key}+`; (await store.replace(key, next, replacementOf())).outcome === 'replaced'; next += '+') key = next
    })
    await store.removeOfUser('Harry')
    // Each ends once its session has. A renewal under way may have begun a successor, and ends it itself.
    await Promise.all(renewing)
    t.strictSame(await store.ofUser('Harry'), [])
  })

  check('the end of all sessions passes over sessions of others that the index still has', async (t, { store, clock, server }) => {
    await createMany(store, clock, 1)
    const others = Array.from({ length: 2 * BATCH }, (_, i) => `other${i}`)
    await Promise.all(others.map((key) => store.create(key, recordOf({ user: 'Sally' }))))
    await server.client.zadd(INDEX, ...others.flatMap((key) => [START - 1, key]))
    t.equal(await store.removeOfUser('Harry'), MANY)
    t.equal((await store.ofUser('Sally')).length, others.length)
  })

  check('entries without a session leave the index in batches', async (t, { store, clock, server }) => {
    await server.client.zadd(INDEX, ...Array.from({ length: MANY }, (_, i) => [START + i, `never began ${i}`]).flat())
    clock.time = START + MANY + TOMBSTONE_MS
    const scripts = async (): Promise<number> => ((calls) => (calls.get('evalsha') ?? 0) + (calls.get('eval') ?? 0))(await server.commandCalls())
    const before = await scripts()
    t.strictSame(await store.ofUser('Harry'), [])
    await until('the index is empty', async () => await server.client.zcard(INDEX) === 0)
    t.ok(await scripts() - before >= MANY / BATCH)
  })
})

interface Setting {
  server: RedisServer
  store: RedisStore
  clock: { time: number }
  replies: Lists
}

interface Lists {
  /** How many entries each list of the index had. */
  readonly sizes: number[]
  /** Waited for before each list. */
  gate: ((lists: number) => Promise<void>) | undefined
}

/** Watches what the client lists of an index. */
function sizesOfLists (client: Redis): Lists {
  const lists: Lists = { sizes: [], gate: undefined }
  const zrange = client.zrange.bind(client) as (...args: unknown[]) => Promise<string[]>
  client.zrange = (async (...args: unknown[]) => {
    await lists.gate?.(lists.sizes.length)
    const list = await zrange(...args)
    lists.sizes.push(list.length / (args.includes('WITHSCORES') ? 2 : 1))
    return list
  }) as typeof client.zrange
  return lists
}

async function createMany (store: RedisStore, clock: { time: number }, apartMs: number): Promise<void> {
  for (let i = 0; i < MANY; i += BATCH) {
    await Promise.all(Array.from({ length: BATCH }, (_, j) => {
      clock.time = START + (i + j) * apartMs
      return store.create(`key${i + j}`, recordOf({ user: 'Harry', createdAt: clock.time }))
    }))
  }
}
