import type { Test } from 'tap'
import { turn } from '../helper.js'

interface HeldTimer {
  at: number
  fire: () => void
}

/** Time that passes only when the test says so. */
export interface HeldTime {
  /** Lets time pass, and the event loop turn after each timer that is due. */
  pass: (ms: number) => Promise<void>
  /** Lets time pass without the event loop, as while the process is busy. */
  busy: (ms: number) => void
}

/**
 * Stops `performance.now` and the timers of `setTimeout` until the test ends, so that a machine that is too busy for this process takes
 * no deadline from what a test awaits. Modules that import `setTimeout` keep real timers.
 */
export function holdTime (t: Test): HeldTime {
  const { setTimeout, clearTimeout } = globalThis
  const timers = new Map<unknown, HeldTimer>()
  // A whole number, so that sums are exact.
  let time = Math.ceil(performance.now())
  t.intercept(performance, 'now', { value: () => time })
  t.intercept(globalThis, 'setTimeout', {
    value (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) {
      const timer = setTimeout(() => {}, 2 ** 31 - 1)
      const fire = (): void => {
        clear(timer)
        callback(...args)
      }
      timers.set(timer, { at: time + ms, fire })
      return timer
    }
  })
  t.intercept(globalThis, 'clearTimeout', { value: clear })
  t.teardown(() => { for (const timer of timers.keys()) clear(timer) })
  return {
    async pass (ms) {
      // What has been answered by now has been answered before.
      await turn()
      const end = time + ms
      for (let next = due(end); next !== undefined; next = due(end)) {
        time = Math.max(time, next.at)
        next.fire()
        await turn()
      }
      time = end
      await turn()
    },
    busy (ms) { time += ms }
  }

  function clear (timer: unknown): void {
    timers.delete(timer)
    clearTimeout(timer as NodeJS.Timeout)
  }

  function due (end: number): HeldTimer | undefined {
    return [...timers.values()].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
  }
}
