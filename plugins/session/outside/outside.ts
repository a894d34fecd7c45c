import type { Session as Data } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import { expiryOf } from '../../common/lifetimes.js'
import { UnsupportedError } from '../../common/unsupported.js'
import type { CookieAttributes } from '../../cookies/index.js'
import { continuesAs, type MaybePromise, type SessionFields } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { SessionBackend } from '../backend/backend.js'
import type { SessionEmitter } from '../backend/events.js'
import { HTTP, HTTPS, type Connection, type CookieProfile } from '../cookie/cookie-profile.js'
import type { SessionCookie } from '../cookie/cookie.js'
import { clientField, UNKNOWN } from '../model/client.js'
import { InsecureTransportError } from '../model/errors.js'
import { entriesOf, isApplications } from '../model/fields.js'
import { fromJson } from '../model/json.js'
import { planLogin, type Stored } from '../model/plan.js'
import { Snapshot } from '../model/snapshot.js'
import { storedUser, type User } from '../model/user.js'
import { assertUser } from '../request/calls.js'
import type { SessionContext } from '../request/context.js'

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

export interface ReadOptions {
  /**
   * Whether the browser reaches the application over https. Where `sessionCookieSecure` leaves the cookie to the connection,
   * this decides which one counts: `__Host-hatcheck` with https, `hatcheck` with http.
   * @default true for a text; for a request, what its socket and its Host header show
   */
  secure?: boolean | undefined
}

/** A request that is not Fastify's, such as the upgrade of a WebSocket: an `http.IncomingMessage`. */
export interface ForeignRequest {
  readonly headers: Pick<IncomingHttpHeaders, 'cookie' | 'host'>
  readonly socket?: object | null | undefined
}

/** A session as it was when it was read. A change of this object changes nothing in the store. */
export interface ReadSession<Values = Data> {
  /** The user who is logged in, or null. */
  readonly user: User | null
  /** The values, without the name of the user and the time of the login. */
  readonly data: Values
  /** "Keep me signed in". */
  readonly permanent: boolean
  /** When the session ends without further activity, in ms since the epoch. */
  readonly expiresAt: number
  /** Names the session, and grants no access. */
  readonly handle: string
}

/** What begins and reads sessions without a request of Fastify. The events of such a session have no request. */
export interface Outside extends Pick<SessionContext, 'lifetimes' | 'maxBytes' | 'anonymousSessions' | 'now' | 'writer' | 'schema' | 'newId'> {
  readonly backend: SessionBackend
  readonly emitter: SessionEmitter
  readonly cookie: SessionCookie
  profileOf (connection: Connection): CookieProfile
  /** Returns the valid tickets in a Cookie header. */
  ticketsIn (header: string, name: string): readonly Ticket[]
  findAmong (tickets: readonly Ticket[]): MaybePromise<Stored | null>
  handleOf (key: string): string
}

const NO_CHANGES = { set: {}, remove: new Set<string>(), permanent: null }

/** Begins a session for a user, as `app.sessions.begin` does. */
export async function beginSession (user: string, { secure = true, ...options }: BeginOptions, outside: Outside): Promise<BegunSession> {
  const profile = profileFor(secure, outside)
  assertTakes(profile, secure)
  return begunAs(await storeLogin(null, user, options, 'app.sessions.begin', outside), profile, outside)
}

/**
 * Stores a login: as the successor of a stored session, or as a new session.
 *
 * @param caller the name of the method, for an error
 * @throws UserNameError, SessionKeyError, SessionValueError, SessionTooLargeError, StoreUnavailableError
 */
export async function storeLogin (stored: Stored | null, user: string, { permanent = false, data }: BeginOptions<object>, caller: string, outside: Outside): Promise<Stored> {
  assertUser(user, caller)
  const login = { user, permanent, client: clientField(UNKNOWN), data: entriesOf(data ?? {}) }
  const keepsValues = stored === null || continuesAs(user, stored.record)
  outside.schema?.assertFits(login.data, new Snapshot(stored === null || !keepsValues ? [] : Object.entries(dataOf(stored.record.fields, outside))))
  const { record, change } = planLogin(NO_CHANGES, login, keepsValues, outside)
  const { writer, newId } = outside
  const replaced = stored === null ? null : await writer.replace(stored, newId(), change, null)
  return replaced?.next ?? await writer.create(newId(), record, null)
}

/** Returns the cookie for a browser on https, or on http. */
export function profileFor (secure: boolean, { profileOf }: Outside): CookieProfile {
  return profileOf(secure ? HTTPS : HTTP)
}

/** @throws InsecureTransportError if the cookie is Secure and the browser uses http. */
export function assertTakes ({ attributes, remedy }: CookieProfile, secure: boolean): void {
  if (attributes.secure === true && !secure) throw new InsecureTransportError(remedy)
}

/** Describes a stored session to the one who sends its cookie. */
export function begunAs ({ ticket, record }: Stored, { name, attributes: basic }: CookieProfile, { backend, cookie, handleOf }: Outside): BegunSession {
  const value = backend.cookieValue(ticket.id, { ticket, record }, name)
  const attributes = cookie.attributesOf(basic, { permanent: record.permanent, stored: { ticket, record } })
  return {
    handle: handleOf(ticket.key),
    cookie: { name, value, attributes },
    cookieHeader: `${name}=${value}`,
    setCookieHeader: cookie.serialize(name, value, attributes)
  }
}

/** Reads the session of a Cookie header or of a request, as `app.sessions.read` does. It changes nothing, and records no activity. */
export async function readSession<Values> (from: string | ForeignRequest | null | undefined, { secure }: ReadOptions, outside: Outside): Promise<ReadSession<Values> | null> {
  const { lifetimes, handleOf, profileOf } = outside
  const request = typeof from === 'object' ? from : null
  if (request !== null && !isObject(request.headers)) throw new UnsupportedError('app.sessions.read of an object without headers', 'pass the request, or the text of its Cookie header')
  const header = request === null ? from : request.headers.cookie
  const profile = request !== null && secure === undefined ? profileOf(connectionOf(request)) : profileFor(secure ?? true, outside)
  const stored = typeof header === 'string' ? await findIn(header, profile, outside) : null
  if (stored === null) return null
  const { ticket, record } = stored
  return {
    user: storedUser(record),
    data: dataOf(record.fields, outside) as Values,
    permanent: record.permanent,
    expiresAt: expiryOf(record, lifetimes),
    handle: handleOf(ticket.key)
  }
}

/** Finds the live session of a Cookie header. @throws StoreUnavailableError */
export async function findIn (header: string, { name }: CookieProfile, { ticketsIn, findAmong }: Outside): Promise<Stored | null> {
  return await findAmong(ticketsIn(header, name))
}

/** Returns the values that fit the schema, without those that say who is logged in. */
export function dataOf (fields: SessionFields, { schema }: Pick<Outside, 'schema'>): Record<string, unknown> {
  const misfits = schema?.misfits(fields)
  const keys = Object.keys(fields).filter((key) => isApplications(key) && misfits?.has(key) !== true)
  return Object.fromEntries(keys.map((key) => [key, fromJson(fields[key])]))
}

function isObject (value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function connectionOf ({ headers, socket }: ForeignRequest): Connection {
  const isEncrypted = typeof socket === 'object' && socket !== null && 'encrypted' in socket && socket.encrypted === true
  return { protocol: isEncrypted ? 'https' : 'http', host: headers.host ?? '' }
}
