import type { Worker } from 'node:cluster'
import { AggregatorRegistry, type MetricObject } from 'prom-client'
import { ask } from './questions.js'

/** A scrape by Prometheus waits for 10 s, and a worker whose event loop is this late has trouble enough. */
const WAIT_MS = 1_000

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
    return await AggregatorRegistry.aggregate([this.#ended, ...this.#told.values()]).metrics()
  }

  end (worker: Worker): void {
    const counted = (this.#told.get(worker) ?? []).filter(({ type }) => COUNTED.has(String(type)))
    this.#told.delete(worker)
    this.#ended = AggregatorRegistry.aggregate([this.#ended, counted]).getMetricsAsArray()
  }
}

const COUNTED: ReadonlySet<string> = new Set(['counter', 'histogram'])
