import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { isByTrustedProxy } from '../../plugins/common/forwarded.js'
import { Memo } from '../../plugins/common/memo.js'
import { wants } from '../../plugins/common/wants.js'
import { LoginRequiredError } from '../../plugins/login/errors.js'
import { NotAllowedError } from './errors.js'
import { namesOf } from './names.js'
import { schema } from './schema.js'

/** How many lists of names are kept: a proxy has a few. */
const LISTS = 64

/** The headers of a refusal. */
const REFUSAL_HEADERS = { 'remote-user': '', 'remote-session': '' }

/**
 * Serves forward auth: a proxy asks here before it passes a request on to an application. Only 204 lets the request pass,
 * whatever its method, path and headers.
 */
export default async function verify (fastify: FastifyInstance): Promise<void> {
  const { session: { handleFor, loggedIn }, login: { keyOf, loginPathTo }, guards: { refusalOf, noteUntrustedProxy }, http, audit, openapi } = fastify.hatcheck
  // A request can be refused before it reaches the route. Refusals have the headers of the answer as well, so that a proxy never
  // keeps what its client sent under these names.
  fastify.setErrorHandler((error, request, reply) => http.handleError(error as FastifyError, request, reply.headers(REFUSAL_HEADERS)))
  openapi.describeRoutes(fastify)
  const lists = new Memo<ReadonlySet<string> | null>(LISTS)

  const route = {
    url: '/verify',
    exposeHeadRoute: false,
    // Asked for every request to the application. A visitor without a login is normal; a refused user is in the audit log.
    ...http.quiet,
    // Proxies join several Set-Cookie lines with commas, or pass on the first.
    config: { usualRefusals: [401, 403], oneCookie: true as const },
    // Before the body is read: it may be the body of the original request, of any type.
    onRequest: decide,
    // Not reached: decide answers every request.
    handler: http.handleNotFound
  }
  // Described once: all methods have the same answers.
  fastify.route({ ...route, method: 'GET', schema })
  fastify.route({ ...route, method: fastify.supportedMethods.filter((method) => method !== 'GET'), schema: { ...schema, hide: true } })

  function decide (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    noteUntrustedProxy(request)
    const error = refusalOf(request)
    if (error !== null) {
      done(error)
      return
    }
    const query = queryOf(request.url)
    const user = loggedIn(request)
    if (user === null) {
      // A mistake in the configuration shows without a login as well.
      namesOf(query)
      askToLogIn(request, reply)
    } else if (lists.getOrMake(query, allowedIn)?.has(keyOf(user.name)) === false) {
      audit('authz_fail', request, { user: user.name, reason: 'not_allowed' })
      throw new NotAllowedError()
    } else {
      reply.code(204)
        .header('cache-control', 'no-store')
        .header('remote-user', encoded(user.name))
        .header('remote-session', handleFor(request) ?? '')
        .send()
    }
  }

  /** Returns the users who may pass; null for every user. */
  function allowedIn (query: string): ReadonlySet<string> | null {
    const names = namesOf(query)
    return names === null ? null : new Set(names.map(keyOf))
  }

  /** Not in the audit log: every visit begins with a 401. */
  function askToLogIn (request: FastifyRequest, reply: FastifyReply): void {
    const destination = isByTrustedProxy(request) && isNavigation(request) ? request.headers['x-forwarded-uri'] : undefined
    // An absolute address does not belong to an application here.
    const page = destination === undefined ? null : loginPathTo(String(destination).startsWith('/') ? decoded(String(destination)) : undefined)
    if (page === null) throw new LoginRequiredError()
    http.secureHeaders(request, reply)
    reply.headers(REFUSAL_HEADERS).redirect(page, 303)
  }

  /** Tells whether the request is a navigation: a script has no use for the login page. */
  function isNavigation (request: FastifyRequest): boolean {
    const { 'sec-fetch-mode': mode = 'navigate', 'x-requested-with': script, 'x-forwarded-method': method } = request.headers
    return (method === 'GET' || method === 'HEAD') && mode === 'navigate' && script === undefined && wants(request, 'json') === 'page'
  }
}

function queryOf (url: string): string {
  const at = url.indexOf('?')
  return at === -1 ? '' : url.slice(at + 1)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Decodes a header that may be UTF-8: Node reads its bytes as Latin-1. */
function decoded (text: string): string {
  try {
    return utf8.decode(Buffer.from(text, 'latin1'))
  } catch {
    return text
  }
}

const PLAIN = /^[!-$&-~]*$/

/** Encodes text for a header: all but visible ASCII, and the percent sign, is percent-encoded. */
function encoded (name: string): string {
  // Most names are plain, and a test takes half the time.
  return PLAIN.test(name) ? name : name.replace(/[^!-$&-~]+/g, encodeURIComponent)
}
