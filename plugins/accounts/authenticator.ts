import type { FastifyRequest, Session } from 'fastify'
import type { MaybePromise } from '../store/sessions.js'

/** A user whom an authenticator lets in. */
export interface Authenticated {
  /** The name as it is to stand in the session. */
  name: string
  /** Values for the session, such as a role. They are set with the login, under the new session ID. */
  data?: Partial<Session> | undefined
}

/**
 * Decides who may log in. The name comes in NFC, without white space around it. Null must take as long for an unknown name
 * as for a wrong password.
 */
export type Authenticate = (name: string, password: string, request: FastifyRequest) => MaybePromise<Authenticated | null>

/** An authenticator behind the throttle, which knows whether the try comes from a known device or network. */
export type Check = (...asked: [...Parameters<Authenticate>, isFamiliar: boolean]) => ReturnType<Authenticate>
