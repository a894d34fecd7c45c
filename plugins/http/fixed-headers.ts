import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]
type WriteHead = (this: ServerResponse, status: number, textOrHeaders?: string | Headers, headers?: Headers) => ServerResponse

/**
 * Makes a function that gives a reply headers which seldom change later. Node gets them with the others as one list when the
 * head is written. `reply.headers` puts each into an object first, for every answer, which costs half as much again as sending
 * them. Every answer has them, even one that Fastify writes without a hook, such as after an error in an error handler.
 *
 * As with `reply.headers`, they replace what the reply has, and a later `reply.header` replaces them. But `reply.getHeaders`
 * does not show them.
 *
 * @param headers by their names in lower case
 */
export function fixedHeaders (headers: Readonly<Record<string, string>>): (reply: FastifyReply) => void {
  const names = Object.keys(headers)
  const fixed: OutgoingHttpHeader[] = Object.entries(headers).flat()

  const writeHead: WriteHead = function writeHead (status, others = {}, ...rest) {
    const { writeHead } = Object.getPrototypeOf(this) as { writeHead: WriteHead }
    // Not by Fastify, which passes one object.
    if (typeof others === 'string' || Array.isArray(others)) {
      for (const name of names) this.setHeader(name, headers[name] as string)
      return writeHead.call(this, status, others, ...rest)
    }
    const isReplaced = names.some((name) => others[name] !== undefined)
    const all = isReplaced ? Object.entries(headers).filter(([name]) => others[name] === undefined).flat() : fixed.slice()
    for (const name in others) all.push(name, others[name] as OutgoingHttpHeader)
    return writeHead.call(this, status, all)
  }

  return (reply) => {
    const raw = reply.raw as { writeHead: unknown }
    for (const name of names) if (reply.hasHeader(name)) reply.removeHeader(name)
    if (raw.writeHead === writeHead) return
    // Somebody else watches the head, and has to see all of it.
    if (Object.hasOwn(raw, 'writeHead')) reply.headers(headers)
    else raw.writeHead = writeHead
  }
}
