import type { FastifyReply, FastifyRequest, Session } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import type { Authenticate, Authenticated, Check } from '../accounts/authenticator.js'
import { createUnauthorized } from '../common/unauthorized.js'
import { ConfigError } from '../common/rule.js'
import { clientAddress, clientText } from '../session/client.js'
import { entriesOf } from '../session/facade.js'
import { kindOf } from '../session/fields.js'
import { accessors } from '../session/index.js'
import type { User } from '../session/user.js'

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

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * The user who is logged in, or null. Costs less than the session.
     *
     * @throws SessionNotReadError in a hook that runs before those of hatcheck, if the store answers with promises.
     * @throws StoreUnavailableError (503) if the store cannot answer.
     */
    readonly user: User | null
    /**
     * Logs `name` in, under a new session ID. When it resolves, the session is stored and the old ID is dead. Data of an
     * anonymous session goes along. Checks no password: do that first.
     *
     * @throws InsecureTransportError (400) if the connection cannot carry the session cookie.
     * @throws NoCookieError if the headers of the response have left.
     * @throws StoreUnavailableError (503)
     */
    login (name: string, options?: LoginOptions): Promise<void>
    /**
     * Ends every session that the request presents a ticket of, for good, and clears the cookie.
     *
     * @throws LogoutUnconfirmedError (503) if the end cannot be stored; the tickets are refused until it is.
     */
    logout (): Promise<void>
  }
  interface FastifyInstance {
    /** The same as the exported `requireLogin`; undefined until the registration of hatcheck is done. */
    requireLogin: typeof requireLogin
  }
  interface Hatcheck {
    /** The one door by which passwords are checked; see also throttled. */
    authenticate: Authenticate
    /** Whether an answer of `authenticate` still holds, now that the session is stored. */
    stillHolds (user: { name: string }): Promise<boolean>
    /**
     * Logs in whom `authenticate` has let through. False, and the session has ended, if the account has been disabled or
     * given another password meanwhile: a login under way must not outlive what ends its user's sessions.
     */
    admit (request: FastifyRequest, user: Authenticated, options?: LoginOptions): Promise<boolean>
    /**
     * The same for a user who is logged in and has given the password once more. It begins no session anew: one that has
     * ended meanwhile stays ended.
     *
     * @throws SessionGoneError (409)
     */
    admitAgain (request: FastifyRequest, user: Authenticated, options?: LoginOptions): Promise<boolean>
    /** @throws LoginRequiredError if nobody is logged in. */
    assertLoggedIn (request: FastifyRequest): Promise<void>
    /** Where a browser logs in that was refused for want of a login; null for a program. */
    loginPageFor (request: FastifyRequest): string | null
  }
}

export const LoginRequiredError = createUnauthorized('HATCHECK_LOGIN_REQUIRED', 'You are not logged in.')

/** The guard stands at a route of a server that knows nothing of logins. It lets nobody in. */
export const NotRegisteredError = createError('HATCHECK_NOT_REGISTERED',
  'requireLogin needs hatcheck: register it with "app.register(hatcheck, …)" in the scope of this route or around it.', 500)

/**
 * A hook for routes that need a login: the others get 401, and a browser is led to the login page if hatcheck serves one.
 * It can be given to a route before hatcheck is registered.
 *
 * @throws LoginRequiredError (401)
 * @throws NotRegisteredError (500) if hatcheck is not registered around the route.
 * @throws StoreUnavailableError (503)
 * @example
 * import hatcheck, { requireLogin } from 'hatcheck'
 *
 * app.register(hatcheck, { secretKey: process.env.SECRET_KEY })
 * app.get('/mine', { onRequest: requireLogin }, async (request) => request.user.name)
 */
export function requireLogin (request: FastifyRequest, _reply?: FastifyReply): Promise<void> {
  const { hatcheck } = request.server
  return hatcheck === undefined ? Promise.reject(new NotRegisteredError()) : hatcheck.assertLoggedIn(request)
}

const PASSED = Promise.resolve()

export const AuthenticateError = createError<[string]>('HATCHECK_AUTHENTICATE',
  'authenticate must return an object with the name of the user, or null; got %s.', 500, TypeError)

/** @throws AuthenticateError, SessionValuesError, SessionKeyError, SessionValueError */
function answerOf (answer: Authenticated | null | undefined): Authenticated | null {
  if (answer === null || answer === undefined) return null
  if (typeof answer !== 'object' || typeof answer.name !== 'string') throw new AuthenticateError(kindOf(answer))
  entriesOf(answer.data ?? {})
  return answer
}

/** What the guard has thrown. Another guard may let the request in after that. */
const refusals = new WeakSet<Error>()
/** Whether the response is the answer to a refusal. The answer to any other error does not lead to the login page. */
const kRefused = Symbol('hatcheck.refused')
type Refused = FastifyRequest & { [kRefused]?: true }

/** The only place that changes who is logged in. */
export default fp(async function auth (fastify) {
  const { hatcheck, accounts } = fastify
  const { config, storage, sessionFor, loggedIn } = hatcheck

  const decide: Check = config.authenticate ?? (async (name, password, request, isFamiliar) => {
    if (accounts === undefined) throw new ConfigError('authenticate is required: the session store of the application brings no accounts.')
    return await accounts.authenticate(name, password, { isFamiliar, onSignup: () => hatcheck.countSignup(request) })
  })
  // A plain JavaScript host may answer anything.
  hatcheck.authenticate = hatcheck.throttled(async (...asked) => answerOf(await decide(...asked)))
  hatcheck.stillHolds = async (user) => accounts === undefined || await accounts.stillHolds(user)
  hatcheck.admit = async (request, user, options) => {
    // It is stored before the last look at the account, so that there is no gap between the two.
    await request.login(user.name, { ...options, data: user.data })
    return await stillHoldsOrEnd(request, user)
  }
  hatcheck.admitAgain = async (request, user, options) => {
    await logIn(request, user.name, { ...options, data: user.data }, true)
    return await stillHoldsOrEnd(request, user)
  }
  if ((config.hasRoute('login') || config.hasRoute('sessions')) && config.authenticate === undefined && accounts === undefined) {
    throw new ConfigError('authenticate is required beside routes: the session store of the application brings no accounts.')
  }

  fastify.decorateRequest('user', accessors('request.user', loggedIn, 'use request.login() and request.logout()'))

  // Plain functions: the promise of a call says by itself whether somebody waits for it.
  fastify.decorateRequest('login', function login (this: FastifyRequest, name: string, options?: LoginOptions) {
    return logIn(this, name, options, false)
  })

  fastify.decorateRequest('logout', function logout (this: FastifyRequest) {
    return sessionFor(this).destroy()
  })

  fastify.decorate('requireLogin', requireLogin)

  // A refusal is a call, so that a guard that nobody awaits fails the response all the same.
  hatcheck.assertLoggedIn = (request) => {
    if (!storage.sessions.sync && !sessionFor(request).isLoaded) return sessionFor(request).loadAnew(() => { refuseStranger(request) })
    try {
      refuseStranger(request)
      return PASSED
    } catch (error) {
      return sessionFor(request).refuse(error)
    }
  }

  hatcheck.loginPageFor = (request) => {
    if ((request as Refused)[kRefused] !== true) return null
    const isPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html')
    return config.hasRoute('login') && isPage ? hatcheck.loginPathTo(request.url) : null
  }

  // Fastify runs this before the error handler, whichever that is.
  fastify.addHook('onError', function noteRefusal (request, _reply, error, done) {
    if (refusals.has(error)) {
      Object.assign(request, { [kRefused]: true })
      if (hatcheck.loginPageFor(request) === null) hatcheck.audit('authz_fail', request, { reason: 'login_required' })
    }
    done()
  })

  // The answers of an application's own routes come from its own error handler. Those of the service come from ours.
  if (config.mode === 'plugin' && config.hasRoute('login')) {
    fastify.addHook('onSend', function leadToLogin (request, reply, payload, done) {
      const page = reply.statusCode === 401 ? hatcheck.loginPageFor(request) : null
      if (page === null) {
        done(null, payload)
        return
      }
      reply.code(303).header('location', page).removeHeader('content-type').removeHeader('www-authenticate')
      done(null, '')
    })
  }

  function logIn (request: FastifyRequest, user: string, { permanent = false, data = {} }: LoginOptions = {}, again: boolean): Promise<void> {
    return sessionFor(request).login({ user, permanent, data, again, client: () => clientText(request.headers['user-agent'], clientAddress(request)) })
  }

  async function stillHoldsOrEnd (request: FastifyRequest, user: Authenticated): Promise<boolean> {
    if (await hatcheck.stillHolds(user)) return true
    await request.logout()
    return false
  }

  function refuseStranger (request: FastifyRequest): void {
    if (loggedIn(request) !== null) return
    const error = new LoginRequiredError()
    refusals.add(error)
    throw error
  }
}, { name: 'auth', dependencies: ['config', 'session', 'accounts', 'audit', 'throttle', 'next'] })
