import { createError } from '@fastify/error'

/** The application uses hatcheck in a way that cannot work, such as a member of @fastify/session that hatcheck does not have. */
export const UnsupportedError = createError<[string, string]>('HATCHECK_UNSUPPORTED',
  '%s is not supported by hatcheck: %s.', 500)

/**
 * Refuses a hook that was called without a request, as in `{ onRequest: requireLogin() }` or with options or the application in its
 * place: it would guard nothing.
 *
 * @throws UnsupportedError
 */
export function assertIsHook (request: unknown, name: string): void {
  if (typeof request !== 'object' || request === null || !('raw' in request)) throw new UnsupportedError(`${name}() without a request`, `pass the function itself, as in { onRequest: ${name} }`)
}
