import { strict as assert } from 'node:assert'
import type { Child } from './child.js'
import { Load, type Turns } from './load/load.js'
import type { RedisMeter } from './redis-meter.js'
import type { Asked } from './requests.js'
import { percentile } from './statistics.js'

/** One measurement of one contender. */
export interface Sample {
  requestsPerSecond: number
  /** CPU time of the server for one request, in µs: of its process and of those below it. */
  cpuMicros: number
  /** CPU time of Redis for one request, in µs; null without a Redis. */
  redisMicros: number | null
  /** The part of the time that the server computed; above 1 when several of its threads did. */
  busy: number
  p50Ms: number
  p99Ms: number
}

export interface Effort {
  ms: number
  /** What is sent before: the code of a contender that has waited for the others is cold. */
  lead?: { turns: Turns, ms: number }
  connections: number
  redis?: RedisMeter | undefined
}

/** Loads a contender from this process, over kept-alive connections that are open before the measurement begins. */
export async function measure (child: Child, asked: Asked, turns: Turns, { ms, lead, connections, redis }: Effort): Promise<Sample> {
  const load = await Load.open(child.port, connections)
  try {
    if (lead !== undefined) await load.run(asked, lead.turns, lead.ms)
    const redisBefore = await redis?.cpuMicros()
    const { cpuMicros: before } = await child.usage()
    const { elapsedMs, latenciesMs } = await load.run(asked, turns, ms)
    const cpu = (await child.usage()).cpuMicros - before
    const redisAfter = await redis?.cpuMicros()
    const requests = latenciesMs.length
    assert.ok(requests > 0, 'no request was answered')
    return {
      requestsPerSecond: requests / elapsedMs * 1_000,
      cpuMicros: cpu / requests,
      redisMicros: redisBefore === undefined || redisAfter === undefined ? null : (redisAfter - redisBefore) / requests,
      busy: cpu / 1_000 / elapsedMs,
      p50Ms: percentile(latenciesMs, 0.5),
      p99Ms: percentile(latenciesMs, 0.99)
    }
  } finally {
    load.close()
  }
}
