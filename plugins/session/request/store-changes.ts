import { isLogout, type SessionChanges } from '../../store/sessions.js'
import type { ChangeSet } from '../model/change-set.js'
import { planChanges, type Plan } from '../model/plan.js'
import type { Stored } from '../model/stored.js'
import { recordActivityInStore } from './activity.js'
import { assertCookieCanBeSent, handOver, hasLostClient } from './delivery.js'
import type { Session } from './session.js'

/** Stores changes as planned. Returns false if the session has ended. */
export function storeChanges (session: Session, changes: ChangeSet): Promise<boolean> {
  const plan = planChanges(session.stored, changes, session.context)
  // By far the most frequent plan takes the shorter way.
  return plan.do === 'patch' && plan.changes.user === undefined ? patch(session, changes, plan.changes) : carryOut(session, changes, plan)
}

async function carryOut (session: Session, changes: ChangeSet, plan: Plan): Promise<boolean> {
  const { stored, context, request } = session
  const { writer, ender } = context
  // A logout by values ends every other session that the request presents, as `logout` does. This comes first: if it fails,
  // nothing has changed.
  if (stored !== null && (plan.do === 'end' || (plan.do === 'patch' && isLogout(plan.changes)))) await ender.endOthers(request, stored)
  switch (plan.do) {
    case 'nothing':
      if (stored !== null && await context.read(stored) === null) return false
      session.values.restore(changes)
      // Otherwise the commit does that.
      if (session.reply?.sent === true) recordActivityInStore(session)
      return true
    case 'create':
      assertCookieCanBeSent(session)
      await handOver(session, await writer.create(session.ensureId(), plan.record, request).catch((error: unknown) => {
        // The session may have begun all the same, and is ended then, so the next attempt needs another ID.
        session.dropNextId()
        throw error
      }), changes)
      return true
    case 'patch': return await patch(session, changes, plan.changes)
    case 'end': {
      const replaced = await writer.replace(stored as Stored, context.newId(), plan.change, request)
      if (replaced === null) return false
      await handOver(session, replaced.next, changes)
      return true
    }
  }
}

function patch (session: Session, taken: ChangeSet, changes: SessionChanges): Promise<boolean> {
  const { stored, context, request } = session
  const isCookieChanged = changes.permanent !== undefined || context.changesCookie
  // A client that has gone gets no cookie, and its session is stored all the same if the store keeps it.
  if (isCookieChanged && (context.changesCookie || !hasLostClient(session))) assertCookieCanBeSent(session)
  return context.writer.patch(stored as Stored, changes, request).then((next) => {
    if (next === null) return false
    session.continueWith(next, taken)
    if (next.ticket.stale || isCookieChanged) {
      session.mayHaveEnded = true
      session.sendCookie('set')
    }
    return true
  })
}
