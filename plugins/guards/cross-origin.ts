import type { FastifyRequest } from 'fastify'
import type { AnyRequest } from '../common/any-request.js'
import { createRefusal } from '../common/http-errors.js'
import { isHttps } from '../common/is-https.js'
import { beginningOf } from '../common/origin.js'
import { NotRegisteredError } from '../common/registration.js'
import { assertIsHook } from '../common/unsupported.js'
import { wants } from '../common/wants.js'
import type { Config } from '../config/resolve.js'

/** Another site has made a browser send the request. */
export const CrossOriginError = createRefusal('HATCHECK_CROSS_ORIGIN', 'This request comes from another site, which may not make changes here.', 403)

/** What `Sec-Fetch-Dest` says if the user or a script has asked for the answer. */
const ASKED_FOR = ['document', 'iframe', 'frame', 'empty']
/** What a browser without `Sec-Fetch-Dest` accepts in the place of an image or a style sheet. */
const PART = /^(?:image|audio|video|text\/css)\b/i

/** The name of every browser begins so. */
const BROWSER = /^(?:Mozilla|Opera)\//

/**
 * Refuses a request that another site makes a browser send, as a hook for forms and WebSockets, by the rules of hatcheck's own
 * routes. A GET passes, since it changes nothing, unless it opens a WebSocket. A client that is not a browser passes.
 *
 * @throws CrossOriginError (403)
 * @throws NotRegisteredError (500) if hatcheck is not registered around the route.
 * @example
 * import hatcheck, { refuseCrossOrigin } from 'hatcheck'
 *
 * app.register(hatcheck, { secretKey: process.env.SECRET_KEY })
 * app.post('/order', { onRequest: refuseCrossOrigin }, async (request) => { … })
 */
export function refuseCrossOrigin (given: AnyRequest): Promise<void> {
  // Not as a rejection: Fastify would take the promise for a hook.
  assertIsHook(given, 'refuseCrossOrigin')
  return refuse(given as FastifyRequest)
}

async function refuse (request: FastifyRequest): Promise<void> {
  const { hatcheck } = request.server
  if (hatcheck === undefined) throw new NotRegisteredError('refuseCrossOrigin')
  const error = hatcheck.guards.crossOriginError(request)
  if (error === null) return
  hatcheck.audit('malicious_cors', request, { reason: 'cross_origin' })
  throw error
}

/**
 * Cross-origin protection without tokens: a browser says where a request comes from, and no page can forge that.
 * A client that is not a browser, such as curl, says nothing and may pass: it has no cookies of a user to misuse.
 *
 * Source: Fetch Metadata Request Headers (W3C); the same order of checks as Go's net/http.CrossOriginProtection.
 */
export function createCrossOriginCheck ({ isAllowedOrigin }: Pick<Config, 'isAllowedOrigin'>) {
  /** Says why a request that another site makes a browser send is refused; null if it is not. */
  function crossOriginError (request: FastifyRequest): Error | null {
    return isSafe(request) || !isForeign(request) ? null : new CrossOriginError()
  }

  /** Tells whether a GET comes from another site, or may, or is made although the user has not asked for it. */
  function isUnasked (request: FastifyRequest): boolean {
    const { referer, 'sec-fetch-site': site } = request.headers
    if (isPrefetch(request) || isPartOfPage(request)) return true
    if (site !== undefined) return isElsewhere(site)
    // A script of another site, or a WebSocket whose Upgrade a proxy has removed. It may hide the rest.
    if (isForeign(request)) return true
    // If a browser sends neither header, its request may come from anywhere. A program sends neither.
    return referer === undefined ? isBrowser(request) : !isOwn(referer, request)
  }

  function isForeign (request: FastifyRequest): boolean {
    const { origin, 'sec-fetch-site': site } = request.headers
    if (origin !== undefined && isAllowedOrigin(origin)) return false
    if (site !== undefined) return isElsewhere(site)
    return origin !== undefined && !isOwn(origin, request)
  }

  return { crossOriginError, isUnasked }
}

/** Tells whether `Sec-Fetch-Site` names another site, or another origin of this one. A request that the user made has `none`. */
function isElsewhere (site: string | string[]): boolean {
  return site !== 'same-origin' && site !== 'none'
}

/**
 * Tells whether a request changes nothing. A handshake does not count: any page can open a WebSocket to any site, with the user's
 * cookies, and browsers let it read the messages.
 */
function isSafe ({ method, headers: { upgrade } }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') && upgrade?.toLowerCase().includes('websocket') !== true
}

function isOwn (address: string, request: FastifyRequest): boolean {
  const origin = beginningOf(address)
  if (origin === null || !URL.canParse(origin)) return false
  const url = new URL(origin)
  // What looks like http here may be https in front of a proxy, but not the other way round.
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || isHttps(request))) return false
  // An address leaves out the port that its scheme implies; a client or a proxy may have written it into Host.
  const implied = url.protocol === 'https:' ? /:443$/ : /:80$/
  return url.host === request.host.toLowerCase().replace(implied, '')
}

/** Goes by the `User-Agent` as well: for an image or a script of another page, a browser does not ask for a page. */
function isBrowser (request: FastifyRequest): boolean {
  return wants(request, 'json') === 'page' || BROWSER.test(request.headers['user-agent'] ?? '')
}

/** Tells whether the browser loads a part of a page, such as an image that another user has put into a wiki behind forward auth. */
function isPartOfPage ({ headers: { 'sec-fetch-dest': destination = 'empty', accept = '' } }: FastifyRequest): boolean {
  return !ASKED_FOR.includes(String(destination)) || PART.test(accept)
}

function isPrefetch ({ headers }: FastifyRequest): boolean {
  return [headers['sec-purpose'], headers['purpose'], headers['x-moz']].some((purpose) => String(purpose ?? '').includes('prefetch'))
}
