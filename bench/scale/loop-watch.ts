import { openSync, readSync } from 'node:fs'
import { monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks'

/** What the event loop did during an operation. Times are in ms. */
export interface LoopDelay {
  /** How late a timer of 1 ms was. */
  readonly p99Ms: number
  readonly maxMs: number
  /** The longest turn of a loop that never waits. */
  readonly blockMs: number
  /** The longest turn without the time in which its thread was ready, but had no processor. */
  readonly blockReadyMs: number
  /** The longest turn by the CPU time of its thread. */
  readonly blockCpuMs: number
  /** The longest garbage collection. The thread waits in it for helpers, which need a processor as well. */
  readonly gcMs: number
}

/** What the main thread has had so far, in ms. */
interface ThreadTimes {
  readonly cpuMs: number
  /** How long it was ready, but had no processor. */
  readonly waitedMs: number
}

const RESOLUTION_MS = 1

/** Watches the event loop until the returned function is called. The process computes all the while. */
export function watchLoop (): () => LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  let gcMs = 0
  const note = (entries: readonly PerformanceEntry[]): void => { for (const { duration } of entries) gcMs = Math.max(gcMs, duration) }
  const observer = new PerformanceObserver((list) => { note(list.getEntries()) })
  let isWatching = true
  let [blockMs, blockReadyMs, blockCpuMs] = [0, 0, 0]
  let last = performance.now()
  let had = threadTimes()

  function turn (): void {
    if (!isWatching) return
    const now = performance.now()
    const has = threadTimes()
    blockMs = Math.max(blockMs, now - last)
    blockReadyMs = Math.max(blockReadyMs, now - last - (has.waitedMs - had.waitedMs))
    blockCpuMs = Math.max(blockCpuMs, has.cpuMs - had.cpuMs)
    last = now
    had = has
    setImmediate(turn)
  }

  histogram.enable()
  observer.observe({ entryTypes: ['gc'] })
  setImmediate(turn)
  return () => {
    turn()
    isWatching = false
    histogram.disable()
    note(observer.takeRecords())
    observer.disconnect()
    return { p99Ms: late(histogram.percentile(99)), maxMs: late(histogram.max), blockMs, blockReadyMs, blockCpuMs, gcMs }
  }
}

/** @param interval between two calls of the timer, in ns */
function late (interval: number): number {
  return Math.max(0, interval / 1e6 - RESOLUTION_MS)
}

const schedstat = openedSchedstat()
const text = Buffer.alloc(128)

/** Linux tells it of each thread, to the nanosecond. Elsewhere it is the CPU time of all threads, and no waiting. */
function threadTimes (): ThreadTimes {
  // Before the file, which is only as new as the last change of threads: this call brings it up to date.
  const { user, system } = process.cpuUsage()
  if (schedstat === null) return { cpuMs: (user + system) / 1_000, waitedMs: 0 }
  const [cpu, waited] = text.toString('latin1', 0, readSync(schedstat, text, 0, text.length, 0)).split(' ').map(Number)
  return { cpuMs: (cpu ?? 0) / 1e6, waitedMs: (waited ?? 0) / 1e6 }
}

function openedSchedstat (): number | null {
  try {
    return openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  } catch {
    return null
  }
}
