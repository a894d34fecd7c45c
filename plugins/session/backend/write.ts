import type { FastifyRequest } from 'fastify'
import { StoreUnavailableError, guarded, reasonOf, storeUnavailable } from '../../store/errors.js'
import { continuesAs, isLogout, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type UserLimit } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { Stored } from '../model/stored.js'
import type { AnonymousLimit } from './anonymous-limit.js'
import type { SessionBackend } from './backend.js'
import type { SessionEmitter } from './events.js'
import type { Upkeep } from './upkeep.js'

interface WriterOptions {
  readonly backend: SessionBackend
  readonly emitter: SessionEmitter
  readonly upkeep: Pick<Upkeep, 'discard'>
  readonly sessionsPerUser: number
  readonly anonymousLimit: AnonymousLimit
  /** Returns the ticket of a new ID. */
  ticketOf (id: string): Ticket
}

/** The request that causes a change; null: none. */
type Cause = FastifyRequest | null

/**
 * Begins and changes sessions for requests, which nothing else does, and emits the events. When a method resolves, the store has
 * done it. A method either creates or changes what is there, so that nothing in flight revives a session that has ended.
 */
export class Writer {
  readonly #options: WriterOptions
  /** Whether the last touch failed. Only the first of several failures in a row is a warning. */
  #hasTouchFailed = false

  constructor (options: WriterOptions) {
    this.#options = options
  }

  /** Begins a session. @throws TooManySessionsError, StoreUnavailableError; the latter also if the session was ended before it began */
  async create (id: string, record: SessionRecord, request: Cause): Promise<Stored> {
    const { backend, emitter, ticketOf, anonymousLimit } = this.#options
    if (record.user === null && request !== null) anonymousLimit.count(request)
    const ticket = ticketOf(id)
    const created = await this.#begin(ticket.key, 'create', () => backend.create(ticket, record, this.#limitFor(record.user, request)))
    if (created === null) throw createRefused()
    emitter.emit('created', ticket.key, record.user, request)
    return created
  }

  /**
   * Begins the session by which an old one continues. Returns null if another request has begun it, or it has ended.
   *
   * If the store fails, nothing is undone: the next request finds the session or begins it.
   *
   * @throws StoreUnavailableError
   */
  async adopt ({ ticket, record }: Stored, request: FastifyRequest): Promise<Stored | null> {
    const { backend, emitter } = this.#options
    const begun = await guarded('create', () => backend.create(ticket, record, this.#limitFor(record.user, request)))
    if (begun !== null) emitter.emit('created', ticket.key, record.user, request)
    return begun
  }

  /**
   * Changes single fields. Returns null if the session has ended in the meantime. Always a promise, so that a change that a handler
   * makes after its answer has the same effect in every store.
   */
  async patch (stored: Stored, changes: SessionChanges, request: Cause): Promise<Stored | null> {
    const { backend, emitter } = this.#options
    let next
    try {
      next = await backend.patch(stored, changes)
    } catch (error) {
      throw storeUnavailable(error, 'patch')
    }
    if (next !== null && isLogout(changes)) emitter.emit('destroyed', stored.ticket.key, stored.record.user, request)
    return next
  }

  /** Takes the fields with a prefix out of a session. @throws StoreUnavailableError */
  take (stored: Stored, prefix: string): Promise<{ taken: SessionFields, rest: Stored }> {
    return guarded('take', () => this.#options.backend.take(stored, prefix))
  }

  /**
   * Continues under a new ID; the old one is dead when this resolves.
   *
   * @returns `next`, null if no value was left, and the user of the old session; or null if that has ended in the meantime.
   */
  async replace (stored: Stored, id: string, change: SessionReplacement, request: Cause): Promise<{ next: Stored | null, lastUser: string | null } | null> {
    const { backend, emitter, ticketOf } = this.#options
    const { ticket: old } = stored
    const ticket = ticketOf(id)
    const replaced = await this.#begin(ticket.key, 'replace', () => backend.replace(stored, ticket, change, this.#limitFor(change.user ?? null, request)))
    if (replaced.outcome === 'gone') return null
    if (replaced.outcome === 'refused') throw createRefused()
    const { last, next } = replaced
    if (next !== null && continuesAs(next.record.user, last)) {
      emitter.emitRenewed(ticket.key, old.key, next.record.user, request)
    } else {
      emitter.emit('destroyed', old.key, last.user, request)
      if (next !== null) emitter.emit('created', ticket.key, next.record.user, request)
    }
    return { next, lastUser: last.user }
  }

  /** Records activity. Returns null if the session has ended. Never rejects: a failure only makes an idle session end earlier. */
  async touch (stored: Stored, { seenAt, expiresAt }: Pick<SessionChanges, 'seenAt' | 'expiresAt'>, request: FastifyRequest): Promise<Stored | null> {
    stored.ticket.touchedAt = seenAt
    try {
      const next = await this.#options.backend.touch(stored, seenAt, expiresAt)
      this.#hasTouchFailed = false
      return next
    } catch (error) {
      request.log[this.#hasTouchFailed ? 'debug' : 'warn']({ reason: reasonOf(error) }, 'the activity of a session could not be recorded')
      this.#hasTouchFailed = true
      return null
    }
  }

  /** If the store fails, the session may have begun all the same, with a ticket that no browser gets. So it is ended later. */
  async #begin<T> (key: string, what: string, action: () => T | Promise<T>): Promise<T> {
    try {
      return await guarded(what, action)
    } catch (error) {
      if (error instanceof StoreUnavailableError) this.#options.upkeep.discard(key)
      throw error
    }
  }

  /** Limits the sessions of a user. The store ends the oldest, which counts as revoked. */
  #limitFor (user: string | null, request: Cause): UserLimit | undefined {
    const { sessionsPerUser: perUser, emitter } = this.#options
    return user === null ? undefined : { perUser, onEnded: (key) => { emitter.emit('revoked', key, user, request) } }
  }
}

/**
 * The error of a session that could not begin. It was ended before it began, with every session of its user or by parallel
 * logins over the limit. Or the ID exists: with 256 random bits that means a broken source of randomness, and somebody else may
 * have the ID. Either way the user has to try again: the cookie of a dead session would not stay logged in.
 */
function createRefused (): Error {
  return storeUnavailable(new Error('the new session was ended before it began, or its ID exists already'), 'create')
}
