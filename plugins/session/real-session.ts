import fastifySession, { type FastifySessionObject, type SessionStore as FastifySessionStore } from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import { withCookies } from '../cookie.js'
import type { Ticket, TicketOffice } from './ticket.js'

type Current = FastifySessionObject & Record<string, unknown> & { cookie: { toJSON (): object } }

/** A session of `@fastify/session`. */
export interface RealSession {
  /** The session object; another one after a {@link regenerate}. */
  readonly current: Current
  /** A new id, with the values of these keys. */
  regenerate (keys: string[]): void
}

export type MakeRealSession = (ticket: Ticket | null, data: Record<string, unknown>) => RealSession

/**
 * Registers `@fastify/session` in a scope of its own, so that its hooks run for no route, and drives it through
 * `decryptSession`. It makes ids and session objects; what is stored, and when, is decided in commit.ts.
 *
 * The measured reason for the detour: with its own hooks it makes a route several times dearer, saves on every
 * request, and lets a slow request bring a logged-out session back.
 */
export async function registerFastifySession (fastify: FastifyInstance, tickets: () => TicketOffice): Promise<MakeRealSession> {
  let loading: Record<string, unknown> = {}
  // Reads what is being made; stores nothing. Every call is answered at once, so makeReal can be synchronous.
  const bridge: FastifySessionStore = {
    get: (_id, callback) => { callback(null, loading as never) },
    set: (_id, _session, callback) => { callback() },
    destroy: (_id, callback) => { callback() }
  }
  let decryptSession: FastifyInstance['decryptSession'] | undefined

  await fastify.register(async function sessionScope (scope) {
    await withCookies(scope)
    await scope.register(fastifySession, {
      secret: {
        sign: (id) => tickets().sign(id),
        unsign: (id) => ({ valid: id !== '', renew: false, value: id })
      },
      idGenerator: () => tickets().newId(),
      store: bridge,
      saveUninitialized: false,
      rolling: false
    })
    decryptSession = scope.decryptSession
  })

  return function makeReal (ticket, data) {
    const carrier: { session: Current | null } = { session: null }
    loading = data
    decryptSession?.(ticket?.id ?? '', carrier, () => {})
    return {
      get current () { return carrier.session as Current },
      regenerate (keys) { carrier.session?.regenerate(keys, () => {}) }
    }
  }
}
