import type { FastifyReply } from 'fastify'
import { UnsupportedError } from './errors.js'
import type { CookieProfile } from './session-cookie.js'

/** How long a handler has to save a change that it makes once the connection is closed, before the log says that it is lost. */
const SAVE_WITHIN_MS = 100

/** Whether no cookie can be sent any more: the headers of the response have left, or the client has gone. */
export function haveHeadersLeft (reply: FastifyReply): boolean {
  const { raw, sent, request } = reply
  if (raw.headersSent || raw.writableEnded || hasConnectionClosed(reply)) return true
  // The answer to an upgrade is written past the response. @fastify/websocket marks such a request before it hijacks the reply.
  return request.raw.headers.upgrade !== undefined && (sent || (request as { ws?: boolean }).ws === true)
}

/** Whether the client has gone, or the response is done. */
function hasConnectionClosed ({ raw, request }: FastifyReply): boolean {
  const { stream } = raw as { stream?: { destroyed: boolean } }
  return raw.destroyed || stream?.destroyed === true || (raw.socket ?? request.raw.socket)?.destroyed === true
}

/** Calls back once, when the response is done or the client has gone; where that has happened, after {@link SAVE_WITHIN_MS}. */
export function onceClosed (reply: FastifyReply, then: () => void): void {
  if (hasConnectionClosed(reply)) {
    setTimeout(then, SAVE_WITHIN_MS).unref()
    return
  }
  const { raw, request } = reply
  // The response of an upgrade may stay open when its connection closes.
  const streams = [raw, request.raw.headers.upgrade === undefined ? null : raw.socket ?? request.raw.socket].filter((stream) => stream != null)
  const closed = (): void => {
    for (const stream of streams) stream.off('close', closed)
    then()
  }
  for (const stream of streams) stream.once('close', closed)
}

/** Whether a response that Fastify sends has begun and is not over: it can no longer be kept out of caches. */
export function isUnderWay ({ raw, sent }: FastifyReply): boolean {
  return raw.headersSent && !sent && !raw.destroyed
}

/** Keeps the response out of shared caches: what it says depends on the session. */
export function markPrivate (reply: FastifyReply): void {
  const vary = varyWithCookie(reply.getHeader('vary'))
  if (vary !== null) reply.header('vary', vary)
  if (!isPrivate(reply.getHeader('cache-control'))) reply.header('cache-control', 'no-store')
}

/**
 * The same where Fastify sends no headers, or has passed them on already. Not for every response: where
 * the response of Node has headers of its own, a library that wraps `writeHead` loses some of those of Fastify.
 */
export function exposePrivate (reply: FastifyReply): void {
  if (reply.raw.headersSent) return
  markPrivate(reply)
  for (const name of ['vary', 'cache-control']) {
    const value = reply.getHeader(name)
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
}

/** The same where the handler hijacks the reply, now or later. */
export function exposeIfHijacked (reply: FastifyReply): void {
  if (reply.sent) exposePrivate(reply)
  else reply.hijack = hijackPrivately
}

function hijackPrivately (this: FastifyReply): FastifyReply {
  exposePrivate(this)
  const { hijack } = Object.getPrototypeOf(this) as FastifyReply
  return hijack.call(this)
}

/**
 * Fastify puts the headers of a Web Response over those of the reply, after every hook. So they must say the same.
 *
 * @param isMarked asked as the headers are read: a later hook may be the first to ask for the session.
 */
export function privateResponse (response: Response, isMarked: () => boolean): Response {
  // A copy could not be made of one that is consumed or that says "error", and the headers of one may be immutable.
  return new Proxy(response, {
    get (target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (name === 'headers' && isMarked()) return privateHeaders(target.headers)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}

/** Where the Web Response says nothing, the headers of the reply hold. */
function privateHeaders (original: Headers): Headers {
  const headers = new Headers(original)
  const vary = varyWithCookie(headers.get('vary') ?? '*')
  if (vary !== null) headers.set('vary', vary)
  if (!isPrivate(headers.get('cache-control') ?? 'no-store')) headers.set('cache-control', 'no-store')
  return headers
}

/**
 * Remembers the answer that is about to be sent, for a handler that goes on and answers a second time.
 *
 * @returns a function that brings the answer back, except for cookies: a call on the session may have set one.
 */
export function holdAnswer (reply: FastifyReply): () => void {
  const { statusCode } = reply
  const headers = reply.getHeaders()
  return () => {
    reply.raw.statusCode = statusCode
    for (const name of Object.keys(reply.getHeaders())) if (name !== 'set-cookie' && !Object.hasOwn(headers, name)) reply.removeHeader(name)
    for (const [name, value] of Object.entries(headers)) if (name !== 'set-cookie' && value !== undefined) reply.header(name, value)
  }
}

export function isWebResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && payload !== null && Object.prototype.toString.call(payload) === '[object Response]'
}

function varyWithCookie (vary: unknown): string | null {
  if (vary === undefined) return 'Cookie'
  if (vary === 'Cookie') return null
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
