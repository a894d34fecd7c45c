import { expiryOf, isTouchDue } from './clock.js'
import { guarded } from './errors.js'
import type { LazySession } from './lazy-session.js'
import { assertSize, create, end, gone, isEmpty, newRecord, without, type CommitContext } from './life-cycle.js'
import { renew } from './renewal.js'
import { withChanges, type MaybePromise, type SessionChanges, type SessionFields, type SessionRecord } from './store.js'
import type { Ticket } from './ticket.js'

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
