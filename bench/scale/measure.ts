import { randomBytes, randomInt } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { resolveConfig } from '../../plugins/config/resolve.js'
import { openStorage } from '../../plugins/storage/open.js'
import type { Storage } from '../../plugins/storage/common/storage.js'
import { SLICE_MS } from '../../plugins/common/slices.js'
import type { SessionRecord } from '../../plugins/store/record.js'
import type { CompleteSessionStore } from '../../plugins/store/traits.js'
import { retry } from '../retry.js'
import type { BenchStore } from '../stores.js'
import { startApplication, type Application } from './application.js'
import { costOf } from './cost.js'
import type { Measured, Watched, WatchedOperation } from './findings.js'
import { watchLoop } from './loop-watch.js'
import { anyLasting, expiresSoon, HALF_EXPIRED_MS, keyOf, LONGEST_LIFE_MS, ONE_USER, recordOf, SESSIONS_OF_ONE, type Population } from './population.js'
import { RedisWatch } from './redis-watch.js'

const READS = 20_000
const WRITES = 10_000
const WRITES_IN_FLIGHT = 16
const CREATES_IN_FLIGHT = 50
const QUIET_MS = 2_000
const LISTS = 3
/** The keys that Redis is told at once to let expire. */
const EXPIRE_BATCH = 10_000

/** Measures a store that holds a population. */
export async function measure (options: BenchStore['options'], population: Population, say: (text: string) => void): Promise<Measured> {
  let aheadMs = 0
  const now = (): number => Date.now() + aheadMs
  const begun = performance.now()
  const storage = await openStorage(resolveConfig({ ...options, secretKey: randomBytes(32), now }, 'plugin'), { info () {}, warn () {} })
  await storage.sessions.ping()
  const openMs = performance.now() - begun
  const openRssBytes = process.memoryUsage.rss()
  const redis = 'sessionStore' in options ? new RedisWatch(options.sessionStore) : undefined
  const watched: Partial<Record<WatchedOperation, Watched>> = {}
  let application: Application | undefined

  async function watch (operation: WatchedOperation, work: () => Promise<number>): Promise<void> {
    say(operation)
    await redis?.begin()
    await application?.requests()
    const stop = watchLoop()
    const begun = performance.now()
    const sessions = await work()
    const tookMs = performance.now() - begun
    const loop = stop()
    const requests = await application?.requests()
    const holds = await redis?.end()
    watched[operation] = { sessions, tookMs, loop, ...requests !== undefined && { requests }, ...holds !== undefined && { redis: holds } }
  }

  try {
    const { sessions: store } = storage
    say('read')
    const someKeys = (count: number): string[] => Array.from({ length: count }, () => keyOf(randomInt(population.sessions)))
    await costOf(someKeys(READS / 2), 1, (key) => store.read(key))
    const read = await costOf(someKeys(READS), 1, (key) => store.read(key))
    const readRssBytes = process.memoryUsage.rss()

    let value = 0
    const touchOne = (key: string): unknown => store.touch(key, now(), now() + LONGEST_LIFE_MS)
    const changeOne = (key: string): unknown => store.patch(key, { set: { visits: String(++value) }, remove: [], seenAt: now(), expiresAt: now() + LONGEST_LIFE_MS })
    const lastingKeys = (): string[] => Array.from({ length: WRITES }, () => keyOf(anyLasting(population)))
    say('touch and change')
    await costOf(lastingKeys(), WRITES_IN_FLIGHT, touchOne)
    const touch = await costOf(lastingKeys(), WRITES_IN_FLIGHT, touchOne)
    await costOf(lastingKeys(), WRITES_IN_FLIGHT, changeOne)
    const change = await costOf(lastingKeys(), WRITES_IN_FLIGHT, changeOne)
    await watch('touch', async () => (await costOf(lastingKeys(), WRITES_IN_FLIGHT, touchOne)).calls)
    await watch('change', async () => (await costOf(lastingKeys(), WRITES_IN_FLIGHT, changeOne)).calls)

    const template = await anyRecord(store, population)
    const numbersOfOne = Array.from({ length: SESSIONS_OF_ONE }, (_, i) => population.sessions + i)
    await watch('create', async () => (await costOf(numbersOfOne, CREATES_IN_FLIGHT, (number) => store.create(keyOf(number), recordOf(number, template, population)))).calls)

    application = await startApplication(store, now)
    await sleep(QUIET_MS)
    await watch('nothing', async () => {
      await sleep(QUIET_MS)
      return 0
    })
    await watch('list', async () => {
      let count = 0
      for (let i = 0; i < LISTS; i++) count += (await retry(() => store.ofUser(ONE_USER))).length
      return count / LISTS
    })
    await watch('revokeAll', () => retry(() => store.removeOfUser(ONE_USER)))
    if (redis === undefined) {
      aheadMs = HALF_EXPIRED_MS
      await watch('sweep', () => sweep(storage))
    } else {
      const expire = await expireHalf(redis, population, say)
      await watch('sweep', expire)
    }
    return { openMs, openRssBytes, readRssBytes, read, touch, change, watched: watched as Measured['watched'] }
  } finally {
    await application?.close()
    redis?.close()
    await storage.close()
  }
}

async function anyRecord (store: CompleteSessionStore, population: Population): Promise<SessionRecord> {
  for (;;) {
    const record = await store.read(keyOf(anyLasting(population)))
    if (record !== null) return record
  }
}

/** As an application does it once a minute. */
async function sweep ({ sessions }: Storage): Promise<number> {
  let count = 0
  for (let dropped = 1; dropped > 0;) {
    dropped = await sessions.sweep(SLICE_MS)
    count += dropped
    await turn()
  }
  return count
}

/** Redis drops expired sessions itself. Lets half of them expire at one moment, which the returned function waits for. */
async function expireHalf (redis: RedisWatch, population: Population, say: (text: string) => void): Promise<() => Promise<number>> {
  const soon = Array.from({ length: population.sessions }, (_, i) => i).filter((number) => expiresSoon(number, population))
  say('setting the time at which half of the sessions expire')
  // Redis takes 20 µs for each, and a while to be idle again.
  const at = Date.now() + QUIET_MS + soon.length / 25
  for (let i = 0; i < soon.length; i += EXPIRE_BATCH) await redis.expireAt(soon.slice(i, i + EXPIRE_BATCH).map(keyOf), at)
  const before = await redis.keyCount()
  await sleep(Math.max(0, at - Date.now() - QUIET_MS / 10))
  return async () => {
    let dropped = 0
    // It leaves some for later, once they are a small part of all.
    for (const end = performance.now() + QUIET_MS + soon.length / 10; dropped < soon.length && performance.now() < end;) {
      await sleep(QUIET_MS / 40)
      dropped = before - await redis.keyCount()
    }
    return dropped
  }
}
