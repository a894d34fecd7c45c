import type { Family, Sample } from './family.js'

/**
 * The upper bounds of the buckets, in seconds. A read from LMDB takes a few µs, a page less than a millisecond, a login about
 * 20 ms. A call of Redis times out after 0.25 s, a write to LMDB after 5 s.
 */
const BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Counts durations by bucket. `observe` allocates no object: every request calls it. */
export class Durations {
  readonly #counts = Array<number>(BOUNDS.length + 1).fill(0)
  #sum = 0

  get isEmpty (): boolean {
    return this.#counts.every((count) => count === 0)
  }

  observe (ms: number): void {
    const seconds = ms / 1_000
    let bucket = 0
    while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] as number)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#sum += seconds
  }

  samples (name: string, labels: Sample['labels']): Sample[] {
    let count = 0
    const buckets = this.#counts.map((inBucket, bucket) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { le: BOUNDS[bucket] ?? '+Inf', ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count }
    ]
  }
}

/** @param byLabel the observed durations of each value of the label */
export function histogram (name: string, help: string, label: string, byLabel: () => Iterable<[string, Durations]>): Family {
  return {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    values: () => [...byLabel()].flatMap(([value, durations]) => durations.samples(name, { [label]: value }))
  }
}
