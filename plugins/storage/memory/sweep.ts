import type { SessionRecord } from '../../store/record.js'
import type { MemoryRecords } from './records.js'
import type { MemoryTombstones } from './tombstones.js'

/** How many entries a sweep handles before it looks at the time again. */
const STRIDE = 64

/** The sweep of the memory store. A slice goes on where the last one stopped. */
export class MemorySweep {
  readonly #records: MemoryRecords
  readonly #tombstones: MemoryTombstones
  readonly #now: () => number
  #position: Iterator<[string, SessionRecord]> | null = null

  constructor (records: MemoryRecords, tombstones: MemoryTombstones, now: () => number) {
    this.#records = records
    this.#tombstones = tombstones
    this.#now = now
  }

  /** @see SessionStore.sweep */
  run (budgetMs: number, onExpired?: (key: string, user: string | null) => void): number {
    const until = performance.now() + budgetMs
    const isOver = (handled: number): boolean => handled % STRIDE === 0 && performance.now() >= until
    let dropped = 0
    for (let key = this.#records.popEvicted(); key !== undefined; key = this.#records.popEvicted()) {
      onExpired?.(key, null)
      if (isOver(++dropped)) return dropped
    }
    while (this.#tombstones.dropOld()) {
      if (isOver(++dropped)) return dropped
    }
    const now = this.#now()
    this.#position ??= this.#records.entries()
    for (let seen = 1; ; seen++) {
      const next = this.#position.next()
      if (next.done === true) {
        this.#position = null
        return dropped
      }
      const [key, record] = next.value
      if (record.expiresAt <= now) {
        this.#records.drop(key)
        onExpired?.(key, record.user)
        dropped++
      }
      if (isOver(seen)) return Math.max(dropped, 1)
    }
  }
}
