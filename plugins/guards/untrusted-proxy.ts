import fp from 'fastify-plugin'
import { isByTrustedProxy } from '../config/forwarded.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Says in the log who sends forwarding headers that are not believed: it may be a proxy that somebody has forgotten to name. */
    noteUntrustedProxy (request: FastifyRequest): void
  }
}

/** Anybody can send such a header, so the log is told once in this time, in ms. */
const EVERY_MS = 60_000

export default fp(async function untrustedProxy (fastify) {
  const { hatcheck } = fastify
  const { mode, now } = hatcheck.config
  const remedy = mode === 'plugin' ? 'name it in trustProxy of Fastify' : 'name it in TRUST_PROXY'
  let toldAt = -Infinity

  hatcheck.noteUntrustedProxy = (request) => {
    if (request.headers['x-forwarded-for'] === undefined || isByTrustedProxy(request)) return
    const time = now()
    if (time - toldAt < EVERY_MS) return
    toldAt = time
    const address = request.socket?.remoteAddress ?? 'a Unix socket'
    request.log.warn({ proxy: address }, `${address} sends X-Forwarded-For and is not trusted, so its forwarding headers are not believed. If it is your proxy, ${remedy}.`)
  }
}, { name: 'untrusted-proxy', dependencies: ['config'] })
