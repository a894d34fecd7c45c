import { nextBarrier, type Barrier, type Revocation, type RevocationStore } from '../../store/revocations.js'
import { Round } from './round.js'

/** Remembers in the memory of this process which sessions have ended. */
export class MemoryRevocations implements RevocationStore {
  readonly sync = true
  readonly #ended = new Map<string, { until: number, nextKey: string | null }>()
  readonly #barriers = new Map<string, { until: number, barrier: Barrier }>()
  readonly #round = new Round(() => this.#entries())

  lookUp (key: string, user: string | null): Revocation {
    return { hasEnded: this.#ended.has(key), barrier: user === null ? null : this.#barriers.get(user)?.barrier ?? null }
  }

  end (key: string, until: number, nextKey?: string): boolean {
    if (this.#ended.has(key)) return false
    this.#ended.set(key, { until, nextKey: nextKey ?? null })
    return true
  }

  successor (key: string): string | null {
    return this.#ended.get(key)?.nextKey ?? null
  }

  endAll (user: string, now: number, until: number, exceptKey?: string): void {
    this.#barriers.set(user, { until, barrier: nextBarrier(this.#barriers.get(user)?.barrier ?? null, now, exceptKey) })
  }

  sweep (now: number, budgetMs: number): number {
    let dropped = 0
    const isLast = this.#round.run(performance.now() + budgetMs, ([entries, name, until]) => {
      if (until <= now && entries.delete(name)) dropped++
    })
    return isLast ? dropped : Math.max(dropped, 1)
  }

  * #entries (): Generator<[entries: Map<string, unknown>, name: string, until: number]> {
    for (const entries of [this.#ended, this.#barriers]) {
      for (const [name, { until }] of entries) yield [entries, name, until]
    }
  }
}
