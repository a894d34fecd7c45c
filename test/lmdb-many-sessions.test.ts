import { open } from 'lmdb'
import { test, type Test } from 'tap'
import { LmdbStore } from '../plugins/storage/lmdb/sessions.js'
import { recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { fastFolder } from './stores/fast-folder.js'

const START = recordOf().createdAt
/** More than the store takes from an index at once. */
const MANY = 1_200
const KEYS = Array.from({ length: MANY }, (_, i) => `key ${String(i).padStart(4, '0')}`)
const LAST = KEYS.at(-1) as string

async function filled (t: Test): Promise<{ store: LmdbStore, clock: { time: number } }> {
  const clock = { time: START }
  const env = open({ path: fastFolder(t), maxDbs: 16, noSubdir: false })
  t.teardown(() => env.close())
  const store = new LmdbStore(env, { now: () => clock.time, maxBytes: 4_096, onCorrupt () {} })
  await Promise.all(KEYS.map((key, i) => store.create(key, recordOf({ user: 'Harry', createdAt: START + i }))))
  return { store, clock }
}

test('all sessions of a user end, also one that a request renews meanwhile to a key that the call has passed', async (t) => {
  for (const nextKey of ['a', 'key 0000a', 'z']) {
    const { store } = await filled(t)
    const ended: string[] = []
    let renewing: Promise<unknown> | undefined
    // The key that stays is before all others but one of the new keys.
    await store.create('b', recordOf({ user: 'Harry' }))
    await store.create('of Sally', recordOf({ user: 'Sally' }))
    const count = await store.removeOfUser('Harry', 'b', (key) => {
      ended.push(key)
      renewing ??= store.replace(LAST, nextKey, replacementOf())
    })
    t.match(await renewing, { outcome: 'replaced' })
    t.strictSame(ended.sort(), [...KEYS.slice(0, -1), nextKey].sort(), nextKey)
    t.equal(count, MANY)
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['b'])
    t.not(store.read('of Sally'), null)
  }
})

test('the end of all sessions takes as many slices as it needs, past sessions that have expired', async (t) => {
  const { store, clock } = await filled(t)
  await Promise.all(['a', 'm', 'z'].map((key) => store.create(key, recordOf({ user: 'Harry', expiresAt: START + 2 * 3_600_000 }))))
  clock.time = START + 3_600_000
  t.equal(await store.removeOfUser('Harry'), 3)
  t.equal(store.count(), MANY, 'the sweep drops what has expired, and tells of it')
})

test('a list has every session that lives during the call, and no other user has to wait for it', async (t) => {
  const { store } = await filled(t)
  const listing = store.ofUser('Harry')
  // Before the keys that are not read yet.
  const removing = store.remove(KEYS[0] as string)
  let turns = 0
  const turn = (): void => {
    turns++
    next = setImmediate(turn)
  }
  let next = setImmediate(turn)
  const listed = (await listing).map(({ key }) => key)
  clearImmediate(next)
  await removing
  t.ok(turns >= 2, `${turns} turns of the event loop`)
  t.strictSame(listed.filter((key) => key !== KEYS[0]), KEYS.slice(1), 'oldest first')
  t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), KEYS.slice(1))
})
