import { createError } from '@fastify/error'
import { createUnauthorized, createUnavailable } from '../../common/http-errors.js'
import { SessionTooLargeError } from '../../store/errors.js'

/** The end of a session could not be stored. This process refuses the ticket until it is. */
export const LogoutUnconfirmedError = createUnavailable('HATCHECK_LOGOUT_UNCONFIRMED',
  'The logout is not confirmed: the session store cannot answer right now. This browser is logged out; the session will be ended as soon as the store is back.')

/** A key that would break the session object. */
export const SessionKeyError = createError<[rule: string, got: string]>('HATCHECK_SESSION_KEY',
  'A session key must %s; got %s.', 500, TypeError)

/** The keys that a session keeps were given as something other than a list. */
export const SessionKeysError = createError<[got: string]>('HATCHECK_SESSION_KEY',
  'The keys for session.regenerate must be a list, such as ["cart"]; got %s.', 500, TypeError)

/** A value that JSON cannot hold. */
export const SessionValueError = createError<[string, string]>('HATCHECK_SESSION_VALUE',
  'A session value must be JSON: %s is %s.', 500, TypeError)

/** A value that the option `sessionSchema` does not allow. */
export const SessionSchemaError = createError<[string, string]>('HATCHECK_SESSION_VALUE',
  'A session value must fit sessionSchema; %s does not: %s', 500, TypeError)

/** The option `sessionSchema` answers with a promise, at least for some values. */
export const AsyncSchemaError = createError('HATCHECK_SESSION_SCHEMA',
  'sessionSchema returned a promise for these values. Leave out asynchronous checks.', 500)

/** `session.permanent`, or the option of a login, was set to something other than a boolean. */
export const PermanentError = createError<[name: string, got: string]>('HATCHECK_SESSION_VALUE',
  '%s must be true or false; got %s.', 500, TypeError)

/** Several values were given as something other than a plain object, such as a Map, and would be lost. */
export const SessionValuesError = createError<[string]>('HATCHECK_SESSION_VALUE',
  'Values for a session must be a plain object of keys and values; got %s.', 500, TypeError)

/** A session would begin for somebody without a name. */
export const UserNameError = createError<[caller: string, got: string]>('HATCHECK_USER_NAME',
  '%s needs the name of a user: a non-empty, well-formed string; got %s', 500, TypeError)

/** The session ended (logout, expiry, revocation) while this request was under way. */
export const SessionGoneError = createError('HATCHECK_SESSION_GONE',
  'The session ended while this request was under way; the changes of this request were not saved.', 409)

/** The response has begun: a change would be lost, and a first read is too late to keep the response out of caches. */
export const SessionCommittedError = createError('HATCHECK_SESSION_COMMITTED',
  'The response has been sent: the session of this request can no longer be changed, or read for the first time. Use the session before the response begins.', 500)

/** The store is asynchronous, and nothing has read the session yet. */
export const SessionNotReadError = createError('HATCHECK_SESSION_NOT_READ',
  'The session of this request has not been read yet. Register this hook after hatcheck, or call "await request.loadSession()" first.', 500)

/** The configuration of the route says that it has no session. */
export const SessionOffError = createError('HATCHECK_SESSION_OFF',
  'This route has no session: its config says { session: false }. Remove it if the route uses the session, the user, login or logout. A hook for all routes must look at request.routeOptions.config.session first.', 500)

/** The cookie of a new session can no longer be sent. Nothing is stored. */
export const NoCookieError = createError('HATCHECK_NO_COOKIE',
  'The headers of the response have left, so the browser cannot get the cookie of this session. Nothing is stored. Make the call before the response begins.', 500)

/** The same error if the client has gone, which is not a fault of the application. nginx uses this status too; no client gets it. */
export const ClientGoneError = createError('HATCHECK_NO_COOKIE',
  'The client has gone, so it cannot get the cookie of this session. Nothing is stored.', 499)

/** A value was set without a login while `anonymousSessions` is false. Nothing is stored. */
export const AnonymousSessionError = createUnauthorized('HATCHECK_ANONYMOUS_SESSION',
  'Only logged-in users can have values in the session (anonymousSessions is false). Log in first. Nothing is stored.')

/** The session does not fit into a cookie. The browser keeps the session that it has. */
export class CookieTooLargeError extends SessionTooLargeError {
  constructor (length: number, longest: number) {
    super(length, longest)
    this.message = `The session data is too large for a cookie: its value would have ${length} characters, and ${longest} fit beside its name and attributes. The session of the browser is unchanged. Keep less in the session, or use another sessionStore.`
  }
}

/** `user` of the option `adopt` has returned something other than a name or null. */
export const AdoptError = createError<[string]>('HATCHECK_ADOPT',
  'user(values) of the option adopt must return the name of the user, a non-empty and well-formed string, or null; it returned %s.', 500)

/** The browser would silently drop a Secure cookie that is set over http. */
export const InsecureTransportError = createError<[string]>('HATCHECK_INSECURE_TRANSPORT',
  'The session cookie is Secure but this connection is plain http, so the browser would drop it. %s', 400)

/** The browser would silently drop a cookie of another domain. */
export const CookieDomainError = createError<[string, string]>('HATCHECK_COOKIE_DOMAIN',
  'This request is for the host "%s", but the session cookie is for the domain "%s", so the browser would drop it. Use a host of that domain, or change SESSION_COOKIE_DOMAIN (sessionCookieDomain).', 400)
