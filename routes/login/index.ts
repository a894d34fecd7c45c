import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { WrongCredentialsError, credentialsOf, fieldOf } from './credentials.js'
import { failureReasonOf } from './failure.js'
import { loginPage } from './page.js'
import { schemas } from './schemas.js'

/** A name, a password and an address fit in it many times. */
const BODY_LIMIT = 16_384

export default async function login (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  const { base: prefix } = hatcheck.config

  fastify.get<{ Querystring: { next?: unknown } }>('/login', { schema: schemas.get }, (request, reply) => {
    const next = hatcheck.nextOf(request.query.next)
    if (request.user !== null) {
      reply.redirect(next, 303)
      return
    }
    if (hatcheck.prefersJson(request)) {
      reply.send({ user: null, next })
      return
    }
    // Behind a proxy this is the page that a logout leads to: the start page is the application's.
    const notice = hatcheck.takeNotice(request, reply, ['logout'])
    hatcheck.page(reply, loginPage({ prefix, next, notice }))
  })

  fastify.post('/login', { schema: schemas.post, bodyLimit: BODY_LIMIT, errorHandler: showInForm }, async (request, reply) => {
    // Known before the password is hashed: a cookie that cannot travel makes the login worthless.
    hatcheck.assertDeliverable(request)
    const { name, password, permanent } = credentialsOf(request.body)
    const user = await hatcheck.authenticate(name, password, request)
    if (user === null) throw new WrongCredentialsError()
    if (!await hatcheck.admit(request, user, { permanent })) throw new WrongCredentialsError()
    hatcheck.audit('authn_login_success', request, { user: user.name })
    await hatcheck.rememberDevice(request, reply, name, user)
    const next = hatcheck.nextOf(nextOf(request))
    if (hatcheck.prefersJson(request)) {
      return { user: { name: user.name, authenticatedAt: new Date(request.user?.authenticatedAt ?? 0).toISOString() }, next }
    }
    hatcheck.leaveNotice(request, reply, 'login')
    return await reply.redirect(next, 303)
  })

  /** Here since every failure comes by, whoever has thrown it; a refusal that has an event of its own is none of a login. */
  function noteFailure (error: FastifyError, request: FastifyRequest): void {
    const reason = failureReasonOf(error)
    if (reason === null) return
    const user = fieldOf(request.body, 'client_name')
    hatcheck.audit('authn_login_fail', request, { user: typeof user === 'string' ? user : null, reason })
  }

  /** A browser gets the form again, with what it had in it but the password. */
  function showInForm (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
    noteFailure(error, request)
    const isForForm = ['HATCHECK_WRONG_CREDENTIALS', 'HATCHECK_CREDENTIALS', 'HATCHECK_NAME', 'HATCHECK_PASSWORD', 'HATCHECK_THROTTLED'].includes(error.code)
    const accept = request.headers.accept ?? ''
    if (!isForForm || !accept.includes('text/html') || hatcheck.prefersJson(request)) {
      hatcheck.handleError(error, request, reply)
      return
    }
    if ('headers' in error) reply.headers(error.headers as Record<string, string>)
    const name = fieldOf(request.body, 'client_name')
    hatcheck.page(reply.code(error.statusCode ?? 400), loginPage({
      prefix,
      next: hatcheck.nextOf(nextOf(request)),
      name: typeof name === 'string' ? name : '',
      permanent: fieldOf(request.body, 'permanent') === 'on',
      error: error.message
    }))
  }
}

/** The form carries it as a field; a program may have it in the address. */
function nextOf (request: FastifyRequest): unknown {
  return fieldOf(request.body, 'next') ?? fieldOf(request.query, 'next')
}
