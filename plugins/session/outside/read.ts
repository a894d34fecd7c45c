import type { Session as Data } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import { expiryOf } from '../../common/lifetimes.js'
import { UnsupportedError } from '../../common/unsupported.js'
import type { Connection, CookieProfile } from '../cookie/cookie-profile.js'
import type { Stored } from '../model/stored.js'
import { storedUser, type User } from '../model/user.js'
import { dataOf, profileFor, type Outside } from './outside.js'

/** The options of `app.sessions.read`. */
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

/** Reads the session of a Cookie header or of a request, as `app.sessions.read` does. It changes nothing, and records no activity. */
export async function readSession<Values> (from: string | ForeignRequest | null | undefined, { secure }: ReadOptions, outside: Outside): Promise<ReadSession<Values> | null> {
  const { lifetimes, handleOf, profileOf } = outside
  const request = typeof from === 'object' ? from : null
  if (request !== null && (typeof request.headers !== 'object' || request.headers === null)) throw new UnsupportedError('app.sessions.read of an object without headers', 'pass the request, or the text of its Cookie header')
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

function connectionOf ({ headers, socket }: ForeignRequest): Connection {
  const isEncrypted = typeof socket === 'object' && socket !== null && 'encrypted' in socket && socket.encrypted === true
  return { protocol: isEncrypted ? 'https' : 'http', host: headers.host ?? '' }
}
