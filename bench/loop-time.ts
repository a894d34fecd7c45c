import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'

// Preloaded into a service: tells its parent how long its main thread has computed so far, in ms.
process.on('message', () => { process.send?.(computed()) })
process.channel?.unref()

/** Returns how long the thread has had a processor. Only Linux tells; elsewhere the result includes what else the machine does. */
function computed (): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6
  } catch {
    return performance.eventLoopUtilization().active
  }
}
