import { strict as assert } from 'node:assert'
import type { Profiler } from 'node:inspector'
import type { Child } from './child.js'
import { Load, type Turns } from './load/load.js'
import { microsByPart, type MicrosByPart } from './profile/parts.js'
import type { RedisMeter } from './redis-meter.js'
import type { RequestTemplate } from './requests.js'
import { percentile } from './statistics.js'

/** One measurement of one contender. */
export interface Sample {
  requestsPerSecond: number
  /** CPU time of the server for one request, in µs: of its process and of those below it. */
  cpuMicros: number
  /** CPU time of Redis for one request, in µs; null without a Redis. */
  redisMicros: number | null
  /** What the CPU time of its main thread goes to; null without a profile. */
  microsByPart: MicrosByPart | null
  /** CPU time as a part of the elapsed time; above 1 if several threads of the server computed at once. */
  busy: number
  p50Ms: number
  p99Ms: number
}

interface MeasureOptions {
  ms: number
  /** The requests that are sent before, uncounted: the code of a contender that has waited for the others is cold. */
  lead?: { turns: Turns, ms: number }
  connections: number
  redis?: RedisMeter | undefined
  /** Takes the CPU profile of the measurement, which costs time itself. */
  onProfile?: ((profile: Profiler.Profile) => void) | undefined
}

/** Loads a contender from this process, over kept-alive connections that are open before the measurement begins. */
export async function measure (child: Child, template: RequestTemplate, turns: Turns, { ms, lead, connections, redis, onProfile }: MeasureOptions): Promise<Sample> {
  const load = await Load.open(child.port, connections)
  try {
    if (lead !== undefined) await load.run(template, lead.turns, lead.ms)
    const isProfiled = onProfile !== undefined && child.isProfilable
    if (isProfiled) await child.startProfile()
    const redisBefore = await redis?.cpuMicros()
    const { cpuMicros: before } = await child.usage()
    const { elapsedMs, latenciesMs } = await load.run(template, turns, ms)
    const cpu = (await child.usage()).cpuMicros - before
    const redisAfter = await redis?.cpuMicros()
    const profile = isProfiled ? await child.endProfile() : null
    const requests = latenciesMs.length
    assert.ok(requests > 0, 'no request was answered')
    if (profile !== null) onProfile?.(profile)
    return {
      requestsPerSecond: requests / elapsedMs * 1_000,
      cpuMicros: cpu / requests,
      redisMicros: redisBefore === undefined || redisAfter === undefined ? null : (redisAfter - redisBefore) / requests,
      microsByPart: profile === null ? null : microsByPart(profile, requests),
      busy: cpu / 1_000 / elapsedMs,
      p50Ms: percentile(latenciesMs, 0.5),
      p99Ms: percentile(latenciesMs, 0.99)
    }
  } finally {
    load.close()
  }
}
