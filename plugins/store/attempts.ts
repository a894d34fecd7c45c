import type { MaybePromise } from './maybe-promise.js'
import type { Counter, Policy } from './attempt-policy.js'

/** Whether what a store has read is a counter. A level or a time that is out of all bounds would make somebody wait for ever. */
export function isCounter (value: object): value is Counter {
  const { level, at, before = 0, expiresAt } = value as Record<string, unknown>
  return isWithin(level, MOST_FAILURES) && [at, before, expiresAt].every((time) => isWithin(time, LATEST))
}

/** More would make somebody wait for years. */
export const MOST_FAILURES = 1e9
const LATEST = 8.64e15

function isWithin (value: unknown, most: number): boolean {
  return typeof value === 'number' && value >= 0 && value <= most
}

/**
 * Where failed logins are counted. Each call is one atomic step for its key, also between processes that share the store.
 * Counters survive the end of a process, but need not survive a power cut.
 */
export interface AttemptStore {
  /** How long the next try has to wait, in ms; 0 if it need not. */
  waitOf (key: string, policy: Policy, now: number): MaybePromise<number>
  /** Counts a failure beforehand: answers 0, or how long to wait, in ms, and then nothing is counted. */
  admit (key: string, policy: Policy, now: number): MaybePromise<number>
  /** Counts a failure in any case. */
  count (key: string, policy: Policy, now: number): MaybePromise<void>
  /** Takes back the last count, as if it had never been. */
  uncount (key: string, policy: Policy): MaybePromise<void>
  /** Takes back every count. */
  forget (key: string): MaybePromise<void>
  /** Drops some of what is forgiven. Answers whether there may be more. */
  sweep (now: number): MaybePromise<boolean>
}
