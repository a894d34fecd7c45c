/** A metric with all its series, as a registry of prom-client takes it: read when it is asked for. */
export interface Family {
  /** After the conventions of Prometheus: the unit, and `_total` for a counter. Source: https://prometheus.io/docs/practices/naming/ */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What several processes make of it together. */
  readonly aggregator: 'sum' | 'max'
  values (): Sample[]
}

export interface Sample {
  readonly value: number
  /** Each from a fixed set: every combination is a series that Prometheus keeps. */
  readonly labels: Readonly<Record<string, string | number>>
  /** Where it is not that of the family, as in a histogram. */
  readonly metricName?: string
}

export function counter (name: string, help: string, values: () => Sample[]): Family {
  return { name, help, type: 'counter', aggregator: 'sum', values }
}

/** One series for each key of a record. */
export function samplesBy (label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({ labels: { [label]: key }, value }))
}
