import type { Database, RootDatabase } from 'lmdb'
import { isPlainKey } from './keys.js'
import { LmdbWriter } from './writer.js'
import { isFlatMsgpack } from './msgpack.js'
import { SessionTooLargeError, storeUnavailable } from '../../store/errors.js'
import { Memo } from '../../common/memo.js'
import { eachInSlices } from '../../common/slices.js'
import {
  TOMBSTONE_MS, continuationOf, excessOf, fieldsWith, hasFields, sizeOf, successorLimit, successorOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type SessionStore,
  type OnCorruptSession, type StoreOptions, type StoredSession, type UserLimit
} from '../../store/sessions.js'

export interface LmdbStoreOptions extends StoreOptions {
  /** Told of each record that cannot be decoded; such a record reads as absent. */
  onCorrupt: OnCorruptSession
  /** Throws once the files that are open are not in their place any more; {@link LmdbStore.ping} asks. */
  assertInPlace?: () => void
}

export const DATABASES = {
  records: { name: 'sessions', encoding: 'msgpack' },
  tombstones: { name: 'session tombstones', encoding: 'msgpack' },
  keysOfUser: { name: 'sessions by user', dupSort: true, ...plainText() },
  keysByExpiry: { name: 'sessions by expiry', dupSort: true, ...plainText() }
} as const

/** The same bytes as 'ordered-binary' has, whose decoder does not end with some that are damaged. */
function plainText () {
  return {
    encoding: 'string',
    // lmdb adds to it, and gives it what it has encoded already.
    encoder: {
      writeKey (text: string | Uint8Array, target: Buffer, at: number): number {
        if (typeof text === 'string') target.write(text, at, 'latin1')
        else target.set(text, at)
        return at + text.length
      },
      readKey: (bytes: Buffer, from: number, to: number): string => bytes.toString('latin1', from, to)
    }
  } as const
}

/** How many records are remembered at least (at most twice as many are), and the bytes of the largest one. */
const MEMO_SIZE = 5_000
const MEMO_LARGEST_BYTES = 1_024

/** How many entries a sweep handles before it looks at the time again. */
const SWEEP_BATCH = 50
/** How many sessions of a user end in one transaction at most: it holds the event loop. */
const REMOVE_BATCH = 50

/**
 * Sessions in LMDB: durable, and shared by every process of the machine that opens the same folder.
 *
 * One value a session; the indexes by user and by expiry change in the same transaction. Reads are synchronous, each
 * from the newest committed state. What must survive a power cut (the beginning of a session with a user, every end of
 * a session) is answered after the flush to disk; other writes are answered at the commit, which survives the end of
 * the process.
 */
export class LmdbStore implements SessionStore {
  readonly sync = true
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #options: LmdbStoreOptions
  readonly #records: Database<unknown, string>
  /** key → until when, in ms, and where the session continues, if it does */
  readonly #tombstones: Database<unknown, string>
  /** user → keys */
  readonly #keysOfUser: Database<string, string>
  /** ms → keys of records that expire and tombstones that end then */
  readonly #keysByExpiry: Database<string, number>
  /** What was decoded last, with the bytes it was decoded from: the same bytes need not be decoded again. */
  readonly #decoded = new Memo<{ bytes: Buffer, record: SessionRecord }>(MEMO_SIZE)
  /** How many damaged entries, which cannot be removed, the index by expiry begins with, as far as this sweep has come. */
  #immovable = 0

  /** @param env an environment with room for four databases; {@link close} leaves it open. */
  constructor (env: RootDatabase, options: LmdbStoreOptions) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#options = options
    this.#records = env.openDB(DATABASES.records)
    this.#tombstones = env.openDB(DATABASES.tombstones)
    this.#keysOfUser = env.openDB(DATABASES.keysOfUser)
    this.#keysByExpiry = env.openDB(DATABASES.keysByExpiry)
  }

  read (key: string): SessionRecord | null {
    return this.#read('read', () => this.#live(key))
  }

  async create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    let ended: StoredSession[] = []
    const created = await this.#writer.write('create', record.user !== null, () => {
      if (this.#isTaken(key)) return false
      this.#put(key, record, null)
      ended = this.#endOldest(record.user, key, limit)
      return true
    })
    for (const { key } of ended) limit?.onEnded?.(key)
    return created
  }

  patch (key: string, changes: SessionChanges): Promise<boolean> {
    return this.#writer.write('patch', changes.user !== undefined, () => {
      const record = this.#live(key)
      if (record === null) return false
      this.#put(key, withChanges(record, changes), record)
      return true
    })
  }

  take (key: string, prefix: string): Promise<SessionFields> {
    return this.#writer.write('take', false, () => {
      const record = this.#live(key)
      const taken = fieldsWith(prefix, record?.fields ?? {})
      const names = Object.keys(taken)
      if (record !== null && names.length > 0) {
        const { seenAt, expiresAt } = record
        this.#put(key, withChanges(record, { set: {}, remove: names, seenAt, expiresAt }), record)
      }
      return taken
    })
  }

  touch (key: string, seenAt: number, expiresAt: number): Promise<boolean> {
    return this.#writer.write('touch', false, () => {
      const record = this.#live(key)
      if (record === null) return false
      this.#put(key, touched(record, seenAt, expiresAt), record)
      // An entry that was damaged is there again.
      if (record.user !== null) this.#keysOfUser.put(indexName(record.user), key)
      return true
    })
  }

  remove (key: string, nextKey?: string): Promise<SessionRecord | null> {
    return this.#writer.write('remove', true, () => this.#end(key, nextKey))
  }

  successor (key: string): string | null {
    const tombstone = this.#read('read', () => this.#tombstone(key))
    return tombstone !== null && tombstone.until > this.#options.now() ? tombstone.nextKey : null
  }

  async replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Promise<Replaced> {
    let ended: StoredSession[] = []
    const replaced = await this.#writer.write('replace', true, (): Replaced => {
      const last = this.#live(key)
      if (last === null) return { outcome: 'gone' }
      if (this.#isTaken(nextKey)) return { outcome: 'refused' }
      const next = successorOf(last, change)
      // First, since it throws if the successor is too large.
      if (hasFields(next)) this.#put(nextKey, next, null)
      this.#end(key, continuationOf(nextKey, next, change))
      ended = this.#endOldest(next.user, nextKey, successorLimit(next, last, limit))
      return { outcome: 'replaced', last, next: hasFields(next) ? next : null }
    })
    for (const { key } of ended) limit?.onEnded?.(key)
    return replaced
  }

  async ofUser (user: string): Promise<StoredSession[]> {
    const keys = this.#read('list', () => this.#keysOf(user))
    const sessions: StoredSession[] = []
    try {
      await eachInSlices(keys, (key) => { this.#addOfUser(user, key, sessions) }, () => { this.#env.resetReadTxn() })
    } catch (error) {
      throw storeUnavailable(error, 'list')
    }
    return oldestFirst(sessions)
  }

  /** Each transaction looks for what is left, so none that the call has to end can get away under another key. */
  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const staying = new Set(exceptKey === undefined ? [] : [exceptKey])
    let count = 0
    let isDone = false
    while (!isDone) {
      const ended = await this.#writer.write('remove', true, () => {
        const keys = this.#keysOf(user, staying.size + REMOVE_BATCH)
        isDone = keys.length < staying.size + REMOVE_BATCH
        const sessions: StoredSession[] = []
        for (const key of keys) if (!staying.has(key) && !this.#addOfUser(user, key, sessions)) staying.add(key)
        for (const { key } of sessions) this.#end(key)
        return sessions
      })
      count += ended.length
      for (const { key } of ended) onEnded?.(key)
    }
    return count
  }

  count (): number {
    return this.#read('count', () => (this.#records.getStats() as { entryCount: number }).entryCount)
  }

  async sweep (budgetMs: number, onExpired?: (key: string, user: string | null) => void): Promise<number> {
    const expired: StoredSession[] = []
    // LMDB keeps every page that a reader may need, and one that was killed within a read is listed until somebody looks.
    this.#env.readerCheck()
    const dropped = await this.#writer.write('sweep', false, () => {
      const started = performance.now()
      const now = this.#options.now()
      let dropped = 0
      do {
        const due = [...this.#keysByExpiry.getRange({ end: now + 1, limit: SWEEP_BATCH, offset: this.#immovable })]
        for (const { key: time, value: key } of due) {
          if (typeof time === 'number' && isStoreKey(key) && this.#keysByExpiry.removeSync(time, key)) dropped++
          else {
            this.#immovable++
            this.#options.onCorrupt('', 'index by expiry')
          }
          if (isStoreKey(key)) this.#expire(key, now, expired)
        }
        if (due.length < SWEEP_BATCH) {
          this.#immovable = 0
          break
        }
      } while (performance.now() - started < budgetMs)
      return dropped
    })
    for (const { key, record } of expired) onExpired?.(key, record.user)
    return dropped
  }

  ping (): void {
    this.#read('ping', () => {
      this.#options.assertInPlace?.()
      this.#records.doesExist('ping')
    })
  }

  async close (): Promise<void> {
    await this.#writer.flush()
  }

  #read<T> (doing: string, action: () => T): T {
    try {
      // A read transaction may stay open for the rest of the event loop's turn: without this, a session that another
      // process has just ended would still be read as live.
      this.#env.resetReadTxn()
      return action()
    } catch (error) {
      throw storeUnavailable(error, doing)
    }
  }

  #live (key: string): SessionRecord | null {
    const record = this.#get(key)
    return record !== null && record.expiresAt > this.#options.now() ? record : null
  }

  #get (key: string): SessionRecord | null {
    const bytes = this.#records.getBinaryFast(key) as Buffer | undefined
    if (bytes === undefined) return null
    const known = this.#decoded.get(key)
    if (known !== undefined && known.bytes.length === bytes.length && known.bytes.compare(bytes, 0, bytes.length) === 0) return known.record
    return this.#decode(key, bytes)
  }

  #decode (key: string, bytes: Buffer): SessionRecord | null {
    // The bytes are LMDB's until the next read.
    const own = bytes.length <= MEMO_LARGEST_BYTES ? Buffer.from(bytes.subarray(0, bytes.length)) : null
    const record = isFlatMsgpack(bytes, bytes.length) ? decodeSession(this.#records.get(key)) : null
    if (record === null) this.#options.onCorrupt(key, 'session')
    else if (own !== null) this.#decoded.set(key, { bytes: own, record })
    return record
  }

  #isTaken (key: string): boolean {
    return this.#records.doesExist(key) || this.#tombstones.doesExist(key)
  }

  #tombstone (key: string): Tombstone | null {
    const tombstone = storedAs(decodeTombstone, this.#tombstones, key)
    if (tombstone === null) this.#options.onCorrupt(key, 'tombstone')
    return tombstone ?? null
  }

  #put (key: string, record: SessionRecord, before: SessionRecord | null): void {
    const { maxBytes } = this.#options
    const size = sizeOf(record.fields)
    if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
    if (before !== null) this.#unindex(key, before, record)
    this.#records.put(key, encode(record))
    if (before?.expiresAt !== record.expiresAt) this.#keysByExpiry.put(record.expiresAt, key)
    if (record.user !== null && before?.user !== record.user) this.#keysOfUser.put(indexName(record.user), key)
  }

  #unindex (key: string, before: SessionRecord, after?: SessionRecord): void {
    if (before.expiresAt !== after?.expiresAt) this.#keysByExpiry.remove(before.expiresAt, key)
    if (before.user !== null && before.user !== after?.user) this.#keysOfUser.remove(indexName(before.user), key)
  }

  #end (key: string, nextKey?: string): SessionRecord | null {
    const live = this.#live(key)
    this.#drop(key)
    const until = this.#options.now() + TOMBSTONE_MS
    if (!this.#tombstones.doesExist(key)) {
      this.#tombstones.put(key, nextKey === undefined ? until : [until, nextKey])
      this.#keysByExpiry.put(until, key)
    }
    return live
  }

  #endOldest (user: string | null, newKey: string, limit: UserLimit | undefined): StoredSession[] {
    if (user === null || limit === undefined) return []
    // With those that have expired there are this many: mostly none has to be read.
    if (this.#keysOfUser.getValuesCount(indexName(user)) <= limit.perUser) return []
    const excess = excessOf(this.#ofUser(user), newKey, limit)
    for (const { key } of excess) this.#end(key)
    return excess
  }

  #drop (key: string): void {
    const record = this.#get(key)
    if (record !== null) this.#unindex(key, record)
    this.#records.remove(key)
  }

  /** @param key what an entry of the index by expiry leads to, which has come due */
  #expire (key: string, now: number, expired: StoredSession[]): void {
    const record = this.#get(key)
    const later = now + 1
    if (record === null || record.expiresAt < later) this.#drop(key)
    // The entry was damaged, or the record.
    else this.#keysByExpiry.put(record.expiresAt, key)
    if (record !== null && record.expiresAt < later) expired.push({ key, record })
    if (!this.#tombstones.doesExist(key)) return
    const until = this.#tombstone(key)?.until ?? 0
    if (until >= later && until <= now + TOMBSTONE_MS) this.#keysByExpiry.put(until, key)
    else this.#tombstones.remove(key)
  }

  #ofUser (user: string): StoredSession[] {
    const sessions: StoredSession[] = []
    for (const key of this.#keysOf(user)) this.#addOfUser(user, key, sessions)
    return oldestFirst(sessions)
  }

  /** What the index has under the name. It may have expired, and may be of another user with as long a name. */
  #keysOf (user: string, limit = Infinity): string[] {
    const name = indexName(user)
    // Not getValues: within a write, lmdb then decodes a key that it has not fetched, and throws over what lies there.
    return [...this.#keysOfUser.getRange({ start: name, end: `${name}\0`, ...limit < Infinity && { limit } })].map(({ value }) => value)
  }

  /** Adds the session under the key. False if it is no live session of the user. */
  #addOfUser (user: string, key: string, sessions: StoredSession[]): boolean {
    const record = isStoreKey(key) ? this.#live(key) : null
    if (record?.user !== user) return false
    sessions.push({ key, record })
    return true
  }
}

function oldestFirst (sessions: StoredSession[]): StoredSession[] {
  return sessions.sort((a, b) => a.record.createdAt - b.record.createdAt)
}

/** The layout of a stored value. Another number reads as absent. */
const FORMAT = 1
const HEAD = 6

function encode ({ createdAt, seenAt, expiresAt, permanent, user, fields }: SessionRecord): unknown[] {
  const value: unknown[] = [FORMAT, createdAt, seenAt, expiresAt, permanent, user]
  for (const key in fields) value.push(key, fields[key])
  return value
}

/**
 * What is stored under a key; undefined if there is nothing, null if it is damaged.
 *
 * @param database with the encoding `msgpack`
 */
export function storedAs<T> (decode: (value: unknown) => T | null, database: Database<unknown, string>, key: string): T | null | undefined {
  const bytes = database.getBinaryFast(key) as Buffer | undefined
  if (bytes === undefined) return undefined
  return isFlatMsgpack(bytes, bytes.length) ? decode(database.get(key)) : null
}

export function decodeSession (value: unknown): SessionRecord | null {
  if (!Array.isArray(value) || value[0] !== FORMAT || value.length < HEAD || value.length % 2 !== 0) return null
  const [, createdAt, seenAt, expiresAt, permanent, user] = value
  if (!Number.isFinite(createdAt) || !Number.isFinite(seenAt) || !Number.isFinite(expiresAt)) return null
  if (typeof permanent !== 'boolean' || (user !== null && typeof user !== 'string')) return null
  const fields: Record<string, string> = {}
  for (let i = HEAD; i < value.length; i += 2) {
    if (typeof value[i] !== 'string' || typeof value[i + 1] !== 'string') return null
    fields[value[i]] = value[i + 1]
  }
  return { createdAt, seenAt, expiresAt, permanent, user, fields: fields as SessionFields }
}

/** Until when a key is remembered, in ms, and where its session continues. */
export interface Tombstone {
  until: number
  nextKey: string | null
}

export function decodeTombstone (value: unknown): Tombstone | null {
  const [until, nextKey = null] = [value].flat() as unknown[]
  return Number.isFinite(until) && (nextKey === null || typeof nextKey === 'string') ? { until: until as number, nextKey } : null
}

/** Store keys are plain ASCII; an entry that is damaged may be decoded to anything. */
function isStoreKey (key: unknown): key is string {
  return isPlainKey(key) && /^[ -~]+$/.test(key)
}

/** LMDB limits the length of a key; a name may be longer than that. */
const LONGEST_INDEX_NAME = 256

/** What the index by user knows a user by. */
export function indexName (user: string): string {
  return user.length <= LONGEST_INDEX_NAME ? user : user.slice(0, LONGEST_INDEX_NAME)
}
