import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { iso } from '../../plugins/common/iso.js'
import { wants } from '../../plugins/common/wants.js'
import { BODY_LIMIT } from '../../plugins/http/own-routes.js'
import { fieldOf, passwordIn } from '../../plugins/login/fields.js'
import type { UserSession } from '../../plugins/session/outside/user-sessions.js'
import type { Page } from '../../plugins/view/layout.js'
import { NoSuchSessionError, WhichSessionError } from './errors.js'
import { sessionsPage, type ListedSession } from './page.js'
import { reauthenticationPage } from './reauthentication-page.js'
import { schemas } from './schemas.js'

/** How many sessions are listed at most: a page with 10,000 would take too long to render. */
const MOST_LISTED = 250

/** The session with this handle, or all other sessions. */
type Target = { handle: string } | 'others'

/** The errors that the form shows. */
const FORM_ERRORS = ['HATCHECK_REAUTHENTICATE', 'HATCHECK_WRONG_CREDENTIALS', 'HATCHECK_PASSWORD', 'HATCHECK_THROTTLED', 'HATCHECK_BUSY']

/** Serves "My sessions": lists the devices on which the user is logged in, and ends their sessions. */
export default async function sessions (fastify: FastifyInstance): Promise<void> {
  const { config, session, login: { assertLoggedIn: onRequest, assertSameUser, logOut, reauthenticate, requireUser }, view, http } = fastify.hatcheck
  const { base, home, hasRoute, now, lifetimes } = config
  const errorHandler = http.showInForm({ codes: FORM_ERRORS, page: askForPassword })

  fastify.get('/sessions', { schema: schemas.list, onRequest }, async (request, reply) => {
    const { sessions: listed, total } = await list(request)
    if (wants(request) === 'json') return { sessions: listed.map(asJson), total }
    const notice = view.takeNotice(request, reply)
    return view.page(reply, sessionsPage({ base, home, name: requireUser(request).name, hasLogout: hasRoute('logout'), sessions: listed, total, now: now(), lifetimes, notice }))
  })

  fastify.delete<{ Params: { handle: string } }>('/sessions/:handle', { schema: schemas.end, onRequest, bodyLimit: BODY_LIMIT }, async (request, reply) => {
    await end(request, request.params)
    return await reply.code(204).send()
  })

  fastify.delete('/sessions', { schema: schemas.endOthers, onRequest, bodyLimit: BODY_LIMIT }, async (request) => ({ ended: await end(request, 'others') }))

  // A form can only send POST.
  fastify.post('/sessions', { schema: schemas.post, onRequest, bodyLimit: BODY_LIMIT, errorHandler }, async (request, reply) => {
    assertSameUser(request)
    const target = targetOf(request.body)
    const ended = await end(request, target, passwordIn(request.body))
    if (wants(request) === 'json') return { ended }
    if (session.loggedIn(request) === null) {
      view.leaveNotice(request, reply, 'logout')
      return await reply.redirect(home, 303)
    }
    view.leaveNotice(request, reply, target === 'others' ? 'others-ended' : 'session-ended')
    return await reply.redirect(`${base}/sessions`, 303)
  })

  /** Lists the session of the request first, then the others by newest activity. The total is null if it is unknown. */
  async function list (request: FastifyRequest): Promise<{ sessions: ListedSession[], total: number | null }> {
    const handle = session.handleFor(request)
    const known = await knownOf(request)
    const own = known.find((one) => one.handle === handle)
    const others = known.filter((one) => one !== own)
    const listed = (own === undefined ? others : [{ ...own, seenAt: now() }, ...others]).slice(0, MOST_LISTED)
    return { sessions: listed.map((one) => ({ ...one, current: one.handle === handle })), total: session.isListed ? known.length : null }
  }

  /** Returns the sessions of the user; where nobody can list them, only that of the request. */
  async function knownOf (request: FastifyRequest): Promise<UserSession[]> {
    if (session.isListed) return await fastify.sessions.ofUser(requireUser(request).name)
    const own = session.describe(request)
    return own === null ? [] : [own]
  }

  /** Returns how many sessions have ended. Ending another session needs a recent login, or the password. */
  async function end (request: FastifyRequest, target: Target, password?: string): Promise<number> {
    if (target !== 'others' && target.handle === session.handleFor(request)) {
      await logOut(request)
      return 1
    }
    await reauthenticate(request, password)
    if (target === 'others') return await session.endOthers(request)
    if (!await fastify.sessions.revoke(requireUser(request).name, target.handle, request)) throw new NoSuchSessionError()
    return 1
  }

  /** Asks for the password; the form keeps what was to end. */
  function askForPassword (error: FastifyError, request: FastifyRequest): Page {
    const target = targetOf(request.body)
    return reauthenticationPage({
      base,
      name: session.loggedIn(request)?.name ?? '',
      handle: target === 'others' ? null : target.handle,
      error: error.code === 'HATCHECK_REAUTHENTICATE' ? undefined : error.message
    })
  }
}

/** Reads from a form which sessions are to end. @throws WhichSessionError */
function targetOf (body: unknown): Target {
  const handle = fieldOf(body, 'handle')
  const others = fieldOf(body, 'others')
  const isOthers = others === '1' || others === 1 || others === true
  if (typeof handle === 'string' && others === undefined) return { handle }
  if (isOthers && handle === undefined) return 'others'
  throw new WhichSessionError()
}

function asJson ({ handle, createdAt, seenAt, expiresAt, permanent, client, address, current }: ListedSession): object {
  return { handle, createdAt: iso(createdAt), lastSeenAt: iso(seenAt), expiresAt: iso(expiresAt), permanent, client, address, current }
}
