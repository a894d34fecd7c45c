import { TOMBSTONE_MS } from '../../store/sessions.js'
import type { ByteBudget } from './byte-budget.js'

interface Tombstone {
  readonly until: number
  /** Where the session continues. */
  readonly nextKey: string | null
}

/** The heap that a tombstone takes, in bytes. Measured on Node 20. */
const TOMBSTONE_BYTES = 250

/** The keys of the memory store whose sessions have ended, in the order of their ends. */
export class MemoryTombstones {
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #budget: ByteBudget
  readonly #now: () => number

  constructor (budget: ByteBudget, now: () => number) {
    this.#budget = budget
    this.#now = now
  }

  has (key: string): boolean {
    return this.#tombstones.has(key)
  }

  /** Remembers a key. The first end counts, so the tombstones stay in the order of their times. */
  add (key: string, nextKey: string | null): void {
    if (this.#tombstones.has(key)) return
    this.#tombstones.set(key, { until: this.#now() + TOMBSTONE_MS, nextKey })
    this.#budget.take(TOMBSTONE_BYTES)
  }

  /** Returns the key under which an ended session continues, or null. */
  nextKeyOf (key: string): string | null {
    const tombstone = this.#tombstones.get(key)
    return tombstone !== undefined && tombstone.until > this.#now() ? tombstone.nextKey : null
  }

  /** Drops the oldest tombstone if its time is over. Returns whether it did. */
  dropOld (): boolean {
    const oldest = this.#tombstones.entries().next().value
    if (oldest === undefined || oldest[1].until > this.#now()) return false
    this.#tombstones.delete(oldest[0])
    this.#budget.take(-TOMBSTONE_BYTES)
    return true
  }

  clear (): void {
    this.#tombstones.clear()
  }
}
