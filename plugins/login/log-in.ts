import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, Session } from 'fastify'
import type { Authenticate, Authenticated, Check } from '../accounts/authenticator.js'
import { LONGEST_NAME, LONGEST_SENT_NAME } from '../accounts/name.js'
import { standaloneCall } from '../common/calls.js'
import { clientAddress } from '../common/client-address.js'
import { ConfigError } from '../common/rule.js'
import { wants } from '../common/wants.js'
import { clientText } from '../session/model/client-text.js'
import { destroy, login, reject, type LoginRequest } from '../session/request/calls.js'
import { entriesOf } from '../session/model/fields.js'
import { kindOf } from '../session/model/json.js'
import { userJson } from '../session/model/user.js'
import { assertCredentials } from './credentials.js'
import { AuthenticateError, NotAwaitedError, WrongCredentialsError } from './errors.js'
import { failureReasonOf } from './failure.js'

/** The options of `request.login`. */
export interface LoginOptions<Values = Session> {
  /**
   * "Keep me signed in": the session is permanent.
   * @default false
   */
  permanent?: boolean | undefined
  /**
   * Values to set in the same step.
   * @default none
   */
  data?: Partial<Values> | undefined
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
  /** The page to continue with; an address that is not allowed becomes `afterLogin`. */
  next?: unknown
}

/** The option `authenticate`, or hatcheck's own accounts, which also get whether the attempt is familiar. */
type Authenticator = (...asked: Parameters<Check>) => ReturnType<Authenticate>

/** A user whose identity is proven. */
interface Proof {
  user: Authenticated
  /** The name as the client sent it. */
  sentName: string
}

export type LoginCalls = ReturnType<typeof createLoginCalls>

/** Makes the functions that log a user in or out. No other code does so. */
export function createLoginCalls (fastify: FastifyInstance, nextOf: (value: unknown) => string) {
  const { config, accounts, session, throttle, audit, view } = fastify.hatcheck

  const authenticator: Authenticator = config.authenticate ?? (async (name, password, request, isFamiliar) => {
    if (accounts === null) throw new ConfigError('authenticate is required: the session store of the application brings no accounts.')
    return await accounts.authenticate(name, password, { isFamiliar, onSignup: () => throttle.countSignup(request) })
  })

  const passed = new WeakMap<FastifyRequest, Proof>()
  /** How many calls of `request.authenticate` of a request have no answer yet. */
  const undecided = new WeakMap<FastifyRequest, number>()

  function logInWith (request: FastifyRequest, user: string, { permanent = false, data }: LoginOptions, more: Partial<LoginRequest>): Promise<void> {
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

  async function authenticateAndNote (request: FastifyRequest, sentName: unknown, sentPassword: unknown): Promise<Authenticated | null> {
    try {
      const { name, password } = assertCredentials(sentName, sentPassword, group.longestName)
      const user = await group.authenticate(name, password, request)
      if (user === null) group.noteFailure(new WrongCredentialsError(), request, sentName)
      else passed.set(request, { user, sentName: name })
      return user
    } catch (error) {
      group.noteFailure(error as FastifyError, request, sentName)
      throw error
    }
  }

  const group = {
    /** The longest name that can log in, in characters. That of an application may be an address for mail. */
    longestName: accounts === null ? LONGEST_SENT_NAME : LONGEST_NAME,

    /**
     * `request.login`. A user whose password the same request has checked gets what `POST /login` does: the last look at the
     * account, the audit log and the known device.
     */
    logIn (request: FastifyRequest, name: string, options?: LoginOptions | null): Promise<void> {
      if ((undecided.get(request) ?? 0) > 0) return reject(session.sessionFor(request), new NotAwaitedError())
      const proof = passed.get(request)
      return logInWith(request, name, options ?? {}, proof?.user.name === name ? { confirm: () => confirm(request, proof) } : {})
    },

    /** `request.authenticate`: checks a password as `POST /login` does, and writes a failure to the audit log. */
    checkPassword (request: FastifyRequest, sentName: unknown, sentPassword: unknown): Promise<Authenticated | null> {
      // As with the calls of a session, a rejection that nobody awaits does not end the process. The audit log has it.
      const check = standaloneCall(() => authenticateAndNote(request, sentName, sentPassword), () => {})
      // A handler that forgets to await would take the promise for a success, and log anybody in.
      undecided.set(request, (undecided.get(request) ?? 0) + 1)
      const decide = (): void => { undecided.set(request, (undecided.get(request) ?? 1) - 1) }
      check.then(decide, decide)
      return check
    },

    /** Writes a failed login to the audit log, except a refusal with an event of its own. */
    noteFailure (error: FastifyError, request: FastifyRequest, sentName: unknown): void {
      const reason = failureReasonOf(error)
      if (reason !== null) audit('authn_login_fail', request, { user: typeof sentName === 'string' ? sentName : null, reason })
    },

    /** Ends every session that the request presents a ticket of. */
    logOut: (request: FastifyRequest): Promise<void> => destroy(session.sessionFor(request)),

    /** Checks a password, behind the throttle. Nothing else checks passwords. */
    authenticate: throttle.throttled(async (...asked) => answerOf(await ask(authenticator, asked))),

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
     *   another password after {@link authenticate} returned this very object.
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

/** Turns whatever an authenticator throws or rejects with into an error. @throws AuthenticateError */
async function ask (authenticator: Authenticator, asked: Parameters<Check>): Promise<Authenticated | null | undefined> {
  try {
    return await authenticator(...asked)
  } catch (error) {
    if (typeof error === 'object' && error !== null) throw error
    throw new AuthenticateError(`a rejection with ${kindOf(error)}`)
  }
}

/**
 * Checks what an authenticator returned: an application in plain JavaScript may return anything.
 *
 * @throws AuthenticateError, SessionValuesError, SessionKeyError, SessionValueError
 */
function answerOf (answer: Authenticated | null | undefined): Authenticated | null {
  if (answer === null || answer === undefined) return null
  if (typeof answer !== 'object' || typeof answer.name !== 'string') throw new AuthenticateError(kindOf(answer))
  entriesOf(answer.data ?? {})
  return answer
}
