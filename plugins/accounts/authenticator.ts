import type { FastifyRequest, Session } from 'fastify'
import type { MaybePromise } from '../common/maybe-promise.js'

/** A user that an authenticator has accepted. `Values` are those of the session. */
export interface Authenticated<Values = Session> {
  /** The name that the session gets. */
  name: string
  /** Values for the session, such as a role. The login sets them under the new session ID. */
  data?: Partial<Values> | undefined
}

/**
 * Checks a name and a password; null or undefined refuses them. The name is in NFC and trimmed. A refusal must take as long for an unknown
 * name as for a wrong password.
 */
export type Authenticate<Values = Session> = (name: string, password: string, request: FastifyRequest) => MaybePromise<Authenticated<Values> | null | undefined>

/** The check that the rate limit protects. It also tells whether the attempt comes from a known device or network. */
export type Check = (name: string, password: string, request: FastifyRequest, isFamiliar: boolean) => Promise<Authenticated | null>

/** A {@link Check} behind the rate limit. */
export type LimitedCheck = (name: string, password: string, request: FastifyRequest) => Promise<Authenticated | null>
