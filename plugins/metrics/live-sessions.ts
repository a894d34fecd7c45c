import type { CompleteSessionStore } from '../store/traits.js'
import type { Family } from './family.js'

/** The largest part of its time that a slow store spends on counting: Redis has to visit every key. */
const PART = 1 / 100

/**
 * The number of sessions in the store. Memory and LMDB answer at once. For another store the value is that of the last finished
 * count: a scrape never waits. After a failure the value is missing.
 */
export class LiveSessions {
  readonly #store: CompleteSessionStore
  #known: number | undefined
  #dueAt = 0

  constructor (store: CompleteSessionStore) {
    this.#store = store
  }

  families (): Family[] {
    return [{
      name: 'hatcheck_sessions_live',
      help: 'Sessions in the store, including expired ones that are not yet removed. Missing while the store cannot answer.',
      type: 'gauge',
      // Several processes share a store.
      aggregator: 'max',
      values: () => {
        if (performance.now() >= this.#dueAt) this.#count()
        return this.#known === undefined ? [] : [{ labels: {}, value: this.#known }]
      }
    }]
  }

  #count (): void {
    try {
      const count = this.#store.count()
      if (typeof count === 'number') this.#known = count
      else this.#await(count)
    } catch {
      this.#known = undefined
    }
  }

  #await (counting: Promise<number>): void {
    const begun = performance.now()
    this.#dueAt = Infinity
    const end = (count?: number): void => {
      const ended = performance.now()
      this.#known = count
      this.#dueAt = ended + (ended - begun) / PART
    }
    counting.then(end, () => { end() })
  }
}
