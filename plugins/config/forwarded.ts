import type { FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Memo } from '../common/memo.js'
import { isLoopback } from './loopback.js'

/** What proxies, balancers and CDNs add to a request and clients do not: RFC 7239, RFC 9110, and the documentation of each. */
const SIGNS: ReadonlySet<string> = new Set([
  'forwarded', 'via', 'cdn-loop', 'front-end-https', 'client-ip', 'true-client-ip', 'remote-addr', 'x-client-ip', 'x-cluster-client-ip', 'x-remote-ip', 'x-remote-addr',
  'x-proxyuser-ip', 'x-source-ip', 'x-scheme', 'x-url-scheme', 'x-ssl', 'x-https', 'x-cloud-trace-context'
])
/** Families of them, by how their names begin. */
const SIGN = /^(?:x-(?:forwarded|original-|originating-|real-|prox(?:y|ied)|nginx|haproxy|traefik|varnish|envoy-|amzn-|amz-cf-|arr-|azure-|appengine-|akamai-|vercel-|nf-)|cf-|fastly-|fly-|akamai-|incap-)/

/** Every request asks, and nearly always about the same names. */
const signs = new Memo<boolean>(512)

/** Whether a request shows that it came through a proxy. One that passes as an HTTP/1.1 client cannot be told from it. */
export function isForwarded ({ headers, httpVersion }: IncomingMessage): boolean {
  // A bare proxy_pass of nginx puts the upstream's own name into Host and adds no header, but speaks HTTP/1.0.
  return httpVersion === '1.0' || hasSign(headers)
}

function hasSign (headers: IncomingHttpHeaders): boolean {
  for (const name in headers) {
    let isSign = signs.get(name)
    if (isSign === undefined) {
      isSign = SIGNS.has(name) || SIGN.test(name)
      signs.set(name, isSign)
    }
    if (isSign) return true
  }
  return false
}

/** Whether a request says that it comes from this machine: to a loopback name, and through no proxy that shows. */
export function isLocal (request: FastifyRequest): boolean {
  return isLoopback(request.host) && !isForwarded(request.raw)
}

/**
 * Whether a request over plain http is one from end to end: it came through no proxy that shows, or Fastify trusts the proxy and
 * the proxy says so. Of any other proxy nobody knows how the user is connected to it.
 */
export function isPlain (request: FastifyRequest): boolean {
  if (!isForwarded(request.raw)) return true
  return (request.ips?.length ?? 0) > 1 && request.headers['x-forwarded-proto'] !== undefined
}
