import { createError } from '@fastify/error'

/** A part of the interface of @fastify/session that hatcheck does not have. */
export const UnsupportedError = createError<[string, string]>('HATCHECK_UNSUPPORTED',
  '%s is not supported by hatcheck: %s.', 500)

/** Refuses a hook that was called without a request, as in `{ onRequest: requireLogin() }`: it would guard nothing. @throws UnsupportedError */
export function assertIsHook (request: unknown, name: string): void {
  if (request === undefined) throw new UnsupportedError(`${name}() without a request`, `pass the function itself, as in { onRequest: ${name} }`)
}
