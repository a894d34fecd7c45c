import { open } from 'lmdb'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'tap'
import { LmdbStore } from '../../plugins/storage/lmdb/sessions.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import { fastFolder } from '../stores/fast-folder.js'
import { HOUR, START } from '../time/units.js'

test('expired sessions are removed from the disk in slices that do not block the event loop', async (t) => {
  const SESSIONS = 20_000
  const clock = { time: START }
  const env = open({ path: fastFolder(t), maxDbs: 16, noSubdir: false })
  const store = new LmdbStore(env, { now: () => clock.time, maxBytes: 4_096, onCorrupt () {} })
  t.teardown(() => env.close())
  await Promise.all(Array.from({ length: SESSIONS }, (_, i) => store.create(`key ${i}`, recordOf({ user: `user ${i % 100}`, expiresAt: START + HOUR + i % 1_000 }))))
  await store.create('lives', recordOf({ user: 'Harry', expiresAt: START + 3 * HOUR }))
  clock.time = START + 2 * HOUR

  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let [slices, dropped] = [0, 0]
  for (let last = 1; last > 0; slices++) {
    last = await store.sweep(5)
    dropped += last
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  delay.disable()
  t.equal(dropped, SESSIONS)
  t.ok(slices > 10, `in ${slices} slices`)
  t.comment(`the event loop was held for ${(delay.max / 1e6).toFixed(1)} ms at most, ${(delay.percentile(99) / 1e6).toFixed(1)} ms in 99 of 100 cases`)
  // A slice is 5 ms; a busy machine adds its own delays.
  t.ok(delay.percentile(90) / 1e6 < 50)

  t.equal(store.count(), 1)
  for (const [name, entries] of [['sessions', 1], ['sessions by user', 1], ['sessions by expiry', 1], ['session tombstones', 0]] as const) {
    const database = env.openDB({ name, ...name.includes(' by ') && { dupSort: true, encoding: 'ordered-binary' } })
    t.equal((database.getStats() as { entryCount: number }).entryCount, entries, `entries of "${name}"`)
  }
})
