import { performance } from 'node:perf_hooks'
import { percentilesOf, type Percentiles } from './percentiles.js'

/** What calls to a store cost. */
export interface Cost {
  readonly calls: number
  /** How many more failed: on a busy machine, Redis may miss its deadline. */
  readonly failed: number
  readonly perSecond: number
  /** From the call to its answer, in µs. */
  readonly micros: Percentiles
  /** CPU time of the process for each call, in µs. */
  readonly cpuMicros: number
  /** How long each call keeps the event loop at work, in µs. The rest of its time, the loop is free for others. */
  readonly loopMicros: number
}

/** Makes a call for each item. With an answer that is not a promise, a call begins as soon as the last has ended. */
export async function costOf<T> (items: readonly T[], inFlight: number, call: (item: T) => unknown): Promise<Cost> {
  const took: number[] = []
  let failed = 0
  const rest = items.values()
  const loop = performance.eventLoopUtilization()
  const cpu = process.cpuUsage()
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (const item of rest) {
      const called = performance.now()
      try {
        const answer = call(item)
        if (answer instanceof Promise) await answer
        took.push(1_000 * (performance.now() - called))
      } catch {
        failed++
      }
    }
  }))
  const elapsedMs = performance.now() - begun
  const { user, system } = process.cpuUsage(cpu)
  const { active } = performance.eventLoopUtilization(loop)
  return {
    calls: took.length,
    failed,
    perSecond: took.length / elapsedMs * 1_000,
    micros: percentilesOf(took),
    cpuMicros: (user + system) / took.length,
    loopMicros: 1_000 * active / took.length
  }
}
