import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MaybePromise, SessionFields, SessionRecord } from '../store/sessions.js'
import type { CookieDescription, CookieState } from './cookie.js'
import type { Rules, Stored } from './plan.js'
import type { SessionSchema } from './schema.js'
import type { Writer } from './write.js'

/** What every session of a realm works with. */
export interface SessionContext extends Rules {
  readonly writer: Writer
  /** Checks the values; null: any JSON fits. */
  readonly schema: SessionSchema | null
  newId (): string
  /** Whether every change of a session changes its cookie. */
  readonly changesCookie: boolean
  /** Returns the value of the session cookie on the connection of a request. @param stored null if the session is not stored yet */
  cookieValue (id: string, stored: Stored | null, request: FastifyRequest): string
  /** Returns the handle of the session with a store key. */
  handleOf (key: string): string
  /** Finds the live session that a request presents. @throws StoreUnavailableError */
  find (request: FastifyRequest): MaybePromise<Stored | null>
  /** Reads the record again. @throws StoreUnavailableError */
  read (stored: Pick<Stored, 'ticket'>): Promise<SessionRecord | null>
  /** Takes fields out of the stored session. @throws StoreUnavailableError */
  take (stored: Stored, prefix: string): Promise<{ taken: SessionFields, rest: Stored }>
  /** @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
  /** Puts the session cookie into the response, or removes it from the browser. */
  sendCookie (session: CookieState, reply: FastifyReply): void
  /** Whether browsers may have the cookie under a former name. */
  readonly hasFormerCookies: boolean
  /** Does the same as the response leaves, and removes cookies that the browser no longer needs. */
  sendLastCookie (session: CookieState, reply: FastifyReply): void
  describeCookie (session: CookieState): CookieDescription
}
