import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { Calls } from '../common/calls.js'
import { expiryOf } from '../common/clock.js'
import { namesRealm } from '../common/realm.js'
import { LogoutUnconfirmedError, NoCookieError, SessionCommittedError, SessionGoneError, SessionNotReadError } from './errors.js'
import { assertValue, createFacade, entriesOf, type SessionObject } from './facade.js'
import { CLIENT_FIELD, FLASH_PREFIX, flashField, flashesOf, fromJson, toJson, type Flash } from './fields.js'
import { IDENTITY, assertMaySet, newRecord, planOf, touchOf, type Rules, type Stored } from './plan.js'
import { exposeIfHijacked, haveHeadersLeft, onceClosed, type CookieDescription } from './response.js'
import { successorOf, type MaybePromise, type SessionFields, type SessionRecord, type SessionReplacement } from '../store/sessions.js'
import { storedUser, userOf, type User } from './user.js'
import { Values, type Cut, type Keep } from './values.js'
import type { Writer } from './write.js'

/** What a session needs from the plugin around it. */
export interface SessionContext extends Rules {
  readonly writer: Writer
  newId (): string
  sign (id: string): string
  /** Finds the live session that a request presents. @throws StoreUnavailableError */
  find (request: FastifyRequest): MaybePromise<Stored | null>
  /** Reads the record anew. @throws StoreUnavailableError */
  read (stored: Stored): Promise<SessionRecord | null>
  /** Takes fields out of the stored session. @throws StoreUnavailableError */
  take (stored: Stored, prefix: string): Promise<SessionFields>
  /** @throws InsecureTransportError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
  /** Puts the session cookie into the response, or takes it out of the browser. */
  sendCookie (session: Session, reply: FastifyReply): void
  describeCookie (session: Session): CookieDescription
}

export interface Login {
  user: string
  permanent: boolean
  /** Describes the client, as the text of a field. */
  client (): string
  /** Values to set with the login. */
  data: Readonly<Record<string, unknown>>
  /** Whether the user is logged in already, and must still be: the login then begins no session anew. */
  again?: boolean
}

const NO_FIELDS: SessionFields = {}

/**
 * The session of one request: where it comes from, its values, and the calls on it. {@link facade} is what a handler
 * sees of it.
 *
 * Calls (login, regenerate, destroy, save …) act on the store, one after another, and have happened when they resolve.
 * Values wait for the response, or for the next call.
 */
export class Session {
  /** What the response does with the cookie. */
  cookie: 'keep' | 'set' | 'clear' = 'keep'
  /** Whether a handler has asked for it, so that the response depends on it. */
  wasRead = false
  /** Whether it was asked for too late to keep the response out of caches, so that its values may not be seen. */
  isHidden = false
  /** Whether the response waits for {@link commit} or {@link settle}. */
  isCommitting = false
  /** Whether the answer that is to be sent is no error. A handler may fail after it has answered. */
  isSuccess = false

  // Private, so that nothing that prints a session shows its ticket.
  readonly #request: FastifyRequest
  #stored: Stored | null = null
  readonly #context: SessionContext
  #reply: FastifyReply | null
  #values = new Values(NO_FIELDS)
  #nextId: string | null = null
  #calls: Calls | null = null
  #loading: Promise<void> | null = null
  #isLoaded = false
  #failure: unknown
  #isClosed = false
  #touchForced = false
  /** The flash messages that this request has taken. */
  #shown: Flash[] | null = null
  #facade: SessionObject | null = null
  #isWatched = false
  #hasWarned = false
  /** Whether a session of this request has ended, and the store does not know it yet. */
  #isUnconfirmed = false
  /** Whether the session of the cookie may have ended meanwhile: others have known it, or a call has failed. */
  #mayBeDead = false

  /** @param reply null in a hook that runs before those of hatcheck. */
  constructor (context: SessionContext, request: FastifyRequest, reply: FastifyReply | null) {
    this.#context = context
    this.#request = request
    this.#reply = reply
  }

  /** Finds the stored session. What goes wrong is told by {@link assertReadable}, and by every call. */
  load (): MaybePromise<void> {
    if (this.#isLoaded) return
    if (this.#loading !== null) return this.#loading
    try {
      const found = this.#context.find(this.#request)
      if (!(found instanceof Promise)) return this.#open(found)
      this.#loading = found.then((stored) => { this.#open(stored) }, (error: unknown) => { this.#fail(error) })
      return this.#loading
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The same as a call. After a failure it tries again. */
  loadAnew<T> (then: () => T): Promise<T> {
    if (this.#failure !== undefined) {
      this.#failure = undefined
      this.#isLoaded = false
      this.#loading = null
    }
    return this.#call(async () => then())
  }

  /** Fails as a call does: where nobody awaits it, with the response. */
  refuse (error: unknown): Promise<never> {
    return this.#call(async () => { throw error }, false)
  }

  /** @throws SessionNotReadError, StoreUnavailableError */
  assertReadable (): void {
    if (!this.#isLoaded) throw new SessionNotReadError()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The response is known from here on. */
  attach (reply: FastifyReply): void {
    if (this.#reply !== null) return
    this.#reply = reply
    if (this.cookie !== 'keep') this.#context.sendCookie(this, reply)
    if (this.#calls !== null || !this.#values.isPristine) this.#watch()
  }

  get request (): FastifyRequest { return this.#request }
  /** The session in the store; null if there is none. */
  get stored (): Stored | null { return this.#stored }

  /** `request.session` */
  get facade (): SessionObject {
    this.#facade ??= createFacade(this)
    return this.#facade
  }

  get isLoaded (): boolean { return this.#isLoaded }
  /** Whether it has been called on. */
  get hasCalls (): boolean { return this.#calls !== null }
  get permanent (): boolean { return this.#values.permanentOver(this.#stored?.record.permanent ?? false) }

  /** The ID that the session has, or has once it is stored. */
  get id (): string {
    if (this.#stored !== null) return this.#stored.ticket.id
    this.#nextId ??= this.#context.newId()
    return this.#nextId
  }

  get signedId (): string {
    return this.#context.sign(this.id)
  }

  /**
   * The user who is logged in. Only a login can make somebody so, and taking `client_name` out of the session (or writing
   * another over it) is enough to end it.
   */
  get user (): User | null {
    const record = this.#stored?.record
    if (record === undefined || record.user === null) return null
    const values = this.#values
    return values.mayDiffer('client_name') || values.mayDiffer('authenticatedAt')
      ? userOf(record.user, values.get('client_name'), values.get('authenticatedAt'), record)
      : storedUser(record)
  }

  has (key: string): boolean { return this.#visible.has(key) }
  get (key: string): unknown { return this.#visible.get(key) }
  keys (): string[] { return this.#visible.keys() }

  get #visible (): Values {
    if (this.isHidden) throw new SessionCommittedError()
    return this.#values
  }

  set (key: unknown, value: unknown): void {
    assertValue(key, value)
    this.#put(key, value)
  }

  /** Sets what `entriesOf` has accepted. */
  update (entries: Iterable<[string, unknown]>): void {
    for (const [key, value] of entries) this.#put(key, value)
  }

  #put (key: string, value: unknown): void {
    if (value === undefined) return this.delete(key)
    this.#assertOpen()
    this.#values.put(key, value)
  }

  delete (key: string): void {
    // A call under way may set it.
    if (!this.has(key) && !this.#values.isAwaitingCalls) return
    this.#assertOpen()
    this.#values.delete(key)
  }

  setPermanent (permanent: boolean): void {
    // A login under way may change it.
    if (permanent === this.permanent && !this.#values.isAwaitingCalls) return
    this.#assertOpen()
    this.#values.permanent = permanent
  }

  /** Notes activity with the response, also if it was noted a moment ago. */
  touch (): void {
    this.#assertOpen()
    this.#touchForced = true
  }

  flash ({ kind, text }: Flash): void {
    this.#assertOpen()
    this.#values.put(flashField(this.#context.now()), [kind, text])
  }

  /** Takes the flash messages, and answers those of these kinds. Once taken, they are the same for the rest of the request. */
  takeFlashes (kinds: readonly string[]): Promise<Flash[]> {
    const cut = this.#isClosed ? null : this.#values.cutOf(FLASH_PREFIX)
    return this.#call(async () => {
      if (cut === null) throw new SessionCommittedError()
      try {
        this.#shown ??= await this.#takeFlashes(cut)
      } finally {
        this.#values.returned(cut)
      }
      return this.#shown.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind))
    })
  }

  async #takeFlashes (cut: Cut): Promise<Flash[]> {
    const isStored = Object.keys(this.#values.stored).some((key) => key.startsWith(FLASH_PREFIX))
    const taken = this.#stored !== null && isStored ? await this.#context.take(this.#stored, FLASH_PREFIX) : {}
    this.#values.forget(taken)
    if (this.#stored !== null) this.#stored = { ...this.#stored, record: { ...this.#stored.record, fields: this.#values.stored } }
    return flashesOf({ ...taken, ...this.#values.takeOut(cut, FLASH_PREFIX) })
  }

  /**
   * Makes `user` the one who is logged in, under a new ID: an attacker who knew the old one (session fixation) has nothing.
   * The values go along, unless they are another user's.
   *
   * @throws SessionGoneError if it is a login again, and the session has ended or is no longer this user's.
   */
  login ({ user, permanent, client, data, again = false }: Login): Promise<void> {
    return this.#change('all', async (cut) => {
      assertUser(user)
      const values = entriesOf(data)
      this.#assertCookieCanBeSent()
      const stored = this.#stored
      const isAnothers = stored !== null && stored.record.user !== null && stored.record.user !== user
      if (isAnothers) this.#values.empty(cut)
      const { writer, newId, now, lifetimes } = this.#context
      const time = now()
      const set: Record<string, string> = { ...cut.set }
      const remove = new Set(cut.remove)
      for (const [key, value] of values) {
        delete set[key]
        if (value === undefined) remove.add(key)
        else set[key] = toJson(key, value)
      }
      Object.assign(set, { client_name: toJson('client_name', user), authenticatedAt: String(time), [CLIENT_FIELD]: client() })
      const record = newRecord({ createdAt: time, seenAt: time, permanent, user, fields: set }, lifetimes)
      const { fields: _all, ...clocks } = record
      const change: SessionReplacement = { ...clocks, keep: isAnothers ? [] : 'all', set, remove: [...remove].filter((key) => !Object.hasOwn(set, key)) }
      const replaced = stored === null ? null : await writer.replace(stored, newId(), change, this.#request)
      if (again && replaced?.lastUser !== user) {
        if (replaced?.next) await writer.withdraw(replaced.next, this.#request)
        throw new SessionGoneError()
      }
      const begun = replaced?.next ?? await writer.create(newId(), record, this.#request)
      // A handler may hold the value that the data has replaced.
      this.#values.leave(new Set(values.map(([key]) => key)))
      await this.#handOver(begun, cut)
    })
  }

  /** Whether the session, as the store has it now, has not ended and is still this user's. */
  async isStillOf (user: string): Promise<boolean> {
    const stored = this.#stored
    return stored !== null && (await this.#context.read(stored))?.user === user
  }

  /** Goes on under a new ID with these keys. A session that is not stored yet only drops its other values. */
  regenerate (keys: readonly string[] = []): Promise<void> {
    return this.#change(keys.includes('client_name') ? [...keys, CLIENT_FIELD] : keys, async (cut) => {
      this.#nextId = null
      const stored = this.#stored
      const { writer, newId, now, lifetimes } = this.#context
      const kept = cut.keep ?? new Set()
      if (stored === null) return this.#values.returned(cut, kept)
      const { record } = stored
      const permanent = cut.permanent ?? record.permanent
      const seenAt = now()
      const keepsUser = kept.has('client_name') && userAfter(cut, record) !== null
      assertMaySet(cut.set, keepsUser ? record.user : null, this.#context)
      const change: SessionReplacement = {
        keep: [...kept],
        set: cut.set,
        remove: keepsUser ? [...cut.remove] : [...cut.remove, ...IDENTITY.filter((key) => !Object.hasOwn(cut.set, key))],
        seenAt,
        expiresAt: expiryOf({ createdAt: record.createdAt, seenAt, permanent }, lifetimes),
        ...permanent !== record.permanent && { permanent },
        ...!keepsUser && record.user !== null && { user: null }
      }
      if (Object.keys(successorOf(record, change).fields).length > 0) this.#assertCookieCanBeSent()
      if (!keepsUser && record.user !== null) await writer.endOthers(this.#request, stored)
      const replaced = await writer.replace(stored, newId(), change, this.#request)
      if (replaced === null) throw new SessionGoneError()
      await this.#handOver(replaced.next, cut)
      this.#mayBeDead = true
    })
  }

  /** Ends the session for good. Values that are set after this begin a new one. */
  destroy (): Promise<void> {
    const cut = this.#values.cut([], true)
    return this.#call(async () => {
      const [stored, isReadable] = [this.#stored, this.#failure === undefined]
      // Also if the end cannot be stored: from here on its ticket is refused.
      this.#failure = undefined
      this.#adopt(null, cut)
      this.#sendCookie('clear')
      try {
        await this.#context.writer.end(this.#request, stored, isReadable)
        this.#isUnconfirmed = false
      } catch (error) {
        this.#isUnconfirmed = true
        throw error
      }
    }, false)
  }

  /** Stores the changes. @throws SessionGoneError if the session has ended meanwhile. */
  save (): Promise<void> {
    return this.#change('all', async (cut) => {
      if (!await this.#store(cut)) throw new SessionGoneError()
    })
  }

  /** Drops the changes that are not stored, and takes the session as it is stored now. */
  reload (): Promise<void> {
    return this.#change('all', async (cut) => {
      const stored = this.#stored
      const record = stored === null ? null : await this.#context.read(stored)
      this.#adopt(stored === null || record === null ? null : { ticket: stored.ticket, record }, cut)
    }, true)
  }

  /** Drops the changes that are not stored. */
  forget (): void {
    this.#values.reset(fieldsOf(this.#stored))
  }

  /** The response has left: changes are refused from here on. Calls still act on the store. */
  close (): void {
    this.#isClosed = true
  }

  /**
   * Writes what is left to write as the response leaves, after the calls that were made before. From here on, changes are
   * refused.
   *
   * @throws the error of a call that nobody waits for. Then the values are not stored.
   */
  commit (): MaybePromise<void> {
    this.close()
    if (this.#calls === null) {
      if (this.#failure !== undefined || !this.#isLoaded) return
      if (!this.isModified) return this.#noteActivity()
    }
    return this.#commitAfterCalls()
  }

  async #commitAfterCalls (): Promise<void> {
    const calls = this.#calls ??= new Calls()
    const cut = this.#values.cut()
    try {
      await calls.run(async () => {
        try {
          this.#assertNoneFailed(calls)
          await this.#commitValues(cut)
        } catch (error) {
          this.#values.returned(cut)
          this.#mayBeDead = true
          throw error
        }
      })
    } finally {
      await this.#withdrawDeadCookie()
    }
  }

  /** Whether calls are under way, or one that nobody waits for has failed. */
  get isBusy (): boolean {
    return this.#calls !== null && (this.#calls.isBusy || this.#calls.hasFailed)
  }

  /** Resolves when no call is under way: a handler may make calls after it has answered. @throws the error of one that nobody waits for */
  async settle (): Promise<void> {
    if (this.#calls === null) return
    try {
      await this.#calls.idle()
      this.#assertNoneFailed(this.#calls)
    } finally {
      await this.#withdrawDeadCookie()
    }
  }

  #assertNoneFailed (calls: Calls): void {
    const [error, ...others] = calls.unheeded()
    for (const other of others) this.#request.log.error({ err: other }, 'a call on the session failed')
    if (error !== undefined) throw error
    // A handler that has caught the error must not say that all went well.
    if (this.#isUnconfirmed && this.isSuccess) throw new LogoutUnconfirmedError()
  }

  /** Another request may have ended the session since it was renewed, and the browser may have a newer cookie by now. */
  async #withdrawDeadCookie (): Promise<void> {
    const stored = this.#stored
    if (!this.#mayBeDead || this.cookie !== 'set' || stored === null) return
    const isDead = await this.#context.read(stored).then((record) => record === null, () => false)
    // A call may have made another cookie meanwhile.
    if (isDead && this.#stored?.ticket === stored.ticket) this.#sendCookie('keep')
  }

  async #commitValues (cut: Cut): Promise<void> {
    if (this.#failure !== undefined || !this.#isLoaded) return
    this.#values.begin(cut)
    const permanent = this.#stored?.record.permanent
    if (isEmpty(cut) && (permanent === undefined || permanent === (cut.permanent ?? permanent))) {
      this.#values.returned(cut)
      await this.#noteActivity()
      return
    }
    try {
      if (await this.#store(cut)) return
      // No cookie either way: the browser may already hold that of a newer session.
      this.#request.log.debug('the session ended while a request was under way; its changes were dropped')
    } catch (error) {
      if (!(error instanceof NoCookieError)) throw error
      this.#request.log.warn({ err: error }, 'The session of a new visitor is not stored, since the response has begun or the client has gone.')
    }
    this.#values.landed(cut, fieldsOf(this.#stored))
  }

  #noteActivity (): MaybePromise<void> {
    const stored = this.#stored
    const touch = stored === null ? null : touchOf(stored, this.#touchForced, this.#context)
    if (stored === null || touch === null) return
    // The response does not wait for it, unless the cookie is to be signed anew: for a session that has ended it must not
    // be, since the browser may have a newer one by now.
    const noted = this.#context.writer.touch(stored, touch, this.#request)
    if (stored.ticket.stale) return noted.then((lives) => { if (lives) this.#sendCookie('set') })
  }

  get isModified (): boolean {
    return (this.#stored !== null && this.#stored.record.permanent !== this.permanent) || this.#values.isModified
  }

  /** Writes a cut. False: the session has ended. */
  async #store (cut: Cut): Promise<boolean> {
    const { writer, newId, read } = this.#context
    const [stored, request] = [this.#stored, this.#request]
    const permanent = cut.permanent ?? stored?.record.permanent ?? false
    const user = stored === null ? null : userAfter(cut, stored.record)
    const plan = planOf({ stored, set: cut.set, remove: cut.remove, permanent, user }, this.#context)
    // A logout by values ends what else the request presents, as a call does. It comes first: if it fails, nothing is changed.
    if (stored !== null && user === null && stored.record.user !== null) await writer.endOthers(request, stored)
    switch (plan.do) {
      case 'nothing': {
        if (stored !== null && await read(stored) === null) return false
        this.#values.returned(cut)
        return true
      }
      case 'create':
        this.#assertCookieCanBeSent()
        await this.#handOver(await writer.create(this.id, plan.record, request).catch((error: unknown) => {
          // It may have begun, and is ended then: what begins later needs another ID.
          this.#nextId = null
          throw error
        }), cut)
        return true
      case 'patch': {
        if (plan.changes.permanent !== undefined) this.#assertCookieCanBeSent()
        const next = await writer.patch(stored as Stored, plan.changes, request)
        if (next === null) return false
        this.#adopt(next, cut)
        if (next.ticket.stale || plan.changes.permanent !== undefined) {
          this.#mayBeDead = true
          this.#sendCookie('set')
        }
        return true
      }
      case 'end': {
        const replaced = await writer.replace(stored as Stored, newId(), plan.change, request)
        if (replaced === null) return false
        await this.#handOver(replaced.next, cut)
        return true
      }
    }
  }

  /**
   * Goes on with a session that has just begun; null: the one before has ended.
   *
   * @throws NoCookieError if the headers of the response have left meanwhile. Then the new session ends again: nobody could
   * get its cookie.
   */
  async #handOver (next: Stored | null, cut: Cut): Promise<void> {
    if (next !== null && this.#haveHeadersLeft) {
      await this.#context.writer.withdraw(next, this.#request)
      throw new NoCookieError()
    }
    this.#mayBeDead = false
    this.#adopt(next, cut)
    this.#sendCookie(next === null ? 'clear' : 'set')
  }

  describeCookie (): CookieDescription {
    return this.#context.describeCookie(this)
  }

  /** The values, as a plain object. */
  toObject (): Record<string, unknown> {
    return this.#visible.toObject()
  }

  /** A log line shows the values and neither ID nor ticket. */
  [inspect.custom] (): Record<string, unknown> {
    // Node calls it on the session or, with showProxy, on this.
    return #values in this ? this.toObject() : { ...this as object }
  }

  #open (stored: Stored | null): void {
    this.#isLoaded = true
    this.#adopt(stored, null)
  }

  #fail (error: unknown): void {
    this.#isLoaded = true
    this.#failure = error
  }

  #adopt (stored: Stored | null, cut: Cut | null): void {
    const fields = fieldsOf(stored)
    this.#stored = stored
    if (stored !== null) this.#nextId = null
    else if (this.cookie === 'set') this.#sendCookie('keep')
    if (cut === null) this.#values.reset(fields)
    else this.#values.landed(cut, fields)
  }

  /**
   * A call that takes the changes to the store. They come back if it fails.
   *
   * @param drops whether they go nowhere
   */
  #change<T> (keep: Keep, work: (cut: Cut) => Promise<T>, drops = false): Promise<T> {
    let early: Cut | null = null
    let flaw: unknown
    try {
      if (this.#isLoaded) early = this.#values.cut(keep, drops)
    } catch (error) {
      flaw = error
    }
    return this.#call(async () => {
      if (flaw !== undefined) throw flaw
      const cut = early ?? this.#values.cut(keep, drops)
      try {
        this.#values.begin(cut)
        return await work(cut)
      } catch (error) {
        this.#values.returned(cut)
        // The store may have done what it says has failed.
        this.#mayBeDead = true
        await this.#withdrawDeadCookie()
        throw error
      }
    })
  }

  /** @param needsRecord whether a session that could not be read fails the call */
  #call<T> (work: () => Promise<T>, needsRecord = true): Promise<T> {
    if (this.#calls === null && this.#reply !== null) exposeIfHijacked(this.#reply)
    this.#calls ??= new Calls()
    this.#watch()
    const call = this.#calls.run(async () => {
      if (!this.#isLoaded) await this.load()
      if (needsRecord && this.#failure !== undefined) throw this.#failure
      return await work()
    })
    // No event of the response is to come.
    if (this.#reply?.raw.writableEnded === true) this.#reportFailures().catch(() => {})
    return call
  }

  #sendCookie (cookie: Session['cookie']): void {
    this.cookie = cookie
    if (this.#reply !== null) this.#context.sendCookie(this, this.#reply)
  }

  /** @throws InsecureTransportError, NoCookieError */
  #assertCookieCanBeSent (): void {
    this.#context.assertDeliverable(this.#request)
    if (this.#haveHeadersLeft) throw new NoCookieError()
  }

  get #haveHeadersLeft (): boolean {
    return this.#reply !== null && haveHeadersLeft(this.#reply)
  }

  #assertOpen (): void {
    if (this.#isClosed || this.#reply?.raw.writableEnded === true) throw new SessionCommittedError()
    this.#watch()
  }

  /** A response that Fastify does not send has no hook in which the changes could be stored. */
  #watch (): void {
    if (this.#isWatched || this.#reply === null) return
    this.#isWatched = true
    const reply = this.#reply
    onceClosed(reply, () => {
      this.#isWatched = false
      this.#report(reply).catch(() => {})
    })
  }

  /** Says in the log what nobody was told. */
  async #report (reply: FastifyReply): Promise<void> {
    await this.#reportFailures()
    // A client that has gone does not keep Fastify from its hooks.
    if (this.#isClosed || this.#hasWarned || !reply.sent || !this.#mayBeModified) return
    this.#hasWarned = true
    this.#request.log.warn('The session has changes that are not stored, since Fastify did not send this response. Call "await request.session.save()" before it ends.')
  }

  get #mayBeModified (): boolean {
    try {
      return this.isModified
    } catch {
      // A value that JSON cannot hold.
      return true
    }
  }

  async #reportFailures (): Promise<void> {
    await this.#calls?.idle()
    for (const error of this.#calls?.unheeded() ?? []) this.#request.log.error({ err: error }, 'a call on the session failed after the response')
  }
}

/** Half a surrogate pair is no text. */
function assertUser (user: unknown): asserts user is string {
  if (typeof user !== 'string' || user === '' || /\p{Cs}/u.test(user) || namesRealm(user)) throw new TypeError('request.login needs the name of a user')
}

/** Who of a record is logged in with these changes. */
function userAfter ({ set, remove }: Cut, { user, fields }: SessionRecord): string | null {
  const name = remove.has('client_name') ? undefined : set['client_name'] ?? fields['client_name']
  return user !== null && fromJson(name) === user ? user : null
}

function fieldsOf (stored: Stored | null): SessionFields {
  return stored?.record.fields ?? NO_FIELDS
}

function isEmpty ({ set, remove }: Cut): boolean {
  return remove.size === 0 && Object.keys(set).length === 0
}
