import type { FastifyReply, FastifyRequest } from 'fastify'
import { LONGEST_LIFE_MS, type Lifetimes } from '../../common/lifetimes.js'
import { UnsupportedError } from '../../common/unsupported.js'
import type { ClearedCookie } from '../../config/former-cookies.js'
import { cookieValues } from '../../cookies/header.js'
import type { CookieAttributes, Cookies } from '../../cookies/index.js'
import type { Stored } from '../model/stored.js'
import { HTTP, HTTPS, type Connection, type CookieProfile } from './cookie-profile.js'
import { completeHead } from './head.js'

/** The session cookie as it is sent. Changing it throws: configuration and `session.permanent` decide the cookie. */
export interface CookieDescription {
  readonly path: string
  readonly domain?: string
  readonly httpOnly: boolean
  readonly secure: boolean
  readonly sameSite: 'lax' | 'strict' | 'none'
  readonly partitioned?: boolean
  /** How long the browser keeps the cookie from its beginning, in ms; null: until the browser ends. */
  readonly originalMaxAge: number | null
  /** How long the browser still keeps the cookie, in ms; null: until the browser ends. */
  readonly maxAge: number | null
  readonly expires: Date | null
}

/** What a response does with the cookie of the browser. */
export type CookieChange = 'keep' | 'set' | 'clear'

/** The parts of a session that its cookie depends on. */
interface CookieState {
  readonly request: FastifyRequest
  readonly cookie: CookieChange
  readonly cookieValue: string
  readonly permanent: boolean
  readonly stored: Stored | null
}

/** How long the cookie of a session lasts depends on these. */
type Lasting = Pick<CookieState, 'permanent' | 'stored'>

/** The length of the longest cookie that browsers keep: of its name, value and attributes together. Source: RFC 6265, section 6.1. */
const LONGEST_COOKIE = 4_096

interface CookieOptions {
  readonly lifetimes: Lifetimes
  readonly profileOf: (connection: Connection) => CookieProfile
  readonly cookies: Cookies
  /** The names that the session cookie had before. */
  readonly formerCookies: readonly ClearedCookie[]
  /** Cookies of another library, whose sessions hatcheck adopts. */
  readonly adoptedCookies: readonly ClearedCookie[]
  now (): number
}

export class SessionCookie {
  readonly #options: CookieOptions
  /** The cookies that a browser no longer needs once its session cookie has changed. */
  readonly #others: readonly ClearedCookie[]

  constructor (options: CookieOptions) {
    this.#options = options
    this.#others = [...options.formerCookies, ...options.adoptedCookies]
  }

  /** Puts the cookie into the response, or removes it from the browser. Nothing else writes a session cookie. */
  send (session: CookieState, reply: FastifyReply): void {
    const { cookies, profileOf } = this.#options
    const { request } = session
    const { name, attributes } = profileOf(request)
    if (session.cookie === 'set') {
      cookies.set(reply, name, session.cookieValue, this.attributesOf(attributes, session))
    } else if (session.cookie === 'clear' && cookieValues(request.headers.cookie ?? '', name).length > 0) {
      cookies.clear(reply, name, attributes)
    } else {
      cookies.drop(reply, name)
    }
    if (session.cookie !== 'keep') this.#clear(this.#others, session, reply)
    completeHead(reply)
  }

  /** Does what {@link send} does, as the response leaves. A browser that has the current cookie no longer needs a former one. */
  sendLast (session: CookieState, reply: FastifyReply): void {
    if (session.cookie !== 'keep') this.send(session, reply)
    else if (this.#options.formerCookies.length > 0 && session.stored?.ticket.stale === false) this.#clear(this.#options.formerCookies, session, reply)
  }

  /** Removes other cookies from the browser, once the response has that of the session. */
  #clear (others: readonly ClearedCookie[], { request }: CookieState, reply: FastifyReply): void {
    const { cookies, profileOf } = this.#options
    for (const { name, ...place } of others) {
      const { name: current, attributes: { path: _path, domain: _domain, ...attributes } } = profileOf(request)
      if (name === current || cookieValues(request.headers.cookie ?? '', name).length === 0) continue
      // The next response removes it.
      if (request.routeOptions.config?.oneCookie === true && reply.getHeader('set-cookie') !== undefined) return
      cookies.clear(reply, name, { ...attributes, ...place })
    }
  }

  /** Returns the attributes with the Max-Age of the cookie of a session. */
  attributesOf (attributes: CookieAttributes, session: Lasting): CookieAttributes {
    const lifetime = this.#lifetimeOf(session)
    return lifetime === null ? attributes : { ...attributes, maxAge: Math.ceil(lifetime.left / 1000) }
  }

  /** Returns the line of a Set-Cookie header. */
  serialize (name: string, value: string, attributes: CookieAttributes): string {
    return this.#options.cookies.serialize(name, value, attributes)
  }

  /** Returns how many characters the value of the cookie may have, whatever the connection and the session are. */
  longestValue (): number {
    const rest = [HTTPS, HTTP].map((connection) => {
      const { name, attributes } = this.#options.profileOf(connection)
      return this.serialize(name, '', { ...attributes, maxAge: LONGEST_LIFE_MS / 1_000 }).length
    })
    return LONGEST_COOKIE - Math.max(...rest)
  }

  describe (session: CookieState): CookieDescription {
    const { profileOf, now } = this.#options
    const lifetime = this.#lifetimeOf(session)
    const members = {
      ...profileOf(session.request).attributes,
      originalMaxAge: lifetime?.whole ?? null,
      maxAge: lifetime?.left ?? null,
      expires: lifetime === null ? null : new Date(now() + lifetime.left)
    }
    return new Proxy(members, { defineProperty: refuseChange, deleteProperty: refuseChange }) as CookieDescription
  }

  /** Returns how long the browser keeps the cookie, in ms; null: until the browser ends. */
  #lifetimeOf ({ stored, permanent }: Lasting): { whole: number, left: number } | null {
    if (!permanent) return null
    const { lifetimes, now } = this.#options
    const whole = lifetimes.permanent.lifetimeSeconds * 1000
    const age = stored === null ? 0 : now() - stored.record.createdAt
    return { whole, left: Math.max(0, whole - age) }
  }
}

function refuseChange (_cookie: object, name: string | symbol): never {
  throw cookieUnsupported(`session.cookie.${String(name)} = …`)
}

/** @param attempt what the application tried */
export function cookieUnsupported (attempt: string): Error {
  return new UnsupportedError(attempt, 'configuration decides the cookie; use session.permanent for a longer life')
}
