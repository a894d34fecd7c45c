import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

/** What the event loop did during an operation. Times are in ms. */
export interface LoopDelay {
  /** How late a timer of 1 ms was. */
  readonly p99Ms: number
  readonly maxMs: number
  /** The longest turn of a loop that never waits. */
  readonly blockMs: number
  /** The same by the time of a processor: what else the machine does is not in it. */
  readonly blockCpuMs: number
}

const RESOLUTION_MS = 1

/** Watches the event loop until the returned function is called. The process computes all the while. */
export function watchLoop (): () => LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  let isWatching = true
  let blockMs = 0
  let blockCpuMs = 0
  let last = performance.now()
  let lastCpu = cpuMs()

  function turn (): void {
    if (!isWatching) return
    const now = performance.now()
    const cpu = cpuMs()
    blockMs = Math.max(blockMs, now - last)
    // Other threads of the process are in it too.
    blockCpuMs = Math.max(blockCpuMs, Math.min(now - last, cpu - lastCpu))
    last = now
    lastCpu = cpu
    setImmediate(turn)
  }

  histogram.enable()
  setImmediate(turn)
  return () => {
    turn()
    isWatching = false
    histogram.disable()
    return { p99Ms: late(histogram.percentile(99)), maxMs: late(histogram.max), blockMs, blockCpuMs }
  }
}

/** @param interval between two calls of the timer, in ns */
function late (interval: number): number {
  return Math.max(0, interval / 1e6 - RESOLUTION_MS)
}

function cpuMs (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
