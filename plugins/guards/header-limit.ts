import fp from 'fastify-plugin'
import type { Server } from 'node:http'

/**
 * Node keeps 1,000 header lines of a request and drops the rest in silence. Proxies that sort headers put those of a client
 * before their own, so that with enough lines the proxy is no longer heard. The bytes are bounded anyway, by `maxHeaderSize`.
 */
export default fp(async function headerLimit (fastify) {
  const server = fastify.server as Partial<Server>
  // The server of HTTP/2 has no such limit: it refuses a request with too many.
  if (!('maxHeadersCount' in server)) return
  if (fastify.hatcheck.config.mode !== 'plugin') {
    server.maxHeadersCount = 0
    return
  }
  fastify.server.once('listening', () => {
    if (server.maxHeadersCount === 0) return
    fastify.log.warn('This server drops header lines beyond the first 1,000 without a word, those of a proxy among them. ' +
      'Set "app.server.maxHeadersCount = 0": maxHeaderSize bounds the header by its bytes.')
  })
}, { name: 'header-limit', dependencies: ['config'] })
