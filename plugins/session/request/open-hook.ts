import type { onRequestHookHandler } from 'fastify'
import type { OldSessions } from '../adoption/old-sessions.js'
import { completeHead } from '../cookie/head.js'
import { isResponsePrivate, kReply, kSession, type RequestSessions, type WithSession } from './request-session.js'
import type { Session } from './session.js'

/**
 * Makes the `onRequest` hook: lets the session of a request know the reply, and reads it if the store is asynchronous.
 *
 * @param isSync whether the store answers without a promise, so that a session is read only when it is asked for
 * @param oldSessions the sessions of another library that requests may present; null: there are none
 */
export function createOpenSession (
  { sessionFor, sessionOf }: Pick<RequestSessions, 'sessionFor' | 'sessionOf'>,
  isSync: boolean,
  oldSessions: Pick<OldSessions, 'isPresentedBy'> | null
): onRequestHookHandler {
  const markRead = oldSessions === null ? undefined : sessionOf

  return function openSession (request, reply, done) {
    const holder = request as WithSession
    holder[kReply] = reply
    const session = holder[kSession]
    if (session !== undefined) {
      // A hook of the application ran before this one and has asked for the session.
      session?.attach(reply)
      if (isResponsePrivate(session)) completeHead(reply)
    }
    // An old session has to be read before the handler runs, since its store is asynchronous.
    const isReadWhenAsked = isSync && (oldSessions === null || !oldSessions.isPresentedBy(request))
    // Without a cookie there is nothing to read.
    if (isReadWhenAsked || (session === undefined && request.headers.cookie === undefined)) done()
    else whenLoaded(sessionFor(request), done, markRead)
  }
}

// Separate, since a closure slows down the function around it, even if it is never made.
function whenLoaded (session: Session, done: () => void, markRead: RequestSessions['sessionOf'] | undefined): void {
  const loading = session.load()
  if (loading === undefined) return done()
  loading.then(() => {
    if (markRead !== undefined && needsCookie(session)) markRead(session.request)
    done()
  })
}

/** Tells whether the response has to bring the cookie of a session, even if no handler asks for the session. */
function needsCookie ({ isAvailable, isClosed, stored }: Session): boolean {
  return isAvailable && !isClosed && stored?.ticket.stale === true
}
