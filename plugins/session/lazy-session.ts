import type { FastifySessionObject } from '@fastify/session'
import type { FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { CLIENT_FIELD } from './client.js'
import { SessionCommittedError } from './errors.js'
import { assertKey, createFacade } from './facade.js'
import { FLASH_PREFIX, flashField, flashText, flashesOf, type Flash } from './flash-fields.js'
import { toJson } from './json.js'
import { OWN_PREFIX } from './own-fields.js'
import type { MakeRealSession } from './real-session.js'
import { SessionData } from './session-data.js'
import { fieldsWith, type SessionChanges, type SessionFields, type SessionRecord } from './store.js'
import type { Ticket } from './ticket.js'
import { storedUser, userOf, type User } from './user.js'

/**
 * What a request has done with its session, from nothing to the most. {@link commit} ends every one of them.
 *
 * - `untouched`: nobody asked
 * - `read`: somebody looked; values handed out may still turn out to be changed within
 * - `changed`: a value was set or deleted
 * - `renewed`: the session goes on under a new id
 * - `destroyed`: the session is to end
 * - `committed`: the response is on its way
 */
export type SessionPhase = 'untouched' | 'read' | 'changed' | 'renewed' | 'destroyed' | 'committed'

/** What a session needs from the plugin around it. */
export interface SessionContext {
  makeReal: MakeRealSession
  sign (id: string): string
  /** @throws InsecureTransportError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
  /** Writes what has changed at once, as the response would. */
  save (session: LazySession): Promise<void>
  /** Reads the record anew. */
  read (ticket: Ticket): Promise<SessionRecord | null>
  /** Takes fields out of the stored session. */
  take (ticket: Ticket, prefix: string): Promise<SessionFields>
  now (): number
}

/** What a renewal takes along: everything (a login), or these keys. */
export type Keep = 'all' | readonly string[]

/**
 * The session of one request: where it is in its life, who is logged in, and the data. {@link facade} is what a handler
 * sees of it.
 */
export class LazySession {
  phase: SessionPhase = 'untouched'
  /** What the response is to do with the cookie. */
  cookie: 'keep' | 'set' | 'clear' = 'keep'
  /** Activity is to be noted even if it was noted lately. */
  touchForced = false
  /** The store could not be asked, or still holds a session that has ended: the ticket may be good for one. */
  mayLive = false
  /** `destroy` was called, whatever came after it. */
  ended = false
  keep: Keep = 'all'
  /** Set by a login: the two clocks start anew, and data of another user is left behind. */
  authenticated = false

  readonly #context: SessionContext
  readonly #request: FastifyRequest
  #ticket: Ticket | null
  #record: SessionRecord | null
  #permanent: boolean
  #user: string | null
  #dataOrNull: SessionData | null = null
  /** Flash messages that this request leaves, as fields. */
  #flashes: Record<string, string> | null = null
  /** From where this request logs in, as a field. */
  #client: string | null = null
  #facade: FastifySessionObject | null = null

  /** @param record what the ticket stands for; null for a ticket of a session that is no more. */
  constructor (context: SessionContext, request: FastifyRequest, ticket: Ticket | null, record: SessionRecord | null) {
    this.#context = context
    this.#request = request
    this.#ticket = ticket
    this.#record = record
    this.#permanent = record?.permanent ?? false
    this.#user = record?.user ?? null
  }

  /** `request.session` */
  get facade (): FastifySessionObject {
    this.#facade ??= createFacade(this)
    return this.#facade
  }

  get request (): FastifyRequest { return this.#request }
  get ticket (): Ticket | null { return this.#ticket }
  get record (): SessionRecord | null { return this.#record }
  get permanent (): boolean { return this.#permanent }
  /** Whether nothing in the data can have changed. */
  get isPristine (): boolean { return this.#dataOrNull?.isPristine ?? true }

  /** The id that the session has once this request is committed. */
  get id (): string {
    if (!this.#data.isReal && this.#record !== null && this.#ticket !== null) return this.#ticket.id
    return this.#data.real.sessionId
  }

  /**
   * Who is logged in. Only `request.login` can make someone so, and taking `client_name` out of the session (or
   * writing another over it) is enough to end it.
   */
  get user (): User | null {
    if (this.#user === null) return null
    return this.isPristine && this.#record !== null
      ? storedUser(this.#record)
      : userOf(this.#user, this.get('client_name'), this.get('authenticatedAt'), this.#record)
  }

  has (key: string): boolean { return this.#data.has(key) }
  get (key: string): unknown { return this.#data.get(key) }
  keys (): string[] { return this.#data.keys() }

  set (key: string, value: unknown): void {
    assertKey(key)
    toJson(key, value)
    this.#change()
    this.#data.set(key, value)
  }

  delete (key: string): void {
    if (!this.has(key)) return
    this.#change()
    this.#data.delete(key)
  }

  setPermanent (permanent: boolean): void {
    if (permanent === this.#permanent) return
    this.#change()
    this.#permanent = permanent
  }

  flash (message: Flash): void {
    this.#change()
    this.#flashes ??= {}
    this.#flashes[flashField(this.#context.now())] = flashText(message)
  }

  /** The flash messages, which are then gone. */
  async takeFlashes (): Promise<Flash[]> {
    this.#assertOpen()
    const own = this.#flashes ?? {}
    this.#flashes = null
    const stored = this.#ticket !== null && this.#hasStoredFlashes() ? await this.#context.take(this.#ticket, FLASH_PREFIX) : {}
    return flashesOf({ ...stored, ...own })
  }

  #hasStoredFlashes (): boolean {
    const goOn = this.phase !== 'destroyed' && (this.phase !== 'renewed' || this.keep === 'all')
    return goOn && Object.keys(this.#record?.fields ?? {}).some((name) => name.startsWith(FLASH_PREFIX))
  }

  /** Goes on under a new id with these keys; the old id is dead before the response leaves. */
  regenerate (keys: readonly string[] = []): void {
    this.#assertOpen()
    this.#data.regenerate(keys)
    this.#flashes = null
    const keepsUser = keys.includes('client_name')
    this.keep = this.#narrowed(keepsUser ? [...keys, CLIENT_FIELD] : keys)
    this.phase = 'renewed'
    this.authenticated = false
    if (keepsUser) return
    this.#user = null
    this.#client = null
  }

  /** Makes `user` the one who is logged in, under a new id: whoever knew the old id (session fixation) has nothing. */
  login (user: string, now: number, permanent: boolean, client: string): void {
    const sameOwner = this.#user === null || this.#user === user
    const keep = sameOwner ? this.#narrowed('all') : []
    const flashes = sameOwner ? this.#flashes : null
    this.regenerate(sameOwner ? this.keys() : [])
    this.keep = keep
    this.#flashes = flashes
    this.authenticated = true
    this.#user = user
    this.#client = client
    this.#permanent = permanent
    this.set('client_name', user)
    this.set('authenticatedAt', now)
  }

  /** Ends the session; what is set after this begins a new one. */
  destroy (): void {
    this.#assertOpen()
    this.phase = 'destroyed'
    this.ended = true
    this.#dataOrNull = new SessionData({}, null, this.#context.makeReal)
    this.#flashes = null
    this.#client = null
    // A new id from here on, also for who asks before anything is set.
    this.#data.materialise()
    this.#user = null
    this.#permanent = false
  }

  /** Drops this request's changes and takes the session as it is stored now. */
  async reload (): Promise<void> {
    this.#assertOpen()
    this.#record = this.#ticket === null ? null : await this.#context.read(this.#ticket)
    this.phase = 'read'
    this.ended = false
    this.#permanent = this.#record?.permanent ?? false
    this.#user = this.#record?.user ?? null
    this.#dataOrNull = null
    this.#flashes = null
    this.#client = null
    this.keep = 'all'
    this.authenticated = false
  }

  /** What this request wanted is stored: further changes are counted from here. */
  rebase (record: SessionRecord | null, ticket: Ticket | null): void {
    this.phase = 'read'
    this.#ticket = ticket
    this.mayLive = false
    this.ended = false
    // Fields that another request has added are none of this request's: it must not seem to have removed them.
    this.#record = record === null ? null : { ...record, fields: { ...pick(record.fields, this.keys()), ...fieldsWith(OWN_PREFIX, record.fields) } }
    this.#flashes = null
    this.#client = null
    this.keep = 'all'
    this.authenticated = false
  }

  /** How the data differs from the stored record, or from what a renewal takes along of it. */
  difference (): Pick<SessionChanges, 'set' | 'remove'> {
    const fields = this.#record?.fields ?? {}
    const before = this.phase === 'renewed' ? pick(fields, this.keep) : fields
    const { set, remove } = this.#data.difference(before)
    const isLoggedIn = this.user !== null
    return {
      set: { ...set, ...this.#flashes, ...isLoggedIn && this.#client !== null && { [CLIENT_FIELD]: this.#client } },
      // Known for as long as somebody is logged in.
      remove: !isLoggedIn && Object.hasOwn(before, CLIENT_FIELD) ? [...remove, CLIENT_FIELD] : remove
    }
  }

  save (): Promise<void> {
    this.#assertOpen()
    return this.#context.save(this)
  }

  /** @throws InsecureTransportError instead of a cookie that the browser would drop. */
  assertDeliverable (): void {
    this.#context.assertDeliverable(this.#request)
  }

  /** The data, as a plain object. */
  toObject (): Record<string, unknown> {
    return this.#data.toObject()
  }

  /** A log line shows the data and neither id nor ticket. */
  [inspect.custom] (): Record<string, unknown> {
    // node calls it on the session or, with showProxy, on this.
    return #record in this ? this.toObject() : { ...this as object }
  }

  signedId (): string {
    return this.#context.sign(this.id)
  }

  /** What `@fastify/session` says of the cookie, for reading only. */
  describeCookie (): unknown {
    return Object.freeze(this.#data.real.cookie.toJSON())
  }

  /** The data, as it is stored for as long as nothing changes. */
  get #data (): SessionData {
    this.#dataOrNull ??= new SessionData(this.#record?.fields ?? {}, this.#record === null ? null : this.#ticket, this.#context.makeReal)
    return this.#dataOrNull
  }

  /** What an earlier renewal or end in this request has left behind does not come back. */
  #narrowed (keep: Keep): Keep {
    if (this.phase === 'destroyed') return []
    const { phase, keep: kept } = this
    if (phase !== 'renewed' || kept === 'all') return keep
    return keep === 'all' ? kept : keep.filter((key) => kept.includes(key))
  }

  #change (): void {
    this.#assertOpen()
    if (this.phase === 'destroyed') {
      this.phase = 'renewed'
      this.keep = []
    } else if (this.phase !== 'renewed') {
      this.phase = 'changed'
    }
  }

  #assertOpen (): void {
    if (this.phase === 'committed') throw new SessionCommittedError()
  }
}

/** The fields that a renewal takes along. */
export function pick (fields: SessionFields, keep: Keep): SessionFields {
  return keep === 'all' ? fields : Object.fromEntries(Object.entries(fields).filter(([key]) => keep.includes(key)))
}
