import type { Session as Data } from 'fastify'
import type { CookieAttributes } from '../../cookies/index.js'
import { continuesAs } from '../../store/sessions.js'
import type { CookieProfile } from '../cookie/cookie-profile.js'
import { clientField, UNKNOWN_CLIENT } from '../model/client.js'
import { InsecureTransportError } from '../model/errors.js'
import { entriesOf } from '../model/fields.js'
import { planLogin } from '../model/plan.js'
import { Snapshot } from '../model/snapshot.js'
import type { Stored } from '../model/stored.js'
import { assertUserName } from '../model/user.js'
import { dataOf, profileFor, type Outside } from './outside.js'

/** The options of `app.sessions.begin`. `Values` are those of the session. */
export interface BeginOptions<Values = Data> {
  /**
   * "Keep me signed in": the session is permanent.
   * @default false
   */
  permanent?: boolean | undefined
  /**
   * Values of the session.
   * @default none
   */
  data?: Partial<Values> | undefined
  /**
   * Whether the browser reaches the application over https. `false` is for plain http, as on localhost. The cookie is never
   * Secure with `sessionCookieSecure: false`.
   * @default true
   */
  secure?: boolean | undefined
}

/** A session that has begun outside of a request. Its cookie logs a browser in: send it to its user only, and do not log it. */
export interface BegunSession {
  /** Names the session, and grants no access. It is for `app.sessions.revoke`. */
  readonly handle: string
  /** The session cookie. `reply.setCookie` of @fastify/cookie takes its members. */
  readonly cookie: { readonly name: string, readonly value: string, readonly attributes: CookieAttributes }
  /** The value of a `Cookie` header, for a client. */
  readonly cookieHeader: string
  /** The value of a `Set-Cookie` header, for a response to the browser of the user. */
  readonly setCookieHeader: string
}

const NO_CHANGES = { set: {}, remove: new Set<string>(), permanent: null }

/** Begins a session for a user, as `app.sessions.begin` does. */
export async function beginSession (user: string, { secure = true, ...options }: BeginOptions, outside: Outside): Promise<BegunSession> {
  const profile = profileFor(secure, outside)
  assertBrowserKeeps(profile, secure)
  return begunSession(await storeLogin(null, user, options, 'app.sessions.begin', outside), profile, outside)
}

/**
 * Stores a login: as the successor of a stored session, or as a new session.
 *
 * @param caller the name of the method, for an error
 * @throws UserNameError, SessionKeyError, SessionValueError, SessionTooLargeError, StoreUnavailableError
 */
export async function storeLogin (stored: Stored | null, user: string, { permanent, data }: BeginOptions<object>, caller: string, outside: Outside): Promise<Stored> {
  assertUserName(user, caller)
  const login = { user, permanent, client: clientField(UNKNOWN_CLIENT), data: entriesOf(data ?? {}) }
  const keepsValues = stored === null || continuesAs(user, stored.record)
  outside.schema?.assertFits(login.data, new Snapshot(stored === null || !keepsValues ? [] : Object.entries(dataOf(stored.record.fields, outside))))
  const { record, change } = planLogin(NO_CHANGES, login, keepsValues, outside)
  const { writer, newId } = outside
  const replaced = stored === null ? null : await writer.replace(stored, newId(), change, null)
  return replaced?.next ?? await writer.create(newId(), record, null)
}

/** @throws InsecureTransportError if the cookie is Secure and the browser uses http. */
export function assertBrowserKeeps ({ attributes, remedy }: CookieProfile, secure: boolean): void {
  if (attributes.secure === true && !secure) throw new InsecureTransportError(remedy)
}

/** Describes a stored session, with the cookie by which it reaches the browser. */
export function begunSession ({ ticket, record }: Stored, { name, attributes: basic }: CookieProfile, { backend, cookie, handleOf }: Outside): BegunSession {
  const value = backend.cookieValue(ticket.id, { ticket, record }, name)
  const attributes = cookie.attributesOf(basic, { permanent: record.permanent, stored: { ticket, record } })
  return {
    handle: handleOf(ticket.key),
    cookie: { name, value, attributes },
    cookieHeader: `${name}=${value}`,
    setCookieHeader: cookie.serialize(name, value, attributes)
  }
}
