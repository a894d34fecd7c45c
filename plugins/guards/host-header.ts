import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import { withHeaders } from '../common/http-errors.js'
import { Memo } from '../common/memo.js'
import { lacksLines } from '../config/forwarded.js'

/** Further bytes on the connection may belong to another request than they seem to. */
const CLOSE = { connection: 'close' }
export const HostError = withHeaders(createError('HATCHECK_HOST', 'A request must have one Host header, with a valid host.', 400), CLOSE)
export const TooManyLinesError = withHeaders(createError('HATCHECK_HEADER_LINES', 'This request has more header lines than this server keeps.', 431), CLOSE)

/** Source: RFC 3986, section 3.2.2. */
const NAME = /^(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*(?::\d*)?$/i
const LITERAL = /^\[([^\]]*)\](?::\d*)?$/

/** Nearly every request has the same host. */
const answers = new Memo<boolean>(64)

/**
 * Says why a request is refused whose header is ambiguous; null if it is clear. Proxies on the way may read two hosts, or an
 * invalid one, in different ways; the server may have dropped header lines.
 *
 * Source: RFC 9112, section 3.2.
 */
export function headerError ({ raw }: FastifyRequest): Error | null {
  if (lacksLines(raw)) return new TooManyLinesError()
  return hasOneHost(raw) ? null : new HostError()
}

function hasOneHost ({ rawHeaders = [], headers: { host }, httpVersion }: IncomingMessage): boolean {
  // HTTP/2 has a pseudo-header instead.
  if (httpVersion === '2.0') return true
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  if (hosts > 1) return false
  // HTTP/1.0 may have none.
  return host === undefined ? httpVersion !== '1.1' : isValid(host)
}

function isValid (host: string): boolean {
  let answer = answers.get(host)
  if (answer === undefined) {
    answer = NAME.test(host) || isIPv6(LITERAL.exec(host)?.[1] ?? '')
    answers.set(host, answer)
  }
  return answer
}
