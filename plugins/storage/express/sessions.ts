import {
  byBeginning, excessOf, splitByPrefix, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type StoredSession, type UserLimit
} from '../../store/record.js'
import { replaceInTwoSteps } from '../../store/replace-in-two-steps.js'
import type { SessionStore } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import { endEach } from '../common/end-each.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import type { ExpressSessionStore } from '../../store/express-store.js'
import { KeyedQueue } from '../../common/keyed-queue.js'
import { ExpressRecords } from './records.js'
import { ExpressTombstones } from './tombstones.js'

/**
 * The options of `expressStore`. The limits of a call apply to one method of the contract: a change is a `get` and a `set`, a
 * new ID is five calls.
 */
export interface ExpressStoreOptions extends Omit<CallLimits, 'connection'> {
  /**
   * How many bytes of JSON the data of one session may take. Give it the value of `sessionMaxBytes` if you set that.
   *
   * @default 16_384
   */
  maxBytes?: number
  /**
   * Returns the time, in ms since the epoch.
   *
   * @default Date.now
   */
  now?: () => number
  /**
   * Whether logins keep to `sessionsPerUser`, within one process. This needs a store with the method `all`, and every login
   * reads every session in the store.
   *
   * @default false
   */
  keepsLimit?: boolean
}

/** How many sessions of a user end at once: as many as a pool of connections usually takes. */
const ENDS_AT_ONCE = 10

/** Keeps sessions in a store made for express-session. `expressStore` says what it promises. */
export class ExpressStore implements SessionStore {
  readonly sync = false
  readonly keepsLimit: boolean
  readonly ofUser?: CompleteSessionStore['ofUser']
  readonly removeOfUser?: CompleteSessionStore['removeOfUser']
  readonly count?: CompleteSessionStore['count']
  readonly #records: ExpressRecords
  readonly #tombstones: ExpressTombstones
  readonly #now: () => number
  readonly #bounded: BoundedCall
  /** One call at a time for each key, and for each user who logs in. */
  readonly #queue = new KeyedQueue()

  constructor (store: ExpressSessionStore, { now = () => Date.now(), maxBytes = 16_384, keepsLimit = false, ...limits }: ExpressStoreOptions) {
    this.keepsLimit = keepsLimit
    this.#records = new ExpressRecords(store, { now, maxBytes })
    this.#tombstones = new ExpressTombstones(now)
    this.#now = now
    this.#bounded = boundedCalls(limits)
    if (this.#records.canList) {
      this.ofUser = (user) => this.#ofUser(user)
      this.removeOfUser = (...args) => this.#removeOfUser(...args)
    }
    if (this.#records.canCount) this.count = () => this.#bounded('count', () => this.#records.count())
  }

  read (key: string): Promise<SessionRecord | null> {
    return this.#bounded('read', () => this.#live(key))
  }

  create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    return this.#bounded('create', () => this.#begin(key, record, limit))
  }

  patch (key: string, changes: SessionChanges): Promise<boolean> {
    return this.#change('patch', key, (record) => withChanges(record, changes))
  }

  async take (key: string, prefix: string): Promise<SessionFields> {
    let taken: SessionFields = {}
    await this.#change('take', key, (record) => {
      const split = splitByPrefix(prefix, record.fields)
      taken = split.taken
      return { ...record, fields: split.rest }
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
    return this.#tombstones.nextKeyOf(key)
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
        return await this.#begin(...creation)
      },
      remove: (ended, nextKey) => this.#queue.run(ended, () => ended === key ? inTime(() => this.#endNow(ended, { nextKey })) : this.#endNow(ended)),
      patch: (_, changes) => inTime(() => this.#changeInTurn(nextKey, (record) => withChanges(record, changes)))
    }
    const replacing = this.#bounded('replace', () => replaceInTwoSteps(steps, key, nextKey, change, limit))
    replacing.catch(() => { isLate = true })
    return replacing
  }

  /** Drops old tombstones. The store drops expired sessions itself. */
  async sweep (): Promise<number> {
    return this.#tombstones.dropOld()
  }

  async ping (): Promise<void> {
    await this.#bounded('ping', () => this.#records.has('ping'))
  }

  close (): void {}

  async #ofUser (user: string): Promise<StoredSession[]> {
    const sessions = await this.#bounded('list', () => this.#records.list())
    return sessions.filter(({ key, record }) => record.user === user && this.#lives(key, record)).sort(byBeginning)
  }

  async #removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const seen = new Set(exceptKey === undefined ? [] : [exceptKey])
    const failed: unknown[] = []
    let count = 0
    let mayHaveMoved = true
    // A session that ended meanwhile may continue under a key that was not in the list yet.
    while (mayHaveMoved) {
      mayHaveMoved = false
      const listed = await this.#bounded('list', () => this.#records.list())
      const keys = listed.filter(({ key, record }) => !seen.has(key) && record.user === user && record.expiresAt > this.#now()).map(({ key }) => key)
      for (let next = 0; next < keys.length; next += ENDS_AT_ONCE) {
        const { answers, failures } = await endEach(keys.slice(next, next + ENDS_AT_ONCE), (key) => this.#end(key, { user }))
        failed.push(...failures)
        for (const [key, last] of answers) {
          if (last === null) {
            mayHaveMoved = true
          } else {
            count++
            onEnded?.(key)
          }
        }
      }
      for (const key of keys) seen.add(key)
    }
    if (failed.length > 0) throw failed[0]
    return count
  }

  #begin (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    const { user } = record
    const begin = async (): Promise<boolean> => {
      if (this.#tombstones.has(key) || await this.#records.has(key)) return false
      await this.#records.write(key, record)
      return true
    }
    if (!this.keepsLimit || limit === undefined || user === null) return this.#queue.run(key, begin)
    return this.#queue.run(`logins of ${user}`, async () => {
      // First, since others end for this one.
      this.#records.assertSize(record)
      for (const old of excessOf(await this.#ofUser(user), key, limit)) {
        if (await this.#end(old.key, { user }) !== null) limit.onEnded?.(old.key)
      }
      return await this.#queue.run(key, begin)
    })
  }

  #change (doing: string, key: string, change: (record: SessionRecord) => SessionRecord): Promise<boolean> {
    return this.#bounded(doing, () => this.#changeInTurn(key, change))
  }

  #changeInTurn (key: string, change: (record: SessionRecord) => SessionRecord): Promise<boolean> {
    return this.#queue.run(key, async () => {
      const record = await this.#live(key)
      if (record === null) return false
      await this.#records.write(key, change(record))
      return true
    })
  }

  #end (key: string, how: EndOptions): Promise<SessionRecord | null> {
    return this.#bounded('remove', () => this.#queue.run(key, () => this.#endNow(key, how)))
  }

  /** Ends a session for a caller that has the turn of its key. */
  async #endNow (key: string, { user, nextKey }: EndOptions = {}): Promise<SessionRecord | null> {
    const last = await this.#live(key)
    if (user !== undefined && last?.user !== user) return null
    await this.#records.delete(key)
    // Not before: a session whose end has failed may live on, and a failure logs nobody out.
    this.#tombstones.add(key, nextKey ?? null)
    return last
  }

  async #live (key: string): Promise<SessionRecord | null> {
    const record = this.#tombstones.has(key) ? null : await this.#records.read(key)
    // Checked again, because the session may have been removed meanwhile.
    return record !== null && this.#lives(key, record) ? record : null
  }

  #lives (key: string, { expiresAt }: SessionRecord): boolean {
    return expiresAt > this.#now() && !this.#tombstones.has(key)
  }
}

interface EndOptions {
  /** Ends only a session of this user. */
  user?: string | undefined
  /** Where the session continues. */
  nextKey?: string | undefined
}
