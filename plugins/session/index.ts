import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { expiryOf } from '../common/clock.js'
import { AnonymousLimit } from './anonymous-limit.js'
import { SessionCommittedError, UnsupportedError } from './errors.js'
import { guarded, storeUnavailable } from '../store/errors.js'
import { SessionEmitter } from './events.js'
import type { SessionObject } from './facade.js'
import { openKeyring } from '../tickets/keyring.js'
import type { Stored } from './plan.js'
import { ticketReader } from './presented.js'
import { idsOfFastifySession } from './real-session.js'
import { describeCookie, exposeIfHijacked, exposePrivate, holdAnswer, isUnderWay, isWebResponse, markPrivate, privateResponse } from './response.js'
import { assertDeliverable, cookieProfiles, type CookieProfile } from './session-cookie.js'
import { Session as RequestSession, type SessionContext } from './session.js'
import { createSessions, type Sessions } from './sessions.js'
import type { MaybePromise, SessionRecord } from '../store/sessions.js'
import { cookieValues, type Ticket } from '../tickets/ticket.js'
import { startUpkeep } from './upkeep.js'
import type { User } from './user.js'
import { Writer } from './write.js'

declare module 'fastify' {
  interface Session {
    /** The name of the user who is logged in; `request.login` sets it. */
    client_name?: string | undefined
    /** When the user logged in, in ms since the epoch; `request.login` sets it. */
    authenticatedAt?: number | undefined
  }
  interface FastifyInstance {
    /** The sessions of every user. */
    sessions: Sessions
  }
  interface FastifyRequest {
    /**
     * The session of this request.
     *
     * @throws SessionNotReadError in a hook that runs before those of hatcheck, if the store answers with promises.
     * @throws StoreUnavailableError (503) if the store cannot answer.
     */
    session: SessionObject
    /**
     * Reads the session, in any hook. After it, `request.session` and `request.user` answer at once.
     *
     * @throws StoreUnavailableError (503)
     */
    loadSession (): Promise<SessionObject>
  }
}

export type { Sessions }

/** The session of a request; null: the request has no cookie, and somebody has asked for its user only. */
const kSession = Symbol('hatcheck.session')
const kReply = Symbol('hatcheck.reply')
/** Whether the response has passed the hook that commits the session. */
const kCommitted = Symbol('hatcheck.committed')
// Not decorated: Fastify gives every request each decoration, one by one, which costs those that need no session.
type Holder = FastifyRequest & { [kSession]?: RequestSession | null, [kReply]?: FastifyReply, [kCommitted]?: 'by Fastify' | 'by the handler' }

declare module 'fastify' {
  interface Hatcheck {
    /** The session of a request, for calls: they say by themselves if the store cannot answer. */
    sessionFor (request: FastifyRequest): RequestSession
    /** The session of a request, which counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
    sessionOf (request: FastifyRequest): RequestSession
    /** The user who is logged in, by the session of a request, which counts as read from then on. @throws SessionNotReadError, StoreUnavailableError */
    loggedIn (request: FastifyRequest): User | null
    /** Ends every other session of the user of a request. Answers how many. */
    endOthers (request: FastifyRequest): Promise<number>
    /** The handle of the session of a request, if the session has been asked for and is stored. Reads nothing. */
    handleOf (request: FastifyRequest): string | undefined
    /** The session cookie as it is on the connection of a request. */
    cookieOf (request: FastifyRequest): CookieProfile
    /** MACs of a text for a purpose of its own: the first by the secret key that signs, then by the others. */
    macsFor (purpose: string, text: string): Buffer[]
    /** @throws InsecureTransportError if the connection cannot carry the session cookie. */
    assertDeliverable (request: FastifyRequest): void
  }
}

export default fp(async function session (fastify) {
  const { hatcheck } = fastify
  const { config, storage } = hatcheck
  const store = storage.sessions
  const { now, lifetimes } = config
  const profileOf = cookieProfiles(config)
  const keyring = openKeyring(config, fastify.log, hatcheck.workers.isAlone)
  hatcheck.handleOfKey = (key) => keyring.office.handleOf(key)
  const presented = ticketReader(() => keyring.office, profileOf)
  const emitter = new SessionEmitter(fastify.log, (key) => keyring.office.handleOf(key))
  const upkeep = startUpkeep(store, emitter, fastify.log, hatcheck.workers, (key) => keyring.office.ownsKey(key))

  const context: SessionContext = {
    lifetimes,
    maxBytes: config.sessionMaxBytes,
    anonymousSessions: config.anonymousSessions,
    now,
    writer: new Writer({
      store,
      emitter,
      upkeep,
      presented,
      sessionsPerUser: config.sessionsPerUser,
      anonymousLimit: new AnonymousLimit(config.anonymousSessionsPerMinute, now),
      ticketOf: (id) => keyring.office.ticketOf(id)
    }),
    newId: await idsOfFastifySession(fastify, () => keyring.office),
    sign: (id) => keyring.office.sign(id),
    find: store.sync ? findNow : find,
    read: async ({ ticket }) => live(ticket, await guarded('read', () => store.read(ticket.key))),
    take: ({ ticket }, prefix) => guarded('take', () => store.take(ticket.key, prefix)),
    assertDeliverable: (request) => { assertDeliverable(profileOf(request), request) },
    sendCookie,
    describeCookie: (session) => describeCookie(profileOf(session.request), now(), lifetimeOf(session))
  }

  fastify.decorate('sessions', createSessions(store, keyring, emitter, config))
  fastify.decorateRequest('session', accessors('request.session', facadeOf, 'use session.destroy() or session.clear() to end or to empty it'))
  // Plain functions: the promise of a call says by itself whether somebody waits for it.
  fastify.decorateRequest('loadSession', function loadSession (this: FastifyRequest) {
    return sessionFor(this).loadAnew(() => sessionOf(this).facade)
  })
  Object.assign(hatcheck, { sessionFor, sessionOf, loggedIn, endOthers, handleOf, cookieOf: profileOf, assertDeliverable: context.assertDeliverable })
  hatcheck.macsFor = (purpose, text) => keyring.office.macsFor(purpose, text)

  fastify.addHook('onRequest', function openSession (request, reply, done) {
    const holder = request as Holder
    holder[kReply] = reply
    const session = holder[kSession]
    if (session !== undefined) {
      // A hook of the host that ran before this one has asked for it.
      session?.attach(reply)
      if (isAsked(session)) exposeIfHijacked(reply)
    }
    if (store.sync) done()
    else whenLoaded(sessionFor(request), done)
  })

  fastify.addHook<unknown>('onSend', function commitSession (request, reply, payload, done) {
    const holder = request as Holder
    const session = holder[kSession]
    // Of a hook that ran before those of hatcheck, and has answered.
    session?.attach(reply)
    if (session?.isCommitting === true || (holder[kCommitted] === 'by Fastify' && reply.raw.headersSent)) {
      // The handler answers a second time, which Fastify does not always see.
      request.log.warn('The handler has sent a second answer, which is dropped. Did it call reply.send() and return a value?')
      return
    }
    const isFirst = holder[kCommitted] === undefined
    holder[kCommitted] ??= reply.raw.headersSent ? 'by the handler' : 'by Fastify'
    if (isWebResponse(payload)) payload = privateIfAsked(payload, request)
    if (!isAsked(session)) {
      session?.close()
      done(null, payload)
      return
    }
    markPrivate(reply)
    if (session === null || session === undefined) {
      done(null, payload)
      return
    }
    if (session.hasCalls) session.isSuccess = reply.statusCode < 400
    let committing
    try {
      if (isFirst) committing = session.commit()
    } catch (error) {
      throw withoutRedirect(reply, error)
    }
    if (committing === undefined && !session.isBusy) {
      if (session.cookie !== 'keep') sendCookie(session, reply)
      done(null, payload)
      return
    }
    // A promise, so that Fastify takes what later hooks throw, and what it throws itself, for an error of the response.
    return leave(session, reply, committing, payload)
  })

  // A closure costs the function that it is in, even where it is not made: so none is in what runs for each request.
  function whenLoaded (session: RequestSession, done: () => void): void {
    const loading = session.load()
    if (loading === undefined) done()
    else loading.then(() => { done() })
  }

  async function leave (session: RequestSession, reply: FastifyReply, committing: MaybePromise<void>, payload: unknown): Promise<unknown> {
    const restoreAnswer = holdAnswer(reply)
    session.isCommitting = true
    try {
      await committing
      // A handler may have gone on after its answer, and made calls.
      while (session.isBusy) await session.settle()
      restoreAnswer()
      // Other cookies may have been set since.
      if (session.cookie !== 'keep') sendCookie(session, reply)
      return payload
    } catch (error) {
      throw withoutRedirect(reply, error)
    } finally {
      session.isCommitting = false
    }
  }

  fastify.addHook('onClose', async () => {
    upkeep.stop()
    keyring.stop()
    await storage.close()
  })

  function sessionFor (request: FastifyRequest): RequestSession {
    const holder = request as Holder
    let session = holder[kSession]
    if (session === undefined || session === null) {
      session = new RequestSession(context, request, holder[kReply] ?? null)
      holder[kSession] = session
      if (holder[kCommitted] !== undefined) session.close()
      if (store.sync) session.load()
    }
    return session
  }

  function sessionOf (request: FastifyRequest): RequestSession {
    const session = sessionFor(request)
    session.assertReadable()
    if (!session.wasRead) {
      noteReader(request)
      session.wasRead = true
    }
    return session
  }

  /** Calls are never too late. */
  function facadeOf (request: FastifyRequest): SessionObject {
    const session = sessionFor(request)
    session.assertReadable()
    if (!session.wasRead) {
      session.isHidden = isTooLate(request)
      if (!session.isHidden) sessionOf(request)
    }
    return session.facade
  }

  function loggedIn (request: FastifyRequest): User | null {
    const holder = request as Holder
    if (holder[kSession] === undefined && store.sync && request.headers.cookie === undefined) {
      noteReader(request)
      holder[kSession] = null
    }
    return holder[kSession] === null ? null : sessionOf(request).user
  }

  /** A response that has not begun may still be kept out of caches. */
  function noteReader (request: FastifyRequest): void {
    const { [kCommitted]: isCommitted, [kReply]: reply } = request as Holder
    if (reply === undefined) return
    if (isTooLate(request)) throw new SessionCommittedError()
    if (isCommitted === undefined) exposeIfHijacked(reply)
    else exposePrivate(reply)
  }

  function isTooLate ({ [kCommitted]: isCommitted, [kReply]: reply }: Holder): boolean {
    return isCommitted !== undefined && reply !== undefined && isUnderWay(reply)
  }

  async function endOthers (request: FastifyRequest): Promise<number> {
    const { user, stored } = sessionOf(request)
    if (user === null || stored === null) return 0
    return await guarded('revoke', () => store.removeOfUser(user.name, stored.ticket.key, (key) => { emitter.tell('revoked', key, user.name, request) }))
  }

  function handleOf (request: FastifyRequest): string | undefined {
    const session = (request as Holder)[kSession]
    return session?.stored !== undefined && session.stored !== null && isAsked(session) ? keyring.office.handleOf(session.stored.ticket.key) : undefined
  }

  function findNow (request: FastifyRequest): Stored | null {
    for (const ticket of presented(request)) {
      let record
      try {
        record = live(ticket, store.read(ticket.key) as SessionRecord | null)
      } catch (error) {
        throw storeUnavailable(error, 'read')
      }
      if (record !== null) return { ticket, record }
    }
    return null
  }

  function find (request: FastifyRequest): MaybePromise<Stored | null> {
    const tickets = presented(request)
    return tickets.length === 0 ? null : findAmong(tickets)
  }

  /** Asks for all of them at once: however many there are, it takes one round trip. */
  async function findAmong (tickets: readonly Ticket[]): Promise<Stored | null> {
    const reads = tickets.map((ticket) => ({ ticket, reading: guarded('read', () => store.read(ticket.key)) }))
    // Those after the first live session do not matter, even if they fail.
    if (reads.length > 1) for (const { reading } of reads) reading.catch(() => {})
    for (const { ticket, reading } of reads) {
      const record = live(ticket, await reading)
      if (record !== null) return { ticket, record }
    }
    return null
  }

  /** The two clocks are reckoned here, by the configuration of now; the store's expiry only says when to forget. */
  function live (ticket: Ticket, record: SessionRecord | null): SessionRecord | null {
    if (record === null || upkeep.isRefused(ticket.key)) return null
    return expiryOf(record, lifetimes) > now() ? record : null
  }

  /** The only place that writes a session cookie. */
  function sendCookie (session: RequestSession, reply: FastifyReply): void {
    const { request } = session
    const { name, attributes } = profileOf(request)
    if (session.cookie === 'set') {
      const lifetime = lifetimeOf(session)
      const maxAge = lifetime === null ? {} : { maxAge: Math.ceil(lifetime.left / 1000) }
      hatcheck.setCookie(reply, name, session.signedId, { ...attributes, ...maxAge })
    } else if (session.cookie === 'clear' && cookieValues(request.headers.cookie ?? '', name).length > 0) {
      hatcheck.clearCookie(reply, name, attributes)
    } else {
      hatcheck.dropCookie(reply, name)
    }
    // The handler may hijack the reply after this, or stream: Fastify has passed on the headers by then.
    if (!session.isCommitting) {
      hatcheck.exposeCookies(reply)
      exposePrivate(reply)
    }
  }

  /** How long the browser keeps the cookie, in ms; null: until it is closed. */
  function lifetimeOf ({ stored, permanent }: RequestSession): { whole: number, left: number } | null {
    if (!permanent) return null
    const whole = lifetimes.permanent.lifetimeSeconds * 1000
    const age = stored === null ? 0 : now() - stored.record.createdAt
    return { whole, left: Math.max(0, whole - age) }
  }
}, { name: 'session', dependencies: ['config', 'storage', 'cookie', 'workers', 'overload'] })

/** Whether the response depends on the session. */
function isAsked (session: RequestSession | null | undefined): boolean {
  return session === null || (session !== undefined && (session.wasRead || session.hasCalls))
}

/** Asked as the headers are read: a later hook may be the first to ask for the session. */
function privateIfAsked (response: Response, request: FastifyRequest): Response {
  return privateResponse(response, () => isAsked((request as Holder)[kSession]))
}

/** An error takes the place of what was on its way, which may have been a redirect. */
function withoutRedirect (reply: FastifyReply, error: unknown): unknown {
  reply.removeHeader('location')
  return error
}

/**
 * A getter, and a setter for a scope that decorates its requests with the same name: Fastify sets such a decoration on
 * each request before any hook runs. Later on, setting it is a mistake.
 */
export function accessors<T> (name: `request.${string}`, get: (request: FastifyRequest) => T, rule: string): { getter (): T, setter (value: T): void } {
  return {
    getter (this: FastifyRequest) { return get(this) },
    setter (this: Holder, value: T) {
      if (this[kReply] !== undefined) throw new UnsupportedError(`${name} = …`, rule)
      Object.defineProperty(this, name.slice('request.'.length), { value, writable: true, enumerable: true, configurable: true })
    }
  } as never
}
