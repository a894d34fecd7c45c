import { deepEqual, equal, ok } from 'node:assert/strict'
import { counted, policies, uncounted, waitOf, type Counter } from '../attempt-policy.js'
import type { AttemptStore } from '../attempts.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { Checks, type ContractOptions, type DefineTest } from './checks.js'
import { HOUR, START } from './sample-records.js'

/** Opens empty counters for one check: one store, or two that share the counters as two processes do. */
export type OpenAttempts = () => MaybePromise<readonly [AttemptStore, AttemptStore?]>

const MINUTE = HOUR / 60

/**
 * Defines a test for each sentence of the contract of {@link AttemptStore}. Each has counters of its own. The checks use the
 * same keys: with one database for all, run them one after another and let `open` empty it.
 *
 * @throws TypeError if `except` names an unknown check.
 * @example
 * import { attemptContract } from 'hatcheck/store-contract'
 * import { test } from 'node:test'
 *
 * attemptContract(test, () => [new MyAttempts()])
 */
export function attemptContract (test: DefineTest, open: OpenAttempts, options: ContractOptions = {}): void {
  const checks = new Checks(test, options)
  const check = (sentence: string, run: (store: AttemptStore, other: AttemptStore) => Promise<void>): void => {
    checks.define(sentence, async () => {
      const [store, other = store] = await open()
      await run(store, other)
    })
  }
  const { account, global, knownPlace } = policies

  check('failures count by the steps of the policy', async (store, other) => {
    let [counter, now] = [null as Counter | null, START]
    for (let i = 0; i < 60; i++) {
      now += [0, 1, 777, 40_000, 5 * MINUTE, 333_333][i % 6] as number
      const wait = waitOf(counter, account, now)
      equal(await other.waitOf('steps', account, now), wait)
      equal(await store.admit('steps', account, now), wait)
      if (wait === 0) counter = counted(counter, account, now)
      if (i % 10 === 0) {
        await store.uncount('steps', account)
        counter = uncounted(counter as Counter, account)
      }
      if (i % 9 === 0) {
        await other.count('steps', account, now)
        counter = counted(counter, account, now)
      }
    }
    ok(waitOf(counter, account, now) > 0)
    equal(await store.waitOf('steps', account, now), waitOf(counter, account, now))
  })

  check('of parallel attempts, exactly the free ones and one more are admitted', async (store, other) => {
    const waits = await Promise.all(times(50, (i) => (i % 2 === 0 ? store : other).admit('at once', account, START)))
    equal(waits.filter((wait) => wait === 0).length, account.free + 1)
    deepEqual(new Set(waits), new Set([0, 1_000]))
  })

  check('count also counts during a wait', async (store, other) => {
    await Promise.all(times(1_010, (i) => (i % 2 === 0 ? store : other).count('in any case', global, START)))
    equal(await store.waitOf('in any case', global, START), 60_000)
    equal(await store.waitOf('in any case', global, START + 60_000), 0)
  })

  check('parallel counts and uncounts lose nothing', async (store, other) => {
    for (let i = 0; i < 12; i++) await store.count('both', account, START)
    await Promise.all(times(24, (i) => i % 3 === 0 ? other.uncount('both', account) : i % 3 === 1 && store.count('both', account, START)))
    equal(await store.waitOf('both', account, START), 64_000, 'as after 12 counts')
    await Promise.all(times(4, (i) => (i % 2 === 0 ? store : other).uncount('both', account)))
    equal(await store.waitOf('both', account, START), 4_000, 'as after 8')
  })

  check('uncount and forget accept a key that has no counter', async (store) => {
    await store.uncount('never', account)
    await store.forget('never')
    equal(await store.waitOf('never', account, START), 0)
  })

  check('forget removes every count of one key', async (store, other) => {
    for (const key of ['forgotten', 'kept']) for (let i = 0; i < 7; i++) await store.admit(key, account, START)
    equal(await store.waitOf('forgotten', account, START), 1_000)
    await other.forget('forgotten')
    equal(await store.waitOf('forgotten', account, START), 0)
    equal(await store.admit('forgotten', account, START), 0)
    equal(await store.waitOf('kept', account, START), 1_000)
  })

  check('a policy of one long wait begins it with the first count', async (store, other) => {
    const month = 30 * 24 * HOUR
    equal(await store.waitOf('place', knownPlace, START), 0)
    await store.count('place', knownPlace, START)
    equal(await other.waitOf('place', knownPlace, START), month)
    while (await store.sweep(START + month - 1));
    equal(await other.waitOf('place', knownPlace, START + month - 1), 1)
    equal(await other.waitOf('place', knownPlace, START + month), 0)
  })

  check('sweep drops counters that no longer count, and no others', async (store) => {
    await Promise.all(times(1_200, (i) => store.count(`old ${i}`, { ...account, forgiveMs: 1 }, START)))
    await Promise.all(times(8, () => store.count('young', account, START)))
    while (await store.sweep(START + 10_000));
    equal(await store.waitOf('young', account, START), 4_000)
  })

  checks.end()
}

function times<T> (count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i))
}
