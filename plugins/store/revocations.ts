import { LONGEST_LIFE_MS } from '../common/lifetimes.js'
import type { MaybePromise } from '../common/maybe-promise.js'

/**
 * The contract of a store that remembers which sessions have ended, for sessions that are kept in the cookies of the browsers.
 * A copy of a cookie stays valid until its time is over, so its end must be known at least that long. Calls that
 * concern one key, or one user, are atomic, even between processes. An end is durable once its call resolves.
 *
 * Every user has an epoch: a number that only grows. A session keeps the epoch in which it began. Ending all sessions of
 * the user begins a higher epoch. An epoch that has been dropped counts as 0: by then, no session is left that began before
 * it.
 */
export interface RevocationStore {
  /** Whether {@link lookUp} and {@link successor} return at once, without a promise. */
  readonly sync: boolean

  /**
   * Returns the reasons to refuse the session under `key`: its own end, and the end of all sessions of its user. A damaged entry of
   * a session counts as its end.
   *
   * @throws if the entry of the user is damaged, or the system fails: nothing is known then. {@link endAll} mends the entry.
   */
  lookUp (key: string, user: string | null): MaybePromise<Revocation>

  /**
   * Ends a session.
   *
   * @param until how long to remember it, in ms since the epoch: as long as any copy of its cookie can be valid
   * @param nextKey where the session continues; {@link successor} returns it from now on
   * @returns whether this call has ended it. Of several simultaneous calls, exactly one returns true.
   */
  end (key: string, until: number, nextKey?: string): MaybePromise<boolean>

  /** Returns where a session that has ended continues, or null. */
  successor (key: string): MaybePromise<string | null>

  /**
   * Ends every session of a user, except the live one under `exceptKey`.
   *
   * @param now the time, in ms since the epoch
   * @param until how long to remember it, in ms since the epoch
   */
  endAll (user: string, now: number, until: number, exceptKey?: string): MaybePromise<void>

  /**
   * Drops some entries whose time is over, within about `budgetMs`. A store whose system drops them returns 0.
   *
   * @returns at least 1 while there may be more to drop, 0 when nothing is left.
   */
  sweep (now: number, budgetMs: number): MaybePromise<number>
}

/** An end is remembered this much longer than the session can live, in ms: the clock of another process may be behind by as much. */
export const CLOCK_SLACK_MS = 15 * 60_000

/** How long an end is remembered if nobody knows how long the session can live, in ms. */
export const LONGEST_MEMORY_MS = LONGEST_LIFE_MS + CLOCK_SLACK_MS

/** The reasons to refuse a session. */
export interface Revocation {
  /** Whether the session under the key has ended. */
  readonly hasEnded: boolean
  /** The last end of all sessions of the user; null: none is known. */
  readonly barrier: Barrier | null
}

/** The end of all sessions of a user. */
export interface Barrier {
  /** The epoch of the user since then. Sessions of lower epochs have ended. */
  readonly epoch: number
  /** The key of the session that was spared; null: none. */
  readonly spared: string | null
  /** The lowest epoch in which the spared session can have begun. */
  readonly sparedSince: number
}

/** Tells whether a session has ended. @param epoch in which it began */
export function isRevoked ({ hasEnded, barrier }: Revocation, key: string, epoch: number): boolean {
  if (hasEnded) return true
  if (barrier === null || epoch >= barrier.epoch) return false
  return key !== barrier.spared || epoch < barrier.sparedSince
}

/** Returns the epoch of the user for a session that begins. */
export function epochIn ({ barrier }: Revocation): number {
  return barrier?.epoch ?? 0
}

/**
 * Returns the barrier after the end of all sessions of a user. Its epoch is the time, so that it is higher than any that has
 * been dropped.
 */
export function nextBarrier (last: Barrier | null, now: number, exceptKey?: string): Barrier {
  const before = last?.epoch ?? 0
  return {
    epoch: Math.max(Math.floor(now), before + 1),
    spared: exceptKey ?? null,
    sparedSince: last !== null && exceptKey === last.spared ? last.sparedSince : before
  }
}

/** Nothing is remembered: `sessionRevocation: 'none'`. */
export const NO_REVOCATIONS: RevocationStore = {
  sync: true,
  lookUp: () => ({ hasEnded: false, barrier: null }),
  end: () => true,
  successor: () => null,
  endAll: () => {},
  sweep: () => 0
}
