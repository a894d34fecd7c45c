import type { SessionStore } from '../session/store.js'
import type { Family } from './family.js'

/** A store spends at most this part of its time on being counted: Redis has to look at every key for it. */
const PART = 1 / 100

/**
 * How many sessions there are, counted when somebody asks, but by a store that takes a while not sooner than that is due
 * again. Nobody waits for a count that is under way, and after one that has failed nothing is known.
 */
export class LiveSessions {
  readonly #store: SessionStore
  #known: number | undefined
  #dueAt = 0

  constructor (store: SessionStore) {
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
    const begun = performance.now()
    const end = (count?: number): void => {
      this.#known = count
      const ended = performance.now()
      this.#dueAt = ended + (ended - begun) / PART
    }
    this.#dueAt = Infinity
    try {
      const count = this.#store.count()
      if (typeof count === 'number') end(count)
      else count.then(end, () => { end() })
    } catch {
      end()
    }
  }
}
