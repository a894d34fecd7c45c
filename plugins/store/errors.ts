import { createError } from '@fastify/error'
import { createUnavailable } from '../common/http-errors.js'

/** The store cannot be reached or failed. Nothing is known about the session, so nobody is logged out. */
export const StoreUnavailableError = createUnavailable<[string]>('HATCHECK_STORE_UNAVAILABLE', 'The session store cannot answer right now (%s).')

/** The data of one session is over `sessionMaxBytes`. The stored session is unchanged. */
export const SessionTooLargeError = createError<[number, number]>('HATCHECK_SESSION_TOO_LARGE',
  'The session data is too large: %d bytes of JSON, at most %d are allowed (sessionMaxBytes). The stored session is unchanged.', 413)

/**
 * Wraps what a store threw. The cause keeps the detail for the log; the error itself carries no errno code, so that no
 * layer can take a missing socket for a missing session.
 */
export function storeUnavailable (cause: unknown, doing: string): Error {
  if (cause instanceof Error && 'code' in cause && String(cause.code).startsWith('HATCHECK_')) return cause
  return Object.assign(new StoreUnavailableError(doing), { cause })
}

/**
 * A call to a store, whose failure is that of the store. Only the call itself belongs in it: what goes wrong around a call
 * surfaces as itself.
 */
export async function guarded<T> (doing: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw storeUnavailable(error, doing)
  }
}
