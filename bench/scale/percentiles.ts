import { percentile } from '../statistics.js'

export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function percentilesOf (values: readonly number[]): Percentiles {
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99), max: percentile(values, 1) }
}
