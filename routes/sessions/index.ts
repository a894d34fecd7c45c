import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { fieldOf, textOf } from '../login/credentials.js'
import { NoSuchSessionError, WhichSessionError } from './errors.js'
import { passwordPage, sessionsPage, type ListedSession } from './page.js'
import { reauthenticate } from './reauthenticate.js'
import { schemas } from './schemas.js'
import { iso } from './time.js'

/** A handle and a password fit in it many times. */
const BODY_LIMIT = 16_384

/** How many are listed at most: the page of a user who has 10,000 would take too long to make. */
const MOST_LISTED = 250

/** What is to end: the session with this handle, or every other one. */
type Target = { handle: string } | 'others'

/** "My sessions": on which devices somebody is logged in, and an end to each of them. */
export default async function sessions (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  const { base: prefix, home, hasRoute, now, lifetimes } = hatcheck.config
  const onRequest = fastify.requireLogin

  fastify.get('/sessions', { schema: schemas.list, onRequest }, async (request, reply) => {
    const all = await list(request)
    const [sessions, total] = [all.slice(0, MOST_LISTED), all.length]
    if (hatcheck.prefersJson(request)) return { sessions: sessions.map(asJson), total }
    const notice = hatcheck.takeNotice(request, reply)
    return hatcheck.page(reply, sessionsPage({ prefix, home, hasLogout: hasRoute('logout'), sessions, total, now: now(), lifetimes, notice }))
  })

  fastify.delete<{ Params: { handle: string } }>('/sessions/:handle', { schema: schemas.end, onRequest, bodyLimit: BODY_LIMIT }, async (request, reply) => {
    await end(request, request.params)
    return await reply.code(204).send()
  })

  fastify.delete('/sessions', { schema: schemas.endOthers, onRequest, bodyLimit: BODY_LIMIT }, async (request) => ({ ended: await end(request, 'others') }))

  // A form can send nothing else.
  fastify.post('/sessions', { schema: schemas.post, onRequest, bodyLimit: BODY_LIMIT, errorHandler: askForPassword }, async (request, reply) => {
    const target = targetOf(request.body)
    const ended = await end(request, target, textOf(request.body, 'password') ?? textOf(request.body, 'pwd'))
    if (hatcheck.prefersJson(request)) return { ended }
    if (request.user === null) {
      hatcheck.leaveNotice(request, reply, 'logout')
      return await reply.redirect(home, 303)
    }
    hatcheck.leaveNotice(request, reply, target === 'others' ? 'others-ended' : 'session-ended')
    return await reply.redirect(`${prefix}/sessions`, 303)
  })

  /** This session first, then by the newest activity. */
  async function list (request: FastifyRequest): Promise<ListedSession[]> {
    const current = hatcheck.handleOf(request)
    const own = await fastify.sessions.ofUser(request.user?.name ?? '')
    return own
      .map((session) => session.handle === current ? { ...session, seenAt: now(), current: true } : { ...session, current: false })
      .sort((a, b) => Number(b.current) - Number(a.current))
  }

  /** Answers how many have ended. To end another session than one's own takes a login of late, or the password. */
  async function end (request: FastifyRequest, target: Target, password?: string): Promise<number> {
    if (target !== 'others' && target.handle === hatcheck.handleOf(request)) {
      await request.logout()
      return 1
    }
    await reauthenticate(hatcheck, request, password)
    if (target === 'others') return await hatcheck.endOthers(request)
    if (!await fastify.sessions.revoke(request.user?.name ?? '', target.handle, request)) throw new NoSuchSessionError()
    return 1
  }

  /** A browser is asked for the password; what it was about to do goes along. */
  function askForPassword (error: Parameters<typeof hatcheck.handleError>[0], request: FastifyRequest, reply: FastifyReply): void {
    const isForForm = ['HATCHECK_REAUTHENTICATE', 'HATCHECK_WRONG_CREDENTIALS', 'HATCHECK_PASSWORD', 'HATCHECK_THROTTLED'].includes(error.code)
    const accept = request.headers.accept ?? ''
    if (!isForForm || !accept.includes('text/html') || hatcheck.prefersJson(request)) {
      hatcheck.handleError(error, request, reply)
      return
    }
    if ('headers' in error) reply.headers(error.headers as Record<string, string>)
    const target = targetOf(request.body)
    hatcheck.page(reply.code(error.statusCode ?? 401), passwordPage({
      prefix,
      handle: target === 'others' ? null : target.handle,
      error: error.code === 'HATCHECK_REAUTHENTICATE' ? undefined : error.message
    }))
  }
}

/** @throws WhichSessionError */
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
