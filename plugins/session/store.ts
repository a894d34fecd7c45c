/**
 * The store contract: what a place for sessions has to promise.
 *
 * Everything that makes sessions correct under races rests on four rules. They are stated once, here, and one suite
 * (`storeContract` of `hatcheck/store-contract`) proves them for every store.
 *
 * 1. **Missing is not an error.** A record that never was, has expired, was removed or cannot be decoded reads as
 *    `null`. A store throws (or rejects) only when the system behind it failed.
 * 2. **No write brings a session back.** `create` only inserts. `patch` and `touch` change what is there and answer
 *    `false` when it is gone. There is no upsert.
 * 3. **A removed key stays dead.** `remove` leaves a tombstone that outlives the longest request
 *    ({@link TOMBSTONE_MS}), so that a late `create` of the same key is refused.
 * 4. **A change touches its own fields only.** Each session key is a field of its own, as JSON text: two requests that
 *    change different fields cannot overwrite one another, and no store can hand out a live object by mistake.
 *
 * Each method is atomic: no other call, of this process or another, sees it half done.
 */
export interface SessionStore {
  /**
   * True when {@link read} answers at once, without a promise. A session in such a store is read only when a request
   * asks for it; in any other store it is read before the handler runs, if the request carries a valid ticket.
   */
  readonly sync: boolean

  /**
   * False: {@link create} heeds no limit.
   *
   * @default true
   */
  readonly keepsLimit?: boolean

  /** The live record, or null. The caller must not change it. */
  read (key: string): MaybePromise<SessionRecord | null>

  /**
   * Inserts. False, and nothing written, if the key exists or has a tombstone.
   *
   * @param limit for a login: how many live sessions the user of the record may have, this one among them. Those over it
   * end, the oldest first. However many begin at once, each with the same limit, there are never more of them. A store
   * that needs several steps for it ends the old ones first; then they may have ended for one that cannot begin after all.
   */
  create (key: string, record: SessionRecord, limit?: UserLimit): MaybePromise<boolean>

  /**
   * Sets and removes single fields. False, and nothing written, if no live record has the key.
   *
   * @throws SessionTooLargeError when the result would pass the store's `maxBytes`; the record is unchanged.
   */
  patch (key: string, changes: SessionChanges): MaybePromise<boolean>

  /**
   * Takes every field whose name begins with `prefix` out of a live record, and answers them: of several calls at once,
   * each field goes to one. None if no live record has the key.
   */
  take (key: string, prefix: string): MaybePromise<SessionFields>

  /** Notes activity. Never creates, never shortens either clock, never changes data. False if no live record has the key. */
  touch (key: string, seenAt: number, expiresAt: number): MaybePromise<boolean>

  /**
   * Ends a session for good: the answer comes when it is durable. Idempotent.
   *
   * @returns the record as it was at its end, or null if there was no live one. Whoever gets the record is the one
   * that ended the session, which is what makes a renewal lose nothing and never revive a session that ended meanwhile.
   */
  remove (key: string): MaybePromise<SessionRecord | null>

  /** The live sessions of a user, oldest first. */
  ofUser (user: string): MaybePromise<StoredSession[]>

  /**
   * Ends every session of a user that exists when the call begins, but `exceptKey`. Answers how many it ended.
   *
   * @param onEnded told of each that this call has ended, once that is durable.
   */
  removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): MaybePromise<number>

  /**
   * How many records are held: the live ones, and the expired ones that are not dropped yet. For operations, never for a
   * request: a store may have to look at every key for it.
   */
  count (): MaybePromise<number>

  /**
   * Drops expired records and old tombstones until nothing is left to drop or `budgetMs` is used up. Nothing to do where
   * the system behind the store drops them by itself.
   *
   * @param onExpired told of each expired session that this call has dropped. A store that forgets by itself tells nothing.
   * @returns how many were dropped, at least 1 while there may be more to drop; 0 means that nothing is left.
   */
  sweep (budgetMs: number, onExpired?: (key: string, user: string | null) => void): MaybePromise<number>

  /** Resolves when the store can serve. */
  ping (): MaybePromise<void>

  /** Flushes and lets go of everything. */
  close (): MaybePromise<void>
}

export interface UserLimit {
  /** Live sessions of one user, at least 1. */
  readonly perUser: number
  /** Told of each session that has ended for it, once that is durable. */
  readonly onEnded?: (key: string) => void
}

export type MaybePromise<T> = T | Promise<T>

/** One session. Times are milliseconds since the epoch. */
export interface SessionRecord {
  /** When this session began; a renewal of the id by login starts it anew. */
  readonly createdAt: number
  /** Last noted activity; up to 1/20 of the idle timeout behind the truth. */
  readonly seenAt: number
  /** The earlier of the two clocks, as it was at the last write. */
  readonly expiresAt: number
  readonly permanent: boolean
  /** Who is logged in. Set by `request.login` alone; the index of {@link SessionStore.ofUser} is by this name. */
  readonly user: string | null
  /** The data: JSON text by session key. */
  readonly fields: SessionFields
}

export type SessionFields = Readonly<Record<string, string>>

export interface StoredSession {
  readonly key: string
  readonly record: SessionRecord
}

/** What one request changes in a record. */
export interface SessionChanges {
  readonly set: SessionFields
  readonly remove: readonly string[]
  /** Later of this and the stored one counts. */
  readonly seenAt: number
  /** Later of this and the stored one counts, unless `permanent` is given: then this one does. */
  readonly expiresAt: number
  readonly permanent?: boolean
  readonly user?: string | null
}

/** How long a removed key is remembered: longer than any request may take. */
export const TOMBSTONE_MS = 15 * 60_000

export interface StoreOptions {
  /** The source of time, in ms since the epoch. */
  now: () => number
  /** JSON bytes that the fields of one session may take. */
  maxBytes: number
}

/** The record with the changes in it. Every store patches through this, so that they cannot differ. */
export function withChanges (record: SessionRecord, changes: SessionChanges): SessionRecord {
  const fields: Record<string, string> = { ...record.fields, ...changes.set }
  for (const key of changes.remove) delete fields[key]
  return {
    createdAt: record.createdAt,
    seenAt: Math.max(record.seenAt, changes.seenAt),
    expiresAt: changes.permanent === undefined ? Math.max(record.expiresAt, changes.expiresAt) : changes.expiresAt,
    permanent: changes.permanent ?? record.permanent,
    user: changes.user === undefined ? record.user : changes.user,
    fields
  }
}

/** Which sessions of a user, given oldest first, are to end for the one under `newKey`. */
export function excessOf<S extends { readonly key: string }> (sessions: readonly S[], newKey: string, { perUser }: UserLimit): S[] {
  const others = sessions.filter(({ key }) => key !== newKey)
  return others.slice(0, Math.max(0, others.length + 1 - perUser))
}

/** The fields whose names begin with `prefix`. */
export function fieldsWith (prefix: string, fields: SessionFields): SessionFields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name.startsWith(prefix)))
}

/** The record with the activity noted. */
export function touched (record: SessionRecord, seenAt: number, expiresAt: number): SessionRecord {
  return { ...record, seenAt: Math.max(record.seenAt, seenAt), expiresAt: Math.max(record.expiresAt, expiresAt) }
}

/** The size of the fields as one JSON object, in bytes. */
export function sizeOf (fields: SessionFields): number {
  let bytes = 2
  for (const key in fields) bytes += Buffer.byteLength(JSON.stringify(key)) + Buffer.byteLength(fields[key] as string) + 2
  return bytes
}
