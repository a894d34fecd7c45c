import { LATEST_TIME } from '../common/is-time.js'
import type { MaybePromise } from '../common/maybe-promise.js'
import type { Counter, Policy } from './attempt-policy.js'

/**
 * The contract of a store that counts failed logins. Each call is one atomic step for its key, even between processes that
 * share the store. Counters survive the end of a process, but need not survive a power cut. The counters follow `waitOf`,
 * `counted` and `uncounted`. `attemptContract` of `hatcheck/store-contract` tests it. `now` is in ms since the epoch.
 */
export interface AttemptStore {
  /** Returns how long the next login must wait, in ms; 0 if it need not. */
  waitOf (key: string, policy: Policy, now: number): MaybePromise<number>
  /** Counts a failure before the password is checked, and returns 0. If the login must wait, counts nothing and returns the wait in ms. */
  admit (key: string, policy: Policy, now: number): MaybePromise<number>
  /** Counts a failure in any case. */
  count (key: string, policy: Policy, now: number): MaybePromise<void>
  /** Takes back the last count, as if it had not happened. */
  uncount (key: string, policy: Policy): MaybePromise<void>
  /** Takes back every count. */
  forget (key: string): MaybePromise<void>
  /** Drops some counters whose failures are all forgiven. Returns whether there may be more. */
  sweep (now: number): MaybePromise<boolean>
}

/** Tells whether a value read from a store is a counter. A level or a time out of bounds would make a user wait forever. */
export function isCounter (value: object): value is Counter {
  const { level, at, before = 0, expiresAt } = value as Record<string, unknown>
  return isWithin(level, MOST_FAILURES) && [at, before, expiresAt].every((time) => isWithin(time, LATEST_TIME))
}

/** The highest level of a counter. More would make a user wait for years. */
export const MOST_FAILURES = 1e9

function isWithin (value: unknown, most: number): boolean {
  return typeof value === 'number' && value >= 0 && value <= most
}
