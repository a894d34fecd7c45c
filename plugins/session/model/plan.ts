import { expiryOf, isTouchDue, type Lifetimes } from '../../common/lifetimes.js'
import { ownText } from '../../common/own-text.js'
import { assertSize } from '../../store/errors.js'
import { IDENTITY_FIELDS, USER_FIELD, identityFields } from '../../store/identity.js'
import { sizeOf, sizeOfField, successorOf, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement } from '../../store/sessions.js'
import type { ChangeSet } from './change-set.js'
import { AnonymousSessionError } from './errors.js'
import { assertPermanent } from './fields.js'
import { fromJson, toJson } from './json.js'
import type { Stored } from './stored.js'

export interface Rules {
  readonly lifetimes: Lifetimes
  /** How many bytes of JSON the values of a session may take. */
  readonly maxBytes: number
  /** Whether a session without a user may have values. */
  readonly anonymousSessions: boolean
  /** Returns the time, in ms since the epoch. */
  now (): number
}

/** The changes of a call, resolved. */
type Changes = Pick<ChangeSet, 'set' | 'remove' | 'permanent'>

/** A plan: what to do in the store. */
export type Plan =
  | { do: 'nothing' }
  | { do: 'create', record: SessionRecord }
  | { do: 'patch', changes: SessionChanges }
  /**
   * A logout that leaves no value that a session without a user may have: the successor begins only if another request has added one
   * in the meantime. Or a session that is no longer permanent, and already older than others can be: it has no successor.
   */
  | { do: 'end', change: SessionReplacement }

/**
 * Decides how to store the values of a request. The plan is a difference and never the whole session, so that parallel
 * requests cannot overwrite one another.
 *
 * @throws SessionTooLargeError, AnonymousSessionError
 */
export function planChanges (stored: Stored | null, { set, remove, permanent: wanted }: Changes, rules: Rules): Plan {
  const { lifetimes, maxBytes, anonymousSessions, now } = rules
  const seenAt = now()
  const user = stored === null ? null : userAfter({ set, remove }, stored.record)
  assertMayHaveValues(set, user, rules)
  if (stored === null) {
    if (isEmpty(set)) return { do: 'nothing' }
    assertSize(sizeOf(set), maxBytes)
    return { do: 'create', record: newRecord({ createdAt: seenAt, seenAt, permanent: wanted ?? false, user: null, fields: set }, lifetimes) }
  }
  const { record } = stored
  const permanent = wanted ?? record.permanent
  const isLogout = record.user !== null && user === null
  const removed = isLogout ? new Set([...remove, ...IDENTITY_FIELDS.filter((key) => Object.hasOwn(record.fields, key) && !Object.hasOwn(set, key))]) : remove
  if (isEmpty(set) && removed.size === 0 && permanent === record.permanent && !isLogout) return { do: 'nothing' }
  const expiresAt = expiryOf({ createdAt: record.createdAt, seenAt, permanent }, lifetimes)
  const end = endByAge(record, permanent, seenAt, expiresAt)
  if (end !== null) return { do: 'end', change: end }
  const size = sizeOfSuccessor(record.fields, set, removed)
  assertSize(size, maxBytes)
  const values = { set, remove: [...removed], seenAt, expiresAt }
  const changes: SessionChanges = permanent === record.permanent ? values : { ...values, permanent }
  if (!isLogout) return { do: 'patch', changes }
  if (anonymousSessions && size > sizeOf({})) return { do: 'patch', changes: { ...changes, user: null } }
  return { do: 'end', change: { ...changes, user: null, keep: anonymousSessions ? 'all' : [] } }
}

interface Login {
  readonly user: string
  /** Undefined: what the handler has assigned to `session.permanent`. */
  readonly permanent?: boolean | undefined
  /** Describes the client, as the text of a field. */
  readonly client: string
  /** Values to set with the login. */
  readonly data: ReadonlyArray<[key: string, value: unknown]>
}

/**
 * Decides how a login begins its session: as the successor of the stored one, or from the record alone.
 *
 * @param keepsValues whether the session keeps its stored values.
 * @throws PermanentError, SessionValueError
 */
export function planLogin (changes: Changes, login: Login, keepsValues: boolean, { lifetimes, now }: Rules): { record: SessionRecord, change: SessionReplacement } {
  const { permanent = changes.permanent ?? false, client, data } = login
  const user = ownText(login.user)
  assertPermanent('The option permanent', permanent)
  const time = now()
  const set: Record<string, string> = { ...changes.set }
  const remove = new Set(changes.remove)
  for (const [key, value] of data) {
    delete set[key]
    if (value === undefined) remove.add(key)
    else set[key] = toJson(key, value)
  }
  Object.assign(set, identityFields(user, time, client))
  const record = newRecord({ createdAt: time, seenAt: time, permanent, user, fields: set }, lifetimes)
  const { createdAt, seenAt, expiresAt } = record
  return {
    record,
    change: { createdAt, seenAt, expiresAt, permanent, user, keep: keepsValues ? 'all' : [], set, remove: [...remove].filter((key) => !Object.hasOwn(set, key)) }
  }
}

/**
 * Decides how a session continues under a new ID with these keys. Without a value it ends.
 *
 * @throws AnonymousSessionError
 */
export function planRenewal ({ record }: Stored, { set, remove, permanent: wanted }: Changes, keys: ReadonlySet<string>, rules: Rules): SessionReplacement {
  const permanent = wanted ?? record.permanent
  const seenAt = rules.now()
  const expiresAt = expiryOf({ createdAt: record.createdAt, seenAt, permanent }, rules.lifetimes)
  const end = endByAge(record, permanent, seenAt, expiresAt)
  if (end !== null) return end
  const keepsUser = keys.has(USER_FIELD) && userAfter({ set, remove }, record) !== null
  const change: SessionReplacement = {
    keep: [...keys],
    set,
    remove: keepsUser ? [...remove] : [...remove, ...IDENTITY_FIELDS.filter((key) => !Object.hasOwn(set, key))],
    seenAt,
    expiresAt,
    ...permanent !== record.permanent && { permanent },
    ...!keepsUser && record.user !== null && { user: null }
  }
  assertMayHaveValues(successorOf(record, change).fields, keepsUser ? record.user : null, rules)
  return change
}

/** Returns the end of a session whose lifetime has become shorter than its age, without a successor; null: it goes on. */
function endByAge ({ user, permanent: wasPermanent }: SessionRecord, permanent: boolean, seenAt: number, expiresAt: number): SessionReplacement | null {
  if (permanent === wasPermanent || expiresAt > seenAt) return null
  return { seenAt, expiresAt, keep: [], set: {}, remove: [], ...user !== null && { user: null } }
}

/** Decides whether to record activity; null: it was recorded a moment ago. */
export function planTouch ({ ticket, record }: Stored, isForced: boolean, { lifetimes, now }: Rules): Pick<SessionChanges, 'seenAt' | 'expiresAt'> | null {
  const seenAt = now()
  const lifetime = record.permanent ? lifetimes.permanent : lifetimes.browser
  if (!isForced && !ticket.stale && !isTouchDue(Math.max(record.seenAt, ticket.touchedAt), seenAt, lifetime)) return null
  return { seenAt, expiresAt: expiryOf({ ...record, seenAt }, lifetimes) }
}

/** Returns the user who is still logged in after these changes. */
function userAfter ({ set, remove }: Pick<Changes, 'set' | 'remove'>, { user, fields }: SessionRecord): string | null {
  const name = remove.has(USER_FIELD) ? undefined : set[USER_FIELD] ?? fields[USER_FIELD]
  return user !== null && fromJson(name) === user ? user : null
}

function assertMayHaveValues (fields: SessionFields, user: string | null, { anonymousSessions }: Rules): void {
  if (!anonymousSessions && user === null && !isEmpty(fields)) throw new AnonymousSessionError()
}

function newRecord (record: Omit<SessionRecord, 'expiresAt'>, lifetimes: Lifetimes): SessionRecord {
  return { ...record, expiresAt: expiryOf(record, lifetimes) }
}

/** Does what `sizeOf` does for the changed fields, and copies none of them: there may be many. */
function sizeOfSuccessor (fields: SessionFields, set: SessionFields, removed: ReadonlySet<string>): number {
  let bytes = sizeOf(set)
  for (const key in fields) if (!removed.has(key) && !Object.hasOwn(set, key)) bytes += sizeOfField(key, fields[key] as string)
  return bytes
}

function isEmpty (fields: SessionFields): boolean {
  return Object.keys(fields).length === 0
}
