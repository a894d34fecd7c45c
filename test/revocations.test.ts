import * as lmdb from 'lmdb'
import { test, type Test } from 'tap'
import { parseRedisUrl } from '../plugins/config/redis-url.js'
import { examineLmdb } from '../plugins/storage/lmdb/doctor.js'
import { MemoryRevocations } from '../plugins/storage/memory/revocations.js'
import { examineRedis } from '../plugins/storage/redis/doctor.js'
import { RedisRevocations } from '../plugins/storage/redis/revocations.js'
import { storeContract } from '../plugins/store/contract/index.js'
import { isRevoked, type RevocationStore } from '../plugins/store/revocations.js'
import { needs } from './helper.js'
import { connect, startRedis } from './programs/redis.js'
import { browserStore } from './stores/browser-store.js'
import { openLmdb } from './stores/open-lmdb.js'
import { START } from './time/units.js'

const LATER = START + 3_600_000

interface Opened { store: RevocationStore, close?: () => unknown }

/** For each engine, a function that opens it empty for one test. */
const engines: Record<string, (t: Test) => Promise<(t: Test, now: () => number) => Promise<Opened>>> = {
  'memory:': async () => async () => ({ store: new MemoryRevocations() }),
  'lmdb:': async () => async (t, now) => {
    const { openRevocations, close } = openLmdb(t.testdir(), { now, maxBytes: 16_384 }, { info () {}, warn () {} })
    return { store: openRevocations(), close }
  },
  'redis:': async (t) => {
    const { url, client } = await startRedis(t)
    const one = await connect(t, url)
    return async (_t, now) => {
      await client.flushall()
      return { store: new RedisRevocations(one, { now, deadlineMs: 5_000 }) }
    }
  }
}

/** The checks that sessions in cookies cannot pass, each with the reason. */
const LAST_WINS = 'each of several requests begins with the cookie that the browser sent'
const NO_LIST = 'nothing but 256 random bits keeps an ID from beginning twice'
const EXCEPT = {
  'create only inserts': NO_LIST,
  'replace refuses a next key that exists or has a tombstone, and changes nothing': NO_LIST,
  'parallel replacements by each other\'s keys terminate': NO_LIST,
  'parallel patches of different fields all survive': LAST_WINS,
  'parallel patches cannot together exceed the size limit': LAST_WINS,
  'parallel touches and patches lose nothing': LAST_WINS,
  'a patch during a removal is in the record that remove returns, or is refused': LAST_WINS,
  'a patch during a replacement is in the successor, or is refused': LAST_WINS,
  'a change of any kind during a replacement is in the successor, or is refused': LAST_WINS,
  'of parallel takes, exactly one gets each field': LAST_WINS,
  'of a parallel replacement and takes, each field goes to exactly one': LAST_WINS,
  'remove records the key under which the session continues': 'for stores that replace in two steps',
  'successor returns the key of a renewed session, and null for any other end': 'an end is remembered until no copy can be live, not for 15 minutes'
}

for (const [kind, openEngine] of Object.entries(engines)) {
  const required = kind === 'redis:' ? needs('redis-server') : {}

  test(`sessions in cookies keep the contract of stores, with their ends on ${kind}`, required, async (t) => {
    const open = await openEngine(t)
    let own = t
    storeContract((name, run) => t.test(name, (t) => {
      own = t
      return run()
    }), async (options) => {
      const { store, close } = await open(own, options.now)
      return browserStore(store, options, close)
    }, { lacks: ['ofUser', 'keepsLimit', 'count', 'sweep'], sweeps: false, except: EXCEPT })
  })

  test(`ends are remembered on ${kind}`, required, async (t) => {
    const open = await openEngine(t)
    const check = (name: string, run: (t: Test, store: RevocationStore) => Promise<void>): void => {
      t.test(name, async (t) => {
        const { store, close } = await open(t, () => START)
        await run(t, store)
        await close?.()
      })
    }
    const isLive = async (store: RevocationStore, key: string, user: string, epoch: number): Promise<boolean> => !isRevoked(await store.lookUp(key, user), key, epoch)
    const epochOf = async (store: RevocationStore, user: string): Promise<number> => (await store.lookUp('a new one', user)).barrier?.epoch ?? 0

    check('exactly one of several calls ends a session', async (t, store) => {
      t.equal(await isLive(store, 'one', 'Harry', 0), true)
      const answers = await Promise.all(Array.from({ length: 50 }, () => store.end('one', LATER)))
      t.equal(answers.filter(Boolean).length, 1)
      t.equal(await isLive(store, 'one', 'Harry', 0), false)
      t.equal((await store.lookUp('one', null)).hasEnded, true)
      t.equal(await isLive(store, 'another', 'Harry', 0), true)
    })

    check('the first end says where a session continues', async (t, store) => {
      t.equal(await store.end('one', LATER, 'two'), true)
      t.equal(await store.end('one', LATER, 'three'), false)
      await store.end('two', LATER)
      t.strictSame(await Promise.all(['one', 'two', 'none'].map((key) => store.successor(key))), ['two', null, null])
    })

    // Nothing is damaged in the memory of the process.
    if (kind !== 'memory:') {
      check('a damaged key says that a session continues nowhere', async (t, store) => {
        for (const [key, nextKey] of Object.entries({ itself: 'itself', empty: '', long: 'x'.repeat(400), binary: '\u0000\ufffd' })) {
          await store.end(key, LATER, nextKey)
          t.equal(await store.successor(key), null, key)
        }
      })
    }

    check('the end of all sessions of a user is a number that only grows', async (t, store) => {
      t.equal(await epochOf(store, 'Harry'), 0)
      const epochs = [0]
      for (let i = 0; i < 3; i++) {
        await store.endAll('Harry', START, LATER)
        const epoch = await epochOf(store, 'Harry')
        for (const earlier of epochs) t.equal(await isLive(store, 'any', 'Harry', earlier), false)
        t.equal(await isLive(store, 'any', 'Harry', epoch), true)
        epochs.push(epoch)
      }
      t.strictSame(epochs, [0, START, START + 1, START + 2])
      await Promise.all(Array.from({ length: 20 }, () => store.endAll('Harry', START, LATER)))
      t.equal(await epochOf(store, 'Harry'), START + 22, 'each of them counts')
      t.equal(await epochOf(store, 'harry'), 0, 'names are compared exactly')
      const long = 'x'.repeat(3_000)
      await store.endAll(long, START, LATER)
      t.equal(await epochOf(store, long), START)
      t.equal(await epochOf(store, `${long}y`), 0)
    })

    check('one session is spared, as long as nobody ends it', async (t, store) => {
      await store.endAll('Harry', START, LATER)
      const epoch = await epochOf(store, 'Harry')
      await store.endAll('Harry', START, LATER, 'phone')
      t.strictSame([await isLive(store, 'phone', 'Harry', epoch), await isLive(store, 'laptop', 'Harry', epoch)], [true, false])
      t.equal(await isLive(store, 'phone', 'Harry', 0), false, 'not one that an earlier call has ended')
      await store.endAll('Harry', START, LATER, 'phone')
      t.equal(await isLive(store, 'phone', 'Harry', epoch), true, 'spared twice')
      t.equal(await isLive(store, 'phone', 'Harry', 0), false)
      const second = await epochOf(store, 'Harry')
      await store.endAll('Harry', START, LATER, 'tablet')
      t.strictSame([await isLive(store, 'phone', 'Harry', epoch), await isLive(store, 'tablet', 'Harry', second)], [false, true])
      await store.end('tablet', LATER)
      t.equal(await isLive(store, 'tablet', 'Harry', second), false)
    })

    if (kind !== 'redis:') {
      check('a sweep drops what is over, and nothing else', async (t, store) => {
        for (let i = 0; i < 1_200; i++) await store.end(`key ${i}`, i % 2 === 0 ? START + 1 : LATER)
        await store.endAll('Harry', START, START + 1)
        await store.endAll('Sally', START, LATER)
        let calls = 0
        while (await store.sweep(START + 1, 5) > 0) calls++
        t.ok(calls < 100, 'it comes to an end')
        let left = 0
        for (let i = 0; i < 1_200; i++) left += Number((await store.lookUp(`key ${i}`, null)).hasEnded)
        t.equal(left, 600)
        t.strictSame([(await store.lookUp('key 0', 'Harry')), (await store.lookUp('key 1', 'Sally')).hasEnded], [{ hasEnded: false, barrier: null }, true])
        t.equal(await epochOf(store, 'Sally'), START)
      })

      check('a sweep stops when its time is over, and the next one goes on', async (t, store) => {
        for (let i = 0; i < 1_000; i++) await store.end(`key ${i}`, i < 500 ? LATER : START + 1)
        const dropped: number[] = []
        for (let last = 1; last > 0; dropped.push(last)) last = await store.sweep(START + 1, 0)
        t.ok(dropped.length > 3, `${dropped.length} slices`)
        let left = 0
        for (let i = 0; i < 1_000; i++) left += Number((await store.lookUp(`key ${i}`, null)).hasEnded)
        t.equal(left, 500)
      })
    }
  })
}

test('a damaged entry on LMDB lets nobody in, is found, and is mended by the end of all sessions', async (t) => {
  const folder = t.testdir()
  const open = (): { store: RevocationStore, close: () => Promise<void> } => {
    const { openRevocations, close } = openLmdb(folder, { now: () => START, maxBytes: 16_384 }, { info () {}, warn () {} })
    return { store: openRevocations(), close }
  }
  const { store, close } = open()
  await store.end('one', LATER)
  await store.endAll('Harry', START, LATER)
  const env = lmdb.open({ path: folder, maxDbs: 16, noSubdir: false })
  const raw = env.openDB<Buffer, string>({ name: 'revocations', encoding: 'binary' })
  for (const key of ['session one', 'user Harry']) await raw.put(key, Buffer.from('{"until":'))
  await raw.flushed
  t.strictSame(await store.lookUp('one', null), { hasEnded: true, barrier: null })
  t.throws(() => store.lookUp('another', 'Harry'), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  t.equal(await store.successor('one'), null)
  await env.close()
  await close()
  const findings: string[] = []
  examineLmdb(lmdb, folder, (key) => key, (finding) => { findings.push(finding) })
  t.match(findings, [/under "session one" is damaged/, /under "user Harry" is damaged.*revoke-all/])
  const again = open()
  await again.store.endAll('Harry', START + 1, LATER)
  t.match(await again.store.lookUp('another', 'Harry'), { barrier: { epoch: START + 1 } })
  await again.close()
})

test('a damaged entry in Redis ends its session, is a failure for its user, and the doctor reports it', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  const store = new RedisRevocations(await connect(t, url), { now: () => START, deadlineMs: 5_000 })
  const examined = async (): Promise<string[]> => {
    const findings: string[] = []
    await examineRedis(parseRedisUrl(url, 'SESSION_STORE'), (key) => key, { info () {}, warn () {} }, (finding) => { findings.push(finding) })
    return findings.sort()
  }
  await store.end('one', LATER)
  await store.end('two', LATER, 'three')
  for (const user of ['Harry', 'Sally', 'Tom']) await store.endAll(user, START, LATER)
  t.strictSame(await examined(), [])

  await client.hset('hatcheck:ended:one', 'other', 'x')
  await client.hdel('hatcheck:ended:one', 'nextKey')
  await client.set('hatcheck:ended:four', 'x')
  await client.hset('hatcheck:ended-all:Harry', 'epoch', 'x')
  await client.set('hatcheck:ended-all:Sally', 'x')
  // Of the right kind, and far too high: nothing can be higher.
  const tooHigh = { Bob: '8640000000000001', Eve: '9999999999999999', Ann: '99999999999999999999' }
  for (const [user, epoch] of Object.entries(tooHigh)) await client.hset(`hatcheck:ended-all:${user}`, 'epoch', epoch, 'spared', '', 'sparedSince', '0')
  t.match(await examined(), [
    /under "hatcheck:ended-all:Ann" is damaged/,
    /under "hatcheck:ended-all:Bob" is damaged/,
    /under "hatcheck:ended-all:Eve" is damaged/,
    /^The record of ended sessions under "hatcheck:ended-all:Harry" is damaged\. .*revoke-all/,
    /under "hatcheck:ended-all:Sally" is damaged.*revoke-all/,
    /under "hatcheck:ended:four" is damaged\. Its session stays ended\.$/,
    /under "hatcheck:ended:one" is damaged/
  ])
  for (const key of ['one', 'four']) {
    t.match(await store.lookUp(key, null), { hasEnded: true })
    t.equal(await store.end(key, LATER), false)
    t.equal(await store.successor(key), null, 'a logout with its ticket ends nothing else, and does not fail')
  }
  for (const user of ['Harry', 'Sally', ...Object.keys(tooHigh)]) {
    await t.rejects(store.lookUp('another', user), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    await store.endAll(user, START + 1, LATER)
    t.match(await store.lookUp('another', user), { barrier: { epoch: START + 1 } }, 'the end of all sessions replaces it')
  }
})

test('Redis drops what is remembered of ended sessions once its time is over', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  const store = new RedisRevocations(await connect(t, url), { now: () => START, deadlineMs: 5_000 })
  await store.end('a session', START + 60_000)
  await store.endAll('Harry', START, START + 60_000)
  const names = await client.keys('*')
  t.equal(names.length, 2)
  for (const name of names) {
    const left = await client.pttl(name)
    t.ok(left > 0 && left <= 60_000, `${name}: ${left} ms`)
  }
})

test('while the memory of Redis is full, sessions end all the same', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  const store = new RedisRevocations(await connect(t, url), { now: () => START, deadlineMs: 5_000 })
  await store.endAll('Harry', START, LATER)
  await client.config('SET', 'maxmemory', '1')
  t.equal(await store.end('one', LATER, 'two'), true)
  t.equal(await store.end('one', LATER), false)
  t.equal(await store.successor('one'), 'two')
  for (const user of ['Harry', 'Sally']) {
    await store.endAll(user, START + 5, LATER)
    t.match(await store.lookUp('any', user), { barrier: { epoch: START + 5 } }, user)
  }
})
