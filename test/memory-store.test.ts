import { test } from 'tap'
import { MemoryRevocations } from '../plugins/storage/memory/revocations.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { changesOf, recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { TOMBSTONE_MS, type SessionFields, type SessionRecord } from '../plugins/store/sessions.js'
import { START } from './time/units.js'

const MIB = 1_048_576

/** Fills a memory store of 1 MiB, and returns the number of sessions. Their keys begin with `filling`. */
function fill (store: MemoryStore, record: SessionRecord): number {
  for (let count = 0; ; count++) {
    try {
      store.create(`filling ${count}`, record)
    } catch (error) {
      if ((error as { code?: string }).code !== 'HATCHECK_STORE_FULL') throw error
      return count
    }
  }
}

test('the memory store is bounded in bytes, whatever it contains', async (t) => {
  const open = (): MemoryStore => new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const of = (fields: SessionFields): SessionRecord => recordOf({ expiresAt: Date.now() + 60_000, fields })
  const counts = {
    one: fill(open(), of({ a: '1' })),
    large: fill(open(), of({ a: JSON.stringify('x'.repeat(16_000)) })),
    many: fill(open(), of(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, '1']))))
  }
  // Node's memory for each session: 320 bytes, 16 KiB (twice as much outside Latin-1), and 90 bytes for each field.
  t.ok(counts.one > 500 && counts.one < MIB / 320, `${counts.one} with one value`)
  t.ok(counts.large > 20 && counts.large <= MIB / 32_000, `${counts.large} large ones`)
  t.ok(counts.many > 4 && counts.many < MIB / 90_000, `${counts.many} with many keys`)
})

test('a full memory store accepts no new session, and existing sessions continue', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const record = recordOf({ expiresAt: Date.now() + 60_000, fields: { a: JSON.stringify('x'.repeat(1_000)) } })
  fill(store, record)
  // No room is left even for a small one.
  const count = fill(store, { ...record, fields: { a: '1' } })
  await t.rejects(async () => store.create('one more', record), { code: 'HATCHECK_STORE_FULL', statusCode: 503, message: 'The memory store is full: it holds 1 MiB, which is its limit.' })
  await t.rejects(async () => store.patch('filling 0', changesOf({ set: { b: record.fields['a'] as string, c: record.fields['a'] as string } })), { code: 'HATCHECK_STORE_FULL' }, 'nor a larger value')
  t.strictSame(store.read('filling 0')?.fields, record.fields)
  t.equal(store.count(), count)
  for (let i = 1; i <= 20; i++) t.equal(store.replace(`filling ${i}`, `renewed ${i}`, replacementOf()).outcome, 'replaced', 'under another key')
  for (let i = 0; i < 100; i++) t.equal(store.patch('filling 21', changesOf({ set: { a: JSON.stringify(String(i % 10).repeat(1_000)) } })), true, 'with other values')
  t.equal(store.patch('filling 22', changesOf({ set: { a: '"less"' } })), true)
  t.equal(store.touch('filling 0', 1, 1), true)
  t.equal(store.create('filling 23', record), false)
  for (let i = 23; i <= 26; i++) t.not(store.remove(`filling ${i}`), null)
  t.equal(store.create('one more', record), true, 'there is room again')
})

test('ended sessions count in the memory store as long as their tombstones are kept', async (t) => {
  const clock = { time: START }
  const store = new MemoryStore({ now: () => clock.time, maxBytes: 16_384, maxTotalBytes: MIB })
  let rounds = 0
  await t.rejects(async () => {
    for (; rounds < MIB; rounds++) {
      store.create(`round ${rounds}`, recordOf())
      store.remove(`round ${rounds}`)
    }
  }, { code: 'HATCHECK_STORE_FULL' })
  t.ok(rounds > 1_000 && rounds < MIB / 220, `${rounds} tombstones`)
  t.equal(store.count(), 0)
  clock.time += TOMBSTONE_MS
  while (store.sweep(5) > 0);
  t.equal(store.create('one', recordOf({ expiresAt: clock.time + 1_000 })), true)
})

test('anonymous sessions do not keep users out of a full memory store', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const record = recordOf({ expiresAt: Date.now() + 60_000, fields: { a: JSON.stringify('x'.repeat(1_000)) } })
  t.equal(store.create('of Sally', { ...record, user: 'Sally' }), true)
  const count = fill(store, record)
  t.equal(store.create('of Harry', { ...record, user: 'Harry' }, { perUser: 3 }), true, 'a login')
  t.strictSame(store.read('filling 0'), null, 'the oldest anonymous session has made room')
  t.not(store.read('filling 1'), null, 'and no other')
  const login = replacementOf({ user: 'Sally', set: { b: record.fields['a'] as string } })
  t.equal(store.replace('filling 1', 'its successor', login).outcome, 'replaced', 'a login with what was there before')
  t.equal(store.patch('of Sally', changesOf({ set: { b: record.fields['a'] as string } })), true, 'a change')
  for (const user of ['Harry', 'Sally']) t.ok(store.ofUser(user).length > 0)
  const gone = Array.from({ length: count }, (_, i) => `filling ${i}`).filter((key) => key !== 'filling 1' && store.read(key) === null)
  const told: unknown[] = []
  while (store.sweep(5, (key, user) => { told.push([key, user]) }) > 0);
  t.strictSame(told.sort(), gone.map((key) => [key, null]).sort(), 'the event for their end is emitted once')

  for (let i = 0; store.count() > 0 && i < 10_000; i++) {
    try {
      store.create(`of user ${i}`, { ...record, user: `user ${i}` })
    } catch {
      break
    }
  }
  t.equal(store.read(`filling ${count - 1}`), null, 'no anonymous session is left')
  await t.rejects(async () => store.create('of one more', { ...record, user: 'one more' }), { code: 'HATCHECK_STORE_FULL' }, 'a user\'s login ends no other user\'s session')
  t.not(store.read('of Harry'), null)
})

test('the memory store ends many sessions of a user in slices, also one that is renewed meanwhile', async (t) => {
  const { createdAt } = recordOf()
  const slowly = (): number => {
    for (const until = performance.now() + 0.1; performance.now() < until;);
    return createdAt
  }
  const store = new MemoryStore({ now: slowly, maxBytes: 4_096 })
  for (let i = 0; i < 200; i++) store.create(`key ${i}`, recordOf({ user: 'Harry' }))
  store.create('of Sally', recordOf({ user: 'Sally' }))
  const ended: string[] = []
  const removing = store.removeOfUser('Harry', 'key 5', (key) => { ended.push(key) })
  t.ok(ended.length >= 1 && ended.length < 200, `${ended.length} have ended in the first slice`)
  t.match(store.replace('key 199', 'renewed', replacementOf()), { outcome: 'replaced' })
  t.equal(await removing, 199)
  const keys = Array.from({ length: 199 }, (_, i) => `key ${i}`)
  t.strictSame(ended, [...keys.filter((key) => key !== 'key 5'), 'renewed'])
  t.strictSame(store.ofUser('Harry').map(({ key }) => key), ['key 5'])
  t.not(store.read('of Sally'), null)
})

test('a sweep that has no more time says that there may be more, even if it has dropped nothing', async (t) => {
  const { createdAt } = recordOf()
  const store = new MemoryStore({ now: () => createdAt, maxBytes: 4_096 })
  const revocations = new MemoryRevocations()
  for (let i = 0; i < 500; i++) {
    store.create(`key ${i}`, recordOf({ expiresAt: createdAt + (i < 499 ? 1 : 0) }))
    revocations.end(`key ${i}`, createdAt + (i < 499 ? 1 : 0))
  }
  for (const sweep of [() => store.sweep(0), () => revocations.sweep(createdAt, 0)]) {
    const dropped = [sweep()]
    while (dropped.at(-1) !== 0) dropped.push(sweep())
    t.ok(dropped.length > 5, `${dropped.length} slices`)
  }
  t.equal(store.count(), 499)
  t.strictSame([498, 499].map((i) => revocations.lookUp(`key ${i}`, null).hasEnded), [true, false])
})

test('a closed memory store is empty', async (t) => {
  const store = new MemoryStore({ now: () => 0, maxBytes: 4_096 })
  store.create('one', recordOf({ user: 'Harry' }))
  store.close()
  t.equal(store.count(), 0)
  t.strictSame(store.ofUser('Harry'), [])
})
