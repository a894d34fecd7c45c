import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { Calls } from '../../common/calls.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import type { SessionFields } from '../../store/sessions.js'
import type { CookieChange } from '../cookie/cookie.js'
import { completeHead } from '../cookie/head.js'
import type { ChangeSet } from '../model/change-set.js'
import { SessionCommittedError, SessionNotReadError, SessionOffError } from '../model/errors.js'
import type { Stored } from '../model/stored.js'
import { currentUser, type User } from '../model/user.js'
import { Values } from '../model/values.js'
import type { SessionContext } from './context.js'
import { LateAnswer } from './late-answer.js'
import { logFailedCalls, Report } from './report.js'
import type { SessionObject } from './session-object.js'

const NO_FIELDS: SessionFields = {}

/**
 * The session of one request: its origin (ticket and record), its values, and the queue of the calls on it. A handler sees
 * it through a facade.
 *
 * Calls (login, regenerate, destroy, save …) act on the store, one after another, and have happened when they resolve.
 * Values wait for the response, or for the next call.
 */
export class Session {
  // For request-session.ts.
  /** What the handler sees as `request.session`, once it has asked. */
  facade: SessionObject | null = null
  /**
   * Whether a handler has asked for the values: not at all; or in time, so that the response depends on them; or too late to keep the
   * response out of caches, so that it must not see them.
   */
  access: 'none' | 'in time' | 'too late' = 'none'

  // What the calls leave for the response.
  /** Whether a session of this request has ended without confirmation by the store. */
  isUnconfirmed = false
  /** Whether the session of the cookie may have ended in the meantime: other requests knew it, or a call has failed. */
  mayHaveEnded = false
  /** Whether the next write records activity even if it was recorded a moment ago. */
  isTouchForced = false

  // For the commit of the response.
  /** Whether the response that is about to be sent is not an error. */
  isSuccess = false
  /** The changes of a response that has failed, while that of the error handler is committed. */
  setAside: ChangeSet | null = null

  readonly context: SessionContext
  // Private, so that printing a session never shows its ticket.
  readonly #request: FastifyRequest
  #reply: FastifyReply | null
  #cookie: CookieChange = 'keep'
  #isClosed = false
  #stored: Stored | null = null
  readonly #values: Values
  #queue: Calls | null = null
  #report: Report | null = null
  #nextId: string | null = null
  #loading: Promise<void> | null = null
  #isLoaded = false
  #failure: unknown
  #late: LateAnswer | null = null

  /** @param reply null in a hook that runs before those of hatcheck. */
  constructor (context: SessionContext, request: FastifyRequest, reply: FastifyReply | null) {
    this.context = context
    this.#values = new Values(NO_FIELDS, context.schema)
    this.#request = request
    this.#reply = reply
  }

  get request (): FastifyRequest { return this.#request }
  /** The response; null as long as it is not known. */
  get reply (): FastifyReply | null { return this.#reply }
  /** What the response does with the cookie. */
  get cookie (): CookieChange { return this.#cookie }
  /** Whether the response has left, so that changes are refused. Calls still act on the store. */
  get isClosed (): boolean { return this.#isClosed }
  /** The session in the store; null if it is not stored yet. */
  get stored (): Stored | null { return this.#stored }
  /** Names the stored session, and grants no access; undefined if it is not stored yet. */
  get handle (): string | undefined { return this.#stored === null ? undefined : this.context.handleOf(this.#stored.ticket.key) }
  get storedFields (): SessionFields { return this.#stored?.record.fields ?? NO_FIELDS }
  get storedPermanent (): boolean { return this.#stored?.record.permanent ?? false }
  get values (): Values { return this.#values }
  /** The calls on the session; null before the first. */
  get queue (): Calls | null { return this.#queue }
  get isLoaded (): boolean { return this.#isLoaded }
  /** Whether the store has answered. */
  get isAvailable (): boolean { return this.#isLoaded && this.#failure === undefined }

  /** Finds the stored session. If that fails, {@link assertReadable} and every call throw the error. */
  load (): MaybePromise<void> {
    if (this.#isLoaded) return
    if (this.#loading !== null) return this.#loading
    try {
      const found = this.context.find(this.#request)
      if (!(found instanceof Promise)) return this.#open(found)
      this.#loading = found.then((stored) => { this.#open(stored) }, (error: unknown) => { this.#fail(error) })
      return this.#loading
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Lets the next {@link load} try again after a failure. */
  forgetFailure (): void {
    if (this.#failure === undefined) return
    this.#failure = undefined
    this.#isLoaded = false
    this.#loading = null
  }

  /** @throws SessionNotReadError, StoreUnavailableError */
  assertReadable (): void {
    if (!this.#isLoaded) throw new SessionNotReadError()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Continues with this session, or with none. @param changes the changes that are stored in it; null drops every change */
  continueWith (stored: Stored | null, changes: ChangeSet | null): void {
    this.#failure = undefined
    // What the failed response had changed belongs to the session that ends here, and must not reach another user's.
    if (this.setAside !== null && this.#stored !== null && this.#stored.ticket.key !== stored?.ticket.key) {
      this.#values.confirm(this.setAside, NO_FIELDS)
      this.setAside = null
    }
    this.#stored = stored
    if (stored !== null) this.#nextId = null
    else if (this.#cookie === 'set') this.sendCookie('keep')
    if (changes === null) this.#values.reset(this.storedFields)
    else this.#values.confirm(changes, this.storedFields)
  }

  /** Continues with the session as it is stored now, and keeps the changes. */
  rebase (stored: Stored): void {
    this.#stored = stored
    this.#values.rebase(stored.record.fields)
  }

  #open (stored: Stored | null): void {
    this.#isLoaded = true
    this.continueWith(stored, null)
  }

  #fail (error: unknown): void {
    this.#isLoaded = true
    this.#failure = error
    this.#noteIfLate(error)
  }

  #noteIfLate (error: unknown): void { this.#late = LateAnswer.from(error, this.#late, this.context.now()) }

  /** The error of a store that has just let this request wait in vain; null: it has not, or has answered since. */
  get silence (): unknown { return this.#late?.recentError(this.context.now()) ?? null }

  /** Returns the ID that the session has, or will have once it is stored: the first call makes it. */
  ensureId (): string {
    if (this.#stored !== null) return this.#stored.ticket.id
    this.#nextId ??= this.context.newId()
    return this.#nextId
  }

  /** Makes a session that is not stored yet take another ID. */
  dropNextId (): void { this.#nextId = null }

  /** The value of the cookie. */
  get cookieValue (): string { return this.context.cookieValue(this.ensureId(), this.#stored, this.#request) }
  get permanent (): boolean { return this.#values.permanentOr(this.storedPermanent) }
  /** The user who is logged in. Only a login sets it; removing or overwriting `client_name` ends it. */
  get user (): User | null { return this.#stored === null ? null : currentUser(this.#stored.record, this.#values) }

  get isModified (): boolean {
    return (this.#stored !== null && this.#stored.record.permanent !== this.permanent) || this.#values.isModified
  }

  has (key: string): boolean { return this.#visible.has(key) }
  get (key: string): unknown { return this.#visible.get(key) }
  keys (): string[] { return this.#visible.keys() }
  /** Returns the values as a plain object. */
  toObject (): Record<string, unknown> { return Object.fromEntries(this.#visible.entries()) }

  get #visible (): Values {
    if (this.access === 'too late') throw new SessionCommittedError()
    return this.#values
  }

  /** Sets a value that was checked before; undefined deletes the key. */
  put (key: string, value: unknown): void {
    if (value === undefined) return this.delete(key)
    this.#assertOpen()
    this.#values.put(key, value)
  }

  delete (key: string): void {
    // A call under way may set it.
    if (!this.#visible.holds(key) && !this.#values.hasCallsInFlight) return
    this.#assertOpen()
    this.#values.delete(key)
  }

  /** Deletes every key, including those that the schema hides. */
  clear (): void { for (const key of this.#visible.heldKeys()) this.delete(key) }

  setPermanent (permanent: boolean): void {
    // A login under way may change it.
    if (permanent !== this.permanent || this.#values.hasCallsInFlight) this.#assertOpen()
    // A login that is made later goes by it, even if this changes nothing.
    if (!this.#isClosed) this.#values.permanent = permanent
  }

  /** Drops the changes that are not stored. */
  dropChanges (): void { this.#values.reset(this.storedFields) }

  /** Records activity with the response, even if it was recorded a moment ago. */
  touch (): void {
    this.#assertOpen()
    this.isTouchForced = true
  }

  #assertOpen (): void {
    if (this.#isClosed || this.#reply?.raw.writableEnded === true) throw new SessionCommittedError()
    this.report.wait()
  }

  /** Made when it is asked for: most sessions are only read, in a response with a commit, and have nothing to report. */
  get report (): Report { return (this.#report ??= new Report(this)) }

  /** Refuses changes from here on: the response leaves. */
  close (): void { this.#isClosed = true }
  /** Takes changes again: the response has failed, and that of an error handler takes its place. */
  reopen (): void { this.#isClosed = false }

  /** Makes a call, which fails if the session could not be read. @param onFailure is called before the call rejects */
  call<T> (work: () => Promise<T>, onFailure?: () => MaybePromise<void>): Promise<T> {
    return this.#call(work, true, onFailure)
  }

  /** Makes a call that works without the record of the session. */
  callUnread<T> (work: () => Promise<T>): Promise<T> {
    return this.#call(work, false)
  }

  #call<T> (work: () => Promise<T>, needsRecord: boolean, onFailure?: () => MaybePromise<void>): Promise<T> {
    if (this.#queue === null && this.#reply !== null) completeHead(this.#reply)
    this.report.wait()
    const call = this.openQueue().run(async () => {
      try {
        if (!this.#isLoaded) await this.load()
        if (this.#failure !== undefined && (needsRecord || this.#failure instanceof SessionOffError)) throw this.#failure
        const answer = await work()
        this.#late = null
        return answer
      } catch (error) {
        this.#noteIfLate(error)
        await onFailure?.()
        throw error
      }
    })
    // No event of the response is to come.
    if (this.#reply?.raw.writableEnded === true) logFailedCalls(this).catch(() => {})
    return call
  }

  openQueue (): Calls { return (this.#queue ??= new Calls()) }

  /** Continues with the response, which is known from here on. */
  attach (reply: FastifyReply): void {
    if (this.#reply !== null) return
    this.#reply = reply
    if (this.#cookie !== 'keep') this.context.cookie.send(this, reply)
    if (this.#queue !== null || !this.#values.isPristine) this.report.wait()
  }

  sendCookie (cookie: CookieChange): void {
    this.#cookie = cookie
    if (this.#reply !== null) this.context.cookie.send(this, this.#reply)
  }

  /** Shows the values in a log line, and neither ID nor ticket. */
  [inspect.custom] (): Record<string, unknown> {
    // Node calls it on the facade or, with showProxy, on the session.
    return #values in this ? this.toObject() : { ...this as object }
  }
}
