import { expiryOf, type Lifetimes } from './clock.js'
import { LogoutUnconfirmedError, SessionGoneError, SessionTooLargeError, guarded, storeUnavailable } from './errors.js'
import type { SessionEmitter } from './events.js'
import type { LazySession } from './lazy-session.js'
import { sizeOf, type SessionFields, type SessionRecord, type SessionStore, type UserLimit } from './store.js'
import { storeKey, type Ticket } from './ticket.js'

/** What it takes to write what a request has done with its session. */
export interface CommitContext {
  readonly store: SessionStore
  readonly lifetimes: Lifetimes
  readonly maxBytes: number
  readonly sessionsPerUser: number
  now (): number
  readonly emitter: SessionEmitter
  /** Told of a session that could not be ended; it is refused from now on, and its end tried again. */
  refuse (key: string): void
}

/** The record of a session that begins now. */
export function newRecord (session: LazySession, fields: SessionFields, createdAt: number, { now, lifetimes }: CommitContext): SessionRecord {
  const times = { createdAt, seenAt: now(), permanent: session.permanent }
  return { ...times, expiresAt: expiryOf(times, lifetimes), user: session.user?.name ?? null, fields }
}

/**
 * Begins a session.
 *
 * @param previous the session that has ended for this one to begin
 * @throws StoreUnavailableError if it cannot be stored, or was ended before it began.
 */
export async function create (session: LazySession, record: SessionRecord, context: CommitContext, previous: { key: string, user: string | null } | null = null): Promise<void> {
  const { store, emitter } = context
  const ticket = ticketOf(session.id)
  const { key } = ticket
  const { user } = record
  const goesOn = previous !== null && (previous.user === null || previous.user === user)
  let created = false
  try {
    created = await guarded('create', () => store.create(key, record, limitFor(user, session, context)))
    if (!created) throw neverBegan()
  } finally {
    if (previous !== null && !(created && goesOn)) emitter.tell('destroyed', previous.key, previous.user, session.request)
  }
  session.rebase(record, ticket)
  session.cookie = 'set'
  if (previous !== null && goesOn) emitter.tellRenewed(key, previous.key, user, session.request)
  else emitter.tell('created', key, user, session.request)
}

/** How many sessions a user may have; the oldest end as revoked. */
export function limitFor (user: string | null, { request }: LazySession, { sessionsPerUser, emitter }: CommitContext): UserLimit | undefined {
  return user === null ? undefined : { perUser: sessionsPerUser, onEnded: (key) => { emitter.tell('revoked', key, user, request) } }
}

export function ticketOf (id: string): Ticket {
  return { id, key: storeKey(id), stale: false, touchedAt: 0 }
}

/**
 * Why a session could not be created. Either it was ended before it could begin: with every session of its user, or for logins at once with it that are over
 * the limit. Or the id exists: ids are 256 random bits, so that would mean a broken source of randomness, and that someone
 * else may have it. The person tries again; a cookie for a dead session would say "logged in" once and never again.
 */
export function neverBegan (): Error {
  return storeUnavailable(new Error('the new session was ended before it began, or its id exists already'), 'create')
}

/**
 * Ends the session, if there is one.
 *
 * @throws LogoutUnconfirmedError if that cannot be stored.
 */
export async function end (session: LazySession, { store, refuse, emitter }: CommitContext): Promise<null> {
  const { ticket, record, mayLive } = session
  session.cookie = 'clear'
  if (ticket === null || (record === null && !mayLive)) return null
  try {
    const last = await store.remove(ticket.key)
    if (last !== null) emitter.tell('destroyed', ticket.key, last.user, session.request)
  } catch (error) {
    refuse(ticket.key)
    session.request.log.error({ err: error }, 'the end of a session could not be stored; its ticket is refused until it is')
    throw Object.assign(new LogoutUnconfirmedError(), { headers: { 'retry-after': '1' } })
  }
  return null
}

/** What is to be said when the session has ended meanwhile: an error to who asked for it to be saved. */
export function gone ({ request }: LazySession, strict: boolean): void {
  if (strict) throw new SessionGoneError()
  // No cookie either way: the browser may already hold the one of a newer session.
  request.log.debug('the session ended while a request was under way; its changes were dropped')
}

export function isEmpty (fields: SessionFields): boolean {
  return Object.keys(fields).length === 0
}

export function without (fields: SessionFields, keys: readonly string[]): Record<string, string> {
  const rest = { ...fields }
  for (const key of keys) delete rest[key]
  return rest
}

export function assertSize (fields: SessionFields, maxBytes: number): void {
  const size = sizeOf(fields)
  if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
}
