import type { FastifyReply } from 'fastify'
import { UnsupportedError } from './errors.js'
import type { CookieProfile } from './session-cookie.js'

/** Whether the headers of a response have left, so that no cookie can be sent any more. */
export function haveHeadersLeft ({ raw, sent, request }: FastifyReply): boolean {
  if (raw.headersSent || raw.writableEnded) return true
  // The answer to an upgrade is written past the response.
  return sent && request.raw.headers.upgrade !== undefined
}

/** Whether an answer can no longer depend on what is read now: it is over, or the handler writes it by itself. */
export function isPastCaching ({ raw, sent }: FastifyReply): boolean {
  return sent || raw.writableEnded || raw.destroyed
}

/** Keeps the response out of shared caches: what it says depends on the session. */
export function markPrivate (reply: FastifyReply): void {
  const vary = varyWithCookie(reply.getHeader('vary'))
  if (vary !== null) reply.header('vary', vary)
  const cacheControl = reply.getHeader('cache-control')
  if (!isPrivate(cacheControl)) reply.header('cache-control', 'no-store')
}

/** Fastify puts the headers of a Web Response over those of the reply, after every hook. So they must say the same. */
export function privateResponse (response: Response): Response {
  const headers = new Headers(response.headers)
  const vary = varyWithCookie(headers.get('vary') ?? undefined)
  if (vary !== null) headers.set('vary', vary)
  if (!isPrivate(headers.get('cache-control') ?? undefined)) headers.set('cache-control', 'no-store')
  const { body, status, statusText } = response
  return new Response(body, { status, statusText, headers })
}

export function isWebResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && payload !== null && Object.prototype.toString.call(payload) === '[object Response]'
}

function varyWithCookie (vary: unknown): string | null {
  if (vary === undefined) return 'Cookie'
  return /(?:^|[\s,])(?:cookie|\*)(?:$|[\s,])/i.test(String(vary)) ? null : `${String(vary)}, Cookie`
}

/** A handler may say "private", which keeps shared caches out as well; anything else gives way. */
function isPrivate (cacheControl: unknown): boolean {
  return cacheControl === 'no-store' || (cacheControl !== undefined && /(?:^|,)\s*(?:private|no-store)\s*(?:,|$)/i.test(String(cacheControl)))
}

/** The session cookie as it is sent. Changing it throws: configuration and `session.permanent` decide the cookie. */
export interface CookieDescription {
  readonly path: string
  readonly domain?: string
  readonly httpOnly: boolean
  readonly secure: boolean
  readonly sameSite: 'lax' | 'strict' | 'none'
  readonly partitioned?: boolean
  /** How long the browser keeps the cookie from its beginning, in ms; null: until it is closed. */
  readonly originalMaxAge: number | null
  /** How long the browser still keeps it, in ms; null: until it is closed. */
  readonly maxAge: number | null
  readonly expires: Date | null
}

/**
 * Describes the cookie of a session.
 *
 * @param now in ms since the epoch.
 * @param lifetime of a permanent session, in ms; null for one that ends with the browser.
 */
export function describeCookie ({ attributes }: CookieProfile, now: number, lifetime: { whole: number, left: number } | null): CookieDescription {
  const members = {
    ...attributes,
    originalMaxAge: lifetime?.whole ?? null,
    maxAge: lifetime?.left ?? null,
    expires: lifetime === null ? null : new Date(now + lifetime.left)
  }
  return new Proxy(members, { defineProperty: refuseChange, deleteProperty: refuseChange }) as CookieDescription
}

function refuseChange (_cookie: object, name: string | symbol): never {
  throw cookieUnsupported(`session.cookie.${String(name)} = …`)
}

/** @param what the application has tried */
export function cookieUnsupported (what: string): Error {
  return new UnsupportedError(what, 'configuration decides the cookie; use session.permanent for a longer life')
}
