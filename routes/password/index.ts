import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { SessionGoneError } from '../../plugins/session/errors.js'
import { PasswordChangeUnfinishedError, PasswordChangedError, PasswordNotChangedError, WrongPasswordError } from './errors.js'
import { passwordFieldsOf } from './fields.js'
import { passwordPage } from './page.js'
import { schemas } from './schemas.js'

/** What the form can be sent again after, and which of its passwords is to blame. */
const REFUSALS: ReadonlyMap<string, 'current' | 'new'> = new Map([
  ['HATCHECK_WRONG_PASSWORD', 'current'],
  ['HATCHECK_CREDENTIALS', 'new'],
  ['HATCHECK_PASSWORD', 'new']
])

/** Three long passwords fit in it many times. */
const BODY_LIMIT = 16_384

/** Changing one's own password, where hatcheck keeps it. */
export default async function password (fastify: FastifyInstance): Promise<void> {
  const { accounts, hatcheck, requireLogin } = fastify
  const { base: prefix, home, hasRoute, passwordMinLength: minLength } = hatcheck.config
  const links = { prefix, home, hasLogout: hasRoute('logout') }
  if (accounts === undefined) return

  fastify.get('/password', { schema: schemas.get, onRequest: requireLogin }, async (request, reply) => {
    if (hatcheck.prefersJson(request)) return { minLength }
    return hatcheck.page(reply, passwordPage({ ...links, name: nameOf(request), minLength }))
  })

  fastify.post('/password', { schema: schemas.post, onRequest: requireLogin, bodyLimit: BODY_LIMIT, errorHandler: showInForm }, async (request, reply) => {
    hatcheck.assertDeliverable(request)
    const name = nameOf(request)
    const { current, next } = passwordFieldsOf(request.body)
    // The throttle comes before the new password is judged, which takes longer than most of what a request can ask for.
    const user = await hatcheck.authenticate(name, current, request)
    if (user === null || !await accounts.changePassword(user, next, () => assertStillIn(request, name))) throw new WrongPasswordError()
    hatcheck.audit('authn_password_change', request, { user: user.name })
    const ended = await endWithOldPassword(request, user)
    await hatcheck.rememberDevice(request, reply, name, user)
    if (hatcheck.prefersJson(request)) return { ended }
    hatcheck.leaveNotice(request, reply, 'password')
    return await reply.redirect(home, 303)
  })

  async function assertStillIn (request: FastifyRequest, name: string): Promise<void> {
    if (!await hatcheck.sessionFor(request).isStillOf(name)) throw new PasswordNotChangedError()
  }

  /** A new id for this session, and the end of all others: whoever has got in with the old password is out. */
  async function endWithOldPassword (request: FastifyRequest, user: { name: string }): Promise<number> {
    try {
      if (await admitAgain(request, user)) return await hatcheck.endOthers(request)
    } catch (error) {
      throw error instanceof PasswordChangedError ? error : Object.assign(new PasswordChangeUnfinishedError(), { cause: error })
    }
    throw new LoginRequiredError()
  }

  /** @throws PasswordChangedError if there is no session to go on with; all others have ended then. */
  async function admitAgain (request: FastifyRequest, user: { name: string }): Promise<boolean> {
    try {
      return await hatcheck.admitAgain(request, user, { permanent: request.session.permanent })
    } catch (error) {
      if (!(error instanceof SessionGoneError)) throw error
      // Ended by another change of the account, which has overtaken this one.
      if (!await hatcheck.stillHolds(user)) return false
      await fastify.sessions.revokeUser(user.name)
      throw new PasswordChangedError()
    }
  }

  /** A browser gets the form again. */
  function showInForm (error: Parameters<typeof hatcheck.handleError>[0], request: FastifyRequest, reply: FastifyReply): void {
    const { statusCode: status = 500, message: text } = error
    const of = status === 429 ? 'current' : REFUSALS.get(error.code)
    if (of === undefined) {
      hatcheck.handleError(error, request, reply)
      return
    }
    const name = nameOf(request)
    hatcheck.audit('authn_password_change_fail', request, { user: name, reason: status === 429 ? 'throttled' : `${of}-password` })
    if (hatcheck.prefersJson(request) || !(request.headers.accept ?? '').includes('text/html')) {
      hatcheck.handleError(error, request, reply)
      return
    }
    if ('headers' in error) reply.headers(error.headers as Record<string, string>)
    hatcheck.page(reply.code(status), passwordPage({ ...links, name, minLength, error: { text, of } }))
  }
}

function nameOf ({ user }: FastifyRequest): string {
  return user?.name ?? ''
}
