import type { FastifyInstance, FastifyReply, FastifyRequest, Session } from 'fastify'
import type { Authenticate, Authenticated, Check } from '../accounts/authenticator.js'
import { ConfigError } from '../common/rule.js'
import { wants } from '../common/wants.js'
import { clientAddress } from '../session/client.js'
import { clientText } from '../session/client-text.js'
import { destroy, login } from '../session/calls.js'
import { entriesOf } from '../session/fields.js'
import { kindOf } from '../session/json.js'
import { AuthenticateError, WrongCredentialsError } from './errors.js'

export interface LoginOptions {
  /**
   * "Keep me signed in": the session is permanent.
   * @default false
   */
  permanent?: boolean | undefined
  /**
   * Values to set in the same step.
   * @default none
   */
  data?: Partial<Session> | undefined
}

export interface CompleteLoginOptions {
  /**
   * "Keep me signed in": the session is permanent.
   * @default false
   */
  permanent?: boolean
  /**
   * The name as the client sent it; the next login with this name then comes from a known device.
   * @default the name of the user
   */
  sentName?: string
  /** Where the client wants to go on to; an address that is not allowed becomes the start page. */
  next?: unknown
}

/** Makes what changes who is logged in. Nothing else does. */
export function createLogIn (fastify: FastifyInstance, nextOf: (value: unknown) => string) {
  const { config, accounts, session, throttle, audit, view } = fastify.hatcheck

  const check: Check = config.authenticate ?? (async (name, password, request, isFamiliar) => {
    if (accounts === null) throw new ConfigError('authenticate is required: the session store of the application brings no accounts.')
    return await accounts.authenticate(name, password, { isFamiliar, onSignup: () => throttle.countSignup(request) })
  })

  function logIn (request: FastifyRequest, user: string, { permanent = false, data = {} }: LoginOptions = {}, isReauthentication = false): Promise<void> {
    return login(session.sessionFor(request), { user, permanent, data, isReauthentication, client: () => clientText(request.headers['user-agent'], clientAddress(request)) })
  }

  const group = {
    logIn,

    /** Ends every session that the request presents a ticket of. */
    logOut: (request: FastifyRequest): Promise<void> => destroy(session.sessionFor(request)),

    /** Checks a password, behind the throttle. Nothing else checks passwords. */
    authenticate: throttle.throttled(async (...asked) => answerOf(await check(...asked))) as Authenticate,

    /** Tells whether an answer of `authenticate` still holds, now that the session is stored. */
    async isStillValid (user: { name: string }): Promise<boolean> {
      return accounts === null || await accounts.isStillValid(user)
    },

    /**
     * Logs in a user who gave the password once more in a session. It begins no new session: one that ended meanwhile stays
     * ended. Returns false, and the session has ended, if the account was disabled or got another password meanwhile.
     *
     * @throws SessionGoneError (409)
     */
    async renewLogin (request: FastifyRequest, user: Authenticated, options?: LoginOptions): Promise<boolean> {
      await logIn(request, user.name, { ...options, data: user.data }, true)
      return await isStillValidOrEnd(request, user)
    },

    /**
     * Completes the login of a user whose identity is proven, by whatever method: begins the session, writes the audit log,
     * makes the browser a known device of the account, and answers with a redirect or JSON. A login method ends in it.
     *
     * @throws WrongCredentialsError (401) if the account was disabled or got another password meanwhile: what ends the sessions of
     *   a user must end a login under way as well.
     */
    async completeLogin (request: FastifyRequest, reply: FastifyReply, user: Authenticated, { permanent, sentName = user.name, next }: CompleteLoginOptions = {}): Promise<FastifyReply> {
      // Stored before the last look at the account, so that there is no gap between the two.
      await group.logIn(request, user.name, { permanent, data: user.data })
      if (!await isStillValidOrEnd(request, user)) throw new WrongCredentialsError()
      audit('authn_login_success', request, { user: user.name })
      await throttle.rememberDevice(request, reply, sentName, user)
      const target = nextOf(next)
      if (wants(request) === 'json') {
        return reply.send({ user: { name: user.name, authenticatedAt: new Date(session.loggedIn(request)?.authenticatedAt ?? 0).toISOString() }, next: target })
      }
      view.leaveNotice(request, reply, 'login')
      return reply.redirect(target, 303)
    }
  }

  async function isStillValidOrEnd (request: FastifyRequest, user: Authenticated): Promise<boolean> {
    if (await group.isStillValid(user)) return true
    await group.logOut(request)
    return false
  }

  return group
}

/**
 * Checks what an authenticator returned: a plain JavaScript host may return anything.
 *
 * @throws AuthenticateError, SessionValuesError, SessionKeyError, SessionValueError
 */
function answerOf (answer: Authenticated | null | undefined): Authenticated | null {
  if (answer === null || answer === undefined) return null
  if (typeof answer !== 'object' || typeof answer.name !== 'string') throw new AuthenticateError(kindOf(answer))
  entriesOf(answer.data ?? {})
  return answer
}
