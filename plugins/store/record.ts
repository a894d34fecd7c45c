/** One session, as a store keeps it. Times are milliseconds since the epoch. */
export interface SessionRecord {
  /** When the session began. A login starts it anew. */
  readonly createdAt: number
  /** The last recorded activity. It lags behind the real one by at most 1/20 of the idle timeout. */
  readonly seenAt: number
  /** When the session expires, as of the last write: after the idle timeout, or at the end of its lifetime if that is earlier. */
  readonly expiresAt: number
  /** Whether the session uses the lifetimes of permanent sessions ("keep me signed in"). */
  readonly permanent: boolean
  /** The user who is logged in, or null. Only `request.login` sets it; `SessionStore.ofUser` finds sessions by it. */
  readonly user: string | null
  /** The values. */
  readonly fields: SessionFields
}

/** The values of a session: JSON text by session key. */
export type SessionFields = Readonly<Record<string, string>>

/** A record and the key that it is stored under. */
export interface StoredSession {
  readonly key: string
  readonly record: SessionRecord
}

/** The changes that one request makes in a record. */
export interface SessionChanges {
  /** The fields to set. */
  readonly set: SessionFields
  /** The names of the fields to remove. */
  readonly remove: readonly string[]
  /** The last activity, in ms since the epoch. The later of this and the stored one counts. */
  readonly seenAt: number
  /** When the session expires, in ms since the epoch. With `permanent`, this time counts; without it, the later of this and the stored one. */
  readonly expiresAt: number
  /**
   * Whether the session is permanent.
   *
   * @default as it was
   */
  readonly permanent?: boolean
  /**
   * The user.
   *
   * @default as it was
   */
  readonly user?: string | null
}

/** Tells whether changes log the user out, as the removal of `client_name` does: the session ends, or continues without a user. */
export function isLogout ({ user }: SessionChanges): boolean {
  return user === null
}

/** Tells whether a session continues when this user logs in. The session of another user ends. */
export function continuesAs (user: string | null, last: SessionRecord): boolean {
  return last.user === null || last.user === user
}

/** How a session continues under a new key. It is data, not a function, so that a database can apply it in one step. */
export interface SessionReplacement extends SessionChanges {
  /** The fields of the last record that the successor keeps. `set` and `remove` apply after that. */
  readonly keep: 'all' | readonly string[]
  /**
   * When the successor began, in ms since the epoch. A login sets it together with `permanent` and `expiresAt`, which then
   * count as they are.
   *
   * @default when its predecessor began
   */
  readonly createdAt?: number
}

/** The outcome of `SessionStore.replace`. */
export type Replaced =
  /** `next` is null if the successor would have no field: the session has ended, and no other has begun. */
  | { readonly outcome: 'replaced', readonly last: SessionRecord, readonly next: SessionRecord | null }
  /** No live record has `key`; no session has begun. */
  | { readonly outcome: 'gone' }
  /** `nextKey` exists or has a tombstone; nothing has changed. */
  | { readonly outcome: 'refused' }

/** How many sessions a user may have. */
export interface UserLimit {
  /** Live sessions of one user, at least 1. */
  readonly perUser: number
  /**
   * Called with the key of each session that the limit has ended, once the end is durable.
   *
   * @default nobody is told
   */
  readonly onEnded?: (key: string) => void
}

/**
 * Applies changes to a record. Every store must patch as this function does. Those of hatcheck call it,
 * except Redis, which does the same in Lua.
 *
 * @returns a new record; the given one is unchanged.
 */
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

/** Records activity. Neither time moves back. */
export function touched (record: SessionRecord, seenAt: number, expiresAt: number): SessionRecord {
  return { ...record, seenAt: Math.max(record.seenAt, seenAt), expiresAt: Math.max(record.expiresAt, expiresAt) }
}

/**
 * Makes the record of a successor. Every store of hatcheck replaces with this function, so that they cannot differ. A record without
 * a field begins no session.
 */
export function successorOf (last: SessionRecord, change: SessionReplacement): SessionRecord {
  const { keep, createdAt = last.createdAt } = change
  return withChanges({ ...last, createdAt, fields: keep === 'all' ? last.fields : only(keep, last.fields) }, change)
}

function only (names: readonly string[], fields: SessionFields): SessionFields {
  const kept = new Set(names)
  return Object.fromEntries(Object.entries(fields).filter(([name]) => kept.has(name)))
}

/** Tells whether a successor with this record begins. Without a field, its predecessor ends and nothing begins. */
export function hasFields ({ fields }: SessionRecord): boolean {
  return Object.keys(fields).length > 0
}

/** Returns what `SessionStore.successor` must answer for a replaced session: a login begins another session, anything else continues it. */
export function continuationOf (nextKey: string, next: SessionRecord, { createdAt }: SessionReplacement): string | undefined {
  return createdAt === undefined && hasFields(next) ? nextKey : undefined
}

/** Returns the limit for a successor: none if it takes the place of a session of the same user. */
export function successorLimit (next: SessionRecord, last: SessionRecord, limit: UserLimit | undefined): UserLimit | undefined {
  return hasFields(next) && next.user !== last.user ? limit : undefined
}

/**
 * Returns the sessions of a user that must end for the new one under `newKey`.
 *
 * @param sessions of the user, oldest first
 */
export function excessOf<S extends { readonly key: string }> (sessions: readonly S[], newKey: string, { perUser }: UserLimit): S[] {
  const others = sessions.filter(({ key }) => key !== newKey)
  return others.slice(0, Math.max(0, others.length + 1 - perUser))
}

/** Compares sessions for sorting, the oldest first. */
export function byBeginning (a: StoredSession, b: StoredSession): number {
  return a.record.createdAt - b.record.createdAt
}

/** Returns the fields whose names begin with `prefix`. */
export function fieldsWith (prefix: string, fields: SessionFields): SessionFields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name.startsWith(prefix)))
}

/** Returns the fields without those of another set. */
export function fieldsWithout (others: SessionFields, fields: SessionFields): SessionFields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !Object.hasOwn(others, name)))
}

/** Splits fields into what `SessionStore.take` takes out and the rest. */
export function splitByPrefix (prefix: string, fields: SessionFields): { taken: SessionFields, rest: SessionFields } {
  const taken = fieldsWith(prefix, fields)
  return { taken, rest: fieldsWithout(taken, fields) }
}

/** Returns the size of the fields as one JSON object, in bytes. */
export function sizeOf (fields: SessionFields): number {
  let bytes = 2
  for (const key in fields) bytes += sizeOfField(key, fields[key] as string)
  return bytes
}

/** Returns what one field adds to {@link sizeOf}, in bytes. */
export function sizeOfField (key: string, text: string): number {
  return (PLAIN.test(key) ? key.length + 2 : Buffer.byteLength(JSON.stringify(key))) + Buffer.byteLength(text) + 2
}

/** Characters that JSON writes as they are, one byte each. */
const PLAIN = /^[\w .:/-]*$/
