import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { Calls } from '../common/calls.js'
import { expiryOf } from '../common/clock.js'
import { namesRealm } from '../common/realm.js'
import { LogoutUnconfirmedError, NoCookieError, SessionCommittedError, SessionGoneError, SessionNotReadError } from './errors.js'
import { assertValue, createFacade, entriesOf, type SessionObject } from './facade.js'
import { CLIENT_FIELD, FLASH_PREFIX, flashField, flashesOf, fromJson, toJson, type Flash } from './fields.js'
import { IDENTITY, newRecord, planOf, touchOf, type Rules, type Stored } from './plan.js'
import { haveHeadersLeft, type CookieDescription } from './response.js'
import { successorOf, type MaybePromise, type SessionFields, type SessionRecord, type SessionReplacement } from './store.js'
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
}

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
  /** Whether {@link commit} is writing. */
  isCommitting = false

  // Private, so that nothing that prints a session shows its ticket.
  readonly #request: FastifyRequest
  #stored: Stored | null = null
  readonly #context: SessionContext
  #reply: FastifyReply | null
  #values = new Values({})
  /** What a handler has said; null: as it is stored. */
  #permanent: boolean | null = null
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
  /** Whether a session of this request has ended, and the store does not know it yet. */
  #isUnconfirmed = false
  #isRenewed = false

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

  /** Whether it has been called on. */
  get hasCalls (): boolean { return this.#calls !== null }
  get permanent (): boolean { return this.#permanent ?? this.#stored?.record.permanent ?? false }

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

  has (key: string): boolean { return this.#values.has(key) }
  get (key: string): unknown { return this.#values.get(key) }
  keys (): string[] { return this.#values.keys() }

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
    if (!this.has(key)) return
    this.#assertOpen()
    this.#values.delete(key)
  }

  setPermanent (permanent: boolean): void {
    if (permanent === this.permanent) return
    this.#assertOpen()
    this.#permanent = permanent
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
    return this.#call(async () => {
      this.#shown ??= await this.#takeFlashes()
      return this.#shown.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind))
    })
  }

  async #takeFlashes (): Promise<Flash[]> {
    this.#assertOpen()
    const stored = this.#stored !== null && this.#values.hasStored(FLASH_PREFIX) ? await this.#context.take(this.#stored, FLASH_PREFIX) : {}
    const flashes = flashesOf(this.#values.take(FLASH_PREFIX, stored))
    if (this.#stored !== null) this.#stored = { ...this.#stored, record: { ...this.#stored.record, fields: this.#values.stored } }
    return flashes
  }

  /**
   * Makes `user` the one who is logged in, under a new ID: an attacker who knew the old one (session fixation) has nothing.
   * The values go along, unless they are another user's.
   */
  login ({ user, permanent, client, data }: Login): Promise<void> {
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
      this.#permanent = null
      const replaced = stored === null ? null : await writer.replace(stored, newId(), change, this.#request)
      const begun = replaced?.next ?? await writer.create(newId(), record, this.#request)
      // A handler may hold the value that the data has replaced.
      this.#values.leave(cut, values.map(([key]) => key))
      this.#adopt(begun, cut)
      this.#isRenewed = false
      this.#sendCookie('set')
    })
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
      const { permanent } = this
      const seenAt = now()
      const name = cut.remove.has('client_name') ? undefined : cut.set['client_name'] ?? record.fields['client_name']
      const keepsUser = record.user !== null && kept.has('client_name') && fromJson(name) === record.user
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
      const replaced = await writer.replace(stored, newId(), change, this.#request)
      if (replaced === null) throw new SessionGoneError()
      this.#adopt(replaced.next, cut)
      this.#isRenewed = true
      this.#sendCookie(replaced.next === null ? 'clear' : 'set')
    })
  }

  /** Ends the session for good. Values that are set after this begin a new one. */
  destroy (): Promise<void> {
    const cut = this.#values.cut([])
    this.#permanent = null
    return this.#call(async () => {
      const [stored, isReadable] = [this.#stored, this.#failure === undefined]
      // Also if the end cannot be stored: from here on its ticket is refused.
      this.#failure = undefined
      this.#adopt(null, cut)
      this.#sendCookie('clear')
      this.#isUnconfirmed = true
      await this.#context.writer.end(this.#request, stored, isReadable)
      this.#isUnconfirmed = false
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
    return this.#call(async () => {
      const stored = this.#stored
      const record = stored === null ? null : await this.#context.read(stored)
      this.#stored = stored === null || record === null ? null : { ticket: stored.ticket, record }
      this.#permanent = null
      this.#values.reset(record?.fields ?? {})
    })
  }

  /** Drops the changes that are not stored. */
  forget (): void {
    this.#values.reset(this.#stored?.record.fields ?? {})
    this.#permanent = null
  }

  /** The response has left: changes are refused from here on. Calls still act on the store. */
  close (): void {
    this.#isClosed = true
  }

  /** Writes what is left to write as the response leaves. From here on, changes are refused. */
  commit (): MaybePromise<void> {
    this.close()
    return this.#calls === null ? this.#commitValues() : this.#commitCalls(this.#calls)
  }

  async #commitCalls (calls: Calls): Promise<void> {
    await calls.idle()
    const [error, ...others] = calls.unheeded()
    for (const other of others) this.#request.log.error({ err: other }, 'a call on the session failed')
    if (error !== undefined) throw error
    // A handler that has caught the error must not say that all went well.
    if (this.#isUnconfirmed && (this.#reply?.statusCode ?? 200) < 400) throw new LogoutUnconfirmedError()
    await this.#commitValues()
    await this.#withdrawDeadCookie()
  }

  /** Another request may have ended the session since it was renewed, and the browser may have a newer cookie by now. */
  async #withdrawDeadCookie (): Promise<void> {
    if (!this.#isRenewed || this.#stored === null) return
    const isDead = await this.#context.read(this.#stored).then((record) => record === null, () => false)
    if (isDead) this.#sendCookie('keep')
  }

  #commitValues (): MaybePromise<void> {
    if (this.#failure !== undefined || !this.#isLoaded) return
    const difference = this.#values.isPristine ? null : this.#values.difference()
    if (!this.#isChanged(difference)) return this.#noteActivity()
    const cut = this.#values.cut('all', difference ?? undefined)
    return this.#store(cut).then((lives) => {
      if (lives) return
      this.#values.landed(cut, {})
      // No cookie either way: the browser may already hold that of a newer session.
      this.#request.log.debug('the session ended while a request was under way; its changes were dropped')
    })
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
    return this.#isChanged(this.#values.isPristine ? null : this.#values.difference())
  }

  #isChanged (difference: ReturnType<Values['difference']> | null): boolean {
    if (this.#stored !== null && this.#stored.record.permanent !== this.permanent) return true
    return difference !== null && (difference.remove.length > 0 || Object.keys(difference.set).length > 0)
  }

  /** Writes a cut. False: the session has ended. */
  async #store (cut: Cut): Promise<boolean> {
    const { writer, newId, read } = this.#context
    const [stored, request] = [this.#stored, this.#request]
    const plan = planOf({ stored, set: cut.set, remove: cut.remove, permanent: this.permanent, user: this.user?.name ?? null }, this.#context)
    switch (plan.do) {
      case 'nothing': {
        if (stored !== null && await read(stored) === null) return false
        this.#values.landed(cut, stored?.record.fields ?? {})
        return true
      }
      case 'create':
        this.#assertCookieCanBeSent()
        this.#adopt(await writer.create(this.id, plan.record, request), cut)
        this.#sendCookie('set')
        return true
      case 'patch': {
        const next = await writer.patch(stored as Stored, plan.changes, request)
        if (next === null) return false
        this.#adopt(next, cut)
        if (next.ticket.stale || plan.changes.permanent !== undefined) this.#sendCookie('set')
        return true
      }
      case 'end': {
        const replaced = await writer.replace(stored as Stored, newId(), plan.change, request)
        if (replaced === null) return false
        this.#adopt(replaced.next, cut)
        this.#sendCookie(replaced.next === null ? 'clear' : 'set')
        return true
      }
    }
  }

  describeCookie (): CookieDescription {
    return this.#context.describeCookie(this)
  }

  /** The values, as a plain object. */
  toObject (): Record<string, unknown> {
    return this.#values.toObject()
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
    const fields = stored?.record.fields ?? {}
    this.#stored = stored
    if (stored?.record.permanent === this.#permanent) this.#permanent = null
    if (cut === null) this.#values.reset(fields)
    else this.#values.landed(cut, fields)
  }

  /** A call that takes the changes to the store. They come back if it fails. */
  #change<T> (keep: Keep, work: (cut: Cut) => Promise<T>): Promise<T> {
    let early: Cut | null = null
    let flaw: unknown
    try {
      if (this.#isLoaded) early = this.#values.cut(keep)
    } catch (error) {
      flaw = error
    }
    return this.#call(async () => {
      if (flaw !== undefined) throw flaw
      const cut = early ?? this.#values.cut(keep)
      try {
        return await work(cut)
      } catch (error) {
        this.#values.returned(cut)
        throw error
      }
    })
  }

  /** @param needsRecord whether a session that could not be read fails the call */
  #call<T> (work: () => Promise<T>, needsRecord = true): Promise<T> {
    this.#calls ??= new Calls()
    this.#watch()
    return this.#calls.run(async () => {
      if (!this.#isLoaded) await this.load()
      if (needsRecord && this.#failure !== undefined) throw this.#failure
      return await work()
    })
  }

  #sendCookie (cookie: Session['cookie']): void {
    this.cookie = cookie
    if (this.#reply !== null) this.#context.sendCookie(this, this.#reply)
  }

  /** @throws InsecureTransportError, NoCookieError */
  #assertCookieCanBeSent (): void {
    this.#context.assertDeliverable(this.#request)
    if (this.#reply !== null && haveHeadersLeft(this.#reply)) throw new NoCookieError()
  }

  #assertOpen (): void {
    if (this.#isClosed) throw new SessionCommittedError()
    this.#watch()
  }

  /** A response that Fastify does not send has no hook in which the changes could be stored. */
  #watch (): void {
    if (this.#isWatched || this.#reply === null) return
    this.#isWatched = true
    const reply = this.#reply
    const stream = reply.sent ? this.#request.raw.socket : reply.raw
    stream?.once('close', () => { this.#report(reply).catch(() => {}) })
  }

  /** Says in the log what nobody was told. */
  async #report (reply: FastifyReply): Promise<void> {
    const { log } = this.#request
    await this.#calls?.idle()
    for (const error of this.#calls?.unheeded() ?? []) log.error({ err: error }, 'a call on the session failed after the response')
    // A client that has gone does not keep Fastify from its hooks.
    if (this.#isClosed || !reply.sent) return
    if (this.isModified) log.warn('The session has changes that are not stored, since Fastify did not send this response. Call "await request.session.save()" before it ends.')
  }
}

/** Half a surrogate pair is no text. */
function assertUser (user: unknown): asserts user is string {
  if (typeof user !== 'string' || user === '' || /\p{Cs}/u.test(user) || namesRealm(user)) throw new TypeError('request.login needs the name of a user')
}
