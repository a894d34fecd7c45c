import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Calls } from '../common/calls.js'
import { onceClosed } from './response.js'

/** What the report asks of a session. */
interface Reported {
  readonly request: FastifyRequest
  readonly queue: Calls | null
  readonly isClosed: boolean
  readonly isModified: boolean
  /** Whether the report waits for the end of the response. */
  isReportPending: boolean
  hasReportedLoss: boolean
}

/** Logs what nobody was told, once the response is over: failed calls, and changes that were never stored. */
export function reportWhenClosed (session: Reported, reply: FastifyReply | null): void {
  if (reply === null || session.isReportPending) return
  session.isReportPending = true
  onceClosed(reply, () => {
    session.isReportPending = false
    if (hasSomethingToTell(session)) report(session, reply).catch(() => {})
  })
}

/** Nearly every response has stored the changes, and no call is left. */
function hasSomethingToTell ({ isClosed, queue }: Reported): boolean {
  return !isClosed || queue?.isBusy === true || queue?.hasFailed === true
}

async function report (session: Reported, reply: FastifyReply): Promise<void> {
  await logFailedCalls(session)
  // A response that Fastify sends stores the changes in its hook, even if the client has gone. A hijacked one has no hook.
  if (session.isClosed || session.hasReportedLoss || !reply.sent || !mayBeModified(session)) return
  session.hasReportedLoss = true
  session.request.log.warn('The session has changes that are not stored, because Fastify did not send this response. Call "await request.session.save()" before it ends.')
}

export async function logFailedCalls ({ request, queue }: Pick<Reported, 'request' | 'queue'>): Promise<void> {
  await queue?.idle()
  for (const error of queue?.unheeded() ?? []) request.log.error({ err: error }, 'a call on the session failed after the response')
}

function mayBeModified (session: Reported): boolean {
  try {
    return session.isModified
  } catch {
    // A value that JSON cannot hold.
    return true
  }
}
