import type { FastifyInstance, FastifyRequest, RawServerBase } from 'fastify'
import fp from 'fastify-plugin'
import { assemble, type SessionParts } from './assemble.js'
import { createSessions, type Sessions } from './outside/sessions.js'
import { describedSession, endOtherSessions, type UserSession } from './outside/user-sessions.js'
import { accessors } from './request/accessors.js'
import { load } from './request/calls.js'
import { commitSession, reopenSession } from './request/commit-hook.js'
import { createOpenSession } from './request/open-hook.js'
import { createRequestSessions, replyOf } from './request/request-session.js'
import type { SessionOf, ValuesOf } from './request/schema-types.js'

declare module 'fastify' {
  interface Session {
    /** The name of the user who is logged in; `request.login` sets it. */
    client_name?: string | undefined
    /** When the user logged in, in ms since the epoch; `request.login` sets it. */
    authenticatedAt?: number | undefined
  }
  interface FastifyContextConfig {
    /**
     * `false`: requests of this route have no session. hatcheck does not read it, records no activity and sets no cookie; using it
     * throws SessionOffError.
     * @default the route has the session
     */
    session?: false
    /**
     * `true`: a response of this route has one `Set-Cookie` of the session at most, for a proxy that passes on only one. The
     * cookie comes first; a later response removes a former one.
     * @default a response sets the cookie and removes former ones
     */
    oneCookie?: true
  }
  /* eslint-disable @typescript-eslint/no-unused-vars -- the parameters of an interface are the same in each part of it */
  interface FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider> {
    /** The sessions of every user. */
    sessions: Sessions<ValuesOf<TypeProvider>>
  }
  interface FastifyRequest<RouteGeneric, RawServer extends RawServerBase, RawRequest, SchemaCompiler, TypeProvider, ContextConfig, Logger, RequestType> {
  /* eslint-enable */
    /**
     * The session of this request.
     *
     * @throws SessionNotReadError (500) in a hook that runs before the hooks of hatcheck, if the store is asynchronous.
     * @throws StoreUnavailableError (503) if the store cannot answer.
     * @throws SessionOffError (500) if the route has `session: false`.
     */
    session: SessionOf<TypeProvider>
    /**
     * Reads the session, in any hook. After this, `request.session` and `request.user` are available.
     *
     * @throws StoreUnavailableError (503)
     * @throws SessionCommittedError (500) if the response has begun, and nothing has read the session before.
     * @throws SessionOffError (500) if the route has `session: false`.
     */
    loadSession (): Promise<SessionOf<TypeProvider>>
  }
}

export type { Sessions }

export type SessionGroup = Awaited<ReturnType<typeof createSessionGroup>>

/**
 * Wires the folder. `assemble` makes its parts. A request's way through them:
 *
 * 1. `request/open-hook` runs first. `cookie/ticket-reader` reads the tickets in the cookie, `backend/find` reads the session
 *    from the store.
 * 2. `request/request-session` gives the request its `Session`: origin, `model/values` and the queue of calls. A handler sees it
 *    through `request/facade`.
 * 3. `request/calls` act at once: login, regenerate and save through `model/plan` and `backend/write`, destroy through
 *    `backend/end`.
 * 4. As the response leaves, `request/commit-hook` runs `commit`: the changed values go through `model/plan` and
 *    `backend/write`, and `cookie/cookie` sets the cookie.
 *
 * Each folder imports only those above it: `model`, `cookie`, `backend`, `adoption`, `request`, `outside`. `standalone` is
 * `hatcheck/session`, without the other plugins.
 */
export default fp(async function session (fastify) {
  fastify.hatcheck.provide('session', await createSessionGroup(fastify, fastify.hatcheck))
}, {
  name: 'session',
  // The guards come first: under overload, their hook refuses a request before its session is read.
  dependencies: ['config', 'storage', 'cookies', 'workers', 'guards']
})

/** Gives a scope `request.session`, `request.loadSession` and `app.sessions`. */
export async function createSessionGroup (fastify: FastifyInstance, parts: SessionParts) {
  const { sessions: store } = parts.storage
  const { keyring, context, outside, oldSessions, stop } = await assemble(fastify, parts)
  const requestSessions = createRequestSessions(context, store.sync)
  const { sessionFor, sessionOf, facadeOf, loggedIn, handleFor } = requestSessions

  fastify.decorate('sessions', createSessions(store, keyring, outside, fastify.log))
  fastify.decorateRequest<unknown>('session', accessors('request.session', facadeOf, 'use session.destroy() or session.clear() to end or to empty it'))
  // No async function: the promise of a call knows whether somebody awaits it.
  fastify.decorateRequest('loadSession', function loadSession (this: FastifyRequest) {
    return load(sessionFor(this), () => {
      sessionOf(this)
      return facadeOf(this)
    })
  })

  fastify.addHook('onRequest', createOpenSession(requestSessions, store.sync, oldSessions))
  fastify.addHook('onSend', commitSession)
  fastify.addHook('onError', reopenSession)
  fastify.addHook('onClose', async () => { stop() })

  return {
    sessionFor,
    sessionOf,
    loggedIn,
    handleFor,
    replyOf,
    /** Whether the sessions of a user can be listed, and ended one by one. */
    isListed: parts.storage.carried === undefined,
    /** Describes the session of a request; null if it is not stored. */
    describe (request: FastifyRequest): UserSession | null {
      const { stored } = sessionOf(request)
      return stored === null ? null : describedSession({ key: stored.ticket.key, record: stored.record }, outside)
    },
    /** Tells whether the session of a request, as the store has it now, has not ended and is still this user's. */
    async isStillOf (request: FastifyRequest, user: string): Promise<boolean> {
      const { stored } = sessionFor(request)
      return stored !== null && (await context.read(stored))?.user === user
    },
    /** Ends every other session of the user of a request. Returns how many. */
    endOthers: async (request: FastifyRequest) => await endOtherSessions(sessionOf(request), store, outside.emitter),
    /** Returns the name and attributes of the session cookie on the connection of a request. */
    cookieOf: outside.profileOf,
    /** Returns MACs of a text for one purpose: first by the secret key that signs, then by the others. */
    macsFor: (purpose: string, text: string): Buffer[] => keyring.signer.macsFor(purpose, text),
    /** @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie. */
    assertDeliverable: context.assertDeliverable
  }
}
