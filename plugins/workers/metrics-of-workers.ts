import type { Worker } from 'node:cluster'
import type { MetricObject, Registry } from 'prom-client'
import { lazyPackage } from '../common/lazy-package.js'
import { requestFrom } from './ipc.js'

/** Prometheus waits 10 s for a scrape. A worker that does not answer in this time is overloaded and is not asked further. */
const WAIT_MS = 1_000

/** Loaded on first use: it loads slowly, and many services are never scraped. */
const client = lazyPackage<typeof import('prom-client')>('prom-client')

/** The metrics of one worker. */
type Snapshot = MetricObject[]

/**
 * Combines the metrics of all workers. A counter never decreases when a worker does not answer or has ended: Prometheus would
 * take that for a restart and count everything once more.
 */
export class MetricsOfWorkers {
  /** The last answer of each worker. */
  readonly #latest = new Map<Worker, Snapshot>()
  /** The counters of the workers that have ended, as of their last answer. */
  #ended: Snapshot = []

  /** Renders the metrics in the text format of Prometheus. */
  async text (workers: Iterable<Worker>): Promise<string> {
    await Promise.all(Array.from(workers, async (worker) => {
      const answer = await requestFrom(worker, 'metrics', WAIT_MS).catch(() => null)
      if (answer !== null && !worker.isDead()) this.#latest.set(worker, answer as Snapshot)
    }))
    return await combined([this.#ended, ...this.#latest.values()]).metrics()
  }

  /** Keeps the counters of a worker that has ended. */
  end (worker: Worker): void {
    const counters = (this.#latest.get(worker) ?? []).filter(({ type }) => CUMULATIVE.has(String(type)))
    this.#latest.delete(worker)
    if (counters.length > 0) this.#ended = combined([this.#ended, counters]).getMetricsAsArray()
  }
}

function combined (snapshots: Snapshot[]): Registry {
  return client().AggregatorRegistry.aggregate(snapshots)
}

const CUMULATIVE: ReadonlySet<string> = new Set(['counter', 'histogram'])
