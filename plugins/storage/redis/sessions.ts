import type { Cluster, Redis } from 'ioredis'
import { LONGEST_LIFE_MS } from '../../common/lifetimes.js'
import { SessionTooLargeError, assertSize } from '../../store/errors.js'
import {
  sizeOf,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type StoredSession, type UserLimit
} from '../../store/record.js'
import { replaceInTwoSteps } from '../../store/replace-in-two-steps.js'
import { TOMBSTONE_MS, type OnCorruptSession, type StoreOptions } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { soundNextKey } from '../common/store-key.js'
import { WRONG_TYPE, wrongType } from './hash.js'
import { redisKey } from './keys.js'
import { RedisRecords } from './records.js'
import { scanKeys } from './scan.js'
import type { Scripted } from './scripted.js'
import { withSessionScripts, type SessionScripts } from './scripts.js'
import { dataOf, encodeSession, flag, pairsOf } from './session-codec.js'
import { RedisUserIndex } from './user-index.js'
import { RedisUserSessions } from './user-sessions.js'

/** The options of the Redis store. */
export interface RedisStoreOptions extends StoreOptions, CallLimits {
  /** Called for each record that cannot be decoded; such a record reads as missing. */
  onCorrupt: OnCorruptSession
  /**
   * How long a session can live at most, in ms. The index of a user is kept twice as long, so that a longer lifetime
   * after a restart does no harm.
   *
   * @default 400 days, the most that hatcheck can be configured to
   */
  longestLifeMs?: number
}

/**
 * Keeps sessions in Redis or Valkey (a single server, behind Sentinel, or a cluster), shared by every process that uses
 * the same one.
 *
 * A session is one hash, and a session key one field of it; a read is one round trip. Every change of one session is one
 * script with one key, so it is atomic wherever the key lies; `replace` takes two steps, the successor first. A session
 * ends by the clock of the process that reads it. Redis drops it a minute later, by its own clock, so a clock that is set
 * back gains no more than that.
 *
 * Redis copies to its replicas after it has answered: a failover may lose the writes of the last moments, logouts among
 * them.
 */
export class RedisStore implements CompleteSessionStore {
  readonly sync = false
  readonly keepsLimit: boolean = true
  readonly #client: Scripted<SessionScripts>
  readonly #options: RedisStoreOptions
  readonly #call: BoundedCall
  readonly #records: RedisRecords
  readonly #userSessions: RedisUserSessions

  /** @param client one that reads from primaries only; {@link close} leaves it open */
  constructor (client: Redis | Cluster, options: RedisStoreOptions) {
    const { now, longestLifeMs = LONGEST_LIFE_MS, onCorrupt } = options
    this.#client = withSessionScripts(client)
    this.#options = options
    this.#call = boundedCalls(options)
    this.#records = new RedisRecords(this.#client, this.#call, now, onCorrupt)
    const index = new RedisUserIndex(this.#client, this.#call, now, 2 * longestLifeMs, (user) => { onCorrupt(user, 'index by user') })
    this.#userSessions = new RedisUserSessions(this.#records, index, now)
  }

  read (key: string): Promise<SessionRecord | null> {
    return this.#records.read(key)
  }

  async create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    const { now, maxBytes } = this.#options
    const { user, expiresAt, fields } = record
    const name = redisKey.session(key)
    assertSize(sizeOf(fields), maxBytes)
    const added = user === null ? null : await this.#userSessions.add(user, key, limit)
    let created
    try {
      if (user !== null && added !== null && limit !== undefined) await this.#userSessions.makeRoom(user, key, added, limit)
      created = await this.#call('create', () => this.#client.hatcheckCreate(name, now(), expiresAt, encodeSession(record)))
    } catch (error) {
      // The session may have begun, or begin yet, though nobody will have its ID: this ends it, if the connection still stands.
      this.#records.end(key).catch(() => {})
      throw error
    }
    if (user !== null && added !== null) this.#userSessions.cleanSome(user, added)
    return created === 1
  }

  async patch (key: string, changes: SessionChanges): Promise<boolean> {
    const { now, maxBytes } = this.#options
    const { set, remove, seenAt, expiresAt, permanent, user } = changes
    const name = redisKey.session(key)
    if (user !== undefined && user !== null) await this.#userSessions.add(user, key)
    const args = [
      maxBytes, seenAt, expiresAt,
      permanent === undefined ? '' : flag(permanent),
      user === undefined ? '' : user === null ? '-' : `=${user}`,
      Object.keys(set).length, ...dataOf(set), ...remove.map((field) => `.${field}`)
    ]
    const outcome = await this.#call('patch', () => this.#client.hatcheckPatch(name, now(), args))
    if (outcome < 0) throw new SessionTooLargeError(-outcome, maxBytes)
    return outcome === 1
  }

  async take (key: string, prefix: string): Promise<SessionFields> {
    const name = redisKey.session(key)
    const taken = await this.#call('take', () => this.#client.hatcheckTake(name, this.#options.now(), `.${prefix}`))
    return Object.fromEntries(Object.entries(pairsOf(taken)).map(([field, text]) => [field.slice(1), text]))
  }

  async touch (key: string, seenAt: number, expiresAt: number): Promise<boolean> {
    const { now } = this.#options
    const name = redisKey.session(key)
    return await this.#call('touch', () => this.#client.hatcheckTouch(name, now(), seenAt, expiresAt)) === 1
  }

  async remove (key: string, nextKey?: string): Promise<SessionRecord | null> {
    const last = await this.#records.end(key, nextKey)
    if (last === null) return null
    if (last.user !== null) this.#userSessions.forget(last.user, key)
    return last
  }

  async successor (key: string): Promise<string | null> {
    const name = redisKey.session(key)
    const found = await this.#call('read', () => this.#client.hmget(name, 'nextKey', 'endedAt').catch(wrongType))
    if (found === WRONG_TYPE) return null
    const [nextKey, endedAt] = found
    return Number(endedAt) + TOMBSTONE_MS > this.#options.now() ? soundNextKey(nextKey, key) : null
  }

  /** Takes two steps: in a cluster the two keys may lie on two nodes, and no script reaches both. */
  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Promise<Replaced> {
    return replaceInTwoSteps(this, key, nextKey, change, limit)
  }

  ofUser (user: string): Promise<StoredSession[]> {
    return this.#userSessions.list(user)
  }

  removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    return this.#userSessions.endAll(user, exceptKey, onEnded)
  }

  async count (): Promise<number> {
    let count = 0
    for await (const names of scanKeys(this.#client, this.#call, 'count', redisKey.session('*'))) {
      const endedAt = await Promise.all(names.map((name) => this.#call('count', () => this.#client.hget(name, 'endedAt').catch(wrongType))))
      count += endedAt.filter((time) => time === null).length
    }
    return count
  }

  /** Does nothing: Redis drops expired records by itself. */
  sweep (): number {
    return 0
  }

  async ping (): Promise<void> {
    // Not the command PING: in a cluster any node would answer that.
    await this.#call('ping', () => this.#client.exists(redisKey.session('ping')))
  }

  /** Does nothing: the client belongs to the caller. */
  close (): void {}
}
