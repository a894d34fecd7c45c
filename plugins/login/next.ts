import type { FastifyRequest } from 'fastify'
import type { AnyRequest } from '../common/any-request.js'
import { originOf } from '../common/origin.js'
import { NotRegisteredError } from '../common/registration.js'
import type { Config } from '../config/resolve.js'
import { fieldOf } from './fields.js'

/** An origin that no real address has: a value that resolves to it is relative. */
const HERE = 'http://next.invalid'
/** In characters, as written in an address: what nginx accepts by default. */
const LONGEST = 8_192
/** In characters, as written in the query of the login page. Node takes 16 KiB of header, and a browser sends more than the URL. */
const LONGEST_IN_QUERY = 14 * 1_024

/**
 * Returns where a login leads: the field `next` of the form, or of the query, if it is a path on this origin or an address on
 * one of `allowedOrigins`; anything else becomes `afterLogin`. A redirect to an unchecked `next` would lead to any site.
 *
 * @throws NotRegisteredError (500) if hatcheck is not registered around the route.
 * @example
 * import { nextPageOf } from 'hatcheck'
 *
 * return reply.redirect(nextPageOf(request), 303)
 */
export function nextPageOf (given: AnyRequest): string {
  const request = given as FastifyRequest
  const { hatcheck } = request.server
  if (hatcheck === undefined) throw new NotRegisteredError('nextPageOf')
  return hatcheck.login.nextPageOf(request)
}

/** Makes the functions that tell where a login leads. */
export function createNext ({ loginPage, afterLogin, isAllowedOrigin }: Pick<Config, 'loginPage' | 'afterLogin' | 'isAllowedOrigin'>) {
  /** Returns where to go on to: a path on this origin, or an address on an allowed origin. Anything else becomes `afterLogin`. */
  function nextOf (value: unknown): string {
    if (typeof value !== 'string' || value.length > LONGEST) return afterLogin
    const address = addressOf(value)
    // One character may become nine in an address, and proxies limit the length of a header.
    return address === null || address.length > LONGEST ? afterLogin : address
  }

  // The form has it as a field; a program may have it in the address.
  function nextPageOf ({ body, query }: FastifyRequest): string {
    return nextOf(fieldOf(body, 'next') ?? fieldOf(query, 'next'))
  }

  /**
   * Returns the login page, which leads on to {@link nextOf} of the value. Returns null without a login page, and for the login
   * page itself: if it needs a login by mistake, it would lead to itself again and again.
   */
  function loginPathTo (value: unknown): string | null {
    if (loginPage === null || (typeof value === 'string' && value.split('?', 1)[0] === loginPage)) return null
    return `${loginPage}?next=${inQuery(nextOf(value)) ?? encodeURIComponent(afterLogin)}`
  }

  function addressOf (value: string): string | null {
    // Browsers drop tabs and line breaks from an address and read a backslash as a slash.
    if (/[\p{Cc}\\]/u.test(value)) return null
    const absolute = originOf(value)
    if (absolute !== null) return isAllowedOrigin(absolute) ? new URL(value).href : null
    if (!value.startsWith('/') || value.startsWith('//')) return null
    const { origin, pathname, search, hash } = new URL(value, HERE)
    return origin === HERE && !pathname.startsWith('//') ? pathname + search + hash : null
  }

  return { nextOf, nextPageOf, loginPathTo }
}

/** Encodes an address for a query; a long one only where a query demands it. Returns null if it is too long all the same. */
function inQuery (address: string): string | null {
  const encoded = encodeURIComponent(address)
  if (encoded.length <= LONGEST_IN_QUERY) return encoded
  // One in which every character is a slash or an equals sign would be three times as long.
  const short = encodeURI(address).replace(/[#&+]/g, encodeURIComponent)
  return short.length <= LONGEST_IN_QUERY ? short : null
}
