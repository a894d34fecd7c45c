import { setImmediate } from 'node:timers/promises'

/** How long one slice of a long task may hold the event loop, in ms. */
export const SLICE_MS = 3

/**
 * Visits every item, and lets the event loop turn between slices of 3 ms.
 *
 * @param beforeNext called before every slice but the first.
 */
export async function eachInSlices<T> (items: readonly T[], visit: (item: T) => void, beforeNext?: () => void): Promise<void> {
  let until = performance.now() + SLICE_MS
  for (const item of items) {
    if (performance.now() >= until) {
      await setImmediate()
      beforeNext?.()
      until = performance.now() + SLICE_MS
    }
    visit(item)
  }
}
