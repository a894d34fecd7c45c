import { TOMBSTONE_MS } from '../../store/sessions.js'

/** How many removed keys are remembered at most. Over it the oldest is forgotten early. */
const MOST = 100_000

/** The keys that this process has removed, the oldest first. */
export class ExpressTombstones {
  readonly #tombstones = new Map<string, { until: number, nextKey: string | null }>()
  readonly #now: () => number

  constructor (now: () => number) {
    this.#now = now
  }

  has (key: string): boolean {
    return (this.#tombstones.get(key)?.until ?? 0) > this.#now()
  }

  /** Remembers a key. The first end counts, so the tombstones stay in the order of their times. */
  add (key: string, nextKey: string | null): void {
    if (this.has(key)) return
    this.#tombstones.delete(key)
    this.#tombstones.set(key, { until: this.#now() + TOMBSTONE_MS, nextKey })
    if (this.#tombstones.size > MOST) this.#tombstones.delete(this.#tombstones.keys().next().value as string)
  }

  /** Returns the key under which an ended session continues, or null. */
  nextKeyOf (key: string): string | null {
    return this.has(key) ? this.#tombstones.get(key)?.nextKey ?? null : null
  }

  /** Drops old tombstones. Returns how many. */
  dropOld (): number {
    const now = this.#now()
    let dropped = 0
    for (const [key, { until }] of this.#tombstones) {
      if (until > now) break
      this.#tombstones.delete(key)
      dropped++
    }
    return dropped
  }
}
