import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifySessionObject } from '@fastify/session'
import fp from 'fastify-plugin'
import { expiryOf } from './clock.js'
import { commit } from './commit.js'
import { guarded, storeUnavailable } from './errors.js'
import { SessionEmitter } from './events.js'
import { openKeyring } from './keyring.js'
import { LazySession, type SessionContext } from './lazy-session.js'
import type { CommitContext } from './life-cycle.js'
import { ticketReader } from './presented.js'
import { registerFastifySession } from './real-session.js'
import { assertDeliverable, cookieProfiles, markPrivate, type CookieProfile } from './session-cookie.js'
import { createSessions, type Sessions } from './sessions.js'
import type { SessionRecord } from './store.js'
import { cookieValues, type Ticket } from './ticket.js'
import { startUpkeep } from './upkeep.js'
import type { User } from './user.js'

declare module '@fastify/session' {
  interface FastifySessionObject {
    /** Whether the key is there. */
    has (key: string): boolean
    /** Takes the value out; `fallback`, or undefined, if there was none. */
    pop<K extends keyof Session> (key: K): Session[K] | undefined
    pop<K extends keyof Session, D> (key: K, fallback: D): Exclude<Session[K], undefined> | D
    /** Sets several values; none if one of them is refused. */
    update (values: Partial<Omit<Session, 'cookie'>>): void
    /** Deletes every key. */
    clear (): void
    /** The keys that are set. */
    keys (): string[]
    /** "Keep me signed in": the longer pair of lifetimes, and a cookie that outlives the browser. */
    permanent: boolean
  }
}

declare module 'fastify' {
  interface Session {
    /** The name of who is logged in; `request.login` sets it. */
    client_name?: string
    /** When the login was, in ms since the epoch; `request.login` sets it. */
    authenticatedAt?: number
  }
  interface FastifyInstance {
    /** The sessions of every user. */
    sessions: Sessions
  }
}

export type { Sessions }

type Session = import('fastify').Session

/** Where a request keeps its session. Null: it has no cookie, and nothing was asked but who is logged in. */
const kSession = Symbol('hatcheck.session')
/** Why it could not be read. */
const kFailure = Symbol('hatcheck.failure')
// Not decorated: Fastify gives every request each decoration, one by one, which costs those that need no session.
type WithSession = FastifyRequest & { [kSession]?: LazySession | null, [kFailure]?: unknown }

/** The session of a request, which counts as read from then on. Throws if the store cannot answer. */
export type SessionOf = (request: FastifyRequest) => LazySession

declare module 'fastify' {
  interface Hatcheck {
    sessionOf: SessionOf
    /** Who is logged in, as the session of a request says, which counts as read from then on. Throws if the store cannot answer. */
    loggedIn (request: FastifyRequest): User | null
    /** Ends the session, also when the store cannot say whether there is one. */
    endSession (request: FastifyRequest): void
    /** Ends every other session of who is logged in here. Answers how many. The session of the request must be saved. */
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
  const { config, storage } = fastify.hatcheck
  const store = storage.sessions
  const { now } = config
  const profileOf = cookieProfiles(config)
  const keyring = openKeyring(config, fastify.log, fastify.hatcheck.workers.isAlone)
  const presentedTickets = ticketReader(() => keyring.office, profileOf)
  const makeReal = await registerFastifySession(fastify, () => keyring.office)
  const emitter = new SessionEmitter(fastify.log, (key) => keyring.office.handleOf(key))
  const upkeep = startUpkeep(store, emitter, fastify.log, fastify.hatcheck.workers)

  const commitContext: CommitContext = {
    store, lifetimes: config.lifetimes, maxBytes: config.sessionMaxBytes, sessionsPerUser: config.sessionsPerUser, now, emitter, refuse: upkeep.refuse
  }
  if (store.keepsLimit === false) fastify.log.warn('the session store keeps no limit: a user may have more sessions than sessionsPerUser')
  const sessionContext: SessionContext = {
    makeReal,
    sign: (id) => keyring.office.sign(id),
    assertDeliverable: (request) => { assertDeliverable(profileOf(request), request) },
    save: async (session) => { await commit(session, commitContext, true) },
    read: async (ticket) => live(ticket, await read(ticket)),
    take: (ticket, prefix) => guarded('take', () => store.take(ticket.key, prefix)),
    now
  }

  fastify.decorate('sessions', createSessions(store, keyring, emitter, config))
  fastify.decorateRequest('session', { getter (): FastifySessionObject { return sessionOf(this as FastifyRequest).facade } })
  fastify.hatcheck.sessionOf = sessionOf
  fastify.hatcheck.loggedIn = loggedIn
  fastify.hatcheck.endSession = endSession
  fastify.hatcheck.endOthers = endOthers
  fastify.hatcheck.handleOf = handleOf
  fastify.hatcheck.cookieOf = profileOf
  fastify.hatcheck.macsFor = (purpose, text) => keyring.office.macsFor(purpose, text)
  fastify.hatcheck.assertDeliverable = sessionContext.assertDeliverable

  if (!store.sync) {
    fastify.addHook('onRequest', async function readSession (request) {
      const holder = request as WithSession
      const tickets = presentedTickets(request)
      if (tickets.length === 0) return
      try {
        let session = new LazySession(sessionContext, request, tickets[0] as Ticket, null)
        for (const ticket of tickets) {
          const record = live(ticket, await read(ticket))
          if (record === null) continue
          session = new LazySession(sessionContext, request, ticket, record)
          break
        }
        holder[kSession] = session
      } catch (error) {
        // Told to whoever asks for the session: a route that needs none goes on.
        holder[kFailure] = error
      }
    })
  }

  fastify.addHook('onSend', function commitSession (request, reply, _payload, done) {
    const session = (request as WithSession)[kSession]
    if (session === undefined || session?.phase === 'untouched' || session?.phase === 'committed') {
      done()
      return
    }
    markPrivate(reply)
    if (session === null) {
      done()
      return
    }
    let writing
    try {
      writing = commit(session, commitContext)
    } catch (error) {
      fail(error as Error, session, request, reply, done)
      return
    }
    if (writing === undefined) {
      finish(session, request, reply)
      done()
    } else {
      finishAfter(writing, session, request, reply, done)
    }
  })

  fastify.addHook('onClose', async () => {
    upkeep.stop()
    keyring.stop()
    await storage.close()
  })

  function sessionOf (request: FastifyRequest): LazySession {
    const holder = request as WithSession
    if (holder[kFailure] !== undefined) throw holder[kFailure]
    const session = holder[kSession] ??= open(request)
    if (session.phase === 'untouched') session.phase = 'read'
    return session
  }

  function loggedIn (request: FastifyRequest): User | null {
    const holder = request as WithSession
    if (holder[kSession] === undefined && request.headers.cookie === undefined) holder[kSession] = null
    return holder[kSession] === null ? null : sessionOf(request).user
  }

  function endSession (request: FastifyRequest): void {
    const holder = request as WithSession
    const ticket = presentedTickets(request)[0] ?? null
    try {
      sessionOf(request)
    } catch {
      // It cannot be read, but it can be refused.
      delete holder[kFailure]
      holder[kSession] = new LazySession(sessionContext, request, ticket, null)
      holder[kSession].mayLive = true
    }
    const session = sessionOf(request)
    if (ticket !== null && upkeep.isRefused(ticket.key)) session.mayLive = true
    session.destroy()
  }

  async function endOthers (request: FastifyRequest): Promise<number> {
    const { user, ticket } = sessionOf(request)
    if (user === null || ticket === null) return 0
    return await guarded('revoke', () => store.removeOfUser(user.name, ticket.key, (key) => { emitter.tell('revoked', key, user.name, request) }))
  }

  function handleOf (request: FastifyRequest): string | undefined {
    const session = (request as WithSession)[kSession]
    if (session === undefined || session === null || session.phase === 'untouched' || session.record === null || session.ticket === null) return undefined
    return keyring.office.handleOf(session.ticket.key)
  }

  function open (request: FastifyRequest): LazySession {
    const tickets = presentedTickets(request)
    for (const ticket of tickets) {
      const record = live(ticket, readNow(ticket))
      if (record !== null) return new LazySession(sessionContext, request, ticket, record)
    }
    return new LazySession(sessionContext, request, tickets[0] ?? null, null)
  }

  /** The two clocks are reckoned here, by the configuration of now; the store's expiry only says when to forget. */
  function live (ticket: Ticket, record: SessionRecord | null): SessionRecord | null {
    if (record === null || upkeep.isRefused(ticket.key)) return null
    return expiryOf(record, config.lifetimes) > now() ? record : null
  }

  function readNow (ticket: Ticket): SessionRecord | null {
    try {
      return store.read(ticket.key) as SessionRecord | null
    } catch (error) {
      throw storeUnavailable(error, 'read')
    }
  }

  function read (ticket: Ticket): Promise<SessionRecord | null> {
    return guarded('read', () => store.read(ticket.key))
  }

  function fail (error: Error, session: LazySession, request: FastifyRequest, reply: FastifyReply, done: (error: Error) => void): void {
    // What was on its way may have been a redirect.
    reply.removeHeader('location')
    finish(session, request, reply)
    done(error)
  }

  function finishAfter (writing: Promise<void>, session: LazySession, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    writing.then(() => {
      finish(session, request, reply)
      done()
    }, (error: Error) => { fail(error, session, request, reply, done) })
  }

  /** The only place that writes a session cookie. */
  function finish (session: LazySession, request: FastifyRequest, reply: FastifyReply): void {
    session.phase = 'committed'
    if (session.cookie === 'keep') return
    const { name, attributes } = profileOf(request)
    if (session.cookie === 'set') {
      const { record } = session
      const maxAge = record?.permanent === true
        ? { maxAge: Math.max(0, Math.ceil((record.createdAt - now()) / 1000) + config.lifetimes.permanent.lifetimeSeconds) }
        : {}
      fastify.hatcheck.setCookie(reply, name, session.signedId(), { ...attributes, ...maxAge })
    } else if (cookieValues(request.headers.cookie ?? '', name).length > 0) {
      fastify.hatcheck.clearCookie(reply, name, attributes)
    }
  }
}, { name: 'session', dependencies: ['config', 'storage', 'cookie', 'workers', 'overload'] })
