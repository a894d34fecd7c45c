import type { FastifyRequest } from 'fastify'
import type { AnonymousLimit } from './anonymous-limit.js'
import { LogoutUnconfirmedError } from './errors.js'
import { StoreUnavailableError, guarded, storeUnavailable } from '../store/errors.js'
import type { SessionEmitter } from './events.js'
import type { Stored } from './plan.js'
import { withChanges, type SessionChanges, type SessionRecord, type SessionReplacement, type SessionStore, type StoredSession, type UserLimit } from '../store/sessions.js'
import type { Ticket } from '../tickets/ticket.js'
import { endIn, successorIn, type Upkeep } from './upkeep.js'

export interface WriterOptions {
  readonly store: SessionStore
  readonly emitter: SessionEmitter
  readonly upkeep: Pick<Upkeep, 'refuse' | 'discard' | 'isRefused'>
  readonly sessionsPerUser: number
  readonly anonymousLimit: AnonymousLimit
  /** The ticket of a new ID. */
  ticketOf (id: string): Ticket
  /** Returns the valid tickets in the header of a request. */
  ticketsOf (request: FastifyRequest): readonly Ticket[]
}

/**
 * The one place that changes sessions for requests, and tells of it. Each method has happened when it resolves. It
 * creates, or changes what is there, and never both: nothing in flight brings back a session that has ended.
 */
export class Writer {
  readonly #options: WriterOptions
  /** Whether the last try to note activity failed: of failures in a row, the first is a warning. */
  #failsToTouch = false

  constructor (options: WriterOptions) {
    this.#options = options
  }

  /** Begins a session. @throws TooManySessionsError, StoreUnavailableError also if it was ended before it began. */
  async create (id: string, record: SessionRecord, request: FastifyRequest): Promise<Stored> {
    const { store, emitter, ticketOf, anonymousLimit } = this.#options
    if (record.user === null) anonymousLimit.count(request)
    const ticket = ticketOf(id)
    const created = await this.#beginning(ticket.key, 'create', () => store.create(ticket.key, record, this.#limitFor(record.user, request)))
    if (!created) throw createRefused()
    emitter.emit('created', ticket.key, record.user, request)
    return { ticket, record }
  }

  /** Changes single fields. Null: the session has ended meanwhile. */
  async patch ({ ticket, record }: Stored, changes: SessionChanges, request: FastifyRequest): Promise<Stored | null> {
    const { store, emitter } = this.#options
    const lives = await guarded('patch', () => store.patch(ticket.key, changes))
    if (!lives) return null
    // Who takes the name out of the session has logged out.
    if (changes.user === null) emitter.emit('destroyed', ticket.key, record.user, request)
    return { ticket, record: withChanges(record, changes) }
  }

  /**
   * Goes on under a new ID; the old one is dead when this resolves.
   *
   * @returns `next` is null if no value was left to go on with, `lastUser` is the one of before; the whole is null if the session has ended meanwhile.
   */
  async replace ({ ticket: old }: Stored, id: string, change: SessionReplacement, request: FastifyRequest): Promise<{ next: Stored | null, lastUser: string | null } | null> {
    const { store, emitter, ticketOf } = this.#options
    const ticket = ticketOf(id)
    const replaced = await this.#beginning(ticket.key, 'replace', () => store.replace(old.key, ticket.key, change, this.#limitFor(change.user ?? null, request)))
    if (replaced.outcome === 'gone') return null
    if (replaced.outcome === 'refused') throw createRefused()
    const { last, next } = replaced
    if (next !== null && (last.user === null || last.user === next.user)) {
      emitter.emitRenewed(ticket.key, old.key, next.user, request)
    } else {
      emitter.emit('destroyed', old.key, last.user, request)
      if (next !== null) emitter.emit('created', ticket.key, next.user, request)
    }
    return { next: next === null ? null : { ticket, record: next }, lastUser: last.user }
  }

  /**
   * Ends every session that a request presents: a browser with two cookies would otherwise be the other one's user.
   *
   * @param stored the session of the request, which may be newer than its header
   * @param isReadable whether the store could tell which of them live
   * @throws LogoutUnconfirmedError if one of them could not be ended; its ticket is refused from now on.
   */
  async end (request: FastifyRequest, stored: Stored | null, isReadable: boolean): Promise<void> {
    const { store, ticketsOf } = this.#options
    const own = stored?.ticket.key
    const keys = ticketsOf(request).map(({ key }) => key)
    await this.#endEach(request, own === undefined ? keys : [own, ...keys], async (key) => {
      return isReadable && key !== own && !await this.#needsEnd(key) ? null : await endIn(store, key)
    })
  }

  /**
   * Ends what a request presents beside its session, which goes on without a user.
   *
   * @throws LogoutUnconfirmedError
   */
  async endOthers (request: FastifyRequest, own: Stored | null): Promise<void> {
    const { store, ticketsOf } = this.#options
    const keys = ticketsOf(request).map(({ key }) => key).filter((key) => key !== own?.ticket.key)
    await this.#endEach(request, keys, async (key) => {
      const record = await store.read(key) === null ? null : await store.remove(key)
      return record === null ? null : { key, record }
    })
  }

  async #endEach (request: FastifyRequest, keys: readonly string[], end: (key: string) => Promise<StoredSession | null>): Promise<void> {
    const { emitter, upkeep } = this.#options
    const confirmed = await Promise.all([...new Set(keys)].map(async (key) => {
      try {
        const ended = await end(key)
        if (ended !== null) emitter.emit('destroyed', ended.key, ended.record.user, request)
        return true
      } catch (error) {
        upkeep.refuse(key)
        request.log.warn({ reason: reasonOf(error) }, 'the end of a session could not be stored; its ticket is refused until it is')
        return false
      }
    }))
    if (confirmed.includes(false)) throw new LogoutUnconfirmedError()
  }

  /** Whether a session that a request presents has to be ended: most of those that it has not been given are long dead. */
  async #needsEnd (key: string): Promise<boolean> {
    const { store, upkeep } = this.#options
    if (upkeep.isRefused(key)) return true
    try {
      return await store.read(key) !== null || await successorIn(store, key) !== null
    } catch {
      return true
    }
  }

  /** Ends a session that nobody gets the cookie of. */
  async discard ({ ticket, record }: Stored, request: FastifyRequest): Promise<void> {
    const { store, emitter, upkeep } = this.#options
    try {
      if (await store.remove(ticket.key) !== null) emitter.emit('destroyed', ticket.key, record.user, request)
    } catch (error) {
      upkeep.discard(ticket.key)
      request.log.warn({ reason: reasonOf(error) }, 'the end of a session could not be stored; it is tried again')
    }
  }

  /** Notes activity. Never rejects: a failure costs no more than an earlier end of an idle session. */
  async touch ({ ticket }: Stored, { seenAt, expiresAt }: Pick<SessionChanges, 'seenAt' | 'expiresAt'>, request: FastifyRequest): Promise<boolean> {
    ticket.touchedAt = seenAt
    try {
      const isThere = await this.#options.store.touch(ticket.key, seenAt, expiresAt)
      this.#failsToTouch = false
      return isThere
    } catch (error) {
      request.log[this.#failsToTouch ? 'debug' : 'warn']({ reason: reasonOf(error) }, 'activity of a session could not be noted')
      this.#failsToTouch = true
      return false
    }
  }

  /** A session whose beginning failed may have begun, though nobody will get its ticket. */
  async #beginning<T> (key: string, doing: string, action: () => T | Promise<T>): Promise<T> {
    try {
      return await guarded(doing, action)
    } catch (error) {
      if (error instanceof StoreUnavailableError) this.#options.upkeep.discard(key)
      throw error
    }
  }

  /** How many sessions a user may have; the oldest end as revoked. */
  #limitFor (user: string | null, request: FastifyRequest): UserLimit | undefined {
    const { sessionsPerUser: perUser, emitter } = this.#options
    return user === null ? undefined : { perUser, onEnded: (key) => { emitter.emit('revoked', key, user, request) } }
  }
}

/** The message of the store, without a stack: during an outage there are many. */
function reasonOf (error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? cause.message : message
}

/**
 * Why a session could not begin: it was ended before, with every session of its user or by logins at once that are over
 * the limit. Or the ID exists: with 256 random bits that means a broken source of randomness, and that somebody else may
 * have it. Either way the user tries again; a cookie for a dead session would say "logged in" once and never again.
 */
function createRefused (): Error {
  return storeUnavailable(new Error('the new session was ended before it began, or its ID exists already'), 'create')
}
