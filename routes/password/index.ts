import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { endIfRemembered } from '../../plugins/accounts/end-sessions.js'
import { wants } from '../../plugins/common/wants.js'
import { BODY_LIMIT } from '../../plugins/http/own-routes.js'
import { NoCookieError, SessionGoneError } from '../../plugins/session/model/errors.js'
import type { Page } from '../../plugins/view/layout.js'
import { PasswordChangeUnfinishedError, PasswordChangedError, PasswordNotChangedError, PasswordOvertakenError, WrongPasswordError } from './errors.js'
import { passwordFieldsOf } from './fields.js'
import { passwordPage } from './page.js'
import { schemas } from './schemas.js'

/** The errors that the form shows: which of its passwords is wrong, and the reason in the audit log. */
const FORM_ERRORS: Readonly<Record<string, { of: 'current' | 'new', reason: string }>> = {
  HATCHECK_WRONG_PASSWORD: { of: 'current', reason: 'current-password' },
  HATCHECK_CREDENTIALS: { of: 'new', reason: 'new-password' },
  HATCHECK_PASSWORD: { of: 'new', reason: 'new-password' },
  HATCHECK_THROTTLED: { of: 'current', reason: 'throttled' },
  HATCHECK_BUSY: { of: 'current', reason: 'unavailable' }
}

/** Changes the password of the user, if hatcheck keeps the account. */
export default async function password (fastify: FastifyInstance): Promise<void> {
  if (fastify.hatcheck.accounts === null) return
  const accounts = fastify.hatcheck.accounts
  const { config, session, login, throttle, view, http, audit } = fastify.hatcheck
  const { base, home, hasRoute, passwordMinLength: minLength } = config
  const links = { base, home, hasLogout: hasRoute('logout') }
  const { assertLoggedIn: onRequest } = login
  const errorHandler = http.showInForm({ codes: Object.keys(FORM_ERRORS), page: pageAgain, note: noteFailure })

  fastify.get('/password', { schema: schemas.get, onRequest }, async (request, reply) => {
    if (wants(request) === 'json') return { minLength }
    return view.page(reply, passwordPage({ ...links, name: nameOf(request), minLength }))
  })

  fastify.post('/password', { schema: schemas.post, onRequest, bodyLimit: BODY_LIMIT, errorHandler }, async (request, reply) => {
    session.assertDeliverable(request)
    login.assertSameUser(request)
    const name = nameOf(request)
    const { current, next } = passwordFieldsOf(request.body)
    // The throttle comes before the check of the new password, which takes long.
    const user = await login.checkPassword(name, current, request)
    let ended = 0
    const isChanged = user !== null && await accounts.changePassword(user, next, async () => {
      if (!await session.isStillOf(request, name)) throw new PasswordNotChangedError()
      // Also before: a process that is killed after the change must not leave the sessions of a thief alive.
      ended = await endOthers(request, name)
    })
    if (!isChanged) throw new WrongPasswordError()
    audit('authn_password_change', request, { user: user.name })
    ended += await endWithOldPassword(request, user)
    await throttle.rememberDevice(request, reply, name, user)
    if (wants(request) === 'json') return { ended }
    view.leaveNotice(request, reply, 'password')
    return await reply.redirect(home, 303)
  })

  function nameOf (request: FastifyRequest): string {
    return session.loggedIn(request)?.name ?? ''
  }

  async function endOthers (request: FastifyRequest, name: string): Promise<number> {
    return await accounts.endSessions(name, () => endIfRemembered(() => session.endOthers(request)))
  }

  /** Renews the ID of this session and ends all others, among them any that the old password has opened meanwhile. */
  async function endWithOldPassword (request: FastifyRequest, user: { name: string }): Promise<number> {
    try {
      if (await renewLogin(request, user)) return await endOthers(request, user.name)
    } catch (error) {
      throw error instanceof PasswordChangedError ? error : Object.assign(new PasswordChangeUnfinishedError(), { cause: error })
    }
    throw new PasswordOvertakenError()
  }

  /** @throws PasswordChangedError if this session has ended, or its client has gone; all others have ended then as well. */
  async function renewLogin (request: FastifyRequest, user: { name: string }): Promise<boolean> {
    try {
      return await login.renewLogin(request, user, request.session.permanent)
    } catch (error) {
      if (!(error instanceof SessionGoneError || error instanceof NoCookieError)) throw error
      // Another change of the account has ended it.
      if (!await login.isStillValid(user)) return false
      await accounts.endSessions(user.name)
      throw new PasswordChangedError()
    }
  }

  function noteFailure ({ code }: FastifyError, request: FastifyRequest): void {
    const shown = FORM_ERRORS[code]
    if (shown !== undefined) audit('authn_password_change_fail', request, { user: nameOf(request), reason: shown.reason })
  }

  function pageAgain ({ code, message: text }: FastifyError, request: FastifyRequest): Page {
    return passwordPage({ ...links, name: nameOf(request), minLength, error: { text, of: FORM_ERRORS[code]?.of ?? 'current' } })
  }
}
