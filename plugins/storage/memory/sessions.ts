import { getHeapStatistics } from 'node:v8'
import { eachInSlices } from '../../common/slices.js'
import { createUnavailable } from '../../common/http-errors.js'
import { SessionTooLargeError } from '../../store/errors.js'
import {
  TOMBSTONE_MS, continuationOf, excessOf, fieldsWith, hasFields, sizeOf, successorLimit, successorOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type SessionStore,
  type StoreOptions, type StoredSession, type UserLimit
} from '../../store/sessions.js'

export const StoreFullError = createUnavailable<[number]>('HATCHECK_STORE_FULL',
  'The memory store holds %d MiB, as much as it may.')

export interface MemoryStoreOptions extends StoreOptions {
  /**
   * Bytes of memory that sessions and tombstones may take, by an estimate that is rather too high. Over it no session can
   * begin or grow until others end; for a user who logs in, the oldest anonymous sessions end.
   *
   * @default half of the heap that Node has (`--max-old-space-size`)
   */
  maxTotalBytes?: number
}

interface Held {
  readonly record: SessionRecord
  readonly bytes: number
}

interface Tombstone {
  until: number
  /** Where the session continues. */
  nextKey: string | null
}

/** How many records a sweep handles before it looks at the time again. */
const SWEEP_STRIDE = 64

const MIB = 1_048_576
/** What a record takes in the heap beside its text, what each field adds, and what a tombstone takes. Measured on Node 20. */
const RECORD_BYTES = 600
const FIELD_BYTES = 100
const TOMBSTONE_BYTES = 250
/** Text outside Latin-1 has two bytes for each character. */
const BYTES_PER_CHARACTER = 2

/** Sessions in the memory of this process: for tests, and for a service whose logins may end with it. */
export class MemoryStore implements SessionStore {
  readonly sync = true
  readonly #records = new Map<string, Held>()
  /** By name; null: the anonymous ones. Each in the order of their beginning. */
  readonly #keysOfUser = new Map<string | null, Set<string>>()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #options: Required<MemoryStoreOptions>
  /** Where the last slice of a sweep stopped. */
  #sweeping: Iterator<[string, Held]> | null = null
  #bytes = 0
  /** Anonymous sessions that had to go, and whose end nobody was told yet. */
  #evicted: string[] = []

  constructor (options: MemoryStoreOptions) {
    this.#options = { maxTotalBytes: getHeapStatistics().heap_size_limit / 2, ...options }
  }

  read (key: string): SessionRecord | null {
    const record = this.#records.get(key)?.record
    return record !== undefined && record.expiresAt > this.#options.now() ? record : null
  }

  create (key: string, record: SessionRecord, limit?: UserLimit): boolean {
    if (this.#isTaken(key)) return false
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
    const held = this.#records.get(key)
    if (held === undefined || this.read(key) === null) return false
    this.#records.set(key, { ...held, record: touched(held.record, seenAt, expiresAt) })
    return true
  }

  remove (key: string, nextKey?: string): SessionRecord | null {
    const live = this.read(key)
    this.#drop(key)
    // The first end counts, so that the tombstones stay in the order of their times.
    if (!this.#tombstones.has(key)) {
      this.#tombstones.set(key, { until: this.#options.now() + TOMBSTONE_MS, nextKey: nextKey ?? null })
      this.#bytes += TOMBSTONE_BYTES
    }
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
    if (hasFields(next)) this.#put(nextKey, next, key)
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

  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const ended = this.ofUser(user).filter(({ key }) => key !== exceptKey)
    for (const { key } of ended) this.remove(key)
    await eachInSlices(ended, ({ key }) => { onEnded?.(key) })
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
    for (let key = this.#evicted.pop(); key !== undefined; key = this.#evicted.pop()) {
      onExpired?.(key, null)
      dropped++
      if (dropped % SWEEP_STRIDE === 0 && performance.now() >= until) return dropped
    }
    for (const [key, { until: deadUntil }] of this.#tombstones) {
      if (deadUntil > now) break
      this.#tombstones.delete(key)
      this.#bytes -= TOMBSTONE_BYTES
      dropped++
      if (dropped % SWEEP_STRIDE === 0 && performance.now() >= until) return dropped
    }
    for (let seen = 1; ; seen++) {
      const next = this.#sweeping.next()
      if (next.done === true) {
        this.#sweeping = null
        return dropped
      }
      const [key, { record }] = next.value
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
    this.#evicted = []
    this.#bytes = 0
  }

  #isTaken (key: string): boolean {
    return this.#records.has(key) || this.#tombstones.has(key)
  }

  /** @param formerKey of the session that ends for this one */
  #put (key: string, record: SessionRecord, formerKey = key): void {
    const { maxBytes } = this.#options
    const size = sizeOf(record.fields)
    if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
    const bytes = heapBytesOf(key, record, size)
    this.#makeRoom(bytes - (this.#records.get(formerKey)?.bytes ?? 0), record.user, formerKey)
    const before = this.#records.get(key)
    if (before !== undefined && before.record.user !== record.user) this.#unindex(key, before.record)
    this.#bytes += bytes - (before?.bytes ?? 0)
    this.#records.set(key, { record, bytes })
    const keys = this.#keysOfUser.get(record.user)
    if (keys === undefined) this.#keysOfUser.set(record.user, new Set([key]))
    else keys.add(key)
  }

  /**
   * Strangers must not keep users out: for a user, the oldest anonymous sessions go.
   *
   * @param more bytes that are to be added
   * @param exceptKey a session that must not go
   * @throws StoreFullError
   */
  #makeRoom (more: number, user: string | null, exceptKey: string): void {
    const { maxTotalBytes } = this.#options
    if (more <= 0 || this.#bytes + more <= maxTotalBytes) return
    for (const key of user === null ? [] : this.#keysOfUser.get(null) ?? []) {
      if (key === exceptKey) continue
      this.#drop(key)
      this.#evicted.push(key)
      if (this.#bytes + more <= maxTotalBytes) return
    }
    throw new StoreFullError(Math.floor(maxTotalBytes / MIB))
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
    const held = this.#records.get(key)
    if (held === undefined) return
    this.#records.delete(key)
    this.#bytes -= held.bytes
    this.#unindex(key, held.record)
  }

  #unindex (key: string, { user }: SessionRecord): void {
    const keys = this.#keysOfUser.get(user)
    keys?.delete(key)
    if (keys?.size === 0) this.#keysOfUser.delete(user)
  }
}

/** @param size of the fields as JSON */
function heapBytesOf (key: string, { user, fields }: SessionRecord, size: number): number {
  const text = size + key.length + (user?.length ?? 0)
  return RECORD_BYTES + BYTES_PER_CHARACTER * text + FIELD_BYTES * Object.keys(fields).length
}
