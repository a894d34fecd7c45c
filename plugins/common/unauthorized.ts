import { createError, type FastifyErrorConstructor } from '@fastify/error'

/**
 * What a 401 asks for: the session cookie. No registered scheme means that, and browsers leave one alone that they do not know.
 *
 * Sources: RFC 9110, section 15.5.2; draft-broyer-http-cookie-auth.
 */
export const AUTHENTICATE = 'Cookie realm="hatcheck"'

/** A class of errors whose answer is a 401 with WWW-Authenticate, from any error handler that sends the headers of an error. */
export function createUnauthorized<const Code extends string> (code: Code, text: string): FastifyErrorConstructor<{ code: Code, statusCode: 401 }, []> {
  const Unauthorized = createError(code, text, 401)
  Object.assign(Unauthorized.prototype, { headers: { 'www-authenticate': AUTHENTICATE } })
  return Unauthorized
}
