import createError from '@fastify/error'
import { expiryOf, isTouchDue, type Lifetimes } from './clock.js'
import type { SessionEmitter } from './events.js'
import { SessionGoneError, SessionTooLargeError, guarded, storeUnavailable } from './errors.js'
import { toJson } from './json.js'
import { pick, type LazySession } from './lazy-session.js'
import { sizeOf, withChanges, type MaybePromise, type SessionChanges, type SessionFields, type SessionRecord, type SessionStore, type UserLimit } from './store.js'
import { storeKey, type Ticket } from './ticket.js'

/** The end of a session could not be made durable. This process refuses the ticket until it is. */
export const LogoutUnconfirmedError = createError('HATCHECK_LOGOUT_UNCONFIRMED',
  'The logout is not confirmed: the session store cannot answer right now. This browser is signed out; the session will be ended as soon as the store is back.', 503)

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

/**
 * Writes what a request has done with its session. It writes the difference, never the session, and creates or patches,
 * never both: so nothing in flight brings back a session that has ended.
 *
 * Reading is the common case and costs no promise.
 *
 * @param strict an explicit `save()`: a session that has ended meanwhile is an error then, since the caller asked.
 */
export function commit (session: LazySession, context: CommitContext, strict = false): MaybePromise<void> {
  switch (session.phase) {
    case 'untouched':
    case 'committed':
      return
    case 'read':
    case 'changed': {
      const changes = changesOf(session, context)
      if (changes === null) return noteReading(session, context)
      return session.record === null ? begin(session, changes.set, context) : patch(session, changes, context, strict)
    }
    case 'renewed':
      return renew(session, context, strict)
    case 'destroyed':
      return end(session, context).then(() => { session.rebase(null, null) })
  }
}

/** What is to be written, or null if nothing has changed. */
function changesOf (session: LazySession, { now, lifetimes, maxBytes }: CommitContext): SessionChanges | null {
  if (session.phase === 'read' && session.isPristine) return null
  const { record, permanent } = session
  const { set, remove } = session.difference()
  const permanentChanged = record !== null && record.permanent !== permanent
  if (remove.length === 0 && !permanentChanged && isEmpty(set)) return null
  const lostIdentity = record !== null && record.user !== null && session.user === null
  assertSize(without({ ...record?.fields, ...set }, remove), maxBytes)
  const seenAt = now()
  return {
    set,
    remove,
    seenAt,
    expiresAt: expiryOf({ createdAt: record?.createdAt ?? seenAt, seenAt, permanent }, lifetimes),
    ...permanentChanged && { permanent },
    ...lostIdentity && { user: null }
  }
}

function noteReading (session: LazySession, { store, lifetimes, now }: CommitContext): MaybePromise<void> {
  const { record, ticket } = session
  if (record === null || ticket === null) return
  const time = now()
  const lifetime = record.permanent ? lifetimes.permanent : lifetimes.browser
  if (!ticket.stale && !session.touchForced && !isTouchDue(Math.max(record.seenAt, ticket.touchedAt), time, lifetime)) return
  ticket.touchedAt = time
  const expiresAt = expiryOf({ ...record, seenAt: time }, lifetimes)
  const touch = async (): Promise<boolean> => await store.touch(ticket.key, time, expiresAt)
  // The response does not wait for it, and a failure costs no more than an earlier end of an idle session.
  const noted = touch().catch((error: unknown) => {
    session.request.log.warn({ err: error }, 'activity of a session could not be noted')
    return false
  })
  // Signed anew only if it still lives: the browser may have a newer cookie by now.
  if (ticket.stale) return noted.then((lives) => { if (lives) session.cookie = 'set' })
}

async function begin (session: LazySession, fields: SessionFields, context: CommitContext): Promise<void> {
  session.assertDeliverable()
  await create(session, newRecord(session, fields, context.now(), context), context)
}

async function patch (session: LazySession, changes: SessionChanges, context: CommitContext, strict: boolean): Promise<void> {
  const { store } = context
  const ticket = session.ticket as Ticket
  const { key } = ticket
  const lives = await guarded('patch', () => store.patch(key, changes))
  if (!lives) return gone(session, strict)
  session.rebase(withChanges(session.record as SessionRecord, changes), ticket)
  if (ticket.stale || changes.permanent !== undefined) session.cookie = 'set'
}

/**
 * Ends the old id before the new one begins. The record comes from the removal itself, so a change that another
 * request made in the meantime goes along, and a session that another request has ended stays ended.
 */
async function renew (session: LazySession, context: CommitContext, strict: boolean): Promise<void> {
  const { store, maxBytes, emitter } = context
  const { ticket, record, keep, authenticated } = session
  const { set, remove } = session.difference()
  if (session.keys().length > 0 || !isEmpty(set)) session.assertDeliverable()
  assertSize(without({ ...pick(record?.fields ?? {}, keep), ...set }, remove), maxBytes)
  const carriesOver = keep.length > 0 && !authenticated
  if (carriesOver && !session.ended && record !== null && ticket !== null && session.user !== null) {
    return await passOn(session, { ticket, record, set, remove }, context, strict)
  }
  const last = session.ended
    ? await end(session, context)
    : ticket === null || record === null ? null : await guarded('remove', () => store.remove(ticket.key))
  if (record !== null && last === null && carriesOver) return gone(session, strict)
  const fields = without({ ...pick(last?.fields ?? {}, keep), ...set }, remove)
  if (authenticated && session.user !== null) fields['client_name'] = toJson('client_name', session.user.name)
  const previous = last === null || ticket === null ? null : { key: ticket.key, user: last.user }
  if (isEmpty(fields)) {
    session.cookie = 'clear'
    if (previous !== null) emitter.tell('destroyed', previous.key, previous.user, session.request)
    return
  }
  const createdAt = authenticated || last === null ? context.now() : last.createdAt
  await create(session, newRecord(session, fields, createdAt, context), context, previous)
}

/**
 * Renews a session that keeps its user. Here the new id begins before the old one ends: between the two, the end of all
 * sessions of the user would find neither. Nobody knows the new id before the response, and it ends again if the old one
 * turns out to have ended.
 */
async function passOn (
  session: LazySession,
  { ticket, record, set, remove }: Pick<SessionChanges, 'set' | 'remove'> & { ticket: Ticket, record: SessionRecord },
  context: CommitContext,
  strict: boolean
): Promise<void> {
  const { store, refuse, emitter } = context
  const kept = pick(record.fields, session.keep)
  const successor = newRecord(session, without({ ...kept, ...set }, remove), record.createdAt, context)
  const next = ticketOf(session.id)
  // One that goes on is no more than before; one that a login in the same request has made the user's is.
  const limit = successor.user === record.user ? undefined : limitFor(successor.user, session, context)
  const created = await guarded('create', () => store.create(next.key, successor, limit))
  let last: SessionRecord | null
  try {
    last = await guarded('remove', () => store.remove(ticket.key))
    if (last === null && created) await guarded('remove', () => store.remove(next.key))
  } catch (error) {
    if (created) refuse(next.key)
    throw error
  }
  if (last === null) return gone(session, strict)
  if (!created) {
    emitter.tell('destroyed', ticket.key, last.user, session.request)
    throw neverBegan()
  }
  emitter.tellRenewed(next.key, ticket.key, successor.user, session.request)
  const { seenAt, expiresAt } = successor
  const late = { ...changesBetween(kept, pick(last.fields, session.keep), [...Object.keys(set), ...remove]), seenAt, expiresAt }
  if (!isEmpty(late.set) || late.remove.length > 0) {
    const lives = await guarded('patch', () => store.patch(next.key, late))
    if (!lives) return gone(session, strict)
  }
  session.rebase(withChanges(successor, late), next)
  session.cookie = 'set'
}

/** What another request has changed, but for the keys that this one has changed itself. */
function changesBetween (before: SessionFields, after: SessionFields, own: readonly string[]): Pick<SessionChanges, 'set' | 'remove'> {
  return {
    set: Object.fromEntries(Object.entries(after).filter(([key, text]) => before[key] !== text && !own.includes(key))),
    remove: Object.keys(before).filter((key) => !Object.hasOwn(after, key) && !own.includes(key))
  }
}

async function end (session: LazySession, { store, refuse, emitter }: CommitContext): Promise<null> {
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

function newRecord (session: LazySession, fields: SessionFields, createdAt: number, { now, lifetimes }: CommitContext): SessionRecord {
  const times = { createdAt, seenAt: now(), permanent: session.permanent }
  return { ...times, expiresAt: expiryOf(times, lifetimes), user: session.user?.name ?? null, fields }
}

/** @param previous the session that has ended for this one to begin */
async function create (session: LazySession, record: SessionRecord, context: CommitContext, previous: { key: string, user: string | null } | null = null): Promise<void> {
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

function limitFor (user: string | null, { request }: LazySession, { sessionsPerUser, emitter }: CommitContext): UserLimit | undefined {
  return user === null ? undefined : { perUser: sessionsPerUser, onEnded: (key) => { emitter.tell('revoked', key, user, request) } }
}

function ticketOf (id: string): Ticket {
  return { id, key: storeKey(id), stale: false, touchedAt: 0 }
}

/**
 * Either it was ended before it could begin: with every session of its user, or for logins at once with it that are over
 * the limit. Or the id exists: ids are 256 random bits, so that would mean a broken source of randomness, and that someone
 * else may have it. The person tries again; a cookie for a dead session would say "logged in" once and never again.
 */
function neverBegan (): Error {
  return storeUnavailable(new Error('the new session was ended before it began, or its id exists already'), 'create')
}

function gone ({ request }: LazySession, strict: boolean): void {
  if (strict) throw new SessionGoneError()
  // No cookie either way: the browser may already hold the one of a newer session.
  request.log.debug('the session ended while a request was under way; its changes were dropped')
}

function isEmpty (fields: SessionFields): boolean {
  return Object.keys(fields).length === 0
}

function without (fields: SessionFields, keys: readonly string[]): Record<string, string> {
  const rest = { ...fields }
  for (const key of keys) delete rest[key]
  return rest
}

function assertSize (fields: SessionFields, maxBytes: number): void {
  const size = sizeOf(fields)
  if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
}
