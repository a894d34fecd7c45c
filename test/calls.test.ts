import fc from 'fast-check'
import type { Redis } from 'ioredis'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import { RedisStore } from '../plugins/session/redis-store.js'
import type { SessionStore } from '../plugins/session/store.js'
import { sequence } from './call-sequences.js'
import { Stage, type StageOptions } from './call-stage.js'
import { fastFolder } from './fast-folder.js'
import { needs } from './helper.js'
import { connect, startRedis } from './redis.js'
import { openStore } from './watched-store.js'

/** As in the model test: a part of them among the other tests, all of them with `npm run model`. */
const PART = process.env['HATCHECK_MODEL'] === 'all' ? 1 : 0.05

/** Rejections that nobody handles would end the process. */
const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => { unhandled.push(error) })

test('whatever a request calls on its session in memory, awaited or not, every promise is kept', async (t) => {
  const store = openStore(t, 'memory:')
  for (const options of everyWay([true, false])) await keeps(t, store, options, 2_500 * PART)
})

test('whatever a request calls on its session in LMDB, awaited or not, every promise is kept', async (t) => {
  const store = openStore(t, 'lmdb:', { folder: fastFolder(t) })
  await Promise.all(everyWay([true, false]).map((options) => keeps(t, store, options, 250 * PART)))
})

test('whatever a request calls on its session in Redis, awaited or not, every promise is kept', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const store = new RedisStore(await connect(t, url) as Redis, { now: Date.now, maxBytes: 16_384, onCorrupt () {}, deadlineMs: 60_000 })
  await Promise.all(everyWay([false]).map((options) => keeps(t, store, options, 500 * PART)))
})

function everyWay (syncs: readonly boolean[]): StageOptions[] {
  return syncs.flatMap((sync) => [false, true].map((inTwoSteps) => ({ sync, inTwoSteps })))
}

async function keeps (t: Test, store: SessionStore, options: StageOptions, sequences: number): Promise<void> {
  const stage = await Stage.open(t, store, options)
  await fc.assert(fc.asyncProperty(sequence, async (sequence) => {
    await stage.play(sequence)
    assert.deepEqual(unhandled.splice(0), [], 'no rejection is left unhandled')
  }), { numRuns: sequences, ...seedOf() })
  t.pass(`${sequences} sequences, read ${options.sync ? 'at once' : 'with a promise'}, replaced in ${options.inTwoSteps ? 'two steps' : 'one step'}`)
  if (process.env['HATCHECK_TALLY'] === '1') t.comment(Object.fromEntries([...stage.tally].sort()))
}

function seedOf (): { seed?: number } {
  const seed = process.env['HATCHECK_SEED']
  return seed === undefined ? {} : { seed: Number(seed) }
}
