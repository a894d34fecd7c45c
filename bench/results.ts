import type { Sample } from './measure.js'
import { parts, type MicrosByPart } from './profile/parts.js'
import { rows, type Row } from './rows.js'
import { mean, median, spread } from './statistics.js'

/** A measurement, and what the reference needed for a request at about the same time. */
export interface Measured extends Sample {
  /** The contender. */
  name: string
  referenceMicros: number
}

/** What was measured in one round, by row. */
export type Round = Record<string, Measured[]>

/** The medians of all rounds. A ratio is that to the reference; higher is better. */
export interface Result extends Sample {
  ratio: number
  lowestRatio: number
  highestRatio: number
  /** The {@link spread} of the ratios. */
  ratioSpread: number
}

export interface Results {
  /** What ran, and on what. */
  environment: Record<string, string>
  rounds: number
  contenders: string[]
  rows: Record<string, Record<string, Result>>
}

export function resultsOf (rounds: readonly Round[], contenders: string[], environment: Record<string, string>): Results {
  return {
    environment,
    rounds: rounds.length,
    contenders,
    rows: Object.fromEntries(rows.flatMap((row) => {
      const found = contenders.flatMap((name) => {
        const result = resultOf(rounds, row, name)
        return result === null ? [] : [[name, result] as const]
      })
      return found.length === 0 ? [] : [[row.name, Object.fromEntries(found)]]
    }))
  }
}

function resultOf (rounds: readonly Round[], row: Row, name: string): Result | null {
  const samples = rounds.flatMap((round) => round[row.name] ?? []).filter((measured) => measured.name === name)
  if (samples.length === 0) return null
  const of = (key: Exclude<keyof Sample, 'microsByPart'>): number => median(samples.flatMap((sample) => sample[key] ?? []))
  const ratios = samples.map(({ cpuMicros, referenceMicros }) => referenceMicros / cpuMicros)
  return {
    requestsPerSecond: of('requestsPerSecond'),
    cpuMicros: of('cpuMicros'),
    redisMicros: samples[0]?.redisMicros === null ? null : of('redisMicros'),
    microsByPart: partsOf(samples.flatMap(({ microsByPart }) => microsByPart ?? [])),
    busy: of('busy'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    ratio: median(ratios),
    lowestRatio: Math.min(...ratios),
    highestRatio: Math.max(...ratios),
    ratioSpread: spread(ratios)
  }
}

/**
 * Means of the profiles of the middle half by their sum: each profile has few samples of the small parts, and other work of the
 * machine during one of them must not show in every part.
 */
function partsOf (profiles: readonly MicrosByPart[]): MicrosByPart | null {
  if (profiles.length === 0) return null
  const sorted = profiles.toSorted((one, other) => sumOf(one) - sumOf(other))
  const cut = Math.floor(profiles.length / 4)
  const middle = sorted.slice(cut, profiles.length - cut)
  return Object.fromEntries(parts.map((part) => [part, mean(middle.map((profile) => profile[part]))])) as MicrosByPart
}

function sumOf (profile: MicrosByPart): number {
  return parts.reduce((sum, part) => sum + profile[part], 0)
}
