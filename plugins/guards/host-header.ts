import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import { lacksLines } from '../common/forwarded.js'
import { withHeaders } from '../common/http-errors.js'
import { Memo } from '../common/memo.js'

/** Further bytes on the connection may belong to another request than they seem to. */
const CLOSE = { connection: 'close' }
export const TargetError = withHeaders(createError('HATCHECK_BAD_REQUEST', 'This is not an HTTP request as RFC 9112 describes it.', 400), CLOSE)
export const HostError = withHeaders(createError('HATCHECK_HOST', 'A request must have one Host header, with a valid host.', 400), CLOSE)
export const TooManyLinesError = withHeaders(createError('HATCHECK_HEADER_LINES', 'This request has more header lines than this server keeps.', 431), CLOSE)

/** Source: RFC 3986, section 3.2.2. */
const NAME = /^(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+$/i
const LITERAL = /^\[([^\]]*)\]$/
const PORT = /:(\d*)$/
const HIGHEST_PORT = 65_535
/** The target of a request to a proxy. It has a host of its own. */
const ABSOLUTE = /^https?:\/\/([^/?#]*)/i

/** Nearly every request has the same host. */
const answers = new Memo<boolean>(64)

/**
 * Says why a request is refused whose header is ambiguous; null if it is clear. Proxies on the way may read two hosts, or an
 * invalid one, in different ways; the server may have dropped header lines. The router takes `*login` for `/login`, and a rule of a
 * proxy for that path does not.
 *
 * Sources: RFC 9112, section 3.2; RFC 9113, section 8.3.1.
 */
export function headerError ({ raw }: FastifyRequest): Error | null {
  if (raw.url?.startsWith('*') === true && (raw.url !== '*' || raw.method !== 'OPTIONS')) return new TargetError()
  if (lacksLines(raw)) return new TooManyLinesError()
  return hasOneHost(raw) ? null : new HostError()
}

function hasOneHost ({ rawHeaders = [], headers, httpVersion, url = '' }: IncomingMessage): boolean {
  const { host, ':method': method } = headers
  // By a name that HTTP/1 does not allow, and not by the version: on a connection of HTTP/1, Node takes "GET / HTTP/2.0" as well.
  if (method !== undefined) {
    const authority = String(headers[':authority'] ?? host ?? '')
    return answers.getOrMake(authority, isValid) && (host === undefined || host.toLowerCase() === authority.toLowerCase())
  }
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  const target = url.startsWith('/') ? null : ABSOLUTE.exec(url)
  if (hosts > 1 || (target !== null && target[1]?.toLowerCase() !== host?.toLowerCase())) return false
  // Before HTTP/1.1 there may be none.
  return host === undefined ? httpVersion < '1.1' : answers.getOrMake(host, isValid)
}

function isValid (host: string): boolean {
  // Empty, it names no host, which an address without one may.
  if (host === '') return true
  const port = PORT.exec(host)
  const name = port === null ? host : host.slice(0, port.index)
  return (NAME.test(name) || isIPv6(LITERAL.exec(name)?.[1] ?? '')) && (port === null || Number(port[1]) <= HIGHEST_PORT)
}
