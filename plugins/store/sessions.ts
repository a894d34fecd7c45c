/**
 * The store contract: what a place for sessions has to promise.
 *
 * Everything that makes sessions correct under races rests on four rules. They are stated once, here, and one suite
 * (`storeContract` of `hatcheck/store-contract`) proves them for every store.
 *
 * 1. **Missing is not an error.** A record that never was, has expired, was removed or cannot be decoded reads as
 *    `null`. A store throws (or rejects) only when the system behind it failed.
 * 2. **No write brings a session back.** `create` only inserts. `patch` and `touch` change what is there and answer
 *    `false` when it is gone. `replace` begins a session only from one that lives. There is no upsert.
 * 3. **A removed key stays dead.** `remove` and `replace` leave a tombstone that outlives the longest request
 *    ({@link TOMBSTONE_MS}), so that a late `create` of the same key is refused.
 * 4. **A change touches its own fields only.** Each session key is a field of its own, as JSON text: two requests that
 *    change different fields cannot overwrite one another, and no store can hand out a live object by mistake.
 *
 * A call that concerns one key is atomic: no other call, of this process or another, sees it half done. `replace`
 * concerns two keys. A store that reaches both in one step replaces atomically too. A store that does not, such as a
 * cluster with each key on another node, takes two steps; {@link SessionStore.replace} says what holds between them.
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
   * @param nextKey where the session continues: the answer of {@link successor} from now on, if this call has ended it.
   */
  remove (key: string, nextKey?: string): MaybePromise<SessionRecord | null>

  /**
   * Tells under which key a session continues that {@link replace} has ended without `createdAt`: a logout with the former
   * ID, at the same time as the renewal, then ends the session as it is now. Null if it does not continue, and once
   * {@link TOMBSTONE_MS} have passed. A store may lack this; then such a logout does not reach the renewed session.
   */
  successor? (key: string): MaybePromise<string | null>

  /**
   * Ends the session under `key` and begins its successor under `nextKey`, from the last record as it is at that moment:
   * a change that another request makes in the meantime either goes along or is refused. `key` gets a tombstone. Of
   * several calls at once for one `key`, at most one answers `replaced`.
   *
   * The answer comes when both the end and the beginning are durable. A store that reaches both keys in one step does
   * both in one atomic step. Any other store begins the successor first and then ends the predecessor, as
   * `replaceInTwoSteps` does it. Between its two steps both sessions are live and both are listed by `ofUser`, but no
   * client knows the ID of the successor. If the process ends there, the predecessor lives on, and the successor expires
   * or ends with `removeOfUser`. In such a store `nextKey` may have a tombstone after any answer but `replaced`.
   *
   * @param limit as for {@link create}, if the successor has another user than its predecessor. A successor of the same
   * user takes the place of its predecessor, so no session ends for it. The predecessor never counts.
   * @returns `last` and `next` are the records at the end of the one and the beginning of the other. The caller must not
   * change them.
   * @throws SessionTooLargeError when the successor would pass the store's `maxBytes`; nothing has changed. In two steps,
   * a concurrent patch that makes the successor too large between them ends both sessions.
   * @throws when the store fails. Then either session may be live, so the caller removes `nextKey`.
   */
  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): MaybePromise<Replaced>

  /** The live sessions of a user, oldest first. */
  ofUser (user: string): MaybePromise<StoredSession[]>

  /**
   * Ends every session of a user that exists when the call begins, but `exceptKey`. Answers how many it ended. A session
   * that is replaced during the call ends too, under the one key or the other.
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

/** How a session continues under a new key. It is data and no function, so that a database can apply it in one step. */
export interface SessionReplacement extends SessionChanges {
  /** Which fields of the last record go along: all of them, or these. `set` and `remove` apply after that. */
  readonly keep: 'all' | readonly string[]
  /**
   * When the successor began. A login gives it, together with `permanent` and `expiresAt`, which then count as they are.
   *
   * @default when its predecessor began
   */
  readonly createdAt?: number
}

/** What became of a {@link SessionStore.replace}. */
export type Replaced =
  /** `next` is null if the successor would have had no field: the session has ended, and no other has begun. */
  | { readonly outcome: 'replaced', readonly last: SessionRecord, readonly next: SessionRecord | null }
  /** No live record has `key`; no session has begun. */
  | { readonly outcome: 'gone' }
  /** `nextKey` exists or has a tombstone; nothing has changed. */
  | { readonly outcome: 'refused' }

/** How long a removed key is remembered: longer than any request may take. */
export const TOMBSTONE_MS = 15 * 60_000

export interface StoreOptions {
  /** The source of time, in ms since the epoch. */
  now: () => number
  /** JSON bytes that the fields of one session may take. */
  maxBytes: number
}

/** Told of a record that cannot be read: a session, the tombstone of one, or an entry of an index. The key of the index by user is the user's name. */
export type OnCorruptSession = (key: string, what: 'session' | 'tombstone' | 'index by user' | 'index by expiry') => void

/** What {@link SessionStore.successor} is to tell of a replaced session: a login begins another one, anything else continues it. */
export function continuationOf (nextKey: string, next: SessionRecord, { createdAt }: SessionReplacement): string | undefined {
  return createdAt === undefined && hasFields(next) ? nextKey : undefined
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

/**
 * The record of the successor. Every store replaces through this, so that they cannot differ. If the record has no field,
 * no session begins with it.
 */
export function successorOf (last: SessionRecord, change: SessionReplacement): SessionRecord {
  const { keep, createdAt = last.createdAt } = change
  return withChanges({ ...last, createdAt, fields: keep === 'all' ? last.fields : only(keep, last.fields) }, change)
}

function only (names: readonly string[], fields: SessionFields): SessionFields {
  const kept = new Set(names)
  return Object.fromEntries(Object.entries(fields).filter(([name]) => kept.has(name)))
}

/** Whether a successor with this record begins; without a field, its predecessor only ends. */
export function hasFields ({ fields }: SessionRecord): boolean {
  return Object.keys(fields).length > 0
}

/** The limit that a successor begins under: none if it takes the place of a session of the same user. */
export function successorLimit (next: SessionRecord, last: SessionRecord, limit: UserLimit | undefined): UserLimit | undefined {
  return hasFields(next) && next.user !== last.user ? limit : undefined
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
  for (const key in fields) bytes += sizeOfField(key, fields[key] as string)
  return bytes
}

/** The size of one field of {@link sizeOf}. */
export function sizeOfField (key: string, text: string): number {
  return (PLAIN.test(key) ? key.length + 2 : Buffer.byteLength(JSON.stringify(key))) + Buffer.byteLength(text) + 2
}

/** What JSON writes as it is, a byte each. */
const PLAIN = /^[\w .:/-]*$/
