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
export function isConnectionClosed ({ raw, request }: FastifyReply): boolean {
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
  const connection = request.raw.headers.upgrade === undefined ? null : raw.socket ?? request.raw.socket
  const closed = (): void => {
    raw.off('close', closed)
    connection?.off('close', closed)
    callback()
  }
  raw.on('close', closed)
  connection?.on('close', closed)
}

/** Tells whether a response that Fastify sends has begun and not ended: it can no longer be kept out of caches. */
export function hasBegun ({ raw, sent }: FastifyReply): boolean {
  return raw.headersSent && !sent && !raw.destroyed
}

/**
 * Saves the status and headers that are about to be sent, in case the handler answers a second time.
 *
 * @returns a function that restores them, except for cookies: a call on the session may have set one.
 */
export function saveHead (reply: FastifyReply): () => void {
  const { statusCode } = reply
  const saved = reply.getHeaders()
  return () => {
    reply.raw.statusCode = statusCode
    const current = reply.getHeaders()
    for (const name in current) if (name !== 'set-cookie' && !Object.hasOwn(saved, name)) reply.removeHeader(name)
    for (const name in saved) if (name !== 'set-cookie' && current[name] !== saved[name]) reply.header(name, saved[name])
  }
}
