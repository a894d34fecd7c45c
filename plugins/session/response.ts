import type { FastifyReply } from 'fastify'

/** How long a handler has to save a change that it makes on a closed connection, before the log reports it as lost. */
const SAVE_WITHIN_MS = 100

/** Tells whether the response can still set a cookie: its headers have not left, and the client has not gone. */
export function canSetCookie (reply: FastifyReply): boolean {
  const { raw, sent, request } = reply
  if (raw.headersSent || raw.writableEnded || isConnectionClosed(reply)) return false
  // The answer to an upgrade bypasses the response. @fastify/websocket marks such a request before it hijacks the reply.
  return request.raw.headers.upgrade === undefined || !(sent || (request as { ws?: boolean }).ws === true)
}

/** Tells whether the client has gone, or the response has ended. */
function isConnectionClosed ({ raw, request }: FastifyReply): boolean {
  const { stream } = raw as { stream?: { destroyed: boolean } }
  return raw.destroyed || stream?.destroyed === true || (raw.socket ?? request.raw.socket)?.destroyed === true
}

/** Calls back once, when the response has ended or the client has gone. After either, it calls back in {@link SAVE_WITHIN_MS}. */
export function onceClosed (reply: FastifyReply, callback: () => void): void {
  if (isConnectionClosed(reply)) {
    setTimeout(callback, SAVE_WITHIN_MS).unref()
    return
  }
  const { raw, request } = reply
  // The response of an upgrade may stay open when its connection closes.
  const streams = [raw, request.raw.headers.upgrade === undefined ? null : raw.socket ?? request.raw.socket].filter((stream) => stream != null)
  const closed = (): void => {
    for (const stream of streams) stream.off('close', closed)
    callback()
  }
  for (const stream of streams) stream.once('close', closed)
}

/** Tells whether a response that Fastify sends has begun and not ended: it can no longer be kept out of caches. */
export function hasBegun ({ raw, sent }: FastifyReply): boolean {
  return raw.headersSent && !sent && !raw.destroyed
}

/** Keeps the response out of shared caches, since its content depends on the session. */
export function markPrivate (reply: FastifyReply): void {
  const vary = varyWithCookie(reply.getHeader('vary'))
  if (vary !== null) reply.header('vary', vary)
  if (!isPrivate(reply.getHeader('cache-control'))) reply.header('cache-control', 'no-store')
}

/**
 * Does the same for a response whose headers Fastify does not send or has already passed to Node. Not for every response: a
 * library that wraps `writeHead` loses headers of Fastify when the response of Node has headers of its own.
 */
export function markPrivateRaw (reply: FastifyReply): void {
  if (reply.raw.headersSent) return
  markPrivate(reply)
  for (const name of ['vary', 'cache-control']) {
    const value = reply.getHeader(name)
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
}

/** Does the same if the handler has hijacked the reply, or hijacks it later. */
export function markPrivateOnHijack (reply: FastifyReply): void {
  if (reply.sent) markPrivateRaw(reply)
  else reply.hijack = hijackPrivately
}

function hijackPrivately (this: FastifyReply): FastifyReply {
  markPrivateRaw(this)
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

/** Marks only headers that the Web Response has: the headers of the reply hold for the others. */
function privateHeaders (original: Headers): Headers {
  const headers = new Headers(original)
  const vary = varyWithCookie(headers.get('vary') ?? '*')
  if (vary !== null) headers.set('vary', vary)
  if (!isPrivate(headers.get('cache-control') ?? 'no-store')) headers.set('cache-control', 'no-store')
  return headers
}

/**
 * Saves the status and headers that are about to be sent, in case the handler answers a second time.
 *
 * @returns a function that restores them, except for cookies: a call on the session may have set one.
 */
export function saveHead (reply: FastifyReply): () => void {
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

/** A handler may set "private", which excludes shared caches as well. Any other value is replaced. */
function isPrivate (cacheControl: unknown): boolean {
  return cacheControl === 'no-store' || (cacheControl !== undefined && /(?:^|,)\s*(?:private|no-store)\s*(?:,|$)/i.test(String(cacheControl)))
}
