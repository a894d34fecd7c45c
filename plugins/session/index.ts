import type { FastifyInstance, FastifyRequest, RawServerBase } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config/resolve.js'
import type { Cookies } from '../cookies/index.js'
import type { StorageGroup } from '../storage/index.js'
import { guarded } from '../store/errors.js'
import { openKeyring } from '../tickets/keyring.js'
import type { Ticket } from '../tickets/ticket.js'
import type { Workers } from '../workers/index.js'
import { createAdoption, needsCookie } from './adopt.js'
import { AnonymousLimit } from './anonymous-limit.js'
import { load } from './calls.js'
import { commitSession } from './commit-hook.js'
import type { SessionContext } from './context.js'
import { SessionCookie } from './cookie.js'
import { assertDeliverable, cookieProfiles } from './cookie-profile.js'
import { SessionEmitter } from './events.js'
import { fastifySessionIds } from './fastify-session-ids.js'
import { createFinder } from './find.js'
import { OldSessions } from './old-sessions.js'
import { markPrivateOnHijack } from './private-response.js'
import { accessors, createRequestSessions, isResponsePrivate, kReply, kSession, type WithSession } from './request-session.js'
import type { Session as RequestSession } from './session.js'
import { SessionSchema } from './schema.js'
import type { SessionOf, ValuesOf } from './schema-types.js'
import { createSessions, type Sessions } from './sessions.js'
import { ticketReader, ticketsIn } from './ticket-reader.js'
import { startUpkeep } from './upkeep.js'
import { Writer } from './write.js'

declare module 'fastify' {
  interface Session {
    /** The name of the user who is logged in; `request.login` sets it. */
    client_name?: string | undefined
    /** When the user logged in, in ms since the epoch; `request.login` sets it. */
    authenticatedAt?: number | undefined
  }
  interface FastifyContextConfig {
    /**
     * `false`: requests of this route have no session. It is not read, not touched, and sets no cookie; what uses it throws
     * SessionOffError.
     * @default the route has the session
     */
    session?: false
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
     * @throws SessionNotReadError in a hook that runs before the hooks of hatcheck, if the store is asynchronous.
     * @throws StoreUnavailableError (503) if the store cannot answer.
     */
    session: SessionOf<TypeProvider>
    /**
     * Reads the session, in any hook. After this, `request.session` and `request.user` are available.
     *
     * @throws StoreUnavailableError (503)
     */
    loadSession (): Promise<SessionOf<TypeProvider>>
  }
}

export type { Sessions }

export type SessionGroup = Awaited<ReturnType<typeof createSessionGroup>>

/** What sessions are made of. */
interface SessionParts {
  config: Config
  storage: StorageGroup
  cookies: Cookies
  workers: Workers
}

/**
 * Wires the folder. A request's way through it:
 *
 * 1. `ticket-reader` reads the tickets in the cookie, `find` reads the session from the store.
 * 2. `request-session` gives the request its `Session`: origin, `values` and the queue of calls. A handler sees it through
 *    `facade`.
 * 3. `calls` (login, regenerate, destroy, save …) act at once, each through `plan` and `write`.
 * 4. As the response leaves, `commit-hook` runs `commit`: the changed values go through `plan` and `write`, and `cookie` sets
 *    the cookie.
 */
export default fp(async function session (fastify) {
  fastify.hatcheck.provide('session', await createSessionGroup(fastify, fastify.hatcheck))
}, { name: 'session', dependencies: ['config', 'storage', 'cookie', 'workers', 'guards'] })

/** Gives a scope `request.session`, `request.loadSession` and `app.sessions`. */
export async function createSessionGroup (fastify: FastifyInstance, { config, storage, cookies, workers }: SessionParts) {
  const store = storage.sessions
  const { now, lifetimes } = config
  const profileOf = cookieProfiles(config)
  const keyring = openKeyring(config, fastify.log, workers.isAlone)
  const handleOfKey = (key: string): string => keyring.signer.handleOf(key)
  storage.nameSessionsBy(handleOfKey)
  const formerNames = config.formerCookies.map(({ name }) => name)
  const ticketsOf = ticketReader(() => keyring.signer, profileOf, formerNames)
  const emitter = new SessionEmitter(fastify.log, handleOfKey)
  const upkeep = startUpkeep(store, emitter, fastify.log, workers, (key) => keyring.signer.ownsKey(key))

  const { oldSessionKinds } = config
  const ticketOf = (id: string): Ticket => keyring.signer.ticketOf(id)
  const oldSessions = oldSessionKinds.length === 0 ? null : new OldSessions(oldSessionKinds, config, ticketOf)

  const formerCookies = [...config.formerCookies, ...oldSessionKinds.map(({ cookie }) => cookie)]
  const cookie = new SessionCookie({ lifetimes, now, profileOf, cookies, formerCookies })
  const finder = createFinder({ store, lifetimes, now, ticketsOf, isRefused: upkeep.isRefused })
  const context: SessionContext = {
    lifetimes,
    maxBytes: config.sessionMaxBytes,
    anonymousSessions: config.anonymousSessions,
    now,
    find: finder.find,
    read: finder.read,
    writer: new Writer({
      store,
      emitter,
      upkeep,
      ticketsOf,
      oldSessions,
      sessionsPerUser: config.sessionsPerUser,
      anonymousLimit: new AnonymousLimit(config.anonymousSessionsPerMinute, now),
      ticketOf
    }),
    schema: config.sessionSchema === undefined ? null : new SessionSchema(config.sessionSchema, fastify.log),
    newId: await fastifySessionIds(fastify, () => keyring.signer),
    sign: (id) => keyring.signer.sign(id),
    handleOf: handleOfKey,
    take: ({ ticket }, prefix) => guarded('take', () => store.take(ticket.key, prefix)),
    assertDeliverable: (request) => { assertDeliverable(profileOf(request), request) },
    sendCookie: (session, reply) => { cookie.send(session, reply) },
    describeCookie: (session) => cookie.describe(session)
  }
  if (oldSessions !== null) context.find = createAdoption({ oldSessions, writer: context.writer, context: { ...context }, isRefused: upkeep.isRefused })
  const { sessionFor, sessionOf, facadeOf, loggedIn } = createRequestSessions(context, store.sync)

  fastify.decorate('sessions', createSessions(store, keyring, {
    ...context,
    store,
    emitter,
    cookie,
    profileOf,
    ticketsIn: (header, name) => ticketsIn(header, name, keyring.signer, formerNames),
    findAmong: finder.findAmong,
    handleOf: handleOfKey
  }))
  fastify.decorateRequest('session', accessors('request.session', facadeOf, 'use session.destroy() or session.clear() to end or to empty it'))
  // No async function: the promise of a call knows whether somebody awaits it.
  fastify.decorateRequest('loadSession', function loadSession (this: FastifyRequest) {
    return load(sessionFor(this), () => {
      sessionOf(this)
      return facadeOf(this)
    })
  })

  fastify.addHook('onRequest', function openSession (request, reply, done) {
    const holder = request as WithSession
    holder[kReply] = reply
    const session = holder[kSession]
    if (session !== undefined) {
      // A hook of the host that ran before this one has asked for it.
      session?.attach(reply)
      if (isResponsePrivate(session)) markPrivateOnHijack(reply)
    }
    // An old session has to be read before the handler runs, since its store is asynchronous.
    if (store.sync && (oldSessions === null || !oldSessions.isPresentedBy(request))) done()
    // Without a cookie there is nothing to read.
    else if (session === undefined && request.headers.cookie === undefined) done()
    else if (oldSessions === null) whenLoaded(sessionFor(request), done)
    else whenLoaded(sessionFor(request), done, sessionOf)
  })

  fastify.addHook<unknown>('onSend', commitSession)

  fastify.addHook('onClose', async () => {
    upkeep.stop()
    keyring.stop()
    oldSessions?.stop()
    await storage.close()
  })

  async function endOthers (request: FastifyRequest): Promise<number> {
    const { user, stored } = sessionOf(request)
    if (user === null || stored === null) return 0
    return await guarded('revoke', () => store.removeOfUser(user.name, stored.ticket.key, (key) => { emitter.emit('revoked', key, user.name, request) }))
  }

  function handleOf (request: FastifyRequest): string | undefined {
    const session = (request as WithSession)[kSession]
    return session?.stored !== undefined && session.stored !== null && isResponsePrivate(session) ? keyring.signer.handleOf(session.stored.ticket.key) : undefined
  }

  return {
    /** Returns the session of a request, for calls: they report by themselves if the store cannot answer. */
    sessionFor,
    /** Returns the session of a request, which counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
    sessionOf,
    /** Returns the user of the session of a request, which counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
    loggedIn,
    /** Ends every other session of the user of a request. Returns how many. */
    endOthers,
    /** Returns the reply to a request; undefined in a hook that runs before those of hatcheck. */
    replyOf: (request: FastifyRequest) => (request as WithSession)[kReply],
    /** Returns the handle of the session of a request if the session has been read and is stored. Reads nothing. */
    handleOf,
    /** Returns the name and attributes of the session cookie on the connection of a request. */
    cookieOf: profileOf,
    /** Returns MACs of a text for one purpose: first by the secret key that signs, then by the others. */
    macsFor: (purpose: string, text: string): Buffer[] => keyring.signer.macsFor(purpose, text),
    /** @throws InsecureTransportError if the connection cannot carry the session cookie. */
    assertDeliverable: context.assertDeliverable
  }
}

// Separate, since a closure slows down the function around it, even if it is never made.
function whenLoaded (session: RequestSession, done: () => void, read?: (request: FastifyRequest) => void): void {
  const loading = session.load()
  if (loading === undefined) return done()
  loading.then(() => {
    if (read !== undefined && needsCookie(session)) read(session.request)
    done()
  })
}
