import type { FastifyReply, FastifyRequest } from 'fastify'
import { logError } from '../../common/log-error.js'
import { assertSessionIsOn } from '../backend/off.js'
import { completeHead } from '../cookie/head.js'
import { SessionCommittedError } from '../model/errors.js'
import type { User } from '../model/user.js'
import { recordActivityInStore } from './activity.js'
import type { SessionContext } from './context.js'
import { createFacade } from './facade.js'
import { hasBegun } from './response.js'
import type { SessionObject } from './session-object.js'
import { Session } from './session.js'

/** The session of a request; null: the request has no cookie, and only its user has been asked for. */
export const kSession = Symbol('hatcheck.session')
/** Its reply; missing in a hook that runs before those of hatcheck. */
export const kReply = Symbol('hatcheck.reply')
export const kPhase = Symbol('hatcheck.phase')

/** How far the response is; missing before its `onSend` hooks: its commit is under way, or Fastify sends it, or the handler itself has begun to. */
type Phase = 'committing' | 'by Fastify' | 'by the handler'

// Not decorated: Fastify sets every decoration on each request, which costs requests that need no session.
export type WithSession = FastifyRequest & { [kSession]?: Session | null, [kReply]?: FastifyReply, [kPhase]?: Phase }

export interface RequestSessions {
  /** Returns the session of a request, for calls: they report by themselves if the store cannot answer. */
  sessionFor (request: FastifyRequest): Session
  /** Returns the session of a request, which counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
  sessionOf (request: FastifyRequest): Session
  /** Returns `request.session`. @throws SessionNotReadError, StoreUnavailableError */
  facadeOf (request: FastifyRequest): SessionObject
  /** Returns `request.user`; the session counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
  loggedIn (request: FastifyRequest): User | null
  /** Returns the handle of the session of a request if the session has been read and is stored. Reads nothing. */
  handleFor (request: FastifyRequest): string | undefined
}

/**
 * Makes the functions that find or make the session of a request.
 *
 * @param isSync whether the store answers without a promise, so that a session is read only when it is asked for
 */
export function createRequestSessions (context: SessionContext, isSync: boolean): RequestSessions {
  return { sessionFor, sessionOf, facadeOf, loggedIn, handleFor }

  function sessionFor (request: WithSession): Session {
    let session = request[kSession]
    if (session === undefined || session === null) {
      session = new Session(context, request, request[kReply] ?? null)
      request[kSession] = session
      if (request[kPhase] !== undefined) session.close()
      // Without a cookie the store is not asked. Before the hook of hatcheck, every request gets the same answer.
      if (isSync || (request[kReply] !== undefined && request.headers.cookie === undefined)) session.load()
    }
    return session
  }

  function sessionOf (request: FastifyRequest): Session {
    const session = sessionFor(request)
    session.assertReadable()
    if (session.access !== 'in time') {
      markRead(request)
      session.access = 'in time'
    }
    return session
  }

  function facadeOf (request: FastifyRequest): SessionObject {
    const session = sessionFor(request)
    session.assertReadable()
    if (session.access !== 'in time') {
      // Calls are never too late, so the facade exists in any case.
      if (isTooLate(request)) session.access = 'too late'
      else sessionOf(request)
    }
    if (session.facade === null) {
      session.facade = createFacade(session)
      // This response may have no commit, and nobody sees a change within an object before.
      if (replyOf(request) === undefined || request.headers.upgrade !== undefined) session.report.wait()
    }
    return session.facade
  }

  function loggedIn (request: WithSession): User | null {
    if (request[kSession] === undefined && isSync && request.headers.cookie === undefined) {
      assertSessionIsOn(request)
      markRead(request)
      request[kSession] = null
    }
    return request[kSession] === null ? null : sessionOf(request).user
  }

  function handleFor ({ [kSession]: session }: WithSession): string | undefined {
    return isResponsePrivate(session) ? session?.handle : undefined
  }
}

/** Returns the reply to a request; undefined in a hook that runs before those of hatcheck. */
export function replyOf (request: FastifyRequest): FastifyReply | undefined {
  return (request as WithSession)[kReply]
}

/** Tells whether the response depends on the session. */
export function isResponsePrivate (session: Session | null | undefined): boolean {
  return session === null || (session !== undefined && (session.access === 'in time' || session.queue !== null))
}

/** Keeps a response that has not begun out of caches. @throws SessionCommittedError if it has begun */
function markRead (request: WithSession): void {
  const { [kReply]: reply } = request
  if (reply === undefined) return
  if (isTooLate(request)) throw new SessionCommittedError()
  completeHead(reply, recordUncommitted)
}

/** Records the activity of a request whose response does not come from Fastify, and so has no commit. Its changes may be lost. */
function recordUncommitted ({ request }: FastifyReply): void {
  const { [kSession]: session, [kPhase]: phase } = request as WithSession
  if (phase !== undefined || session?.isAvailable !== true) return
  session.report.wait()
  try {
    recordActivityInStore(session)
  } catch (error) {
    // The clock of the application may throw. The head leaves all the same.
    logError(request.log, error, 'the activity of a session could not be recorded')
  }
}

function isTooLate ({ [kPhase]: phase, [kReply]: reply }: WithSession): boolean {
  return phase !== undefined && reply !== undefined && hasBegun(reply)
}
