import type { Database, RootDatabase, Transaction } from 'lmdb'
import { Memo } from '../../common/memo.js'
import { assertSize } from '../../store/errors.js'
import { byBeginning, excessOf, sizeOf, type SessionRecord, type StoredSession, type UserLimit } from '../../store/record.js'
import { TOMBSTONE_MS, type OnCorruptSession, type StoreOptions } from '../../store/sessions.js'
import { isStoreKey } from '../common/store-key.js'
import { DATABASES } from './databases.js'
import { dueTime } from './due-time.js'
import { decodeFlat, encodeFlat } from './msgpack.js'
import { decodeSession, decodeTombstone, encodeSession, encodeTombstone, storedAs, type Tombstone } from './session-codec.js'
import { SessionIndex, indexName } from './session-index.js'

/** The options of {@link LmdbRecords}. */
export interface LmdbRecordsOptions extends StoreOptions {
  /** Called for each record that cannot be decoded; such a record reads as missing. */
  onCorrupt: OnCorruptSession
}

/** How many records are remembered at least (at most twice as many are), and the bytes of the largest one. */
const MEMO_SIZE = 5_000
const MEMO_LARGEST_BYTES = 1_024
const REPLACEMENT = Buffer.from('\ufffd')

/**
 * The records and tombstones of sessions in LMDB, with their indexes. Each method is one step within a transaction of the
 * caller; the reading ones can also stand alone.
 */
export class LmdbRecords {
  readonly #options: LmdbRecordsOptions
  readonly #records: Database<Buffer, string>
  readonly #tombstones: Database<Buffer, string>
  /** user → keys */
  readonly #keysOfUser: SessionIndex<string>
  /** Time in ms → keys of the records that expire and the tombstones that end then. */
  readonly keysByExpiry: SessionIndex<number>
  /** The records that were read or written last, with their bytes: the same bytes need not be decoded again. */
  readonly #known = new Memo<{ bytes: Buffer, record: SessionRecord }>(MEMO_SIZE)

  /** @param env an environment with room for four databases */
  constructor (env: RootDatabase, options: LmdbRecordsOptions) {
    this.#options = options
    this.#records = env.openDB(DATABASES.records)
    this.#tombstones = env.openDB(DATABASES.tombstones)
    this.#keysOfUser = new SessionIndex(env, DATABASES.keysOfUser)
    this.keysByExpiry = new SessionIndex(env, DATABASES.keysByExpiry)
  }

  get size (): number {
    return (this.#records.getStats() as { entryCount: number }).entryCount
  }

  /** Tells whether there is a record under the key, even an expired or damaged one. */
  has (key: string): boolean {
    return this.#records.doesExist(key)
  }

  /** Returns the record if it has not expired. @param remembers as in {@link get} */
  live (key: string, remembers = true): SessionRecord | null {
    const record = this.get(key, remembers)
    return record !== null && record.expiresAt > this.#options.now() ? record : null
  }

  /**
   * Returns the record, even if it has expired.
   *
   * @param remembers false for a record that nobody reads again
   */
  get (key: string, remembers = true): SessionRecord | null {
    const bytes = this.#records.getBinaryFast(key)
    if (bytes === undefined) return null
    const known = this.#known.get(key)
    if (known !== undefined && known.bytes.length === bytes.length && known.bytes.compare(bytes, 0, bytes.length) === 0) return known.record
    return this.#decode(key, bytes, remembers)
  }

  /** Tells whether a session cannot begin under the key. */
  isTaken (key: string): boolean {
    return this.has(key) || this.#tombstones.doesExist(key)
  }

  /** Stores a record, which nobody may change from now on, and updates the indexes. @throws SessionTooLargeError */
  put (key: string, record: SessionRecord, before: SessionRecord | null): void {
    assertSize(sizeOf(record.fields), this.#options.maxBytes)
    const bytes = encodeFlat(encodeSession(record))
    this.#records.put(key, bytes)
    // Half a character outside the BMP is stored as this one, and read as this one from then on.
    if (!bytes.includes(REPLACEMENT)) this.#remember(key, bytes, record)
    if (before === null) this.keysByExpiry.add(isAsBegun(record) ? record.expiresAt : dueTime(record), key)
    else this.#moveExpiry(key, before, record)
    if (before?.user === record.user) return
    if (before !== null) this.#unindexByUser(key, before)
    if (record.user !== null) this.#keysOfUser.add(indexName(record.user), key)
  }

  indexByUser (key: string, user: string): void {
    if (!this.#keysOfUser.has(indexName(user), key)) this.#keysOfUser.add(indexName(user), key)
  }

  /** Ends a session and leaves a tombstone. Returns the session if it was live. */
  end (key: string, nextKey?: string, live = this.live(key)): SessionRecord | null {
    // Under the key there may still be a record that has expired.
    this.drop(key, live ?? undefined)
    const until = this.#options.now() + TOMBSTONE_MS
    if (!this.#tombstones.doesExist(key)) {
      this.#tombstones.put(key, encodeFlat(encodeTombstone(until, nextKey)))
      this.keysByExpiry.add(until, key)
    }
    return live
  }

  /** Ends the sessions of a user that are over the limit. Returns them. */
  endOldest (user: string | null, newKey: string, limit: UserLimit | undefined): StoredSession[] {
    if (user === null || limit === undefined) return []
    // The index also counts expired sessions, so it seldom has to be read.
    if (this.#keysOfUser.countAt(indexName(user)) <= limit.perUser) return []
    const sessions: StoredSession[] = []
    for (const key of this.keysOf(user)) {
      const record = this.liveOf(user, key)
      if (record !== null) sessions.push({ key, record })
    }
    const excess = excessOf(sessions.sort(byBeginning), newKey, limit)
    for (const { key, record } of excess) this.end(key, undefined, record)
    return excess
  }

  /**
   * Removes a record and its entries in the indexes.
   *
   * @param unlistedAt a time at which the index by expiry does not have it any more
   */
  drop (key: string, record = this.get(key), unlistedAt?: number): void {
    if (record !== null) {
      if (unlistedAt !== record.expiresAt && unlistedAt !== dueTime(record)) this.#unlist(key, record)
      this.#unindexByUser(key, record)
    }
    this.#records.remove(key)
  }

  /** Returns the tombstone of a key, or null if it has none that can be read. */
  tombstone (key: string): Tombstone | null {
    const tombstone = storedAs(decodeTombstone, this.#tombstones, key)
    if (tombstone === null) this.#options.onCorrupt(key, 'tombstone')
    return tombstone ?? null
  }

  /** Tells whether the key has a tombstone, even an old or damaged one. */
  hasTombstone (key: string): boolean {
    return this.#tombstones.doesExist(key)
  }

  removeTombstone (key: string): void {
    this.#tombstones.remove(key)
  }

  /** Returns the keys that the index has for a user. The sessions may have expired, or belong to another user with as long a name. */
  keysOf (user: string, part?: { offset: number, limit: number, transaction?: Transaction }): string[] {
    const name = indexName(user)
    // Not getValues: within a write, lmdb then decodes a key that it has not fetched, and throws over what lies there.
    return [...this.#keysOfUser.range({ start: name, end: `${name}\0`, ...part })].map(({ value }) => value)
  }

  /** Returns the session that an entry of the index by user leads to. Returns null if it is not a live session of the user. */
  liveOf (user: string, key: string): SessionRecord | null {
    // A user may have very many, and a list of them must not displace what requests read.
    const record = isStoreKey(key) ? this.live(key, false) : null
    return record?.user === user ? record : null
  }

  #decode (key: string, bytes: Buffer, remembers: boolean): SessionRecord | null {
    const record = decodeSession(decodeFlat(bytes))
    if (record === null) this.#options.onCorrupt(key, 'session')
    // The bytes are LMDB's until the next read.
    else if (remembers && bytes.length <= MEMO_LARGEST_BYTES) this.#remember(key, Buffer.from(bytes.subarray(0, bytes.length)), record)
    return record
  }

  #remember (key: string, bytes: Buffer, record: SessionRecord): void {
    if (bytes.length <= MEMO_LARGEST_BYTES) this.#known.set(key, { bytes, record })
  }

  #moveExpiry (key: string, before: SessionRecord, after: SessionRecord): void {
    const [from, to] = [dueTime(before), dueTime(after)]
    // A sweep moves an entry that has come due.
    if (from === to && !isAsBegun(before) && from > this.#options.now()) return
    this.#unlist(key, before)
    this.keysByExpiry.add(to, key)
  }

  /** Removes the entry of a record from the index by expiry: from the time that is likelier first, since to miss costs the most. */
  #unlist (key: string, record: SessionRecord): void {
    const { expiresAt } = record
    const [likely, other] = isAsBegun(record) ? [expiresAt, dueTime(record)] : [dueTime(record), expiresAt]
    if (!this.keysByExpiry.remove(likely, key)) this.keysByExpiry.remove(other, key)
  }

  #unindexByUser (key: string, { user }: SessionRecord): void {
    if (user !== null) this.#keysOfUser.remove(indexName(user), key)
  }
}

/**
 * Tells whether a session has not changed since it began. Its entry in the index by expiry is then where it expires. A session that
 * continues under a new ID began with its predecessor.
 */
function isAsBegun ({ createdAt, seenAt }: SessionRecord): boolean {
  return seenAt === createdAt
}
