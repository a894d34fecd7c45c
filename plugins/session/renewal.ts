import { guarded } from './errors.js'
import { toJson } from './json.js'
import { pick, type LazySession } from './lazy-session.js'
import { assertSize, create, end, gone, isEmpty, limitFor, neverBegan, newRecord, ticketOf, without, type CommitContext } from './life-cycle.js'
import { withChanges, type SessionChanges, type SessionFields, type SessionRecord } from './store.js'
import type { Ticket } from './ticket.js'

/**
 * Ends the old id before the new one begins. The record comes from the removal itself, so a change that another
 * request made in the meantime goes along, and a session that another request has ended stays ended.
 */
export async function renew (session: LazySession, context: CommitContext, strict: boolean): Promise<void> {
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
