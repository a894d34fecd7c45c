import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'

/** Keeps the response out of shared caches, since its content depends on the session. */
export function markPrivate (reply: FastifyReply): void {
  const headers = reply.getHeaders()
  const vary = varyWithCookie(headers['vary'])
  if (vary !== null) reply.header('vary', vary)
  const { 'cache-control': cacheControl } = headers
  if (!isPrivate(cacheControl)) reply.header('cache-control', noStoreFor('cache-control', cacheControl))
  for (const name in headers) if (isTargeted(name) && !isPrivate(headers[name])) reply.header(name, noStoreFor(name, headers[name]))
}

/** Tells whether a response with these headers stays out of shared caches. Names in upper case can make the answer false. */
export function isMarkedPrivate (headers: OutgoingHttpHeaders): boolean {
  if (varyWithCookie(headers.vary) !== null || !isPrivate(headers['cache-control'])) return false
  for (const name in headers) if (isTargeted(name.toLowerCase()) && !isPrivate(headers[name])) return false
  return true
}

/** Returns the value that keeps the response out of shared caches. @param name in lower case */
export function privateValue (name: string, value: OutgoingHttpHeader | undefined): OutgoingHttpHeader | undefined {
  if (name === 'vary') return varyWithCookie(value) ?? value
  return (name === 'cache-control' || isTargeted(name)) && !isPrivate(value) ? noStoreFor(name, value) : value
}

/** Does what {@link markPrivate} does for the response of Node, on which a handler or a library may have set other headers since. */
export function markPrivateRaw (reply: FastifyReply): void {
  const [ofReply, ofNode] = [reply.getHeaders(), reply.raw.getHeaders()]
  const headers = { ...ofReply, ...ofNode, 'cache-control': ofNode['cache-control'] ?? ofReply['cache-control'], vary: joined(ofReply.vary, ofNode['vary']) }
  for (const [name, value] of Object.entries(headers)) {
    const mine = privateValue(name, value)
    if (mine !== undefined && (name === 'vary' || name === 'cache-control' || isTargeted(name))) reply.raw.setHeader(name, mine)
  }
}

/** Returns the names of several lists, each once. */
function joined (...lists: unknown[]): string | undefined {
  const names = lists.flatMap((list) => String(list ?? '').split(',')).map((name) => name.trim()).filter((name) => name !== '')
  return names.length === 0 ? undefined : [...new Map(names.map((name) => [name.toLowerCase(), name])).values()].join(', ')
}

/**
 * Tells whether some caches go by this header in place of `Cache-Control`, such as `CDN-Cache-Control`.
 *
 * Source: RFC 9213; https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_valid
 */
function isTargeted (name: string): boolean {
  return name.endsWith('-cache-control') || name === 'surrogate-control' || name === 'edge-control' || name === 'x-accel-expires'
}

/** Keeps `no-transform`: without it, a proxy may compress server-sent events and delay them. */
function noStoreFor (name: string, value: unknown): string {
  if (name === 'x-accel-expires') return '0'
  return value !== undefined && /(?:^|,)\s*no-transform\s*(?:,|$)/i.test(String(value)) ? 'no-store, no-transform' : 'no-store'
}

/** The last header with Cookie in it. Most responses of an application have the same. */
let lastWithCookie = 'Cookie'

function varyWithCookie (vary: unknown): string | null {
  if (vary === undefined) return 'Cookie'
  if (vary === lastWithCookie) return null
  if (!/(?:^|[\s,])(?:cookie|\*)(?:$|[\s,])/i.test(String(vary))) return `${String(vary)}, Cookie`
  if (typeof vary === 'string') lastWithCookie = vary
  return null
}

/** A handler may set "private", which excludes shared caches as well. Any other value is replaced. */
function isPrivate (cacheControl: unknown): boolean {
  return cacheControl === 'no-store' || (cacheControl !== undefined && /(?:^|,)\s*(?:private|no-store)\s*(?:,|$)/i.test(String(cacheControl)))
}
