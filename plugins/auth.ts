import type { FastifyReply, FastifyRequest } from 'fastify'
import createError from '@fastify/error'
import fp from 'fastify-plugin'
import { ConfigError } from './config/resolve.js'
import { clientText } from './session/client.js'
import type { MaybePromise } from './session/store.js'
import type { User } from './session/user.js'

/**
 * Decides who may log in: the user's name as it is to stand in the session, or null. The name comes in NFC, without
 * white space around it. Null must take as long for an unknown name as for a wrong password.
 */
export type Authenticate = (name: string, password: string, request: FastifyRequest) => MaybePromise<{ name: string } | null>

export interface LoginOptions {
  /**
   * "Keep me signed in": the session is permanent.
   * @default false
   */
  permanent?: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is logged in, or null. Costs less than the session. */
    readonly user: User | null
    /**
     * Logs `name` in, under a new session id; the old one is dead before the response is sent. Data of the anonymous
     * session goes along. Checks no password: that is done before.
     *
     * @throws InsecureTransportError (400) if the connection cannot carry the session cookie.
     */
    login (name: string, options?: LoginOptions): Promise<void>
    /** Ends the session for good, and clears the cookie. The response is a 503 if the end could not be stored. */
    logout (): Promise<void>
  }
  interface FastifyInstance {
    /** A hook for routes that need a login: others get 401, a browser is led to the login page if there is one. */
    requireLogin (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined>
  }
  interface Hatcheck {
    /** The one door by which passwords are checked; see also throttled. */
    authenticate: Authenticate
    /** Whether an answer of `authenticate` still holds, now that the session is stored. */
    stillHolds (user: { name: string }): Promise<boolean>
    /**
     * Logs in whom `authenticate` has let through, and stores it. False, and the session has ended, if the account has
     * been disabled or given another password meanwhile: a login under way must not outlive what ends its user's sessions.
     */
    admit (request: FastifyRequest, user: { name: string }, options?: LoginOptions): Promise<boolean>
  }
}

export const LoginRequiredError = createError('HATCHECK_LOGIN_REQUIRED', 'You are not logged in.', 401)

/** The only place that changes who is logged in. */
export default fp(async function auth (fastify) {
  const { hatcheck, accounts } = fastify
  const { config, sessionOf, loggedIn } = hatcheck

  hatcheck.authenticate = hatcheck.throttled(config.authenticate ?? (async (name, password, request) => {
    if (accounts === undefined) throw new ConfigError('authenticate is required: the session store of the application keeps no accounts.')
    return await accounts.authenticate(name, password, () => hatcheck.countSignup(request))
  }))
  hatcheck.stillHolds = async (user) => accounts === undefined || await accounts.stillHolds(user)
  hatcheck.admit = async (request, user, options) => {
    await request.login(user.name, options)
    // Stored before the last look at the account, so that there is no gap between the two.
    await request.session.save()
    if (await hatcheck.stillHolds(user)) return true
    await request.logout()
    return false
  }
  if ((config.hasRoute('login') || config.hasRoute('sessions')) && config.authenticate === undefined && accounts === undefined) {
    throw new ConfigError('authenticate is required beside routes: a session store of your own keeps no accounts.')
  }

  fastify.decorateRequest('user', { getter (): User | null { return loggedIn(this as FastifyRequest) } })

  fastify.decorateRequest('login', async function login (this: FastifyRequest, name: string, { permanent = false }: LoginOptions = {}) {
    if (typeof name !== 'string' || name === '' || /\p{Cs}/u.test(name)) throw new TypeError('request.login needs the name of a user')
    hatcheck.assertDeliverable(this)
    sessionOf(this).login(name, config.now(), permanent, clientText(this.headers['user-agent'], this.ip))
  })

  fastify.decorateRequest('logout', async function logout (this: FastifyRequest) {
    hatcheck.endSession(this)
  })

  fastify.decorate('requireLogin', async function requireLogin (request: FastifyRequest, reply: FastifyReply) {
    if (request.user !== null) return undefined
    const isPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html')
    if (!config.hasRoute('login') || !isPage) {
      hatcheck.audit('authz_fail', request, { reason: 'login_required' })
      throw new LoginRequiredError()
    }
    return await reply.redirect(`${config.base}/login?next=${encodeURIComponent(request.url)}`, 303)
  })
}, { name: 'auth', dependencies: ['config', 'session', 'accounts', 'audit', 'throttle'] })
