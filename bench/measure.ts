import { strict as assert } from 'node:assert'
import autocannon from 'autocannon'
import type { Child } from './child.js'

const CONNECTIONS = 10
/** How exactly a measurement ends, in ms. */
const TICK_MS = 50

/** One measurement of one contender in one state. */
export interface Sample {
  requestsPerSecond: number
  /** CPU time of the server for one request, in µs. */
  cpuMicros: number
  /** The part of the time that the server computed; above 1 when several of its threads did. */
  busy: number
}

/**
 * Loads a contender from this process, over kept-alive connections.
 *
 * This process stays awake all the while. One that sleeps until the next answer has to be woken by the server, which costs
 * the server more than the session does, and the more the slower it is: that would be measured instead.
 *
 * @throws if a single request fails.
 */
export async function measure (child: Child, headers: Record<string, string>, seconds: number, path = ''): Promise<Sample> {
  const { cpuMicros: cpuBefore } = await child.usage()
  const before = performance.now()
  let measuring = true
  const stayAwake = (): void => { if (measuring) setImmediate(stayAwake) }
  stayAwake()
  const { requests, non2xx, errors, timeouts } = await autocannon({
    url: child.url + path, headers, connections: CONNECTIONS, duration: seconds, sampleInt: TICK_MS
  })
  measuring = false
  const elapsed = performance.now() - before
  const cpu = (await child.usage()).cpuMicros - cpuBefore
  assert.deepEqual({ non2xx, errors, timeouts }, { non2xx: 0, errors: 0, timeouts: 0 }, `${child.name}: requests failed`)
  assert.ok(requests.total > 0, `${child.name}: no request was answered`)
  return {
    requestsPerSecond: requests.total / elapsed * 1000,
    cpuMicros: cpu / requests.total,
    busy: cpu / 1000 / elapsed
  }
}
