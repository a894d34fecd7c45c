import type { FastifyInstance } from 'fastify'
import type { Server } from 'node:http'

/** The servers whose start logs the limit. Several scopes with hatcheck have one server. */
const watched = new WeakSet<object>()

/**
 * Makes the server keep all header lines. By default Node keeps 1,000 lines of a request and silently drops the rest. Some
 * proxies put the client's headers before their own: with enough lines, a client could cut off what the proxy says.
 * `maxHeaderSize` bounds the bytes anyway.
 */
export function keepHeaderLines (fastify: FastifyInstance): void {
  const server = fastify.server as Partial<Server>
  // The server of HTTP/2 has no such limit: it refuses a request with too many.
  if (!('maxHeadersCount' in server)) return
  if (fastify.hatcheck.config.mode !== 'plugin') {
    server.maxHeadersCount = 0
    return
  }
  // Without a proxy that Fastify trusts, no header line is believed.
  if (!trustsProxy(fastify) || watched.has(server)) return
  watched.add(server)
  fastify.server.once('listening', () => {
    if (server.maxHeadersCount === 0) return
    fastify.log.warn('This server silently drops header lines beyond the first 1,000, those of a proxy among them. ' +
      'Set "app.server.maxHeadersCount = 0": maxHeaderSize bounds the header by its bytes.')
  })
}

/** Tells whether Fastify was made with `trustProxy`: only then requests have `ips`. */
function trustsProxy (fastify: FastifyInstance): boolean {
  return fastify.hasRequestDecorator('ips')
}
