import type { FastifyRequest } from 'fastify'
import type { Ender } from '../backend/end.js'
import type { Finder } from '../backend/find.js'
import type { Writer } from '../backend/write.js'
import type { SessionCookie } from '../cookie/cookie.js'
import type { Rules } from '../model/plan.js'
import type { SessionSchema } from '../model/schema.js'
import type { Stored } from '../model/stored.js'

/** The parts that every session of a realm uses. */
export interface SessionContext extends Rules, Pick<Finder, 'find' | 'read'> {
  readonly writer: Writer
  readonly ender: Ender
  readonly cookie: SessionCookie
  /** Checks the values; null: any JSON fits. */
  readonly schema: SessionSchema | null
  newId (): string
  /** Whether every change of a session changes its cookie. */
  readonly changesCookie: boolean
  /** Whether an ended session stays dead although a browser still sends its cookie. */
  readonly remembersEnds: boolean
  /** Returns the value of the session cookie on the connection of a request. @param stored null if the session is not stored yet */
  cookieValue (id: string, stored: Stored | null, request: FastifyRequest): string
  /** Returns the handle of the session with a store key. */
  handleOf (key: string): string
  /** @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
}
