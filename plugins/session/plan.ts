import { expiryOf, isTouchDue, type Lifetimes } from '../common/clock.js'
import { AnonymousSessionError } from './errors.js'
import { SessionTooLargeError } from '../store/errors.js'
import { CLIENT_FIELD } from './fields.js'
import { sizeOf, sizeOfField, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement } from '../store/sessions.js'
import type { Ticket } from '../tickets/ticket.js'

/** A session that is in the store. */
export interface Stored {
  readonly ticket: Ticket
  readonly record: SessionRecord
}

/** What a request has made of its session. */
export interface Situation extends Pick<SessionChanges, 'set'> {
  readonly stored: Stored | null
  readonly remove: Iterable<string>
  readonly permanent: boolean
  /** Who is logged in, by the values. */
  readonly user: string | null
}

export interface Rules {
  readonly lifetimes: Lifetimes
  readonly maxBytes: number
  /** Whether a session without a user may have values. */
  readonly anonymousSessions: boolean
  now (): number
}

/** What is to happen in the store. */
export type Plan =
  | { do: 'nothing' }
  | { do: 'create', record: SessionRecord }
  | { do: 'patch', changes: SessionChanges }
  /** A logout that leaves no value. The successor begins only if another request has added one meanwhile. */
  | { do: 'end', change: SessionReplacement }

/** Fields that say who is logged in. They go with the user. */
export const IDENTITY: readonly string[] = ['client_name', 'authenticatedAt', CLIENT_FIELD]

/**
 * Says what the values of a request make of the stored session. It is a difference, and never the whole session, so that
 * requests at once cannot overwrite one another.
 *
 * @throws SessionTooLargeError, AnonymousSessionError
 */
export function planOf (situation: Situation, rules: Rules): Plan {
  const { lifetimes, maxBytes, now } = rules
  const { stored, set, permanent, user } = situation
  const seenAt = now()
  assertMaySet(set, user, rules)
  if (stored === null) {
    if (isEmpty(set)) return { do: 'nothing' }
    assertSize(sizeOf(set), maxBytes)
    return { do: 'create', record: newRecord({ createdAt: seenAt, seenAt, permanent, user: null, fields: set }, lifetimes) }
  }
  const { record } = stored
  const isLogout = record.user !== null && user === null
  const leaving = new Set(situation.remove)
  if (isLogout) for (const key of IDENTITY) if (Object.hasOwn(record.fields, key) && !Object.hasOwn(set, key)) leaving.add(key)
  if (isEmpty(set) && leaving.size === 0 && permanent === record.permanent && !isLogout) return { do: 'nothing' }
  const left = sizeOfSuccessor(record.fields, set, leaving)
  assertSize(left, maxBytes)
  const changes: SessionChanges = {
    set,
    remove: [...leaving],
    seenAt,
    expiresAt: expiryOf({ createdAt: record.createdAt, seenAt, permanent }, lifetimes),
    ...permanent !== record.permanent && { permanent },
    ...isLogout && { user: null }
  }
  return isLogout && left === sizeOf({}) ? { do: 'end', change: { ...changes, keep: 'all' } } : { do: 'patch', changes }
}

/** When activity is to be noted, and until when the session lives then; null if it was noted a moment ago. */
export function touchOf ({ ticket, record }: Stored, force: boolean, { lifetimes, now }: Rules): Pick<SessionChanges, 'seenAt' | 'expiresAt'> | null {
  const seenAt = now()
  const lifetime = record.permanent ? lifetimes.permanent : lifetimes.browser
  if (!force && !ticket.stale && !isTouchDue(Math.max(record.seenAt, ticket.touchedAt), seenAt, lifetime)) return null
  return { seenAt, expiresAt: expiryOf({ ...record, seenAt }, lifetimes) }
}

/** @throws AnonymousSessionError */
export function assertMaySet (set: SessionFields, user: string | null, { anonymousSessions }: Pick<Rules, 'anonymousSessions'>): void {
  if (!anonymousSessions && user === null && !isEmpty(set)) throw new AnonymousSessionError()
}

/** The record with its expiry. */
export function newRecord (record: Omit<SessionRecord, 'expiresAt'>, lifetimes: Lifetimes): SessionRecord {
  return { ...record, expiresAt: expiryOf(record, lifetimes) }
}

/** Like `sizeOf`, of the fields with the changes in them. A session may have many fields, so none is copied. */
function sizeOfSuccessor (fields: SessionFields, set: SessionFields, removed: ReadonlySet<string>): number {
  let bytes = sizeOf(set)
  for (const key in fields) if (!removed.has(key) && !Object.hasOwn(set, key)) bytes += sizeOfField(key, fields[key] as string)
  return bytes
}

function isEmpty (fields: SessionFields): boolean {
  return Object.keys(fields).length === 0
}

function assertSize (size: number, maxBytes: number): void {
  if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
}
