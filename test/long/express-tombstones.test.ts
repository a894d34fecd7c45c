import { test } from 'tap'
import { expressStore } from '../../plugins/storage/express/open.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import { TOMBSTONE_MS } from '../../plugins/store/sessions.js'
import { withEveryTrait } from '../../plugins/store/traits.js'

const empty = {
  get: (_sid: string, callback: (error: unknown, session?: null) => void) => { callback(null, null) },
  set: (_sid: string, _session: object, callback: (error?: unknown) => void = () => {}) => { callback() },
  destroy: (_sid: string, callback: (error?: unknown) => void = () => {}) => { callback() }
}

test('the number of tombstones is bounded, and old ones are dropped', async (t) => {
  let time = recordOf().createdAt
  const store = withEveryTrait(expressStore(empty, { now: () => time }))
  for (let i = 0; i <= 100_000; i++) await store.remove(`key${i}`)
  t.equal(await store.create('key0', recordOf()), true, 'the oldest is forgotten')
  t.equal(await store.create('key1', recordOf()), false)
  time += TOMBSTONE_MS - 1
  t.equal(await store.sweep(5), 0)
  t.equal(await store.create('key1', recordOf()), false)
  time += 1
  t.equal(await store.sweep(5), 100_000)
  t.equal(await store.create('key1', recordOf({ expiresAt: time + 1_000 })), true)
})
