import { createError, type FastifyErrorConstructor } from '@fastify/error'

/**
 * A class of errors that say: not now, but soon. The answer is a 503 with Retry-After from any error handler: that of hatcheck, the error
 * handler of an application, or Fastify's own, which sends the headers that an error has.
 *
 * @param retrySeconds after which to ask again.
 */
export function createUnavailable<A extends unknown[] = []> (code: string, text: string, retrySeconds = 1): FastifyErrorConstructor<{ code: string }, A> {
  const Unavailable = createError<A>(code, text, 503)
  Object.assign(Unavailable.prototype, { headers: { 'retry-after': String(retrySeconds) } })
  return Unavailable
}
