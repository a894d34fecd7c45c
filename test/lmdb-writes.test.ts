import { open, type RootDatabase } from 'lmdb'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { LmdbAccounts } from '../plugins/storage/lmdb/accounts.js'
import { DATABASES } from '../plugins/storage/lmdb/databases.js'
import { SessionIndex, indexName } from '../plugins/storage/lmdb/session-index.js'
import { LmdbStore } from '../plugins/storage/lmdb/sessions.js'
import { LmdbWriter } from '../plugins/storage/lmdb/writer.js'
import { recordOf, replacementOf } from '../plugins/store/contract/index.js'
import type { SessionChanges } from '../plugins/store/record.js'
import { TOMBSTONE_MS } from '../plugins/store/sessions.js'
import { gate, turn } from './helper.js'
import { checkout, childEnvironment, compiledFixture } from './processes/child.js'
import { fastFolder } from './stores/fast-folder.js'
import { holdTime } from './time/held-time.js'
import { HOUR } from './time/units.js'

const START = recordOf().createdAt
const LEEWAY = HOUR / 20
const BY_EXPIRY = { name: 'sessions by expiry', dupSort: true, encoding: 'ordered-binary' } as const

interface Opened {
  env: RootDatabase
  store: LmdbStore
  clock: { time: number }
  /** Returns the times under which the index by expiry names a session. */
  entries (key: string): number[]
  /** Sweeps until nothing is left to do. Returns the keys of the sessions that it told of. */
  sweep (): Promise<string[]>
  /** Changes a value at the time of the clock. */
  change (key: string, changes?: Partial<SessionChanges>): Promise<boolean>
}

function openStore (t: Test, isSound = true): Opened {
  const clock = { time: START }
  const env = open({ path: fastFolder(t), maxDbs: 16, noSubdir: false })
  const store = new LmdbStore(env, { now: () => clock.time, maxBytes: 4_096, onCorrupt (key, what) { if (isSound) t.fail(`damaged: ${what} ${key}`) } })
  const byExpiry = env.openDB<string, number>(BY_EXPIRY)
  t.teardown(async () => {
    await store.close()
    await env.close()
  })
  return {
    env,
    store,
    clock,
    entries: (key) => [...byExpiry.getRange()].filter(({ value }) => value === key).map(({ key: time }) => time),
    async sweep () {
      const told: string[] = []
      for (let calls = 0; await store.sweep(5, (key) => { told.push(key) }) > 0;) if (++calls > 10) throw new Error('a sweep without end')
      return told
    },
    change: (key, changes = {}) => store.patch(key, { set: { n: String(clock.time) }, remove: [], seenAt: clock.time, expiresAt: clock.time + HOUR, ...changes })
  }
}

/** Counts the transactions that begin from now on. */
function transactionsOf (env: RootDatabase): () => number {
  const { transaction } = env
  let count = 0
  env.transaction = (action) => {
    count++
    return transaction.call(env, action) as never
  }
  return () => count
}

test('the index by expiry names a session once, and at most 1/20 of its idle time early', async (t) => {
  const { store, clock, entries, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  t.strictSame(entries('a'), [START + HOUR])
  const places = new Set<number>()
  for (let second = 1; second < 3_000; second += 10) {
    clock.time = START + second * 1_000
    t.ok(second % 3 === 0 ? await store.touch('a', clock.time, clock.time + HOUR) : await change('a'))
    const [time = NaN, ...others] = entries('a')
    places.add(time)
    const isRight = others.length === 0 && time <= clock.time + HOUR && time >= clock.time + HOUR - LEEWAY
    if (!isRight) t.fail(`after ${second} s: ${[time, ...others].map((time) => time - clock.time - HOUR).join()}`)
  }
  t.ok(places.size < 40, `300 changes move the entry ${places.size} times`)
})

test('the sweep keeps a session that it finds too early, and drops it when it has expired', async (t) => {
  const { store, clock, entries, sweep, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 1
  await change('a')
  const expiresAt = clock.time + HOUR
  const [early = NaN] = entries('a')
  t.ok(early < expiresAt)
  clock.time = early
  t.strictSame(await sweep(), [])
  t.not(store.read('a'), null)
  t.strictSame(entries('a'), [expiresAt])
  clock.time = expiresAt - 1
  t.strictSame(await sweep(), [])
  clock.time = expiresAt
  t.equal(store.read('a'), null, 'it is dead before a sweep')
  t.strictSame(await sweep(), ['a'])
  t.equal(store.count(), 0)
  t.strictSame(entries('a'), [])
})

test('the sweep counts what it drops, and not what it finds too early', async (t) => {
  const { store, clock, change } = openStore(t)
  const early = Array.from({ length: 12 }, (_, i) => `early ${i}`)
  for (const key of [...early, 'expired', 'ended']) await store.create(key, recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 1
  for (const key of early) await change(key)
  await store.remove('ended')
  clock.time = START + HOUR
  t.equal(await store.sweep(1_000), 2, 'an expired session and the tombstone of an ended one')
  t.equal(await store.sweep(0), 0, 'nothing is left')
  t.equal(store.count(), early.length)
})

test('a sweep that has only moved entries tells that there may be more', async (t) => {
  const { store, clock, entries, sweep, change } = openStore(t)
  const early = Array.from({ length: 12 }, (_, i) => `early ${i}`)
  for (const key of early) await store.create(key, recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 1
  for (const key of early) await change(key)
  clock.time = START + HOUR
  t.equal(await store.sweep(0), 1)
  t.strictSame(await sweep(), [])
  t.ok(early.every((key) => entries(key).join() === String(START + 1 + HOUR)), 'all of them are moved in the end')
})

test('a list of the sessions of a user keeps no reader, however often it is asked for', async (t) => {
  const { store, change } = openStore(t)
  await store.create('a', recordOf({ user: 'Harry' }))
  // LMDB has room for 126 readers.
  for (let i = 0; i < 200; i++) {
    t.equal((await store.ofUser('Harry')).length, 1)
    await change('a')
  }
})

test('damaged entries that stand first in the index by expiry and cannot be removed delay no sweep, nor does their repair', async (t) => {
  const { env, store, clock, sweep } = openStore(t, false)
  const byExpiry = env.openDB<string, boolean>(BY_EXPIRY)
  // More than a sweep looks at in one go.
  for (let i = 0; i < 25; i++) byExpiry.putSync(true, `damaged ${i}`)
  for (const key of ['a', 'b']) await store.create(key, recordOf({ expiresAt: START + HOUR }))
  clock.time = START + HOUR
  t.strictSame(await sweep(), ['a', 'b'])
  byExpiry.removeSync(true)
  await store.create('c', recordOf({ expiresAt: clock.time + HOUR }))
  clock.time += HOUR
  t.strictSame(await sweep(), ['c'])
  t.equal(store.count(), 0)
})

test('a session that the sweep has found too early can change, and lives on', async (t) => {
  const { store, clock, entries, sweep, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 1
  await change('a')
  clock.time = entries('a')[0] as number
  await sweep()
  await change('a')
  const expiresAt = clock.time + HOUR
  t.equal(entries('a').length, 1)
  clock.time = expiresAt - 1
  t.strictSame(await sweep(), [])
  t.equal(store.read('a')?.expiresAt, expiresAt)
  clock.time = expiresAt
  t.strictSame(await sweep(), ['a'])
  t.strictSame(entries('a'), [])
})

test('a session that gets a shorter lifetime expires by that', async (t) => {
  const { store, clock, entries, sweep, change } = openStore(t)
  await store.create('a', recordOf({ permanent: true, expiresAt: START + 100 * HOUR }))
  await change('a', { expiresAt: START + 100 * HOUR + 1 })
  await change('a', { permanent: false, expiresAt: START + HOUR })
  t.equal(entries('a').length, 1)
  clock.time = START + HOUR
  t.equal(store.read('a'), null)
  t.strictSame(await sweep(), ['a'])
  t.strictSame(entries('a'), [])
})

test('nothing of a session is left in the index by expiry after its end, wherever its entry was', async (t) => {
  const { store, clock, entries, sweep, change } = openStore(t)
  for (const key of ['new', 'changed', 'swept', 'set back']) await store.create(key, recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 1
  for (const key of ['changed', 'swept', 'set back']) await change(key)
  const early = entries('swept')[0] as number
  await store.remove('changed')
  clock.time = early
  await sweep()
  // The clock is set back, and the entry that was moved is not where a change would look for it.
  clock.time = START + 2
  await change('set back')
  for (const key of ['new', 'swept', 'set back']) await store.remove(key)
  const ofTombstones = [START + 1 + 15 * 60_000, START + 2 + 15 * 60_000]
  for (const key of ['new', 'changed', 'swept']) t.strictSame(entries(key).filter((time) => !ofTombstones.includes(time)), [], key)
  clock.time = START + 1 + HOUR
  await sweep()
  t.strictSame(entries('set back'), [], 'set back')
})

test('the index by user names a session as long as it has that user, and no longer', async (t) => {
  const { env, store, clock, sweep, change } = openStore(t)
  const index = new SessionIndex<string>(env, DATABASES.keysOfUser)
  const entries = (): string[] => [...index.range()].map(({ key: user, value: key }) => `${user}: ${key}`)
  for (const key of ['ends', 'expires', 'logs out', 'changes hands', 'renewed']) await store.create(key, recordOf({ user: 'Harry', expiresAt: START + HOUR }))
  await change('logs out', { user: null })
  await change('changes hands', { user: 'Sally' })
  await store.replace('renewed', 'successor', replacementOf({ expiresAt: START + 2 * HOUR }))
  await store.remove('ends')
  t.strictSame(entries(), ['Harry: expires', 'Harry: successor', 'Sally: changes hands'])
  clock.time = START + HOUR
  await sweep()
  t.strictSame(entries(), ['Harry: successor'])
})

test('a session that begins with earlier activity, as a renewed one does, leaves nothing in the index by expiry either', async (t) => {
  const { store, clock, entries, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  clock.time = START + 60_000
  t.match(await store.replace('a', 'b', replacementOf({ seenAt: clock.time, expiresAt: clock.time + HOUR })), { outcome: 'replaced' })
  t.ok((entries('b')[0] as number) <= clock.time + HOUR)
  clock.time++
  await change('b')
  t.equal(entries('b').length, 1)
  await store.remove('b')
  t.strictSame(entries('b'), [clock.time + TOMBSTONE_MS], 'only the end of its tombstone')
})

test('a sweep drops a tombstone that ends later than any can, and keeps one that a request may still meet', async (t) => {
  const { env, store, clock, sweep } = openStore(t)
  const index = new SessionIndex<number>(env, DATABASES.keysByExpiry)
  for (const [key, endedAt] of [['sound', START + HOUR], ['of a clock that was ahead', START + 10_000 * HOUR]] as const) {
    await store.create(key, recordOf({ expiresAt: START + 20_000 * HOUR }))
    clock.time = endedAt
    await store.remove(key)
    // An entry that an older version, or damage, has left.
    await env.transaction(() => { index.add(START + HOUR, key) })
  }
  clock.time = START + HOUR
  await sweep()
  t.equal(await store.create('sound', recordOf()), false)
  t.equal(await store.create('of a clock that was ahead', recordOf({ expiresAt: START + 2 * HOUR })), true)
})

test('a sweep drops the readers that were killed, so that their pages can be used again', async (t) => {
  const path = fastFolder(t)
  const env = open({ path, maxDbs: 16, noSubdir: false })
  const store = new LmdbStore(env, { now: () => START, maxBytes: 4_096, onCorrupt () {} })
  t.teardown(async () => {
    await store.close()
    await env.close()
  })
  const reader = spawn(process.execPath, ['--input-type=module', '-e',
    'const { open } = await import("lmdb"); const env = open({ path: process.argv[1], maxDbs: 16, noSubdir: false }); env.get("x"); console.log("reads"); setInterval(() => {}, 1_000)', path],
  { cwd: checkout, env: childEnvironment(), stdio: ['ignore', 'pipe', 'inherit'] })
  await once(reader.stdout, 'data')
  const isListed = (): boolean => env.readerList().includes(String(reader.pid))
  t.ok(isListed())
  reader.kill('SIGKILL')
  await once(reader, 'close')
  t.ok(isListed(), 'after its end too')
  await store.sweep(5)
  t.notOk(isListed())
})

test('activity counts from the call on, however long its write takes', async (t) => {
  const { store, clock } = openStore(t)
  const end = START + HOUR
  for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ expiresAt: end }))
  await store.remove('c')
  clock.time = end - 1
  const touching = ['a', 'b', 'c', 'missing'].map((key) => store.touch(key, clock.time, clock.time + HOUR))
  const removing = store.remove('b')
  clock.time = end
  const touched = { seenAt: end - 1, expiresAt: end - 1 + HOUR }
  t.match(store.read('a'), touched, 'the next request finds the session')
  for (const key of ['c', 'missing']) t.equal(store.read(key), null, key)
  t.strictSame(await Promise.all(touching), [true, true, false, false])
  t.match(await removing, touched, 'the session lived until it was ended')
  t.match(store.read('a'), touched)
  t.equal(store.read('b'), null)
  clock.time = touched.expiresAt
  t.equal(await store.touch('a', clock.time, clock.time + HOUR), false)
  t.equal(store.read('a'), null)
})

test('activity that cannot be written does not keep a session alive for long', async (t) => {
  const { env, store, clock } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  const { transaction } = env
  env.transaction = (() => Promise.reject(new Error('the disk is full'))) as never
  await t.rejects(store.touch('a', clock.time, clock.time + 2 * HOUR), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  env.transaction = transaction
  clock.time = START + HOUR
  t.equal(store.read('a'), null)
})

test('activity puts a session back into the index by user', async (t) => {
  const { env, store } = openStore(t)
  await store.create('a', recordOf({ user: 'Harry', expiresAt: START + HOUR }))
  const index = new SessionIndex<string>(env, DATABASES.keysOfUser)
  await env.transaction(() => { index.remove(indexName('Harry'), 'a') })
  t.strictSame(await store.ofUser('Harry'), [], 'the entry is lost')
  t.ok(await store.touch('a', START + 1, START + HOUR))
  t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['a'])
})

test('the process that has written a session reads it as every other does', async (t) => {
  const { env, clock, store, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  const other = new LmdbStore(env, { now: () => clock.time, maxBytes: 4_096, onCorrupt (key, what) { t.fail(`damaged: ${what} ${key}`) } })
  for (const [name, text] of [['plain', '1'], ['Müller 😀', '"ß"'], ['half \ud800', '2'], ['long', JSON.stringify('x'.repeat(2_000))]] as const) {
    await change('a', { set: { [name]: text } })
    t.strictSame(store.read('a'), other.read('a'), name)
    t.equal(store.read('a')?.fields[name.replace('\ud800', '\ufffd')], text)
  }
})

test('writes that wait share a transaction, and each has its own outcome', async (t) => {
  const { env, clock, store, change } = openStore(t)
  const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`)
  await Promise.all(keys.map((key) => store.create(key, recordOf({ expiresAt: START + HOUR }))))
  const begun = transactionsOf(env)
  clock.time++
  const outcomes = await Promise.allSettled([
    ...keys.map((key) => change(key)),
    change('missing'),
    change('key 1', { set: { large: 'x'.repeat(5_000) } }),
    change('key 1', { set: { other: '1' } })
  ])
  // One, unless the machine is so busy that they hold the event loop for too long.
  t.ok(begun() < outcomes.length / 2, `${outcomes.length} writes in ${begun()} transactions`)
  t.ok(outcomes.slice(0, 50).every((outcome) => outcome.status === 'fulfilled' && outcome.value))
  t.match(outcomes.slice(50), [{ value: false }, { reason: { code: 'HATCHECK_SESSION_TOO_LARGE' } }, { value: true }])
  t.match(store.read('key 1')?.fields, { n: String(clock.time), other: '1' })
  t.notOk(store.read('key 1')?.fields['large'])
})

test('a write that is asked for while another is committed sees it', async (t) => {
  const { store, change } = openStore(t)
  await store.create('a', recordOf({ expiresAt: START + HOUR }))
  const outcomes: unknown[] = []
  const first = change('a').then(() => { outcomes.push('change') })
  await new Promise((resolve) => { setImmediate(resolve) })
  const second = store.remove('a').then((record) => { outcomes.push(record?.fields['n']) })
  const third = change('a').then((isChanged) => { outcomes.push(isChanged) })
  await Promise.all([first, second, third])
  t.strictSame(outcomes.toSorted(), ['change', String(START), false].toSorted())
  t.equal(store.read('a'), null)
})

test('writes that hold the event loop are carried out in several transactions', async (t) => {
  const { env } = openStore(t)
  const writer = LmdbWriter.of(env)
  const order: number[] = []
  const begun = transactionsOf(env)
  await Promise.all([0, 1, 2].map((number) => writer.write('test', false, () => {
    for (const until = performance.now() + 6; performance.now() < until;);
    order.push(number)
  })))
  t.strictSame(order, [0, 1, 2])
  t.equal(begun(), 3)
})

const never = new Promise<never>(() => {})

/** Makes a writer over an LMDB that never answers some of its transactions, and counts them. @param answers gets the number of each, from 1 */
function stuckWriter (t: Test, deadlineMs: number, answers: (number: number) => boolean | Promise<boolean>): { writer: LmdbWriter, begun: () => number } {
  let transactions = 0
  const env = {
    on () {},
    flushed: Promise.resolve(),
    committed: never,
    async transaction (run: () => void) {
      const isAnswered = answers(++transactions)
      // Until then, an exit would kill the process.
      if (isAnswered === false) t.teardown(run)
      if (!await isAnswered) return await never
      run()
    }
  }
  return { writer: new LmdbWriter(env as never, deadlineMs), begun: () => transactions }
}

test('a transaction that LMDB never answers holds up no later one', async (t) => {
  const clock = holdTime(t)
  const { writer, begun } = stuckWriter(t, 50, (number) => number > 1)
  const first = t.rejects(writer.write('patch', false, () => 'late'), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'not written within 50 ms' } })
  await clock.pass(50)
  await first
  t.equal(await writer.write('patch', false, () => 'written'), 'written')
  t.equal(begun(), 2)
})

test('over an LMDB that answers nothing, many writes begin few transactions', async (t) => {
  const clock = holdTime(t)
  const { writer, begun } = stuckWriter(t, 200, () => false)
  const late = Promise.allSettled(Array.from({ length: 1_000 }, () => writer.write('patch', false, () => {})))
  await clock.pass(200)
  t.ok((await late).every(({ status }) => status === 'rejected'))
  t.ok(begun() <= 2, `${begun()} transactions`)
})

test('a transaction that LMDB never answers holds up no later one, even if its writes had waited for another', async (t) => {
  const clock = holdTime(t)
  const { writer, begun } = stuckWriter(t, 60, (number) => number > 2)
  const first = t.rejects(writer.write('patch', false, () => {}))
  await clock.pass(30)
  const second = t.rejects(writer.write('patch', false, () => {}))
  await clock.pass(60)
  await Promise.all([first, second])
  t.equal(begun(), 2)
  await clock.pass(30)
  t.equal(await writer.write('patch', false, () => 'written'), 'written')
})

test('a write that waits behind a transaction that LMDB never answers is written once that is late', async (t) => {
  const clock = holdTime(t)
  const answer = gate()
  const { writer, begun } = stuckWriter(t, 200, (number) => number === 1 ? answer.passed.then(() => true) : number > 2)
  // It fills its transaction, so that the next write begins another, later than it was asked for.
  const slow = writer.write('patch', false, () => { clock.busy(20) })
  const left = t.rejects(writer.write('patch', false, () => {}))
  await clock.pass(120)
  answer.open()
  await slow
  await clock.pass(60)
  await left
  t.equal(begun(), 2)
  const next = writer.write('patch', false, () => 'written')
  await clock.pass(140)
  t.equal(await next, 'written')
  t.equal(begun(), 3)
})

test('each of several writes has the whole time, and one that is answered ends no other', async (t) => {
  const clock = holdTime(t)
  const { writer } = stuckWriter(t, 60, () => false)
  const waited = async (): Promise<number> => {
    const begun = performance.now()
    await t.rejects(writer.write('patch', false, () => {}), { cause: { message: 'not written within 60 ms' } })
    return performance.now() - begun
  }
  const first = waited()
  await clock.pass(30)
  const second = waited()
  await clock.pass(30)
  const third = waited()
  await clock.pass(60)
  t.strictSame(await Promise.all([first, second, third]), [60, 60, 60])
})

test('a durable write is answered after the flush, and any other at the commit', async (t) => {
  const flush = gate()
  const env = { on () {}, committed: Promise.resolve(), flushed: flush.passed, async transaction (run: () => void) { run() } }
  const writer = new LmdbWriter(env as never, 60_000)
  let isAnswered = false
  const durable = writer.write('remove', true, () => {}).then(() => { isAnswered = true })
  await writer.write('patch', false, () => {})
  await turn()
  t.notOk(isAnswered)
  flush.open()
  await durable
  t.ok(isAnswered)
})

test('a flush waits for every commit before it, also for one whose write was answered at the commit', async (t) => {
  const flush = gate()
  let transactions = 0
  const env = {
    on () {},
    committed: Promise.resolve(),
    get flushed () { return transactions === 1 ? flush.passed : Promise.resolve() },
    async transaction (run: () => void) {
      transactions++
      run()
    }
  }
  const writer = new LmdbWriter(env as never, 60_000)
  await writer.write('patch', false, () => {})
  let isFlushed = false
  const flushing = writer.flush().then(() => { isFlushed = true })
  await turn()
  await turn()
  t.notOk(isFlushed)
  flush.open()
  await flushing
})

test('a transaction that is answered after its deadline begins none beside the one under way', async (t) => {
  const clock = holdTime(t)
  const [late, next] = [gate(), gate()]
  const { writer, begun } = stuckWriter(t, 1_000, async (number) => {
    await [late, next][number - 1]?.passed
    return true
  })
  const first = t.rejects(writer.write('patch', false, () => {}))
  await clock.pass(1_000)
  await first
  const underWay = writer.write('patch', false, () => {})
  while (begun() < 2) await turn()
  late.open()
  await turn()
  await turn()
  const waiting = writer.write('patch', false, () => {})
  t.equal(begun(), 2)
  next.open()
  await Promise.all([underWay, waiting])
})

test('a write keeps the process running until it is answered, and no longer', async (t) => {
  const deadlines: NodeJS.Timeout[] = []
  const { setTimeout } = globalThis
  t.teardown(() => { globalThis.setTimeout = setTimeout })
  globalThis.setTimeout = ((action: () => void, ms: number) => {
    const timer = setTimeout(action, ms)
    if (ms === 60_000) deadlines.push(timer)
    return timer
  }) as typeof setTimeout
  const { writer } = stuckWriter(t, 60_000, () => true)
  for (const write of ['the first', 'another']) {
    const writing = writer.write('patch', false, () => {})
    t.ok(deadlines.length > 0 && deadlines.every((timer) => timer.hasRef()), write)
    await writing
    await turn()
    t.notOk(deadlines.some((timer) => timer.hasRef()), write)
  }
})

test('a write that follows a transaction that LMDB never answers keeps the process running no longer either', async (t) => {
  const clock = holdTime(t)
  const running = (): number => process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length
  const before = running()
  const { writer } = stuckWriter(t, 60, (number) => number > 1)
  const late = t.rejects(writer.write('patch', false, () => {}))
  await clock.pass(30)
  const following = writer.write('patch', false, () => 'written')
  t.ok(running() > before)
  await clock.pass(30)
  await late
  t.equal(await following, 'written')
  await turn()
  t.equal(running(), before)
})

test('a transaction that cannot begin fails its writes, and not those after it', async (t) => {
  let isClosed = true
  const env = {
    on () {},
    flushed: Promise.resolve(),
    committed: Promise.resolve(),
    async transaction (run: () => void) {
      if (isClosed) throw new Error('the environment is closed')
      run()
    }
  }
  const writer = new LmdbWriter(env as never, 1_000)
  await t.rejects(Promise.all([writer.write('patch', false, () => 1), writer.write('patch', true, () => 2)]), { cause: { message: 'the environment is closed' } })
  isClosed = false
  t.strictSame(await Promise.all([writer.write('patch', false, () => 1), writer.write('patch', true, () => 2)]), [1, 2])
})

test('accounts that LMDB cannot read are a failure of the store, also in a list', async (t) => {
  const fail = (): never => { throw new Error('MDB_CORRUPTED') }
  const env = { on () {}, resetReadTxn () {}, openDB: () => ({ get: fail, getRange: fail }) }
  const accounts = new LmdbAccounts(env as never)
  const failure = { code: 'HATCHECK_STORE_UNAVAILABLE', message: 'The session store cannot answer right now (account).', cause: { message: 'MDB_CORRUPTED' } }
  t.throws(() => accounts.read('harry'), failure)
  t.throws(() => accounts.list(), failure)
})

for (const how of ['exit', 'throw']) {
  test(`a process that ends by ${how} during a write does not hang`, async (t) => {
    const path = fastFolder(t)
    const child = spawn(process.execPath, [compiledFixture('exit-in-a-write'), path, how], { env: childEnvironment(), stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000, killSignal: 'SIGABRT' })
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text })
    const [code, signal] = await once(child, 'close')
    t.same([code, signal], [null, 'SIGKILL'], errors)
    if (how === 'throw') t.match(errors, 'a bug of the application')
    const env = open({ path })
    t.equal(env.get('before'), 1, 'what was written before is there')
    t.equal(env.get('after'), undefined)
    await env.close()
  })
}
