import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import { Memo } from '../common/memo.js'
import { lacksLines } from '../config/forwarded.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Why a request is refused whose header does not say without doubt what it is for; null if it does. */
    headerError (request: FastifyRequest): Error | null
  }
}

export const HostError = createError('HATCHECK_HOST', 'A request must have one Host header, with a valid host.', 400)
export const TooManyLinesError = createError('HATCHECK_HEADER_LINES', 'This request has more header lines than this server keeps.', 431)

// What else came over the connection may belong to another request than it seems.
for (const { prototype } of [HostError, TooManyLinesError]) Object.assign(prototype, { headers: { connection: 'close' } })

/** Source: RFC 3986, section 3.2.2. */
const NAME = /^(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*(?::\d*)?$/i
const LITERAL = /^\[([^\]]*)\](?::\d*)?$/

/** Every request asks, and nearly always about the same host. */
const answers = new Memo<boolean>(64)

/**
 * What each proxy on the way may have read in another way is refused: two hosts, or one that is none. What this server has cut
 * short as well.
 *
 * Source: RFC 9112, section 3.2.
 */
export default fp(async function hostHeader (fastify) {
  fastify.hatcheck.headerError = ({ raw }) => {
    if (lacksLines(raw)) return new TooManyLinesError()
    return hasOneHost(raw) ? null : new HostError()
  }
}, { name: 'host-header', dependencies: ['config'] })

function hasOneHost ({ rawHeaders = [], headers: { host }, httpVersion }: IncomingMessage): boolean {
  // HTTP/2 has it elsewhere, and has rules of its own.
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
