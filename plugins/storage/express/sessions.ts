import { createError } from '@fastify/error'
import { assertRule } from '../../common/rule.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { SessionTooLargeError } from '../../store/errors.js'
import { replaceInTwoSteps } from '../../store/replace-in-two-steps.js'
import {
  TOMBSTONE_MS, excessOf, fieldsWith, sizeOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type SessionStore,
  type StoreOptions, type StoredSession, type UserLimit
} from '../../store/sessions.js'

/** The store made for express-session lacks a method, so the question cannot be answered. */
export const StoreMethodMissingError = createError<[string, string]>('HATCHECK_STORE_METHOD_MISSING',
  'This store for express-session has no method %s, so it cannot be told %s.', 501)

/** What is used of a store made for express-session. Its `touch` is not: that cannot change what is stored. */
export interface ExpressSessionStore {
  get (sid: string, callback: (error: any, session?: any) => void): unknown
  set (sid: string, session: any, callback?: (error?: any) => void): unknown
  destroy (sid: string, callback?: (error?: any) => void): unknown
  /** Every session, as a list or by its id. */
  all? (callback: (error: any, sessions?: any) => void): unknown
  length? (callback: (error: any, length?: number) => void): unknown
}

/** The limits of a call are those of one method of the contract: a change is a `get` and a `set`, a new ID is five calls. */
export interface ExpressStoreOptions extends Partial<StoreOptions>, CallLimits {
  /**
   * JSON bytes that the data of one session may take. Give it the value of `sessionMaxBytes` if you set that.
   *
   * @default 16_384
   */
  maxBytes?: number
  /**
   * The source of time, in ms since the epoch.
   *
   * @default Date.now
   */
  now?: () => number
  /**
   * Whether logins keep to `sessionsPerUser`, within one process. It takes a store with the method `all`, and every login
   * reads every session that the store has.
   *
   * @default false
   */
  keepsLimit?: boolean
}

/** The store is told to keep a session so much longer than it lives, so that its clock need not be ours. */
const GRACE_MS = 60_000
/** Removed keys that are remembered at most; over it the oldest is forgotten early. */
const MOST_TOMBSTONES = 100_000

/**
 * Makes a store for hatcheck of one made for express-session, such as connect-pg-simple, connect-redis or connect-mongo.
 *
 * Such a store reads and writes whole sessions and knows no condition, so the promises of {@link SessionStore} hold
 * **within one process only**, where the calls for one session wait for one another. Between processes on one store
 * they are lost:
 *
 * - **An update may be lost.** A write carries the whole session, so of two processes that change the same one at once,
 *   the later undoes what the other has written. Noting activity is such a write.
 * - **A logout may be undone.** A process that has read the session before its end, and writes it after, brings it back.
 *   Only the process that answered the logout refuses it still: for 15 minutes, and not after a restart.
 * - **What happens once may happen twice.** Two processes may both have ended the same session, begun one under the
 *   same key, or taken the same fields out.
 * - **A user may have more sessions than `sessionsPerUser`.** Logins at once in two processes do not know of one another.
 *
 * The same goes for two adapters over one store in one process: make one. Where this is not good enough, use LMDB or
 * Redis. Within a process, ends are remembered for the last 100,000 sessions; over that the oldest is forgotten early.
 *
 * - `ofUser` and `removeOfUser` read every session that the store has, by its method `all`. They are right across
 *   processes, and slow: no request needs them, unless the application calls them. A store without `all` makes them
 *   throw rather than tell of a part.
 * - `sessionsPerUser` is kept with {@link ExpressStoreOptions.keepsLimit} alone: who has how many can only be told by `all`.
 * - `count` is what `length` answers, which may include sessions of other applications; without it, what `all` has.
 * - A session gets a new ID in two steps, the new one first: if the process ends between them, the old one lives on.
 * - The store forgets expired sessions by itself, by `cookie.expires` and `cookie.maxAge`, about a minute after their end.
 * - A call that the store never answers holds up that session, and no other.
 * - `close` leaves the store open.
 *
 * @throws ConfigError if it has no `get`, `set` or `destroy`, or no `all` and is to keep the limit.
 * @throws StoreMethodMissingError from `ofUser` and `removeOfUser` without `all`, from `count` without `length` and `all`.
 * @throws StoreUnavailableError from every method, when the store fails or gives no answer in time. `ENOENT` of a file is
 * a missing session, as with express-session; of a socket it is a failure.
 * @example
 * const PgSession = connectPgSimple(expressSession)
 * await app.register(hatcheck, { secretKey, sessionStore: expressStore(new PgSession({ pool })) })
 */
export function expressStore (store: ExpressSessionStore, options: ExpressStoreOptions = {}): SessionStore {
  for (const method of ['get', 'set', 'destroy'] as const) {
    assertRule(typeof store?.[method] === 'function', `expressStore needs a store made for express-session; it has no method ${method}.`)
  }
  assertRule(options.keepsLimit !== true || typeof store.all === 'function', 'keepsLimit of expressStore needs a store with the method all.')
  return new ExpressStore(store, options)
}

class ExpressStore implements SessionStore {
  readonly sync = false
  readonly keepsLimit: boolean
  readonly #store: ExpressSessionStore
  readonly #options: StoreOptions
  readonly #bounded: BoundedCall
  /** Per key, and per user for logins, the end of the last call that was let in. */
  readonly #turns = new Map<string, Promise<void>>()
  /** key → until when, in ms; the oldest first */
  readonly #tombstones = new Map<string, { until: number, nextKey: string | null }>()

  constructor (store: ExpressSessionStore, { now = () => Date.now(), maxBytes = 16_384, keepsLimit = false, ...limits }: ExpressStoreOptions) {
    this.keepsLimit = keepsLimit
    this.#store = store
    this.#options = { now, maxBytes }
    this.#bounded = boundedCalls(limits)
  }

  read (key: string): Promise<SessionRecord | null> {
    return this.#bounded('read', () => this.#live(key))
  }

  create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    return this.#write('create', () => this.#begin(key, record, limit))
  }

  patch (key: string, changes: SessionChanges): Promise<boolean> {
    return this.#change('patch', key, (record) => withChanges(record, changes))
  }

  async take (key: string, prefix: string): Promise<SessionFields> {
    let taken: SessionFields = {}
    await this.#change('take', key, (record) => {
      taken = fieldsWith(prefix, record.fields)
      const { seenAt, expiresAt } = record
      return withChanges(record, { set: {}, remove: Object.keys(taken), seenAt, expiresAt })
    })
    return taken
  }

  touch (key: string, seenAt: number, expiresAt: number): Promise<boolean> {
    return this.#change('touch', key, (record) => touched(record, seenAt, expiresAt))
  }

  remove (key: string, nextKey?: string): Promise<SessionRecord | null> {
    return this.#end(key, { nextKey })
  }

  async successor (key: string): Promise<string | null> {
    return this.#isDead(key) ? this.#tombstones.get(key)?.nextKey ?? null : null
  }

  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Promise<Replaced> {
    let isLate = false
    // Past the deadline the caller takes it for failed: then nothing further begins, no predecessor ends, and the successor does.
    const assertInTime = (): void => { if (isLate) throw new Error('past the deadline') }
    const inTime = async <T>(step: () => Promise<T>): Promise<T> => {
      assertInTime()
      const answer = await step()
      assertInTime()
      return answer
    }
    // Each step waits for the turn of its own key and holds no other, so two that replace each other's keys cannot block.
    const steps: Parameters<typeof replaceInTwoSteps>[0] = {
      read: () => this.#live(key),
      create: async (...creation) => {
        assertInTime()
        return acceptedOf(await this.#begin(...creation))
      },
      remove: (ended, nextKey) => this.#queued(ended, () => ended === key ? inTime(() => this.#endNow(ended, { nextKey })) : this.#endNow(ended)),
      patch: (_, changes) => inTime(async () => acceptedOf(await this.#changeInTurn(nextKey, (record) => withChanges(record, changes))))
    }
    const replacing = this.#write('replace', () => replaceInTwoSteps(steps, key, nextKey, change, limit).catch(refusalIn))
    replacing.catch(() => { isLate = true })
    return replacing
  }

  async ofUser (user: string): Promise<StoredSession[]> {
    return (await this.#all('which sessions a user has'))
      .filter(({ key, record }) => record.user === user && this.#lives(key, record))
      .sort((a, b) => a.record.createdAt - b.record.createdAt)
  }

  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const seen = new Set(exceptKey === undefined ? [] : [exceptKey])
    let count = 0
    let mayHaveMoved = true
    // A session that ended meanwhile may continue under a key that was not in the list yet.
    while (mayHaveMoved) {
      mayHaveMoved = false
      const { now } = this.#options
      for (const { key, record } of await this.#all('which sessions a user has')) {
        if (seen.has(key) || record.user !== user || record.expiresAt <= now()) continue
        seen.add(key)
        if (await this.#end(key, { user }) === null) {
          mayHaveMoved = true
        } else {
          count++
          onEnded?.(key)
        }
      }
    }
    return count
  }

  async count (): Promise<number> {
    const store = this.#store
    if (typeof store.length !== 'function') return (await this.#all('how many sessions there are')).length
    return await this.#bounded('count', () => answerOf<number>((callback) => store.length?.(callback))) ?? 0
  }

  /** The store forgets by itself; what is dropped here are old tombstones. */
  async sweep (): Promise<number> {
    const now = this.#options.now()
    let dropped = 0
    for (const [key, { until }] of this.#tombstones) {
      if (until > now) break
      this.#tombstones.delete(key)
      dropped++
    }
    return dropped
  }

  async ping (): Promise<void> {
    await this.#bounded('ping', () => this.#get('ping'))
  }

  close (): void {}

  #begin (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean | Error> {
    const { user } = record
    const begin = async (): Promise<boolean | Error> => {
      if (this.#isDead(key) || await this.#get(key) !== null) return false
      return await this.#put(key, record)
    }
    if (!this.keepsLimit || limit === undefined || user === null) return this.#queued(key, begin)
    return this.#queued(`logins of ${user}`, async () => {
      const refusal = this.#refusalOf(record)
      if (refusal !== null) return refusal
      for (const old of excessOf(await this.ofUser(user), key, limit)) {
        if (await this.#end(old.key, { user }) !== null) limit.onEnded?.(old.key)
      }
      return await this.#queued(key, begin)
    })
  }

  #change (doing: string, key: string, change: (record: SessionRecord) => SessionRecord): Promise<boolean> {
    return this.#write(doing, () => this.#changeInTurn(key, change))
  }

  #changeInTurn (key: string, change: (record: SessionRecord) => SessionRecord): Promise<boolean | Error> {
    return this.#queued(key, async () => {
      const record = await this.#live(key)
      return record === null ? false : await this.#put(key, change(record))
    })
  }

  /** With `user`, only if it is this user's. */
  #end (key: string, how: EndOptions = {}): Promise<SessionRecord | null> {
    return this.#bounded('remove', () => this.#queued(key, () => this.#endNow(key, how)))
  }

  /** For a caller that has the turn of this key. */
  async #endNow (key: string, { user, nextKey }: EndOptions = {}): Promise<SessionRecord | null> {
    const last = await this.#live(key)
    if (user !== undefined && last?.user !== user) return null
    await answerOf((callback) => this.#store.destroy(key, callback))
    // Not before: a session whose end has failed may live on, and nobody is logged out by that.
    this.#bury(key, nextKey ?? null)
    return last
  }

  #bury (key: string, nextKey: string | null): void {
    // The first end counts, so that the tombstones stay in the order of their times.
    if (this.#isDead(key)) return
    this.#tombstones.delete(key)
    this.#tombstones.set(key, { until: this.#options.now() + TOMBSTONE_MS, nextKey })
    if (this.#tombstones.size > MOST_TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value as string)
  }

  /** A refusal is an answer of the store, not a failure of it, and so passes the limits as a value. */
  async #write<T> (doing: string, work: () => Promise<T | Error>): Promise<T> {
    return acceptedOf(await this.#bounded(doing, work))
  }

  /**
   * The calls for a key, one after another. One that is past its deadline keeps its turn until the store has answered:
   * what it writes must not come after what is done next.
   */
  async #queued<T> (key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work)
    const end = turn.then(() => {}, () => {})
    this.#turns.set(key, end)
    try {
      return await turn
    } finally {
      if (this.#turns.get(key) === end) this.#turns.delete(key)
    }
  }

  async #live (key: string): Promise<SessionRecord | null> {
    const record = this.#isDead(key) ? null : storedIn(await this.#get(key))?.record ?? null
    // Asked again, since it may have been removed meanwhile.
    return record !== null && this.#lives(key, record) ? record : null
  }

  #lives (key: string, { expiresAt }: SessionRecord): boolean {
    return expiresAt > this.#options.now() && !this.#isDead(key)
  }

  #isDead (key: string): boolean {
    return (this.#tombstones.get(key)?.until ?? 0) > this.#options.now()
  }

  async #get (key: string): Promise<unknown> {
    return await answerOf<unknown>((callback) => this.#store.get(key, callback)) ?? null
  }

  async #put (key: string, record: SessionRecord): Promise<true | Error> {
    const refusal = this.#refusalOf(record)
    if (refusal !== null) return refusal
    const maxAge = Math.max(0, record.expiresAt - this.#options.now()) + GRACE_MS
    const session = {
      // Some go by one of these, some by another. The date is for the clock of the store.
      cookie: { originalMaxAge: maxAge, maxAge, expires: new Date(Date.now() + maxAge), httpOnly: true, path: '/' },
      // As text, so that no store has an opinion on the names and values in it.
      hatcheck: JSON.stringify({ key, record })
    }
    await answerOf((callback) => this.#store.set(key, session, callback))
    return true
  }

  #refusalOf ({ fields }: SessionRecord): Error | null {
    const { maxBytes } = this.#options
    const size = sizeOf(fields)
    return size > maxBytes ? new SessionTooLargeError(size, maxBytes) : null
  }

  async #all (what: string): Promise<StoredSession[]> {
    const store = this.#store
    if (typeof store.all !== 'function') throw new StoreMethodMissingError('all', what)
    const sessions = await this.#bounded('list', () => answerOf<object>((callback) => store.all?.(callback)))
    return Object.values(sessions ?? {}).flatMap((session) => storedIn(session) ?? [])
  }
}

/** @throws the refusal, if the outcome is one. */
function acceptedOf<T> (outcome: T | Error): T {
  if (outcome instanceof Error) throw outcome
  return outcome
}

/** @throws whatever is no refusal. */
function refusalIn (error: unknown): Error {
  if (error instanceof SessionTooLargeError) return error
  throw error
}

interface EndOptions {
  /** Only a session of this user. */
  user?: string | undefined
  /** Where the session continues. */
  nextKey?: string | undefined
}

type Callback<T> = (error?: unknown, value?: T | null) => void

/** The callback world is met here and nowhere else. Undefined, null and a file that is not there are all "missing". */
function answerOf<T> (call: (callback: Callback<T>) => unknown): Promise<T | null | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => { if (isMissing(error)) resolve(null); else reject(error) }
    const returned = call((error, value) => { if (error) fail(error); else resolve(value) })
    // A store may be written with promises inside: what it throws there would be seen by nobody.
    Promise.resolve(returned).catch(fail)
  })
}

/** As express-session has it, but for a socket: one that is not there is no missing session. */
function isMissing (error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return code === 'ENOENT' && syscall !== 'connect'
}

/** What we have put into a session; null if it is not ours, or cannot be read any more. */
function storedIn (session: unknown): StoredSession | null {
  const text = (session as { hatcheck?: unknown } | null)?.hatcheck
  if (typeof text !== 'string') return null
  try {
    const { key, record } = JSON.parse(text)
    const { createdAt, seenAt, expiresAt, permanent, user, fields } = record
    const isSound = typeof key === 'string' && [createdAt, seenAt, expiresAt].every(Number.isFinite) && typeof permanent === 'boolean' &&
      (user === null || typeof user === 'string') && Object.values(fields).every((value) => typeof value === 'string')
    return isSound ? { key, record: { createdAt, seenAt, expiresAt, permanent, user, fields } } : null
  } catch {
    return null
  }
}
