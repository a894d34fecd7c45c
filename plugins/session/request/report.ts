import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Calls } from '../../common/calls.js'
import type { CookieChange } from '../cookie/cookie.js'
import { onceClosed } from './response.js'

/** The part of a session that the report uses. */
interface Reported {
  readonly request: FastifyRequest
  readonly reply: FastifyReply | null
  readonly queue: Calls | null
  readonly cookie: CookieChange
  readonly isClosed: boolean
  readonly isModified: boolean
}

/** Logs, once the response is over, failures that no caller has seen: failed calls, and changes that were never stored. */
export class Report {
  readonly #session: Reported
  /** Whether it waits for the end of the response. */
  #isPending = false
  /** Whether it waits for the end of a request whose response is not known. */
  #isWatching = false
  /** Whether a stream may make changes within objects, after the commit. */
  #mayChangeLate = false
  #hasToldLoss = false

  constructor (session: Reported) {
    this.#session = session
  }

  /** Waits for the end of the response or, as long as that is not known, of the request. */
  wait (): void {
    const { reply } = this.#session
    if (reply === null) this.#unlessAttached()
    else this.#whenClosed(reply)
  }

  /** Waits for the end of a response that is a stream, and reports changes within objects as well that follow the commit. */
  waitForStream (): void {
    this.#mayChangeLate = true
    this.wait()
  }

  #whenClosed (reply: FastifyReply): void {
    if (this.#isPending) return
    this.#isPending = true
    onceClosed(reply, () => {
      this.#isPending = false
      if (this.#mayChangeLate || hasSomethingToTell(this.#session)) this.#tell(reply).catch(() => {})
    })
  }

  /**
   * Logs the loss if the request ends before its response is known: a hook that runs before those of hatcheck has answered, and
   * not through Fastify.
   */
  #unlessAttached (): void {
    if (this.#isWatching) return
    this.#isWatching = true
    const { raw } = this.#session.request
    // If the client has gone, the hook may still go on, and Fastify then sends its response.
    raw.once('close', () => { if (this.#session.reply === null && !raw.aborted) this.#tellUnattached().catch(() => {}) })
  }

  async #tellUnattached (): Promise<void> {
    const session = this.#session
    await logFailedCalls(session)
    if (session.cookie !== 'set' && !mayBeModified(session)) return
    session.request.log.warn('A hook that runs before those of hatcheck has sent this response by reply.hijack() or reply.raw. Its session cookie is not sent, and changes of its session are not stored. Register hatcheck before this hook.')
  }

  async #tell (reply: FastifyReply): Promise<void> {
    const session = this.#session
    await logFailedCalls(session)
    // A response that Fastify sends stores the changes in its hook, even if the client has gone. A hijacked one has no hook.
    if ((session.isClosed && !this.#mayChangeLate) || this.#hasToldLoss || !reply.sent || !mayBeModified(session)) return
    this.#hasToldLoss = true
    const cause = session.isClosed ? 'they were made within an object after the response had begun' : 'Fastify did not send this response'
    session.request.log.warn(`The session has changes that are not stored, because ${cause}. Call "await request.session.save()" before it ends.`)
  }
}

/** Nearly every response has stored the changes, and no call is left. */
function hasSomethingToTell ({ isClosed, queue }: Reported): boolean {
  return !isClosed || queue?.isBusy === true || queue?.hasFailed === true
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
