import { createError, type FastifyErrorConstructor } from '@fastify/error'

/**
 * Makes a class of errors for temporary failures. They are answered with 503 and Retry-After by every error handler that sends
 * an error's headers, as those of hatcheck and Fastify do.
 *
 * @param retrySeconds the value of Retry-After, in seconds.
 */
export function createUnavailable<A extends unknown[] = []> (code: string, text: string, retrySeconds = 1): FastifyErrorConstructor<{ code: string }, A> {
  const Unavailable = createError<A>(code, text, 503)
  Object.assign(Unavailable.prototype, { headers: { 'retry-after': String(retrySeconds) } })
  return Unavailable
}
