import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'

type WriteHead = (this: ServerResponse, status: number, headers?: OutgoingHttpHeaders) => ServerResponse

/**
 * Makes a function that gives a reply headers which nothing changes later. Node gets them with the others as one list when the
 * head is written. `reply.headers` puts each into an object first, for every answer, which costs half as much again as sending
 * them. Every answer has them, even one that Fastify writes without a hook, such as after an error in an error handler.
 *
 * @param headers by their names in lower case. None of them may be set on the reply as well: the answer would have both.
 */
export function fixedHeaders (headers: Readonly<Record<string, string>>): (reply: FastifyReply) => void {
  const fixed: OutgoingHttpHeader[] = Object.entries(headers).flat()

  const writeHead: WriteHead = function writeHead (status, headers) {
    const all = fixed.slice()
    for (const name in headers) all.push(name, headers[name] as OutgoingHttpHeader)
    return (Object.getPrototypeOf(this) as ServerResponse).writeHead.call(this, status, all)
  }

  return (reply) => {
    const raw = reply.raw as { writeHead: unknown }
    if (raw.writeHead === writeHead) return
    // Somebody else watches the head, and has to see all of it.
    if (Object.hasOwn(raw, 'writeHead')) reply.headers(headers)
    else raw.writeHead = writeHead
  }
}
