import type { Worker } from 'node:cluster'
import type { MetricObject, Registry } from 'prom-client'
import { lazyPackage } from '../common/lazy-package.js'
import { ask } from './questions.js'

/** A scrape by Prometheus waits for 10 s, and a worker whose event loop is this late has trouble enough. */
const WAIT_MS = 1_000

/** It takes a while to load, and many never ask for it. */
const client = lazyPackage<typeof import('prom-client')>('prom-client')

/** What a worker tells of itself. */
type Told = MetricObject[]

/**
 * The metrics of all workers together. No counter goes back when a worker does not answer, or has ended: Prometheus would
 * take all that the others have counted for new.
 */
export class MetricsOfWorkers {
  /** What each has told last. */
  readonly #told = new Map<Worker, Told>()
  /** What those that have ended had counted, as far as they have told it. */
  #ended: Told = []

  /** In the text format of Prometheus. */
  async text (workers: Iterable<Worker>): Promise<string> {
    await Promise.all(Array.from(workers, async (worker) => {
      const told = await ask(worker, 'metrics', WAIT_MS).catch(() => null)
      if (told !== null && !worker.isDead()) this.#told.set(worker, told as Told)
    }))
    return await together([this.#ended, ...this.#told.values()]).metrics()
  }

  end (worker: Worker): void {
    const counted = (this.#told.get(worker) ?? []).filter(({ type }) => COUNTED.has(String(type)))
    this.#told.delete(worker)
    if (counted.length > 0) this.#ended = together([this.#ended, counted]).getMetricsAsArray()
  }
}

function together (told: Told[]): Registry {
  return client().AggregatorRegistry.aggregate(told)
}

const COUNTED: ReadonlySet<string> = new Set(['counter', 'histogram'])
