import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'

type Pair = [name: string, value: OutgoingHttpHeader | undefined]
/** Node takes an object, and a list in which names and values alternate. */
type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]
type WriteHead = (status: number, ...rest: unknown[]) => unknown

const kKept = Symbol('hatcheck.kept-cookies')

/**
 * Keeps the cookies of a reply in a head that the handler writes itself. Node takes the headers of `writeHead`, or of a later
 * `setHeader`, in place of those that are set: the session would then be stored, and no browser would have its cookie.
 */
export function keepCookies (reply: FastifyReply): void {
  const raw = reply.raw as FastifyReply['raw'] & { [kKept]?: true }
  if (raw[kKept] === true) return
  raw[kKept] = true
  const writeHead = raw.writeHead as WriteHead
  raw.writeHead = function withCookies (status: number, ...rest: unknown[]) {
    const [own, ofNode] = [reply.getHeader('set-cookie'), raw.getHeader('set-cookie')]
    const at = rest.findIndex((given) => typeof given === 'object' && given !== null)
    // Fastify passes all headers of the reply, and costs no more than without this.
    if ((rest[at] as OutgoingHttpHeaders | undefined)?.['set-cookie'] === own && (ofNode === undefined || ofNode === own)) return writeHead.call(raw, status, ...rest)
    const cookies = at === -1 ? [] : pairsOf(rest[at] as Headers).filter(isCookie)
    if (cookies.length > 0) rest[at] = withoutCookies(rest[at] as Headers)
    const lines = [own, ofNode, ...cookies.map(([, value]) => value)].flatMap((line) => line ?? []).map(String)
    const [first, ...others] = new Set(lines)
    if (first !== undefined) raw.setHeader('set-cookie', others.length === 0 ? first : [first, ...others])
    return writeHead.call(raw, status, ...rest)
  } as typeof raw.writeHead
}

function isCookie ([name]: Pair): boolean {
  return name.toLowerCase() === 'set-cookie'
}

function pairsOf (headers: Headers): Pair[] {
  if (!Array.isArray(headers)) return Object.entries(headers)
  return headers.flatMap((name, i) => i % 2 === 0 ? [[String(name), headers[i + 1]]] : [])
}

function withoutCookies (headers: Headers): Headers {
  const others = pairsOf(headers).filter((pair) => !isCookie(pair))
  return Array.isArray(headers) ? others.flat() as OutgoingHttpHeader[] : Object.fromEntries(others)
}
