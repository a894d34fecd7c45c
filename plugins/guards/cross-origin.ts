import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import { beginningOf } from '../config/origins.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Why a request that another site makes a browser send is refused; null if it is not. */
    crossOriginError (request: FastifyRequest): Error | null
    /** Whether a navigation comes from another site, or may, or is made before the user has asked for it. */
    isUnasked (request: FastifyRequest): boolean
  }
}

export const CrossOriginError = createError('HATCHECK_CROSS_ORIGIN', 'This request comes from another site, which may not make changes here.', 403)

/**
 * Cross-origin protection without tokens: a browser says where a request comes from, and no page can forge that.
 * What is no browser, such as curl, says nothing and may pass: it has no cookies of a user to misuse.
 *
 * Source: Fetch Metadata Request Headers (W3C); the same order of checks as Go's net/http.CrossOriginProtection.
 */
export default fp(async function crossOrigin (fastify) {
  const { hatcheck } = fastify
  const { isAllowedOrigin } = hatcheck.config

  hatcheck.crossOriginError = (request) => isSafe(request.method) || !isForeign(request) ? null : new CrossOriginError()

  hatcheck.isUnasked = (request) => {
    const { referer, 'sec-fetch-site': site } = request.headers
    if (isPrefetch(request)) return true
    if (site !== undefined) return site !== 'same-origin' && site !== 'none'
    // A browser that says neither may come from anywhere. A program says neither, and asks for no page.
    return referer === undefined ? (request.headers.accept ?? '').includes('text/html') : !isOwn(referer, request)
  }

  function isForeign (request: FastifyRequest): boolean {
    const { origin, 'sec-fetch-site': site } = request.headers
    if (origin !== undefined && isAllowedOrigin(origin)) return false
    if (site !== undefined) return site !== 'same-origin' && site !== 'none'
    return origin !== undefined && !isOwn(origin, request)
  }
}, { name: 'cross-origin', dependencies: ['config'] })

function isSafe (method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

function isOwn (address: string, { host, protocol }: FastifyRequest): boolean {
  const origin = beginningOf(address)
  if (origin === null || !URL.canParse(origin)) return false
  const url = new URL(origin)
  // What looks like http here may be https in front of a proxy, but not the other way round.
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || protocol === 'https')) return false
  // An address leaves out the port that its scheme implies; a client or a proxy may have written it into Host.
  const implied = url.protocol === 'https:' ? /:443$/ : /:80$/
  return url.host === host.toLowerCase().replace(implied, '')
}

function isPrefetch ({ headers }: FastifyRequest): boolean {
  return [headers['sec-purpose'], headers['purpose'], headers['x-moz']].some((purpose) => String(purpose ?? '').includes('prefetch'))
}
