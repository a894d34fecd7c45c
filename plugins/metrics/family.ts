/** A metric with all its series, in the form that a registry of prom-client takes. Its values are read at each scrape. */
export interface Family {
  /** Follows the conventions of Prometheus: ends in the unit, or in `_total` for a counter. Source: https://prometheus.io/docs/practices/naming/ */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** How the values of several processes are combined. */
  readonly aggregator: 'sum' | 'max'
  values (): Sample[]
}

export interface Sample {
  readonly value: number
  /** Each value comes from a fixed set: Prometheus keeps one series for each combination. */
  readonly labels: Readonly<Record<string, string | number>>
  /** Set where it differs from the name of the family, as in a histogram. */
  readonly metricName?: string
}

export function counter (name: string, help: string, values: () => Sample[]): Family {
  return { name, help, type: 'counter', aggregator: 'sum', values }
}

/** Makes one series for each key of a record. */
export function samplesBy (label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({ labels: { [label]: key }, value }))
}
