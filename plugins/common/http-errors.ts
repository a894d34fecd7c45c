import { createError, type FastifyError, type FastifyErrorConstructor } from '@fastify/error'
import { durationText } from './duration.js'

/**
 * The challenge of a 401: a session cookie. No registered scheme means a cookie, and browsers ignore a scheme that they do not know.
 *
 * Sources: RFC 9110, section 15.5.2; draft-broyer-http-cookie-auth.
 */
export const AUTHENTICATE = 'Cookie realm="hatcheck"'

/**
 * Makes every error of a class carry headers for its answer. The error handler of hatcheck sends them, as Fastify's own does.
 *
 * @param headers by their names in lower case
 */
export function withHeaders<C extends { readonly prototype: FastifyError }> (ErrorClass: C, headers: Readonly<Record<string, string>>): C {
  Object.assign(ErrorClass.prototype, { headers })
  return ErrorClass
}

/**
 * Makes a class of errors that refuse a request, as is expected. They have no stack: Fastify logs each error, and the reason of a
 * refusal is in its text.
 */
export function createRefusal<const Code extends string, const Status extends number, A extends unknown[] = []> (code: Code, text: string, status: Status): FastifyErrorConstructor<{ code: Code, statusCode: Status }, A> {
  return createError<Code, Status, A>(code, text, status, Error, false)
}

/** Makes a class of errors that answer 401 with WWW-Authenticate. */
export function createUnauthorized<const Code extends string> (code: Code, text: string): FastifyErrorConstructor<{ code: Code, statusCode: 401 }, []> {
  return withHeaders(createRefusal(code, text, 401), { 'www-authenticate': AUTHENTICATE })
}

/**
 * Makes a class of errors that answer 503 with Retry-After: not now, but soon.
 *
 * @param retrySeconds when to try again.
 */
export function createUnavailable<A extends unknown[] = []> (code: string, text: string, retrySeconds = 1): FastifyErrorConstructor<{ code: string }, A> {
  return withHeaders(createError<A>(code, text, 503), { 'retry-after': String(retrySeconds) })
}

/**
 * Makes a class of errors that answer 429 with Retry-After. Each error is made with the seconds to wait.
 *
 * @param text with `%s` for the time to wait, such as `2 minutes`.
 */
export function createTooMany<const Code extends string> (code: Code, text: string): new (seconds?: number) => FastifyError & { code: Code } {
  const TooMany = createRefusal<Code, 429, [wait?: string]>(code, text, 429)
  return class extends TooMany {
    declare readonly headers?: Record<string, string>

    // Without seconds the text is the template, for the API description.
    constructor (seconds?: number) {
      if (seconds === undefined) {
        super()
        return
      }
      super(seconds < 120 ? durationText(seconds, 'second') : durationText(Math.ceil(seconds / 60), 'minute'))
      this.headers = { 'retry-after': String(seconds) }
    }
  }
}
