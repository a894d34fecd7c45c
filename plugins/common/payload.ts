import type { Readable } from 'node:stream'

/**
 * Keeps a stream that fails from ending the process while a response waits. Fastify listens for its errors only after the last
 * hook, and then answers with one that happened before.
 */
export function awaitErrors (payload: unknown): void {
  if (isNodeStream(payload)) payload.on('error', ignore)
}

/** The headers that describe a body. They must go with a body that is not sent, or clients cannot read the one in its place. */
export const BODY_HEADERS: readonly string[] = [
  'content-type', 'content-encoding', 'content-language', 'content-length', 'content-range', 'content-disposition', 'etag', 'last-modified'
]

/** Frees the resources of a payload that is not sent, such as the file of a stream. */
export function discard (payload: unknown): void {
  if (isNodeStream(payload)) {
    payload.on('error', ignore)
    payload.destroy()
  } else {
    // A stream that somebody else reads is theirs to end.
    webStreamOf(payload)?.cancel().catch(ignore)
  }
}

/** Tells whether the payload is a stream, whose source may go on to run after the head of the response has left. */
export function isStream (payload: unknown): boolean {
  return isNodeStream(payload) || webStreamOf(payload) !== null
}

function webStreamOf (payload: unknown): ReadableStream | null {
  const stream = isWebResponse(payload) ? payload.body : payload
  return stream instanceof ReadableStream ? stream : null
}

function isWebResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && payload !== null && Object.prototype.toString.call(payload) === '[object Response]'
}

/** Tells whether Fastify pipes the payload into the response. */
function isNodeStream (payload: unknown): payload is Readable {
  return typeof (payload as Partial<Readable> | null)?.pipe === 'function' && typeof (payload as Readable).destroy === 'function'
}

function ignore (): void {}
