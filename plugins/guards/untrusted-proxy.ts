import type { FastifyRequest } from 'fastify'
import { isByTrustedProxy } from '../common/forwarded.js'
import type { Config } from '../config/resolve.js'

/** Any client can send such a header, so the log gets at most one line in this time, in ms. */
const EVERY_MS = 60_000

/** Makes a function that logs who sends forwarding headers without being trusted: it may be a proxy that somebody forgot to configure. */
export function createProxyNote ({ mode, now }: Pick<Config, 'mode' | 'now'>): (request: FastifyRequest) => void {
  const remedy = mode === 'plugin' ? 'name it in trustProxy of Fastify' : 'name it in TRUST_PROXY'
  let toldAt = -Infinity

  return function noteUntrustedProxy (request) {
    if (request.headers['x-forwarded-for'] === undefined || isByTrustedProxy(request)) return
    const time = now()
    if (time - toldAt < EVERY_MS) return
    toldAt = time
    const address = request.socket?.remoteAddress ?? 'a Unix socket'
    request.log.warn({ proxy: address }, `${address} sends X-Forwarded-For and is not trusted, so its forwarding headers are not believed. If it is your proxy, ${remedy}.`)
  }
}
