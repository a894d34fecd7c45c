import { setImmediate } from 'node:timers/promises'
import type { MaybePromise } from './maybe-promise.js'
import { repeat } from './repeat.js'

const SWEEP_EVERY_MS = 60_000

/**
 * Sweeps in the background once a minute, and lets the event loop turn between slices.
 *
 * @param sweepSlice answers whether more is left to sweep
 * @param fail gets the error of a sweep, unless that has been ended: its store may be closed by then
 * @returns a function that ends it after the slice under way.
 */
export function startSweeping (sweepSlice: () => MaybePromise<boolean>, fail: (error: unknown) => void): () => void {
  const stopping = new AbortController()
  const stopRepeating = repeat(SWEEP_EVERY_MS, async () => {
    try {
      while (!stopping.signal.aborted && await sweepSlice()) await setImmediate()
    } catch (error) {
      if (!stopping.signal.aborted) fail(error)
    }
  })
  return () => {
    stopping.abort()
    stopRepeating()
  }
}
