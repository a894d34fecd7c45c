export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function percentilesOf (values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort()
  const at = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? NaN
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
