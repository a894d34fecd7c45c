import type { FastifyPluginCallback } from 'fastify'

/**
 * What is used of `@fastify/session`. Its own types give every request a session of another kind, and `decryptSession` and
 * `sessionStore`, to all applications that use hatcheck.
 */
declare const fastifySession: FastifyPluginCallback<{
  secret: { sign (id: string): string, unsign (value: string): { valid: boolean, renew: boolean, value: string | null } }
  idGenerator (): string
  store: {
    get (id: string, callback: (error: Error | null, session: null) => void): void
    set (id: string, session: object, callback: (error?: Error) => void): void
    destroy (id: string, callback: (error?: Error) => void): void
  }
  saveUninitialized: boolean
  rolling: boolean
}>

export default fastifySession

/** What it adds to the scope that it is registered in. */
export interface SessionScope {
  decryptSession (value: string, carrier: { session: { sessionId: string } | null }, callback: (error?: Error) => void): void
}
