import type { MaybePromise } from '../../common/maybe-promise.js'
import type { ChangeSet } from '../model/change-set.js'
import { ClientGoneError, NoCookieError } from '../model/errors.js'
import type { Stored } from '../model/stored.js'
import { canSetCookie, isConnectionClosed } from './response.js'
import type { Session } from './session.js'

/** @throws InsecureTransportError, CookieDomainError, NoCookieError, ClientGoneError if the browser cannot get the cookie of a new session. */
export function assertCookieCanBeSent (session: Session): void {
  session.context.assertDeliverable(session.request)
  if (!canSendCookie(session)) throw noCookieError(session)
}

/**
 * Continues with a session that has just begun; null: the previous one has ended.
 *
 * @throws NoCookieError if the headers of the response have left in the meantime. The new session then ends again, since
 * the browser cannot get its cookie.
 */
export async function handOver (session: Session, next: Stored | null, changes: ChangeSet): Promise<void> {
  if (next !== null && !canSendCookie(session)) {
    await session.context.ender.discard(next, session.request)
    throw noCookieError(session)
  }
  session.mayHaveEnded = false
  session.continueWith(next, changes)
  session.sendCookie(next === null ? 'clear' : 'set')
}

function canSendCookie ({ reply }: Session): boolean {
  return reply === null || canSetCookie(reply)
}

/** Tells whether the client has gone, so that nothing reaches it. */
export function hasLostClient ({ reply }: Session): boolean {
  return reply !== null && isConnectionClosed(reply)
}

function noCookieError (session: Session): Error {
  return hasLostClient(session) && session.reply?.raw.headersSent === false ? new ClientGoneError() : new NoCookieError()
}

/** Sends no cookie of a session that another request has ended: the browser may have a newer cookie by now. */
export function dropCookieIfEnded (session: Session): MaybePromise<void> {
  const { stored, cookie, mayHaveEnded, silence } = session
  if (mayHaveEnded && cookie === 'set' && stored !== null && silence === null) return dropIfEnded(session, stored)
}

async function dropIfEnded (session: Session, stored: Stored): Promise<void> {
  const hasEnded = await session.context.read(stored).then((record) => record === null, () => false)
  // A call may have made another cookie in the meantime.
  if (hasEnded && session.stored?.ticket === stored.ticket) session.sendCookie('keep')
}
