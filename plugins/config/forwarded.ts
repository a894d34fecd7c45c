import type { FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http'
import { Memo } from '../common/memo.js'
import { isLoopback } from '../common/loopback.js'

/** What proxies, load balancers and CDNs add to a request and clients do not: RFC 7239, RFC 9110, and the documentation of each. */
const SIGNS: ReadonlySet<string> = new Set([
  'via', 'cdn-loop', 'front-end-https', 'disguised-host', 'surrogate-capability', 'total-route-time', 'was-default-hostname',
  'x-cdn', 'x-host', 'x-https', 'x-original-url', 'x-original-host', 'x-request-start', 'x-rewrite-url', 'x-scheme', 'x-proto', 'x-ssl', 'x-varnish', 'x-cloud-trace-context'
])
/** Families of them, by how their names begin. */
const FAMILIES = /^(?:cf|cloudfront|fastly|fly|akamai|ali|incap|eagleeye|render|rndr|ngrok|tailscale|wl-proxy|x-(?:original|originating|real|nginx|haproxy|traefik|varnish|envoy|kong|amzn|amz-cf|arr|azure|appservice|appengine|akamai|vercel|nf|railway|sucuri|edge|lb|goog|iisnode|bluecoat|squid))-/
/** What says for whom, or over what, a request is passed on, whatever stands around it in the name. */
const WORDS = /forwarded|(?:^|-)prox(?:y|ied)(?:-|$)|proxyuser|(?:^|-)(?:client|real|remote|source|cluster|connecting|origin|viewer|user)-?(?:ip|addr|address)$|(?:^|-)(?:url|forward|viewer)-?(?:scheme|proto|protocol)$/

/** Every request asks, and nearly always about the same names. */
const signs = new Memo<boolean>(512)

/** Header lines that Node keeps unless `maxHeadersCount` of the server says otherwise. Source: https://nodejs.org/api/http.html#servermaxheaderscount */
const LINES_OF_NODE = 1_000

/** Headers in which some proxies say that the visitor uses https. */
const SCHEMES = ['forwarded', 'cf-visitor', 'cloudfront-forwarded-proto', 'front-end-https', 'x-forwarded-proto', 'x-forwarded-protocol', 'x-forwarded-scheme', 'x-forwarded-ssl', 'x-https', 'x-scheme', 'x-url-scheme']

/**
 * Whether a request shows that it came through a proxy: the one place that decides it. A proxy that passes as an HTTP/1.1
 * client of this machine cannot be told from one.
 */
export function isForwarded (raw: IncomingMessage): boolean {
  // A bare proxy_pass of nginx puts the upstream's own name into Host and adds no header, but speaks HTTP/1.0.
  return raw.httpVersion === '1.0' || hasSign(raw.headers) || lacksLines(raw)
}

/** Whether the server may have dropped header lines of a request. Node does so in silence, and what a proxy added may be among them. */
export function lacksLines ({ rawHeaders = [], socket }: Partial<IncomingMessage>): boolean {
  const { server } = socket as { server?: Partial<Server> | null } | undefined ?? {}
  const lines = server?.maxHeadersCount ?? LINES_OF_NODE
  return lines > 0 && rawHeaders.length >= 2 * lines
}

function hasSign (headers: IncomingHttpHeaders): boolean {
  for (const name in headers) {
    let isSign = signs.get(name)
    if (isSign === undefined) {
      isSign = SIGNS.has(name) || FAMILIES.test(name) || WORDS.test(name)
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

/** Whether a proxy that Fastify trusts says for whom a request is. */
export function isByTrustedProxy ({ ips = [] }: FastifyRequest): boolean {
  return ips.length > 1
}

/**
 * Whether a request over plain http is one from end to end: it came through no proxy that shows, or Fastify trusts the proxy and
 * the proxy says so. Of any other proxy nobody knows how the user is connected to it.
 */
export function isPlain (request: FastifyRequest): boolean {
  if (!isForwarded(request.raw)) return true
  const { headers } = request
  return isByTrustedProxy(request) && !lacksLines(request.raw) && headers['x-forwarded-proto'] !== undefined &&
    !SCHEMES.some((name) => /https|wss|^(?:on|1)$/i.test(String(headers[name] ?? '')))
}
