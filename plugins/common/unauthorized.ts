import { createError, type FastifyErrorConstructor } from '@fastify/error'

/**
 * The challenge of a 401: a session cookie. No registered scheme means that, and browsers ignore a scheme that they do not know.
 *
 * Sources: RFC 9110, section 15.5.2; draft-broyer-http-cookie-auth.
 */
export const AUTHENTICATE = 'Cookie realm="hatcheck"'

/** Makes a class of errors that are answered with 401 and WWW-Authenticate by every error handler that sends an error's headers. */
export function createUnauthorized<const Code extends string> (code: Code, text: string): FastifyErrorConstructor<{ code: Code, statusCode: 401 }, []> {
  const Unauthorized = createError(code, text, 401)
  Object.assign(Unauthorized.prototype, { headers: { 'www-authenticate': AUTHENTICATE } })
  return Unauthorized
}
