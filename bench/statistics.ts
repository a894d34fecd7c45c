/** Returns a percentile, between two values as far as it lies between them. */
export function percentile (values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort()
  const place = (sorted.length - 1) * part
  const [below, above] = [sorted[Math.floor(place)] ?? NaN, sorted[Math.ceil(place)] ?? NaN]
  return below + (above - below) * (place % 1)
}

export function mean (values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export function median (values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** The interquartile range as a part of the median: an outlier does not widen it. */
export function spread (values: readonly number[]): number {
  return (percentile(values, 0.75) - percentile(values, 0.25)) / median(values)
}
