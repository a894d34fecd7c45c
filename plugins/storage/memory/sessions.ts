import { getHeapStatistics } from 'node:v8'
import { eachInSlices } from '../../common/slices.js'
import {
  byBeginning, continuationOf, excessOf, hasFields, splitByPrefix, successorLimit, successorOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type StoredSession, type UserLimit
} from '../../store/record.js'
import type { StoreOptions } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import { ByteBudget } from './byte-budget.js'
import { MemoryRecords } from './records.js'
import { MemorySweep } from './sweep.js'
import { MemoryTombstones } from './tombstones.js'

/** The options of the memory store. */
interface MemoryStoreOptions extends StoreOptions {
  /**
   * How many bytes of memory sessions and tombstones may take, by an estimate that is rather too high. Over it no session can
   * begin or grow until others end; for a user who logs in, the oldest anonymous sessions end.
   *
   * @default half of the heap that Node has (`--max-old-space-size`)
   */
  maxTotalBytes?: number
}

/** Keeps sessions in the memory of this process: for tests, and for a service whose logins may end with it. */
export class MemoryStore implements CompleteSessionStore {
  readonly sync = true
  readonly keepsLimit: boolean = true
  readonly #now: () => number
  readonly #budget: ByteBudget
  readonly #records: MemoryRecords
  readonly #tombstones: MemoryTombstones
  readonly #sweep: MemorySweep

  constructor ({ now, maxBytes, maxTotalBytes = getHeapStatistics().heap_size_limit / 2 }: MemoryStoreOptions) {
    this.#now = now
    this.#budget = new ByteBudget(maxTotalBytes)
    this.#records = new MemoryRecords(this.#budget, maxBytes)
    this.#tombstones = new MemoryTombstones(this.#budget, now)
    this.#sweep = new MemorySweep(this.#records, this.#tombstones, now)
  }

  read (key: string): SessionRecord | null {
    const record = this.#records.get(key)
    return record !== undefined && record.expiresAt > this.#now() ? record : null
  }

  create (key: string, record: SessionRecord, limit?: UserLimit): boolean {
    if (this.#isTaken(key)) return false
    this.#records.put(key, { ...record, fields: { ...record.fields } })
    this.#endOldest(record.user, key, limit)
    return true
  }

  patch (key: string, changes: SessionChanges): boolean {
    const record = this.read(key)
    if (record === null) return false
    this.#records.put(key, withChanges(record, changes))
    return true
  }

  take (key: string, prefix: string): SessionFields {
    const record = this.read(key)
    if (record === null) return {}
    const { taken, rest } = splitByPrefix(prefix, record.fields)
    if (Object.keys(taken).length > 0) this.#records.put(key, { ...record, fields: rest })
    return taken
  }

  touch (key: string, seenAt: number, expiresAt: number): boolean {
    const record = this.read(key)
    if (record === null) return false
    this.#records.putTouched(key, touched(record, seenAt, expiresAt))
    return true
  }

  remove (key: string, nextKey?: string): SessionRecord | null {
    const live = this.read(key)
    this.#records.drop(key)
    this.#tombstones.add(key, nextKey ?? null)
    return live
  }

  successor (key: string): string | null {
    return this.#tombstones.nextKeyOf(key)
  }

  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Replaced {
    const last = this.read(key)
    if (last === null) return { outcome: 'gone' }
    if (this.#isTaken(nextKey)) return { outcome: 'refused' }
    const next = successorOf(last, change)
    // First, since it throws if the successor is too large.
    if (hasFields(next)) this.#records.put(nextKey, next, key)
    this.remove(key, continuationOf(nextKey, next, change))
    this.#endOldest(next.user, nextKey, successorLimit(next, last, limit))
    return { outcome: 'replaced', last, next: hasFields(next) ? next : null }
  }

  ofUser (user: string): StoredSession[] {
    const sessions: StoredSession[] = []
    for (const key of this.#records.keysOf(user)) {
      const record = this.read(key)
      if (record !== null) sessions.push({ key, record })
    }
    return sessions.sort(byBeginning)
  }

  /** Visits the keys of the user in the order of creation, so it also ends the successor of a session that is replaced meanwhile. */
  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    let count = 0
    await eachInSlices(this.#records.keysOf(user), (key) => {
      if (key === exceptKey || this.read(key) === null) return
      this.remove(key)
      count++
      onEnded?.(key)
    })
    return count
  }

  count (): number {
    return this.#records.size
  }

  sweep (budgetMs: number, onExpired?: (key: string, user: string | null) => void): number {
    return this.#sweep.run(budgetMs, onExpired)
  }

  ping (): void {}

  close (): void {
    this.#records.clear()
    this.#tombstones.clear()
  }

  #isTaken (key: string): boolean {
    return this.#records.has(key) || this.#tombstones.has(key)
  }

  #endOldest (user: string | null, newKey: string, limit: UserLimit | undefined): void {
    if (user === null || limit === undefined) return
    // The index also counts expired sessions, so it seldom has to be read.
    if (this.#records.keysOf(user).size <= limit.perUser) return
    for (const { key } of excessOf(this.ofUser(user), newKey, limit)) {
      this.remove(key)
      limit.onEnded?.(key)
    }
  }
}
