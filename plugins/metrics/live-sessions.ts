import type { CompleteSessionStore } from '../store/traits.js'
import type { Family } from './family.js'

/** A store that takes a while spends at most this part of its time on being counted: Redis has to look at every key for it. */
const PART = 1 / 100

/**
 * How many sessions there are. Memory and LMDB know, and answer at once. Of another store it is what it said when it was last
 * asked: nobody waits for an answer that is under way. After a failure nothing is known.
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
      help: 'Sessions in the store, with those that have expired and are not dropped yet. Missing while the store cannot tell.',
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
