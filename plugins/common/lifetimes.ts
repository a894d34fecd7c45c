/** The two limits of a session, in seconds. */
export interface Lifetime {
  /** The session ends after this time without activity. */
  idleSeconds: number
  /** The session ends this long after its beginning, in any case. */
  lifetimeSeconds: number
}

/** The limits of each kind of session. */
export interface Lifetimes {
  /** Of a session whose cookie ends with the browser. */
  browser: Lifetime
  /** Of a permanent session ("keep me signed in"). */
  permanent: Lifetime
}

/** The longest life that a session can be configured to have, in ms. */
export const LONGEST_LIFE_MS = 400 * 86_400_000

/** Returns the longest life that a session has with this configuration, in ms. */
export function longestLifeMs ({ browser, permanent }: Lifetimes): number {
  return 1_000 * Math.max(browser.lifetimeSeconds, permanent.lifetimeSeconds)
}

type Times = { createdAt: number, seenAt: number, permanent: boolean }

/** Returns when a session ends, in ms since the epoch: the earlier of the two limits. */
export function expiryOf ({ createdAt, seenAt, permanent }: Times, lifetimes: Lifetimes): number {
  const { idleSeconds, lifetimeSeconds } = permanent ? lifetimes.permanent : lifetimes.browser
  return Math.min(createdAt + lifetimeSeconds * 1000, seenAt + idleSeconds * 1000)
}

/**
 * Activity is recorded once it is older than this part of the idle timeout. A visitor who clicks every second then costs a
 * write every few minutes, and a session ends at most 5 % early.
 */
const TOUCH_PART = 20

/** Tells whether activity must be recorded. */
export function isTouchDue (seenAt: number, now: number, lifetime: Lifetime): boolean {
  return now - seenAt > touchEvery(lifetime)
}

/** Returns how old the recorded activity may be, in ms. */
export function touchEvery ({ idleSeconds }: Lifetime): number {
  return idleSeconds * 1000 / TOUCH_PART
}
