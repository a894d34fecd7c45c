import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import { isMarkedPrivate, markPrivateRaw, privateValue } from './private-response.js'

type Pair = [name: string, value: OutgoingHttpHeader | undefined]
/** Node takes an object, a list in which names and values alternate, and over HTTP/2 a list of pairs. */
type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[] | Pair[]

const kReplies = Symbol('hatcheck.replies')
const kWriteHead = Symbol('hatcheck.writeHead')
const kOnHead = Symbol('hatcheck.onHead')

type WriteHead = (this: NodeResponse, status: number, ...rest: unknown[]) => NodeResponse
type OnHead = (reply: FastifyReply) => void
/** The part of `reply.raw` that is used here. */
interface NodeResponse {
  [kReplies]?: FastifyReply[]
  [kWriteHead]?: WriteHead
  [kOnHead]?: OnHead
  writeHead: WriteHead
  getHeader (name: string): OutgoingHttpHeader | undefined
  getHeaderNames (): string[]
  setHeader (name: string, value: OutgoingHttpHeader): unknown
}

/**
 * Makes the head of the response bring the cookies of the reply, and keep the response out of shared caches. Fastify writes the head,
 * with headers that a later hook may have set, or the handler by `reply.raw`. Node calls `writeHead` for every head, also before the
 * first bytes of a body.
 *
 * Nothing is set on the response of Node before: Fastify would then send its own headers at a higher cost, and a library that
 * wraps `writeHead` would lose them.
 *
 * @param onHead called for each reply as the head is written, the same function for all of them
 */
export function completeHead (reply: FastifyReply, onHead?: OnHead): void {
  const raw = reply.raw as unknown as NodeResponse
  const replies = raw[kReplies]
  if (replies === undefined) {
    raw[kReplies] = [reply]
    raw[kWriteHead] = raw.writeHead
    raw.writeHead = writeCompleteHead
  } else if (!replies.includes(reply)) {
    // One Fastify has passed the response on to another.
    replies.push(reply)
  }
  if (onHead !== undefined) raw[kOnHead] = onHead
}

function writeCompleteHead (this: NodeResponse, status: number, ...rest: unknown[]): NodeResponse {
  const { [kReplies]: replies, [kWriteHead]: writeHead, [kOnHead]: onHead } = this as NodeResponse & Required<Pick<NodeResponse, typeof kReplies | typeof kWriteHead>>
  if (!isComplete(this, replies, rest)) complete(this, replies, rest)
  if (onHead !== undefined) for (const reply of replies) onHead(reply)
  return writeHead.call(this, status, ...rest)
}

/** Nearly every head is: it comes from Fastify, which passes all headers of the reply. */
function isComplete (response: NodeResponse, replies: readonly FastifyReply[], rest: readonly unknown[]): boolean {
  const [given] = rest
  if (rest.length !== 1 || typeof given !== 'object' || given === null || Array.isArray(given) || response.getHeaderNames().length > 0) return false
  const headers = given as OutgoingHttpHeaders
  for (const reply of replies) if (reply.getHeader('set-cookie') !== headers['set-cookie']) return false
  return isMarkedPrivate(headers)
}

/** @param rest the arguments of `writeHead` after the status: at most a text and headers. The headers are replaced. */
function complete (response: NodeResponse, replies: readonly FastifyReply[], rest: unknown[]): void {
  const at = rest.findIndex((argument) => typeof argument === 'object' && argument !== null)
  const given = at === -1 ? [] : pairsOf(rest[at] as Headers)
  const ofReplies = linesOf(replies.map((reply) => reply.getHeader('set-cookie')))
  const [first, ...others] = cookiesOf(ofReplies, linesOf([response.getHeader('set-cookie'), ...given.filter(isCookie).map(([, value]) => value)]))
  if (first !== undefined) response.setHeader('set-cookie', others.length === 0 ? first : [first, ...others])
  for (const reply of replies) markPrivateRaw(reply)
  // Node takes these in place of those that are set.
  if (at !== -1) rest[at] = headersOf(given.filter((pair) => !isCookie(pair)).map(([name, value]) => [name, privateValue(name.toLowerCase(), value)]))
}

/**
 * Joins the cookies of the replies with others. Of two with the same name, that of a reply is the newer one; but a library may have
 * rewritten its attributes.
 */
function cookiesOf (own: readonly string[], others: readonly string[]): string[] {
  const rewritten = new Set(others.map(withoutAttributes))
  const current = own.filter((line) => !rewritten.has(withoutAttributes(line)))
  const names = new Set(current.map(nameOf))
  return [...new Set([...current, ...others.filter((line) => !names.has(nameOf(line)))])]
}

function linesOf (values: ReadonlyArray<OutgoingHttpHeader | undefined>): string[] {
  return values.flatMap((lines) => lines ?? []).map(String)
}

function withoutAttributes (line: string): string {
  return line.split(';', 1)[0] as string
}

function nameOf (line: string): string {
  return line.split('=', 1)[0] as string
}

function isCookie ([name]: Pair): boolean {
  return name.toLowerCase() === 'set-cookie'
}

function pairsOf (headers: Headers): Pair[] {
  if (!Array.isArray(headers)) return Object.entries(headers)
  if (isListOfPairs(headers)) return headers
  return headers.flatMap((name, i) => i % 2 === 0 ? [[String(name), headers[i + 1]]] : [])
}

/** Returns an object, even for a list: beside headers that are set, Node 20 keeps only the last of several with one name. */
function headersOf (pairs: Pair[]): OutgoingHttpHeaders {
  const headers = new Map<string, Pair>()
  for (const [name, value] of pairs) {
    const known = headers.get(name.toLowerCase())
    headers.set(name.toLowerCase(), known === undefined ? [name, value] : [known[0], [known[1], value].flat().map(String)])
  }
  return Object.fromEntries(headers.values())
}

function isListOfPairs (headers: unknown[]): headers is Pair[] {
  return Array.isArray(headers[0])
}
