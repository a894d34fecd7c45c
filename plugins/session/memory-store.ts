import { createUnavailable } from '../common/unavailable.js'
import { SessionTooLargeError } from './errors.js'
import {
  TOMBSTONE_MS, continuationOf, excessOf, fieldsWith, hasFields, sizeOf, successorLimit, successorOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type SessionStore,
  type StoreOptions, type StoredSession, type UserLimit
} from './store.js'

export const StoreFullError = createUnavailable<[number]>('HATCHECK_STORE_FULL',
  'The memory store holds %d sessions, as many as it may.')

export interface MemoryStoreOptions extends StoreOptions {
  /**
   * Records held at most; over it no session can begin until one ends.
   *
   * @default 1_000_000
   */
  maxSessions?: number
}

interface Tombstone {
  until: number
  /** Where the session continues. */
  nextKey: string | null
}

/** How many records a sweep handles before it looks at the time again. */
const SWEEP_STRIDE = 64

/** Sessions in the memory of this process: for tests, and for a service whose logins may end with it. */
export class MemoryStore implements SessionStore {
  readonly sync = true
  readonly #records = new Map<string, SessionRecord>()
  readonly #keysOfUser = new Map<string, Set<string>>()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #options: Required<MemoryStoreOptions>
  /** Where the last slice of a sweep stopped. */
  #sweeping: Iterator<[string, SessionRecord]> | null = null

  constructor (options: MemoryStoreOptions) {
    this.#options = { maxSessions: 1_000_000, ...options }
  }

  read (key: string): SessionRecord | null {
    const record = this.#records.get(key)
    return record !== undefined && record.expiresAt > this.#options.now() ? record : null
  }

  create (key: string, record: SessionRecord, limit?: UserLimit): boolean {
    const { maxSessions } = this.#options
    if (this.#isTaken(key)) return false
    if (this.#records.size >= maxSessions) throw new StoreFullError(maxSessions)
    this.#put(key, { ...record, fields: { ...record.fields } })
    this.#endOldest(record.user, key, limit)
    return true
  }

  patch (key: string, changes: SessionChanges): boolean {
    const record = this.read(key)
    if (record === null) return false
    this.#put(key, withChanges(record, changes))
    return true
  }

  take (key: string, prefix: string): SessionFields {
    const record = this.read(key)
    const taken = fieldsWith(prefix, record?.fields ?? {})
    if (record !== null) this.#put(key, { ...record, fields: Object.fromEntries(Object.entries(record.fields).filter(([name]) => !Object.hasOwn(taken, name))) })
    return taken
  }

  touch (key: string, seenAt: number, expiresAt: number): boolean {
    const record = this.read(key)
    if (record === null) return false
    this.#put(key, touched(record, seenAt, expiresAt))
    return true
  }

  remove (key: string, nextKey?: string): SessionRecord | null {
    const live = this.read(key)
    this.#drop(key)
    // The first end counts, so that the tombstones stay in the order of their times.
    if (!this.#tombstones.has(key)) this.#tombstones.set(key, { until: this.#options.now() + TOMBSTONE_MS, nextKey: nextKey ?? null })
    return live
  }

  successor (key: string): string | null {
    const tombstone = this.#tombstones.get(key)
    return tombstone !== undefined && tombstone.until > this.#options.now() ? tombstone.nextKey : null
  }

  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Replaced {
    const last = this.read(key)
    if (last === null) return { outcome: 'gone' }
    if (this.#isTaken(nextKey)) return { outcome: 'refused' }
    const next = successorOf(last, change)
    // First, since it throws if the successor is too large.
    if (hasFields(next)) this.#put(nextKey, next)
    this.remove(key, continuationOf(nextKey, next, change))
    this.#endOldest(next.user, nextKey, successorLimit(next, last, limit))
    return { outcome: 'replaced', last, next: hasFields(next) ? next : null }
  }

  ofUser (user: string): StoredSession[] {
    const sessions: StoredSession[] = []
    for (const key of this.#keysOfUser.get(user) ?? []) {
      const record = this.read(key)
      if (record !== null) sessions.push({ key, record })
    }
    return sessions.sort((a, b) => a.record.createdAt - b.record.createdAt)
  }

  removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): number {
    const ended = this.ofUser(user).filter(({ key }) => key !== exceptKey)
    for (const { key } of ended) {
      this.remove(key)
      onEnded?.(key)
    }
    return ended.length
  }

  count (): number {
    return this.#records.size
  }

  sweep (budgetMs: number, onExpired?: (key: string, user: string | null) => void): number {
    const until = performance.now() + budgetMs
    const now = this.#options.now()
    this.#sweeping ??= this.#records.entries()
    let dropped = 0
    for (const [key, { until: deadUntil }] of this.#tombstones) {
      if (deadUntil > now) break
      this.#tombstones.delete(key)
      dropped++
      if (dropped % SWEEP_STRIDE === 0 && performance.now() >= until) return dropped
    }
    for (let seen = 1; ; seen++) {
      const next = this.#sweeping.next()
      if (next.done === true) {
        this.#sweeping = null
        return dropped
      }
      const [key, record] = next.value
      if (record.expiresAt <= now) {
        this.#drop(key)
        onExpired?.(key, record.user)
        dropped++
      }
      if (seen % SWEEP_STRIDE === 0 && performance.now() >= until) return Math.max(dropped, 1)
    }
  }

  ping (): void {}

  close (): void {
    this.#records.clear()
    this.#keysOfUser.clear()
    this.#tombstones.clear()
  }

  #isTaken (key: string): boolean {
    return this.#records.has(key) || this.#tombstones.has(key)
  }

  #put (key: string, record: SessionRecord): void {
    const { maxBytes } = this.#options
    const size = sizeOf(record.fields)
    if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
    const before = this.#records.get(key)
    if (before !== undefined && before.user !== record.user) this.#unindex(key, before)
    this.#records.set(key, record)
    if (record.user === null) return
    const keys = this.#keysOfUser.get(record.user)
    if (keys === undefined) this.#keysOfUser.set(record.user, new Set([key]))
    else keys.add(key)
  }

  #endOldest (user: string | null, newKey: string, limit: UserLimit | undefined): void {
    if (user === null || limit === undefined) return
    // With those that have expired there are this many: mostly none has to be looked at.
    if ((this.#keysOfUser.get(user)?.size ?? 0) <= limit.perUser) return
    for (const { key } of excessOf(this.ofUser(user), newKey, limit)) {
      this.remove(key)
      limit.onEnded?.(key)
    }
  }

  #drop (key: string): void {
    const record = this.#records.get(key)
    if (record === undefined) return
    this.#records.delete(key)
    this.#unindex(key, record)
  }

  #unindex (key: string, { user }: SessionRecord): void {
    if (user === null) return
    const keys = this.#keysOfUser.get(user)
    keys?.delete(key)
    if (keys?.size === 0) this.#keysOfUser.delete(user)
  }
}
