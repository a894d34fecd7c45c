import { assertSize } from '../../store/errors.js'
import { sizeOf, type SessionRecord } from '../../store/record.js'
import type { ByteBudget } from './byte-budget.js'

interface Held {
  readonly record: SessionRecord
  readonly bytes: number
}

/** The heap that a record takes besides its text, and that each field adds, in bytes. Measured on Node 20. */
const RECORD_BYTES = 600
const FIELD_BYTES = 100
/** Text outside Latin-1 has two bytes for each character. */
const BYTES_PER_CHARACTER = 2

/** The records of the memory store by key, and their keys by user. It counts their bytes against a budget. */
export class MemoryRecords {
  readonly #held = new Map<string, Held>()
  /** User → keys; null: the anonymous sessions. Each set is in the order of creation. */
  readonly #keysOfUser = new Map<string | null, Set<string>>()
  readonly #budget: ByteBudget
  readonly #maxBytes: number
  /** The keys of anonymous sessions that had to make room. */
  #evicted: string[] = []

  constructor (budget: ByteBudget, maxBytes: number) {
    this.#budget = budget
    this.#maxBytes = maxBytes
  }

  get size (): number {
    return this.#held.size
  }

  get (key: string): SessionRecord | undefined {
    return this.#held.get(key)?.record
  }

  has (key: string): boolean {
    return this.#held.has(key)
  }

  keysOf (user: string): ReadonlySet<string> {
    return this.#keysOfUser.get(user) ?? NO_KEYS
  }

  /** Returns an iterator that goes on while records come and go. */
  * entries (): Generator<[key: string, record: SessionRecord]> {
    for (const [key, { record }] of this.#held) yield [key, record]
  }

  /** Takes one evicted key whose end has not been reported yet. */
  popEvicted (): string | undefined {
    return this.#evicted.pop()
  }

  /**
   * Stores a record.
   *
   * @param formerKey of the session that ends for this one
   * @throws SessionTooLargeError
   * @throws StoreFullError
   */
  put (key: string, record: SessionRecord, formerKey = key): void {
    const size = sizeOf(record.fields)
    assertSize(size, this.#maxBytes)
    const bytes = heapBytesOf(key, record, size)
    this.#makeRoom(bytes - (this.#held.get(formerKey)?.bytes ?? 0), record.user, formerKey)
    const before = this.#held.get(key)
    if (before !== undefined && before.record.user !== record.user) this.#unindex(key, before.record)
    this.#budget.take(bytes - (before?.bytes ?? 0))
    this.#held.set(key, { record, bytes })
    const keys = this.#keysOfUser.get(record.user)
    if (keys === undefined) this.#keysOfUser.set(record.user, new Set([key]))
    else keys.add(key)
  }

  /** Replaces a record by one of the same size and user. */
  putTouched (key: string, record: SessionRecord): void {
    const held = this.#held.get(key)
    if (held !== undefined) this.#held.set(key, { ...held, record })
  }

  drop (key: string): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    this.#held.delete(key)
    this.#budget.take(-held.bytes)
    this.#unindex(key, held.record)
  }

  clear (): void {
    this.#held.clear()
    this.#keysOfUser.clear()
    this.#evicted = []
  }

  /**
   * Anonymous visitors must not keep users out: for a user, the oldest anonymous sessions end.
   *
   * @param more how many bytes to add
   * @param exceptKey a session that must not end
   * @throws StoreFullError
   */
  #makeRoom (more: number, user: string | null, exceptKey: string): void {
    if (more <= 0 || this.#budget.has(more)) return
    for (const key of user === null ? NO_KEYS : this.#keysOfUser.get(null) ?? NO_KEYS) {
      if (key === exceptKey) continue
      this.drop(key)
      this.#evicted.push(key)
      if (this.#budget.has(more)) return
    }
    throw this.#budget.exhausted()
  }

  #unindex (key: string, { user }: SessionRecord): void {
    const keys = this.#keysOfUser.get(user)
    keys?.delete(key)
    if (keys?.size === 0) this.#keysOfUser.delete(user)
  }
}

const NO_KEYS: ReadonlySet<string> = new Set()

/** @param size of the fields as JSON, in bytes */
function heapBytesOf (key: string, { user, fields }: SessionRecord, size: number): number {
  const text = size + key.length + (user?.length ?? 0)
  return RECORD_BYTES + BYTES_PER_CHARACTER * text + FIELD_BYTES * Object.keys(fields).length
}
