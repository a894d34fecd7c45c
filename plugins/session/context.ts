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
  /** Returns the ticket of an ID. */
  sign (id: string): string
  /** Returns the handle of the session with a store key. */
  handleOf (key: string): string
  /** Finds the live session that a request presents. @throws StoreUnavailableError */
  find (request: FastifyRequest): MaybePromise<Stored | null>
  /** Reads the record again. @throws StoreUnavailableError */
  read (stored: Pick<Stored, 'ticket'>): Promise<SessionRecord | null>
  /** Takes fields out of the stored session. @throws StoreUnavailableError */
  take (stored: Stored, prefix: string): Promise<SessionFields>
  /** @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
  /** Puts the session cookie into the response, or removes it from the browser. */
  sendCookie (session: CookieState, reply: FastifyReply): void
  describeCookie (session: CookieState): CookieDescription
}
