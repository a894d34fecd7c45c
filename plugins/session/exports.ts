// The exports of both hatcheck and hatcheck/session.
export type { Sessions } from './index.js'
export type { SessionEvent, SessionEvents } from './backend/events.js'
export type { SessionCallback, SessionObject, TypedSession } from './request/session-object.js'
export type { SchemaValues, SessionTypes } from './request/schema-types.js'
export { schemaFrom, type PointedError, type SchemaIssue, type SchemaResult, type StandardSchema } from '../common/standard-schema.js'
export { ConfigError } from '../common/rule.js'
export { UnsupportedError } from '../common/unsupported.js'
export type { CookieAttributes } from '../cookies/index.js'
export type { CookieDescription } from './cookie/cookie.js'
export type { BegunSession, BeginOptions } from './outside/begin.js'
export type { ForeignRequest, ReadOptions, ReadSession } from './outside/read.js'
export type { UserSession } from './outside/user-sessions.js'
export { TooManySessionsError } from './backend/anonymous-limit.js'
// Not AdoptError and AsyncSchemaError, nor AuthenticateError and NotAwaitedError of logins: each reports a mistake in the application
// that no handler can put right, and the code is enough to find it. Nor ReauthenticateError, which only answers POST /sessions. The
// other classes of errors.ts have the code of one of these, and `instanceof` of @fastify/error goes by the code.
export {
  AnonymousSessionError, CookieDomainError, InsecureTransportError, LogoutUnconfirmedError, NoCookieError, SessionCommittedError, SessionGoneError,
  SessionKeyError, SessionNotReadError, SessionOffError, SessionSchemaError, SessionValueError, UserNameError
} from './model/errors.js'
export type * from '../store/sessions.js'
export type { CompleteSessionStore, Trait } from '../store/traits.js'
export { TOMBSTONE_MS, continuationOf, excessOf, fieldsWith, sizeOf, successorOf, touched, withChanges } from '../store/sessions.js'
export { replaceInTwoSteps } from '../store/replace-in-two-steps.js'
export { FlaskDepthError, FlaskUserError, RevocationOffError, SessionTooLargeError, SessionsInCookiesError, StoreMethodMissingError, StoreUnavailableError } from '../store/errors.js'
export type { AdoptOptions, OldValues } from '../config/adopt.js'
export type { ExpressSessionStore } from '../store/express-store.js'
export { expressStore } from '../storage/express/open.js'
export type { ExpressStoreOptions } from '../storage/express/sessions.js'
