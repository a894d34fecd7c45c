import { createError } from '@fastify/error'
import { DeadlineError } from '../common/deadline.js'
import { createUnavailable } from '../common/http-errors.js'

/** Means that the store cannot be reached or has failed. Nothing is known about the session, so no user is logged out. */
export const StoreUnavailableError = createUnavailable<[string]>('HATCHECK_STORE_UNAVAILABLE', 'The session store cannot answer right now (%s).')

/** Means that the data of one session exceeds `sessionMaxBytes`. The stored session is unchanged. */
export const SessionTooLargeError = createError<[number, number]>('HATCHECK_SESSION_TOO_LARGE',
  'The session data is too large: %d bytes of JSON, at most %d are allowed (sessionMaxBytes). The stored session is unchanged.', 413)

/** Refuses data of this many bytes if it is over the limit. @throws SessionTooLargeError */
export function assertSize (bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) throw new SessionTooLargeError(bytes, maxBytes)
}

/** Means that the call needs an optional method of the contract, which this store lacks. */
export const StoreMethodMissingError = createError<[string]>('HATCHECK_STORE_METHOD_MISSING',
  'The session store has no method %s. Add it to the store, or use another store: docs/stores.md lists the optional methods.', 501)

/** Means that the call needs a list of sessions, or a session without its cookie, and the sessions are in the browsers. */
export const SessionsInCookiesError = createError<[string]>('HATCHECK_SESSIONS_IN_COOKIES',
  'The sessions are in the cookies of the browsers (sessionStore), so hatcheck cannot %s. It can end all sessions of a user, or all but the current one.', 501)

/** Means that the call ends sessions, and hatcheck does not remember which sessions have ended. */
export const RevocationOffError = createError('HATCHECK_REVOCATION_OFF',
  'hatcheck does not remember which sessions have ended (sessionRevocation is none), so the sessions of a user cannot be ended: a copy of a cookie stays logged in until its time is over.', 501)

/** Means that a handler has written `client_name`, which would be a login in Flask. */
export const FlaskUserError = createError('HATCHECK_FLASK_USER',
  'session.client_name cannot be set with the store flask:, since Flask takes it for the user. Call request.login or request.logout.', 500, TypeError)

/** Means that Flask could not read the session. Nothing is sent, and the browser keeps the session that it has. */
export const FlaskDepthError = createError<[number]>('HATCHECK_FLASK_DEPTH',
  'A session value is nested too deeply for Flask: at most %d levels are allowed with the store flask:.', 500, TypeError)

/** Means that the account cannot be read. It can neither log in nor be changed, but `AccountStore.create` replaces it. */
export const DamagedAccountError = createError<[key: string]>('HATCHECK_ACCOUNT_DAMAGED',
  'The account %s cannot be read. "hatcheck user add" with its name creates it again.', 500)

/** Means that this version does not know the format of the account. It can neither log in nor be changed. */
export const UnknownFormatError = createError<[key: string]>('HATCHECK_ACCOUNT_FORMAT',
  'The account %s has a format that this version of hatcheck does not know. Use the version that wrote it.', 500)

/**
 * Wraps what a store threw in a {@link StoreUnavailableError}. The cause keeps the detail for the log. The error itself has no
 * errno code, so that no layer can take a missing socket for a missing session. An error of hatcheck stays as it is, unless it
 * tells a stranger that there is an account.
 */
export function storeUnavailable (cause: unknown, doing: string): Error {
  const isOwn = cause instanceof Error && 'code' in cause && String(cause.code).startsWith('HATCHECK_')
  if (isOwn && !(cause instanceof DamagedAccountError) && !(cause instanceof UnknownFormatError)) return cause
  return Object.assign(new StoreUnavailableError(doing), { cause: cause instanceof Error ? cause : new Error(textOf(cause)) })
}

/** Tells whether a store did not answer in time. It may still carry out the call. */
export function isLate (error: unknown): boolean {
  return error instanceof StoreUnavailableError && error.cause instanceof DeadlineError
}

/** Returns the store's message without a stack: during an outage there are many. */
export function reasonOf (error: unknown): string {
  return textOf(error instanceof Error && error.cause instanceof Error ? error.cause : error)
}

/** Returns the text of what a store has thrown. It can be anything, even null or an object whose properties throw. */
export function textOf (thrown: unknown): string {
  try {
    const { message, code } = Object(thrown) as Partial<NodeJS.ErrnoException>
    return String(message || code || (typeof thrown === 'string' && thrown) || NO_REASON)
  } catch {
    return NO_REASON
  }
}

const NO_REASON = 'no reason given'

/**
 * Calls a store and wraps its errors. Pass the call alone: an error in other code must stay what it is.
 *
 * @throws StoreUnavailableError, or an error of hatcheck that the store has thrown
 */
export async function guarded<T> (doing: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw storeUnavailable(error, doing)
  }
}
