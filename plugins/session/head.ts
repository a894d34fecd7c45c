import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import { isMarkedPrivate, markPrivateRaw, privateValue } from './private-response.js'

type Pair = [name: string, value: OutgoingHttpHeader | undefined]
/** Node takes an object, a list in which names and values alternate, and over HTTP/2 a list of pairs. */
type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[] | Pair[]

const kReply = Symbol('hatcheck.reply')
const kWriteHead = Symbol('hatcheck.writeHead')

type WriteHead = (this: NodeResponse, status: number, ...rest: unknown[]) => NodeResponse
/** The part of `reply.raw` that is used here. */
interface NodeResponse {
  [kReply]?: FastifyReply
  [kWriteHead]?: WriteHead
  writeHead: WriteHead
  getHeader (name: string): OutgoingHttpHeader | undefined
  getHeaderNames (): string[]
  setHeader (name: string, value: OutgoingHttpHeader): unknown
}

/**
 * Makes the head of the response bring the cookies of the reply, and keep the response out of shared caches, whoever writes it:
 * Fastify with headers that a later hook has set, or the handler by `reply.raw`. Node calls `writeHead` for every head, also
 * before the first bytes of a body.
 *
 * Nothing is set on the response of Node before: Fastify would then send its own headers at a higher cost, and a library that
 * wraps `writeHead` would lose them.
 */
export function completeHead (reply: FastifyReply): void {
  const raw = reply.raw as unknown as NodeResponse
  if (raw[kReply] !== undefined) return
  raw[kReply] = reply
  raw[kWriteHead] = raw.writeHead
  raw.writeHead = writeCompleteHead
}

function writeCompleteHead (this: NodeResponse, status: number, ...rest: unknown[]): NodeResponse {
  const { [kReply]: reply, [kWriteHead]: writeHead } = this as Required<NodeResponse>
  const own = reply.getHeader('set-cookie')
  const at = rest.findIndex((given) => typeof given === 'object' && given !== null)
  const headers = (at === -1 ? {} : rest[at]) as Headers
  // Nearly every head comes from Fastify, which passes all headers of the reply.
  const isComplete = this.getHeaderNames().length === 0 && !Array.isArray(headers) && headers['set-cookie'] === own && isMarkedPrivate(headers)
  if (isComplete) return writeHead.call(this, status, ...rest)
  const given = pairsOf(headers)
  const lines = [own, this.getHeader('set-cookie'), ...given.filter(isCookie).map(([, value]) => value)].flatMap((line) => line ?? []).map(String)
  const [first, ...others] = new Set(lines)
  if (first !== undefined) this.setHeader('set-cookie', others.length === 0 ? first : [first, ...others])
  markPrivateRaw(reply)
  // Node takes these in place of those that are set.
  if (at !== -1) rest[at] = headersLike(headers, given.filter((pair) => !isCookie(pair)).map(privatePair))
  return writeHead.call(this, status, ...rest)
}

function isCookie ([name]: Pair): boolean {
  return name.toLowerCase() === 'set-cookie'
}

function privatePair ([name, value]: Pair): Pair {
  return [name, privateValue(name.toLowerCase(), value)]
}

function pairsOf (headers: Headers): Pair[] {
  if (!Array.isArray(headers)) return Object.entries(headers)
  if (isListOfPairs(headers)) return headers
  return headers.flatMap((name, i) => i % 2 === 0 ? [[String(name), headers[i + 1]]] : [])
}

/** Returns the pairs in the form in which they were given. */
function headersLike (given: Headers, pairs: Pair[]): Headers {
  if (!Array.isArray(given)) return Object.fromEntries(pairs)
  return isListOfPairs(given) ? pairs : pairs.flat() as OutgoingHttpHeader[]
}

function isListOfPairs (headers: unknown[]): headers is Pair[] {
  return Array.isArray(headers[0])
}
