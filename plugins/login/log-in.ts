import type { FastifyInstance, FastifyReply, FastifyRequest, Session } from 'fastify'
import type { Authenticated } from '../accounts/authenticator.js'
import { clientAddress } from '../common/client-address.js'
import { wants } from '../common/wants.js'
import { clientText } from '../session/model/client-text.js'
import { userJson } from '../session/model/user.js'
import { destroy, login, reject, type LoginRequest } from '../session/request/calls.js'
import type { PasswordCheck, Proof } from './check.js'
import { NotAwaitedError, WrongCredentialsError } from './errors.js'

/** The options of `request.login`. */
export interface LoginOptions<Values = Session> {
  /**
   * "Keep me signed in": the session is permanent.
   * @default what this request has assigned to `session.permanent`, else false
   */
  permanent?: boolean | undefined
  /**
   * Values to set in the same step.
   * @default none
   */
  data?: Partial<Values> | undefined
}

export interface CompleteLoginOptions extends Pick<LoginOptions, 'permanent'> {
  /**
   * The name as the client sent it; the next login with this name then comes from a known device.
   * @default the name of the user
   */
  sentName?: string
  /** The page to continue with; an address that is not allowed becomes `afterLogin`. */
  next?: unknown
}

export type LoginCalls = ReturnType<typeof createLoginCalls>

/** Makes the functions that log a user in or out. No other code does so. */
export function createLoginCalls (
  fastify: FastifyInstance,
  { isUndecided, proofOf }: Pick<PasswordCheck, 'isUndecided' | 'proofOf'>,
  nextOf: (value: unknown) => string
) {
  const { accounts, session, throttle, audit, view } = fastify.hatcheck

  function logInWith (request: FastifyRequest, user: string, { permanent, data }: LoginOptions, more: Partial<LoginRequest>): Promise<void> {
    const client = (): string => clientText(request.headers['user-agent'], clientAddress(request))
    return login(session.sessionFor(request), { user, permanent, data: data ?? {}, client, ...more })
  }

  /**
   * Takes the last look at the account, with the session stored, so that there is no gap between the two: what ends the sessions
   * of a user must end a login under way as well.
   *
   * @throws WrongCredentialsError (401) if the account was disabled or got another password meanwhile.
   */
  async function confirm (request: FastifyRequest, { user, sentName }: Proof): Promise<void> {
    if (!await group.isStillValid(user)) throw new WrongCredentialsError()
    audit('authn_login_success', request, { user: user.name })
    const reply = session.replyOf(request)
    if (reply !== undefined) await throttle.rememberDevice(request, reply, sentName, user)
  }

  const group = {
    /**
     * `request.login`. A user whose password the same request has checked gets what `POST /login` does: the last look at the
     * account, the audit log and the known device.
     */
    logIn (request: FastifyRequest, name: string, options?: LoginOptions | null): Promise<void> {
      if (isUndecided(request)) return reject(session.sessionFor(request), new NotAwaitedError())
      const proof = proofOf(request, name)
      return logInWith(request, name, options ?? {}, proof === null ? {} : { confirm: () => confirm(request, proof) })
    },

    /** Ends every session that the request presents a ticket of. */
    logOut: (request: FastifyRequest): Promise<void> => destroy(session.sessionFor(request)),

    /** Tells whether an answer of `checkPassword` still holds, now that the session is stored. */
    async isStillValid (user: { name: string }): Promise<boolean> {
      return accounts === null || await accounts.isStillValid(user)
    },

    /**
     * Logs in a user who gave the password once more in a session. It begins no new session: one that ended meanwhile stays
     * ended. Returns false, and the session has ended, if the account was disabled or got another password meanwhile.
     *
     * @throws SessionGoneError (409)
     */
    async renewLogin (request: FastifyRequest, user: Authenticated, permanent: boolean): Promise<boolean> {
      await logInWith(request, user.name, { permanent, data: user.data }, { isReauthentication: true })
      if (await group.isStillValid(user)) return true
      await group.logOut(request)
      return false
    },

    /**
     * Completes the login of a user whose identity is proven, by whatever method: begins the session, writes the audit log,
     * makes the browser a known device of the account, and answers with a redirect or JSON. A login method ends in it.
     *
     * @throws WrongCredentialsError (401) if hatcheck keeps the accounts, and none has exactly this name, or it is disabled, or got
     *   another password after `checkPassword` returned this very object.
     */
    async completeLogin (request: FastifyRequest, reply: FastifyReply, user: Authenticated, { permanent, sentName = user.name, next }: CompleteLoginOptions = {}): Promise<FastifyReply> {
      await logInWith(request, user.name, { permanent, data: user.data }, { confirm: () => confirm(request, { user, sentName }) })
      const target = nextOf(next)
      if (wants(request) === 'json') {
        return reply.send({ user: userJson({ name: user.name, authenticatedAt: session.loggedIn(request)?.authenticatedAt ?? 0 }), next: target })
      }
      view.leaveNotice(request, reply, 'login')
      return reply.redirect(target, 303)
    }
  }

  return group
}
