import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import { withCookies } from '../cookies/index.js'
import type { TicketSigner } from '../tickets/ticket.js'

/** The part of `@fastify/session` that hatcheck uses. */
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

/** The decoration that it adds to its scope. It puts the session into the carrier, which stands for a request. */
interface SessionScope {
  decryptSession (value: string, carrier: Carrier, callback: (error?: Error) => void): void
}

interface Carrier {
  session: { sessionId: string } | null
}

/**
 * Registers `@fastify/session` in a scope of its own, so that its hooks run for no route, and drives it through
 * `decryptSession`. It makes sessions and their IDs. It holds no values and stores nothing.
 *
 * Its own hooks would make a route several times slower, save on every request, and let a slow request revive a session
 * that has been logged out.
 *
 * @returns a function that makes a session and returns its ID.
 */
export async function fastifySessionIds (fastify: FastifyInstance, currentSigner: () => TicketSigner): Promise<() => string> {
  // By a name that is not a literal to TypeScript: the types of the package would give every request in an application with
  // hatcheck another kind of session, and `decryptSession` and `sessionStore`. In JavaScript it is one, for bundlers.
  const { default: fastifySession } = await import('@fastify/session' as string) as { default: FastifySession }
  let decryptSession: SessionScope['decryptSession'] | undefined

  await fastify.register(async function sessionScope (scope) {
    await withCookies(scope)
    await scope.register(fastifySession, {
      secret: {
        // hatcheck signs the ID with the cookie. Nothing reads this one.
        sign: (id) => id,
        unsign: () => ({ valid: false, renew: false, value: null })
      },
      idGenerator: () => currentSigner().newId(),
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
    // Calls back at once, as the store does.
    const carrier: Carrier = { session: null }
    decryptSession?.('', carrier, () => {})
    if (carrier.session === null) throw new Error('@fastify/session has made no session')
    return carrier.session.sessionId
  }
}
