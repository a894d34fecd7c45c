import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AnyRequest } from '../common/any-request.js'
import { BODY_HEADERS, discard } from '../common/payload.js'
import { NotRegisteredError } from '../common/registration.js'
import { assertIsHook } from '../common/unsupported.js'
import { wants } from '../common/wants.js'
import { load, reject } from '../session/request/calls.js'
import type { User } from '../session/model/user.js'
import { LoginRequiredError } from './errors.js'

/**
 * Refuses a request without a login: answers 401, or redirects a browser to the login page, if `loginPath` or hatcheck
 * has one. A route can use it before hatcheck is registered.
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
export function requireLogin (given: AnyRequest, _reply?: object): Promise<void> {
  assertIsHook(given, 'requireLogin')
  const request = given as FastifyRequest
  const { hatcheck } = request.server
  return hatcheck === undefined ? Promise.reject(new NotRegisteredError('requireLogin')) : hatcheck.login.assertLoggedIn(request)
}

const PASSED = Promise.resolve()

/** The headers that describe the body of a refusal, or the way to log in. */
const OF_THE_REFUSAL = [...BODY_HEADERS, 'www-authenticate']

/** Errors that the guard has thrown. Another guard may let the request in after that. */
const refusals = new WeakSet<Error>()
/** Whether the response is the answer to a refusal. The answer to any other error does not lead to the login page. */
const kRefused = Symbol('hatcheck.refused')
type Refused = FastifyRequest & { [kRefused]?: true }

/** Makes the guard, and the hooks that lead a refused browser to the login page. */
export function createGuard (fastify: FastifyInstance, loginPathTo: (value: unknown) => string | null) {
  const { config, storage, audit, session: { sessionFor, loggedIn } } = fastify.hatcheck

  /** @throws LoginRequiredError if the visitor is not logged in. */
  function assertLoggedIn (request: FastifyRequest): Promise<void> {
    // A refusal is a call of the session, so that a guard that nobody awaits fails the response all the same.
    if (!storage.sessions.sync && !sessionFor(request).isLoaded) return load(sessionFor(request), () => { requireUser(request) })
    try {
      requireUser(request)
      return PASSED
    } catch (error) {
      return reject(sessionFor(request), error)
    }
  }

  /** Returns the login page for a browser that the guard has refused; null for a program. */
  function loginPageFor (request: FastifyRequest): string | null {
    if ((request as Refused)[kRefused] !== true) return null
    // The address as the browser has it: `rewriteUrl`, or a server around Fastify, may have changed `request.url`.
    return request.method === 'GET' && wants(request, 'json') === 'page' ? loginPathTo(request.originalUrl) : null
  }

  /** @throws LoginRequiredError if the visitor is not logged in. */
  function requireUser (request: FastifyRequest): User {
    const user = loggedIn(request)
    if (user !== null) return user
    const error = new LoginRequiredError()
    refusals.add(error)
    throw error
  }

  // Fastify runs this before the error handler, whichever that is.
  fastify.addHook('onError', function noteRefusal (request, _reply, error, done) {
    if (refusals.has(error)) {
      Object.assign(request, { [kRefused]: true })
      if (loginPageFor(request) === null) audit('authz_fail', request, { reason: 'login_required' })
    }
    done()
  })

  // The error handler of the service redirects by itself; the one of an application does not.
  if (config.mode === 'plugin' && config.loginPage !== null) {
    fastify.addHook('onSend', function leadToLogin (request, reply, payload, done) {
      const page = reply.statusCode === 401 ? loginPageFor(request) : null
      if (page === null) {
        done(null, payload)
        return
      }
      discard(payload)
      for (const name of OF_THE_REFUSAL) reply.removeHeader(name)
      reply.code(303).header('location', page)
      done(null, '')
    })
  }

  return { assertLoggedIn, requireUser, loginPageFor }
}
