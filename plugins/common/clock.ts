/** What the two clocks of a session are set to, in seconds. */
export interface Lifetime {
  /** Without activity for so long, the session ends. */
  idleSeconds: number
  /** After so long it ends in any case. */
  lifetimeSeconds: number
}

export interface Lifetimes {
  browser: Lifetime
  permanent: Lifetime
}

type Times = { createdAt: number, seenAt: number, permanent: boolean }

/** When a session ends, in ms: the earlier of the two clocks. */
export function expiryOf ({ createdAt, seenAt, permanent }: Times, lifetimes: Lifetimes): number {
  const { idleSeconds, lifetimeSeconds } = permanent ? lifetimes.permanent : lifetimes.browser
  return Math.min(createdAt + lifetimeSeconds * 1000, seenAt + idleSeconds * 1000)
}

/**
 * Activity is noted when it is older than this part of the idle timeout: a visitor who clicks every second costs a
 * write every few minutes, and a session ends at most 5 % early.
 */
const TOUCH_PART = 20

/** Whether activity is to be noted. */
export function isTouchDue (seenAt: number, now: number, lifetime: Lifetime): boolean {
  return now - seenAt > touchEvery(lifetime)
}

/** So far behind the truth the noted activity may be, in ms. */
export function touchEvery ({ idleSeconds }: Lifetime): number {
  return idleSeconds * 1000 / TOUCH_PART
}

/**
 * A clock that never goes back. When the machine's clock is set back, time goes on from where it was, so that no
 * session lives longer for it; when it is set forward, sessions only end sooner.
 *
 * `Date.now` and `performance.now` are looked up at each call: fake timers replace them, also after the clock was made. The
 * time of a replaced `Date.now` is another one, which the clock takes as it is.
 *
 * @returns a function that answers the time in ms since the epoch.
 */
export function steadyClock (wall?: () => number, elapsed: () => number = () => performance.now()): () => number {
  let source = Date.now
  let shown = NaN
  let time = -Infinity
  let mark = 0
  return () => {
    const before = shown
    shown = wall === undefined ? Date.now() : wall()
    // Asked many times in a millisecond, this need not ask the other clock, which takes much longer to answer.
    if (shown === before) return Math.floor(time)
    const now = elapsed()
    if (wall === undefined && source !== Date.now) {
      source = Date.now
      time = shown
    } else {
      time = Math.max(shown, time + Math.max(0, now - mark))
    }
    mark = now
    return Math.floor(time)
  }
}
