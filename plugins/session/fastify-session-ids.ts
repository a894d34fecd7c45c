import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import nodeModule from 'node:module'
import { withCookies } from '../cookies/index.js'
import type { TicketSigner } from '../tickets/ticket.js'

/** What is used of `@fastify/session`. */
type FastifySession = FastifyPluginCallback<{
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

/** What it adds to the scope that it is registered in. */
interface SessionScope {
  decryptSession (value: string, carrier: { session: { sessionId: string } | null }, callback: (error?: Error) => void): void
}

// Not imported: its types would give every request a session of another kind, and `decryptSession` and `sessionStore`,
// to all applications that use hatcheck.

/**
 * Registers `@fastify/session` in a scope of its own, so that its hooks run for no route, and drives it through
 * `decryptSession`. It makes the sessions and their IDs; it holds no values, and stores nothing.
 *
 * The measured reason for the detour: with its own hooks it makes a route several times dearer, saves on every request,
 * and lets a slow request bring a logged-out session back.
 *
 * @returns a function that makes a session and answers its ID.
 */
export async function fastifySessionIds (fastify: FastifyInstance, tickets: () => TicketSigner): Promise<() => string> {
  // Required where it is used: in a bundle, hatcheck has to get as far as to say that it must stay external.
  const fastifySession = nodeModule.createRequire(import.meta.url)('@fastify/session') as FastifySession
  let decryptSession: SessionScope['decryptSession'] | undefined

  await fastify.register(async function sessionScope (scope) {
    await withCookies(scope)
    await scope.register(fastifySession, {
      secret: {
        sign: (id) => tickets().sign(id),
        unsign: () => ({ valid: false, renew: false, value: null })
      },
      idGenerator: () => tickets().newId(),
      store: {
        get: (_id, callback) => { callback(null, null) },
        set: (_id, _session, callback) => { callback() },
        destroy: (_id, callback) => { callback() }
      },
      saveUninitialized: false,
      rolling: false
    })
    decryptSession = (scope as FastifyInstance & SessionScope).decryptSession
  })

  return function newId () {
    // Called back at once, since the store is.
    const carrier: { session: { sessionId: string } | null } = { session: null }
    decryptSession?.('', carrier, () => {})
    if (carrier.session === null) throw new Error('@fastify/session has made no session')
    return carrier.session.sessionId
  }
}
