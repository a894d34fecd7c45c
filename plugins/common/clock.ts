/**
 * Makes a clock that never goes back. If the machine's clock is set back, this one continues, so that no session lives longer;
 * if it is set forward, sessions end sooner.
 *
 * Looks up `Date.now` and `performance.now` at each call, since fake timers can replace them later. The clock takes the time of
 * a replaced `Date.now` as it is.
 *
 * @returns a function that returns the time in ms since the epoch.
 */
export function steadyClock (wall?: () => number, elapsed: () => number = () => performance.now()): () => number {
  let source = Date.now
  let shown = NaN
  let time = -Infinity
  let mark = 0
  return () => {
    const before = shown
    shown = wall === undefined ? Date.now() : wall()
    // Within the same millisecond, skip the other clock, which is much slower to read.
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
