import type { DoneFuncWithErrOrRes, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { awaitErrors, BODY_HEADERS, discard, isStream } from '../../common/payload.js'
import { completeHead } from '../cookie/head.js'
import { markPrivate } from '../cookie/private-response.js'
import { commit, isBusy, reopen, settle } from './commit.js'
import { isResponsePrivate, kPhase, kSession, type WithSession } from './request-session.js'
import { saveHead } from './response.js'
import type { Session } from './session.js'

/**
 * The `onSend` hook: commits the session of a request, and sends its cookie.
 *
 * It calls back for a session that needs no waiting, and answers with a promise for any other, so that Fastify takes an
 * error of a later hook, or of its own, for an error of the response.
 */
export function commitSession (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: DoneFuncWithErrOrRes): Promise<unknown> | undefined {
  const holder = request as WithSession
  const session = holder[kSession]
  // A hook that ran before those of hatcheck may have answered.
  session?.attach(reply)
  if (isSecondAnswer(holder, reply)) {
    // Undefined is no answer: an async handler has sent one before, and has ended while that one waits.
    if (payload !== undefined) request.log.warn('The handler has sent a second answer, which is dropped. An async handler that calls reply.send() must "return reply", and no other value.')
    return
  }
  const isFirst = holder[kPhase] === undefined
  holder[kPhase] ??= reply.raw.headersSent ? 'by the handler' : 'by Fastify'
  if (!isResponsePrivate(session)) {
    session?.close()
    done(null, payload)
    return
  }
  markPrivate(reply)
  // A hook that ran before those of hatcheck may have answered with a Web Response, whose headers Fastify puts over those of the reply.
  completeHead(reply)
  if (session === null || session === undefined) {
    done(null, payload)
    return
  }
  if (session.queue !== null) session.isSuccess = reply.statusCode < 400
  let committing
  try {
    if (isFirst) committing = commit(session)
  } catch (error) {
    throw failed(reply, payload, error)
  }
  if (committing === undefined && !isBusy(session)) {
    session.context.cookie.sendLast(session, reply)
    reportStreamed(session, payload)
    done(null, payload)
    return
  }
  return finish(holder, session, reply, committing, payload)
}

/** Tells whether the handler answers once more. Fastify does not always detect that. */
function isSecondAnswer (request: WithSession, reply: FastifyReply): boolean {
  return request[kPhase] === 'committing' || (request[kPhase] === 'by Fastify' && reply.raw.headersSent)
}

/** The errors of changes that the store can never take. */
const UNSTORABLE: ReadonlySet<string> = new Set(['HATCHECK_SESSION_TOO_LARGE', 'HATCHECK_ANONYMOUS_SESSION'])

/**
 * The `onError` hook: if a response has failed after its commit, or in it, the error handler can still change the session. The
 * response that it sends stores the changes of the error handler, and none of those made before.
 */
export function reopenSession (request: FastifyRequest, reply: FastifyReply, error: Partial<FastifyError> | null, done: () => void): void {
  const holder = request as WithSession
  // While the commit goes on, the response may still be the first one: a handler can throw after its answer.
  if (holder[kPhase] === 'by Fastify' && !reply.raw.headersSent) {
    delete holder[kPhase]
    if (holder[kSession]) reopen(holder[kSession], UNSTORABLE.has(error?.code ?? ''))
  }
  done()
}

async function finish (request: WithSession, session: Session, reply: FastifyReply, committing: MaybePromise<void>, payload: unknown): Promise<unknown> {
  const restoreHead = saveHead(reply)
  const { [kPhase]: phase = 'by Fastify' } = request
  request[kPhase] = 'committing'
  awaitErrors(payload)
  try {
    await committing
    // The handler may still run after its answer, and make calls.
    while (isBusy(session)) await settle(session)
    restoreHead()
    // Sent again, since other cookies may have been set in the meantime.
    session.context.cookie.sendLast(session, reply)
    reportStreamed(session, payload)
    return payload
  } catch (error) {
    throw failed(reply, payload, error)
  } finally {
    request[kPhase] = phase
  }
}

/** A stream can go on to read the session, and to change an object in it. */
function reportStreamed (session: Session, payload: unknown): void {
  if (typeof payload === 'object' && session.facade !== null && isStream(payload)) session.report.waitForStream()
}

/** The error replaces the answer, which may have been a redirect, or compressed. */
function failed (reply: FastifyReply, payload: unknown, error: unknown): unknown {
  for (const name of ['location', ...BODY_HEADERS]) reply.removeHeader(name)
  if (reply.statusCode >= 400) replaceError(reply, error)
  discard(payload)
  return error
}

/**
 * Gives the response the status and the headers of an error that replaces another one. If the first has been through Fastify's own
 * error handler, Fastify sends the second one without an error handler: with the status and headers that are set, and without a log line.
 */
function replaceError (reply: FastifyReply, error: unknown): void {
  const { statusCode = 500, headers } = (error ?? {}) as { statusCode?: number, headers?: Record<string, string> }
  // An application may throw anything. Fastify as well takes no other status from an error.
  reply.code(statusCode >= 400 && statusCode <= 599 ? statusCode : 500).headers(headers ?? {})
  reply.log.error({ err: error }, 'the session of an error response could not be stored')
}
