import { mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { test } from 'tap'
import { repeat } from '../plugins/common/repeat.js'
import { startSweeping } from '../plugins/common/sweeping.js'
import { boundedCalls } from '../plugins/storage/common/bounded-calls.js'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { boundedStore } from '../plugins/storage/own/bounded.js'
import { openOwnStore } from '../plugins/storage/own/open.js'
import { recordOf } from '../plugins/store/contract/index.js'
import type { SessionStore } from '../plugins/store/sessions.js'
import { turn } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const never = new Promise<never>(() => {})

/** Returns the answer of a call, or a text if it takes much longer than its deadline. */
const inSoon = async (answer: unknown): Promise<unknown> => await Promise.race([answer, setTimeout(2_000, 'no answer at all')])

test('calls whose answer is lost take places for a time, and not forever', async (t) => {
  const call = boundedCalls({ deadlineMs: 30, mostInFlight: 10, lostMs: 300 })
  const lost = Array.from({ length: 10 }, () => call('read', () => never))
  for (const answer of lost) answer.catch(() => {})
  for (const answer of lost) await t.rejects(answer, { code: 'HATCHECK_STORE_UNAVAILABLE' })
  await t.rejects(call('read', async () => 1), { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'the connection may still hold them')
  await until('the places are free', async () => await call('read', async () => 1).then(() => true, () => false))
})

test('by default 10,000 calls wait for an answer, and one more fails at once', async (t) => {
  const call = boundedCalls()
  let answer = (): void => {}
  const answered = new Promise<void>((resolve) => { answer = resolve })
  const waiting = Array.from({ length: 10_000 }, () => call('read', () => answered))
  for (const one of waiting) one.catch(() => {})
  let wasSent = false
  await t.rejects(call('read', async () => { wasSent = true }), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  t.notOk(wasSent)
  answer()
  await Promise.allSettled(waiting)
  t.equal(await call('read', async () => 1), 1)
})

test('an answer that comes after it counted as lost frees no second place', async (t) => {
  const call = boundedCalls({ deadlineMs: 10, mostInFlight: 2, lostMs: 20 })
  let answer = (): void => {}
  await t.rejects(call('read', () => new Promise<void>((resolve) => { answer = resolve })), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  await setTimeout(100)
  answer()
  await setTimeout(5)
  const held = [call('read', () => never), call('read', () => never)]
  for (const one of held) one.catch(() => {})
  await t.rejects(call('read', async () => 1), { code: 'HATCHECK_STORE_UNAVAILABLE' })
})

test('a store of the application that does not answer fails a call about one session in bounded time', async (t) => {
  const store = watched(openStore(t, 'memory:'), () => {}, false)
  const open = boundedStore(store, 30)
  t.equal(await open.create('one', recordOf()), true)
  t.strictSame(await open.read('one'), recordOf())
  t.equal(open.sync, false)
  for (const name of ['read', 'remove', 'patch', 'touch', 'replace', 'create', 'ping'] as const) {
    const hung = boundedStore({ ...store, [name]: () => never }, 30)
    await t.rejects(Promise.resolve((hung[name] as (...args: unknown[]) => unknown)('one')), { message: 'no answer within 30 ms' }, name)
  }
  const failing = boundedStore({ ...store, read: () => { throw new Error('no connection') } }, 30)
  await t.rejects(Promise.resolve(failing.read('one')), { message: 'no connection' })
})

test('a store that promises reads at once fails its other calls in bounded time', async (t) => {
  const open = (store: SessionStore): SessionStore => openOwnStore(store, 'sessionStore', { info () {}, warn () {} }, 30).sessions
  const store = openStore(t, 'memory:')
  const whole = open(store)
  t.equal(whole.sync, true)
  t.equal(whole.create('one', recordOf()), true, 'an answer without a promise stays one')
  t.strictSame(whole.read('one'), recordOf())
  store.patch = () => { throw new Error('down') }
  t.throws(() => whole.patch('one', { set: {}, remove: [], seenAt: 0, expiresAt: 0 }), { message: 'down' }, 'the methods of the store are looked up at each call')
  for (const name of ['remove', 'patch', 'touch', 'replace', 'create', 'ping', 'take', 'successor'] as const) {
    const hung = open({ ...watched(store, () => {}), [name]: () => never })
    await t.rejects(inSoon((hung[name] as (...args: unknown[]) => unknown)('one')), { message: 'no answer within 30 ms' }, name)
  }
})

test('accounts and counters of the application that do not answer fail in bounded time', async (t) => {
  const [accounts, attempts] = [new MemoryAccounts(), new MemoryAttempts()]
  const hanging = (methods: readonly string[]): object => Object.fromEntries(methods.map((method) => [method, () => never]))
  const calls = { accounts: ['read', 'create', 'update'], attempts: ['waitOf', 'admit', 'count', 'uncount', 'forget'] } as const
  const storage = openOwnStore({
    ...watched(openStore(t, 'memory:'), () => {}),
    accounts: Object.assign(accounts, hanging(calls.accounts)),
    attempts: Object.assign(attempts, hanging(calls.attempts))
  }, 'sessionStore', { info () {}, warn () {} }, 30)
  for (const part of ['accounts', 'attempts'] as const) {
    for (const name of calls[part]) {
      const call = Reflect.get(storage[part] ?? {}, name) as (...args: unknown[]) => unknown
      await t.rejects(inSoon(call('harry')), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'no answer within 30 ms' } }, name)
    }
  }
  t.strictSame(await storage.accounts?.list(), [])
  t.equal(await storage.attempts.sweep(0), false)
})

test('a task that is repeated never runs twice at once, and an error does not end the repetition', async (t) => {
  let [begun, end] = [0, (): void => {}]
  // The timer of the repetition keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const stop = repeat(2, async () => {
    begun++
    await new Promise<void>((resolve) => { end = resolve })
    throw new Error('failed')
  })
  await until('it begins', () => begun === 1)
  await setTimeout(50)
  t.equal(begun, 1)
  end()
  await until('it begins again', () => begun === 2)
  stop()
  end()
  await setTimeout(50)
  t.equal(begun, 2)
})

test('a sweep that fails after its end is not reported', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  for (const isEnded of [false, true]) {
    const errors: unknown[] = []
    let fail = (_error: Error): void => {}
    const stop = startSweeping(() => new Promise((_resolve, reject) => { fail = reject }), (error) => { errors.push(error) })
    mock.timers.tick(60_000)
    if (isEnded) stop()
    fail(new Error('the store is closed'))
    await turn()
    t.equal(errors.length, isEnded ? 0 : 1)
    stop()
  }
})
