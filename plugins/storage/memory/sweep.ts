import type { SessionRecord } from '../../store/record.js'
import type { MemoryRecords } from './records.js'
import { Round, STRIDE } from './round.js'
import type { MemoryTombstones } from './tombstones.js'

/** The sweep of the memory store. A slice goes on where the last one stopped. */
export class MemorySweep {
  readonly #records: MemoryRecords
  readonly #tombstones: MemoryTombstones
  readonly #now: () => number
  readonly #round: Round<[string, SessionRecord]>

  constructor (records: MemoryRecords, tombstones: MemoryTombstones, now: () => number) {
    this.#records = records
    this.#tombstones = tombstones
    this.#now = now
    this.#round = new Round(() => records.entries())
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
    const isLast = this.#round.run(until, ([key, record]) => {
      if (record.expiresAt > now) return
      this.#records.drop(key)
      onExpired?.(key, record.user)
      dropped++
    })
    return isLast ? dropped : Math.max(dropped, 1)
  }
}
