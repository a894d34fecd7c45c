import { syncBuiltinESMExports } from 'node:module'
import perfHooks, { type IntervalHistogram } from 'node:perf_hooks'
import type { Test } from 'tap'

const real = perfHooks.monitorEventLoopDelay
/** The mean delay of an event loop that is on time, in ns: a little more than the resolution of the guard. */
const CALM_NS = 11e6
let meanNs = CALM_NS

/** Replaces the function for every module that imports it. */
function use (monitorEventLoopDelay: typeof real): void {
  Object.assign(perfHooks, { monitorEventLoopDelay })
  syncBuiltinESMExports()
}

// A service in the process of a test shares its event loop. What the test does counts as load of the service, and on a busy machine
// the service would refuse the next request as overloaded.
use((options) => new Proxy(real(options), {
  get (delays, name) {
    if (name === 'mean') return meanNs
    const value: unknown = Reflect.get(delays, name, delays)
    return typeof value === 'function' ? value.bind(delays) : value
  }
}) satisfies IntervalHistogram)
const calm = perfHooks.monitorEventLoopDelay

/** Lets services measure the event loop as in production, for a test of what they do under load. */
export function realDelays (t: Test): void {
  use(real)
  t.teardown(() => { use(calm) })
}

/** Makes the event loop count as late, until the test ends. A service notices at its next sample. */
export function beLate (t: Test): void {
  meanNs = 10e9
  t.teardown(() => { meanNs = CALM_NS })
}
