import type { FastifyRequest } from 'fastify'
import type { IncomingMessage, Server } from 'node:http'
import { isLoopback } from './loopback.js'
import { Memo } from './memo.js'
import { beginningOf } from './origin.js'

/** Headers that proxies, load balancers and CDNs add, and clients do not. Sources: RFC 7239, RFC 9110, the documentation of each. */
const SIGNS: ReadonlySet<string> = new Set([
  'via', 'disguised-host', 'surrogate-capability', 'total-route-time', 'was-default-hostname',
  'x-host', 'x-request-start', 'x-rewrite-url', 'x-scheme', 'x-proto', 'x-varnish', 'x-cloud-trace-context'
])
/** Families of such headers, by the beginning of the name. */
const FAMILIES = /^(?:cf|cloudfront|fastly|fly|akamai|ali|incap|eagleeye|render|rndr|ngrok|tailscale|wl-proxy|x-(?:real|nginx|haproxy|traefik|varnish|envoy|kong|amzn|amz-cf|arr|azure|appservice|appengine|akamai|vercel|nf|railway|sucuri|edge|lb|goog|iisnode|bluecoat|squid))-/
/** Parts of the names of such headers, by the subject of the header. No browser, and hardly any program, sends a name with one of them. */
const KINDS: readonly RegExp[] = [
  // The presence of a proxy: X-Forward-For, Max-Forwards, X-ProxyContextPath, CDN-RequestId.
  /forward|(?:^|-)prox(?:y|ied)|(?:^|-)(?:cdn|waf|ingress|upstream)(?:-|$)/,
  // The address of the client: X-Visitor-IP, X-ClientIP, X-Peer-Addr.
  /(?:^|-)(?:ip|addr)$|(?:^|-)(?:client|real|remote|source|cluster|connecting|origin|viewer|visitor|peer|user)-?(?:ip|addr|address|port)$/,
  // The user whom the proxy has logged in: X-Remote-User, X-WebAuth-User, X-Auth-Request-Email.
  /(?:^|-)(?:remote|web-?auth|auth-request|authenticated)-/,
  // The connection of the client: X-SSL-Client-Cert, Client-Cert, X-URL-Scheme. Browsers send Sec-CH-Prefers-Color-Scheme.
  /(?:^|-)(?:ssl|tls|https)(?:-|$)|(?:^|-)client-?cert|(?:^|-)(?:url|viewer|client)-?(?:scheme|proto|protocol)$/,
  // The request as the client sent it: X-Orig-Host, X-Original-URL, X-Script-Name.
  /(?:^|-)orig(?:inal|inating)?-|(?:^|-)(?:script-?name|context-?path)$/
]

/** Remembers the verdict on a header name: every request asks, nearly always about the same names. */
const signs = new Memo<boolean>(512)

/** The header lines that Node keeps by default (`maxHeadersCount` of the server). Source: https://nodejs.org/api/http.html#servermaxheaderscount */
const LINES_OF_NODE = 1_000

/** The value that a proxy writes for a visitor without TLS. An empty value, or any other word, says nothing. */
const WITHOUT_TLS = /(?:^|[\s,])(?:http|ws)(?:$|[\s,])/i

/** Headers in which some proxies say that the visitor uses https. */
const SCHEMES = ['forwarded', 'cf-visitor', 'cloudfront-forwarded-proto', 'front-end-https', 'x-forwarded-proto', 'x-forwarded-protocol', 'x-forwarded-scheme', 'x-forwarded-ssl', 'x-https', 'x-scheme', 'x-url-scheme']

/**
 * Tells whether a request shows that it came through a proxy. All code that needs to know calls this function. A proxy that sends
 * exactly what an HTTP/1.1 client of this machine sends cannot be recognized.
 */
function isForwarded (raw: IncomingMessage): boolean {
  // A bare proxy_pass of nginx puts the upstream's own name into Host and adds no header, but speaks HTTP/1.0, until nginx 1.29.7.
  return raw.httpVersion === '1.0' || hasSign(raw) || lacksLines(raw) || isOfOtherHost(raw)
}

/**
 * Tells whether a browser sends a request to the host of its page, and that is not this machine. Behind a bare proxy_pass of nginx
 * 1.29.7 or later, nothing else shows the proxy.
 */
function isOfOtherHost ({ headers }: IncomingMessage): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  if (origin === undefined || site !== 'same-origin') return false
  const host = beginningOf(origin)?.replace(/^.*\/\//, '')
  return host !== undefined && !isLoopback(host)
}

/** Tells whether Node may have dropped header lines of a request. The lines of a proxy may be among them. */
export function lacksLines ({ rawHeaders = [], socket }: Partial<IncomingMessage>): boolean {
  const { server } = socket as { server?: Partial<Server> | null } | undefined ?? {}
  const lines = server?.maxHeadersCount ?? LINES_OF_NODE
  return lines > 0 && rawHeaders.length >= 2 * lines
}

/**
 * Goes by the lines as they were sent: a framework within the application, such as Next.js, adds forwarding headers to `headers`.
 * A request that an adapter has made may have no lines.
 */
function hasSign ({ headers, rawHeaders = [] }: IncomingMessage): boolean {
  if (rawHeaders.length === 0) return Object.keys(headers).some(isSign)
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (signs.getOrMake(rawHeaders[i] as string, isSign)) return true
  }
  return false
}

function isSign (sentName: string): boolean {
  const name = sentName.toLowerCase()
  return SIGNS.has(name) || FAMILIES.test(name) || KINDS.some((kind) => kind.test(name))
}

/** Tells whether a request is for a loopback name and shows no proxy, as requests of this machine do. */
export function isLocal (request: FastifyRequest): boolean {
  return isLoopback(request.host) && !isForwarded(request.raw)
}

/** Tells whether a proxy that Fastify trusts names the client of a request. */
export function isByTrustedProxy ({ ips = [] }: FastifyRequest): boolean {
  return ips.length > 1
}

/**
 * Tells whether a request over plain http is plain from end to end: it shows no proxy, or Fastify trusts the proxy and the
 * proxy says so. With any other proxy, hatcheck cannot know how the user is connected.
 */
export function isPlainHttp (request: FastifyRequest): boolean {
  if (!isForwarded(request.raw)) return true
  const { headers } = request
  return isByTrustedProxy(request) && !lacksLines(request.raw) && WITHOUT_TLS.test(String(headers['x-forwarded-proto'] ?? '')) &&
    !SCHEMES.some((name) => /https|wss|^(?:on|1)$/i.test(String(headers[name] ?? '')))
}
