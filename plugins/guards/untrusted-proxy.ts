import type { FastifyRequest } from 'fastify'
import { isByTrustedProxy } from '../common/forwarded.js'
import type { Config } from '../config/resolve.js'

/** Any client can send such a header, so the log gets at most one line in this time, in ms. */
const EVERY_MS = 60_000

/** What a trusted proxy must send beside `X-Forwarded-Uri`, or no browser is redirected to the login page. */
const BESIDE_THE_PAGE = ['X-Forwarded-For', 'X-Forwarded-Method']

/**
 * Makes a function that logs whose forwarding headers are ignored: the sender may be a proxy that somebody forgot to
 * configure, or that sends too few of them. Otherwise nothing would say why a browser gets a bare 401.
 */
export function createProxyNote ({ mode, now }: Pick<Config, 'mode' | 'now'>): (request: FastifyRequest) => void {
  const remedy = mode === 'plugin' ? 'name it in trustProxy of Fastify' : 'name it in TRUST_PROXY'
  let toldAt = -Infinity

  return function noteUntrustedProxy (request) {
    const flaw = flawOf(request)
    if (flaw === null) return
    const time = now()
    if (time - toldAt < EVERY_MS) return
    toldAt = time
    const address = request.socket?.remoteAddress ?? 'a Unix socket'
    request.log.warn({ proxy: address }, `${address} sends ${flaw}`)
  }

  function flawOf (request: FastifyRequest): string | null {
    const { headers } = request
    if (headers['x-forwarded-for'] !== undefined && !isByTrustedProxy(request)) {
      return `X-Forwarded-For and is not trusted, so its forwarding headers are ignored. If it is your proxy, ${remedy}.`
    }
    const missing = headers['x-forwarded-uri'] !== undefined ? BESIDE_THE_PAGE.find((name) => headers[name.toLowerCase()] === undefined) : undefined
    return missing === undefined ? null : `X-Forwarded-Uri without ${missing}, so hatcheck redirects no browser to the login page. If it is your proxy, let it send both, and ${remedy}.`
  }
}
