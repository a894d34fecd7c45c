import { SLICE_MS } from '../../common/slices.js'
import { counted, uncounted, waitOf, type Counter, type Policy } from '../../store/attempt-policy.js'
import type { AttemptStore } from '../../store/attempts.js'
import { Round } from './round.js'

/** How many counters there are at most. A failed login changes up to seven. In a long flood the oldest are dropped, and networks are no longer known. */
const MOST_COUNTERS = 100_000

/** Counts failed logins in the memory of this process. */
export class MemoryAttempts implements AttemptStore {
  /** In the order of their last change. */
  readonly #counters = new Map<string, Counter>()
  readonly #round = new Round(() => this.#counters.entries())
  readonly #most: number

  /** @param most how many counters there are at most */
  constructor (most = MOST_COUNTERS) {
    this.#most = most
  }

  waitOf (key: string, policy: Policy, now: number): number {
    return waitOf(this.#counters.get(key) ?? null, policy, now)
  }

  admit (key: string, policy: Policy, now: number): number {
    const wait = this.waitOf(key, policy, now)
    if (wait === 0) this.count(key, policy, now)
    return wait
  }

  count (key: string, policy: Policy, now: number): void {
    const counter = counted(this.#counters.get(key) ?? null, policy, now)
    this.#counters.delete(key)
    this.#counters.set(key, counter)
    for (const oldest of this.#counters.keys()) {
      if (this.#counters.size <= this.#most) break
      this.#counters.delete(oldest)
    }
  }

  uncount (key: string, policy: Policy): void {
    const counter = this.#counters.get(key)
    if (counter !== undefined) this.#counters.set(key, uncounted(counter, policy))
  }

  forget (key: string): void {
    this.#counters.delete(key)
  }

  sweep (now: number): boolean {
    return !this.#round.run(performance.now() + SLICE_MS, ([key, { expiresAt }]) => {
      if (expiresAt <= now) this.#counters.delete(key)
    })
  }
}
