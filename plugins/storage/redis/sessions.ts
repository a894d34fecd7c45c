import type { Cluster, Redis } from 'ioredis'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { WRONG_TYPE, wrongType } from './types.js'
import { SessionTooLargeError } from '../../store/errors.js'
import { RedisIndex, type IndexEntry } from './user-index.js'
import { withSessionScripts, type SessionScripts } from './scripts.js'
import { replaceInTwoSteps } from '../../store/replace-in-two-steps.js'
import {
  TOMBSTONE_MS, excessOf, sizeOf,
  type OnCorruptSession, type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type SessionStore,
  type StoreOptions, type StoredSession, type UserLimit
} from '../../store/sessions.js'

export interface RedisStoreOptions extends StoreOptions, CallLimits {
  /** Told of each record that cannot be decoded; such a record reads as absent. */
  onCorrupt: OnCorruptSession
  /**
   * How long a session can live at most, in ms. The index of a user is kept twice as long, so that a longer lifetime
   * after a restart does no harm.
   *
   * @default 400 days, the most that hatcheck can be configured to
   */
  longestLifeMs?: number
}

const LONGEST_LIFE_MS = 400 * 86_400_000

/** How many sessions are asked for at once. */
const BATCH = 100
/** From this size on, an index is cleaned a little by every login. */
const CLEAN_FROM = 50
/** How many other sessions a login looks at. It adds one, so the ones that have ended stay a small part. */
const CLEAN_SAMPLE = 10
/**
 * A session that is in the index and nowhere else may be about to begin for so long. Redis keeps an expired one as long
 * (GRACE_MS), so nothing that has expired looks as if it were about to begin.
 */
const BEGINNING_MS = 60_000

/**
 * Sessions in Redis or Valkey, in a single server, behind Sentinel, or in a cluster: shared by every process that has
 * the same one.
 *
 * One hash a session, one field a session key; a read is one round trip. Every change of one session is one script with
 * one key, so it is atomic wherever the key lies; `replace` takes two steps, the successor first. A session ends by the clock of the process that reads it; Redis forgets it by itself
 * a minute later, by its own, so that a clock that is set back gains no more than that.
 *
 * Redis copies to its replicas after it has answered: a failover may lose the writes of the last moments, logouts among
 * them.
 */
export class RedisStore implements SessionStore {
  readonly sync = false
  readonly #client: (Redis | Cluster) & SessionScripts
  readonly #options: RedisStoreOptions
  readonly #call: BoundedCall
  readonly #index: RedisIndex

  /** @param client one that reads from primaries only; {@link close} leaves it open. */
  constructor (client: Redis | Cluster, options: RedisStoreOptions) {
    const { now, longestLifeMs = LONGEST_LIFE_MS } = options
    this.#client = withSessionScripts(client)
    this.#options = options
    this.#call = boundedCalls(options)
    this.#index = new RedisIndex(this.#client, this.#call, now, 2 * longestLifeMs, (user) => { options.onCorrupt(user, 'index by user') })
  }

  async read (key: string): Promise<SessionRecord | null> {
    return this.#live(key, await this.#stored(key))
  }

  async create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    const { now, maxBytes } = this.#options
    const { user, expiresAt, fields } = record
    const name = redisKey(key)
    const size = sizeOf(fields)
    if (size > maxBytes) throw new SessionTooLargeError(size, maxBytes)
    const indexed = user === null ? null : await this.#index.add(user, key, limit?.perUser)
    let created
    try {
      if (user !== null && indexed !== null && limit !== undefined) await this.#makeRoom(user, key, indexed.others, limit)
      created = await this.#call('create', () => this.#client.hatcheckCreate(name, now(), expiresAt, encode(record)))
    } catch (error) {
      // It may have begun, or begin yet, though nobody will have its id: this ends it, if the connection still stands.
      this.#later(this.#end(key))
      throw error
    }
    if (user !== null && indexed !== null && indexed.count >= CLEAN_FROM) this.#later(this.#clean(user))
    return created === 1
  }

  async patch (key: string, changes: SessionChanges): Promise<boolean> {
    const { now, maxBytes } = this.#options
    const { set, remove, seenAt, expiresAt, permanent, user } = changes
    const name = redisKey(key)
    if (user !== undefined && user !== null) await this.#index.add(user, key)
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
    const name = redisKey(key)
    const taken = await this.#call('take', () => this.#client.hatcheckTake(name, this.#options.now(), `.${prefix}`))
    return Object.fromEntries(Object.entries(pairsOf(taken)).map(([field, text]) => [field.slice(1), text]))
  }

  async touch (key: string, seenAt: number, expiresAt: number): Promise<boolean> {
    const { now } = this.#options
    const name = redisKey(key)
    return await this.#call('touch', () => this.#client.hatcheckTouch(name, now(), seenAt, expiresAt)) === 1
  }

  async remove (key: string, nextKey?: string): Promise<SessionRecord | null> {
    const last = await this.#end(key, { nextKey })
    if (last === ANOTHERS || last === null) return null
    if (last.user !== null) this.#later(this.#index.delete(last.user, [key]))
    return last
  }

  async successor (key: string): Promise<string | null> {
    const name = redisKey(key)
    const found = await this.#call('read', () => this.#client.hmget(name, 'nextKey', 'endedAt').catch(wrongType))
    if (found === WRONG_TYPE) return null
    const [nextKey = null, endedAt] = found
    return Number(endedAt) + TOMBSTONE_MS > this.#options.now() ? nextKey : null
  }

  /** In a cluster the two keys may lie on two nodes, and no script reaches both. */
  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Promise<Replaced> {
    return replaceInTwoSteps(this, key, nextKey, change, limit)
  }

  async ofUser (user: string): Promise<StoredSession[]> {
    const { sessions, stale } = await this.#look(user, await this.#index.all(user))
    this.#later(this.#index.heal(user, stale))
    return sessions.sort((a, b) => a.record.createdAt - b.record.createdAt)
  }

  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const seen = new Set(exceptKey === undefined ? [] : [exceptKey])
    let count = 0
    let mayHaveMoved = true
    // A session that ended meanwhile may continue under a key that was not in the index yet.
    while (mayHaveMoved) {
      mayHaveMoved = false
      const keys = (await this.#index.all(user)).map(({ key }) => key).filter((key) => !seen.has(key))
      for (const batch of batchesOf(keys)) {
        const ended = await this.#endThese(user, batch, onEnded)
        count += ended
        for (const key of batch) seen.add(key)
        mayHaveMoved ||= ended < batch.length
      }
    }
    return count
  }

  async count (): Promise<number> {
    let count = 0
    for (const node of 'nodes' in this.#client ? this.#client.nodes('master') : [this.#client]) {
      let cursor = '0'
      do {
        const [next, keys] = await this.#call('count', () => node.scan(cursor, 'MATCH', redisKey('*'), 'COUNT', 1_000, 'TYPE', 'hash'))
        for (const batch of batchesOf(keys)) {
          const ended = await Promise.all(batch.map((key) => this.#call('count', () => node.hexists(key, 'endedAt'))))
          count += ended.filter((isTombstone) => isTombstone === 0).length
        }
        cursor = next
      } while (cursor !== '0')
    }
    return count
  }

  /** Redis forgets by itself. */
  sweep (): number {
    return 0
  }

  async ping (): Promise<void> {
    // Not the command PING: in a cluster any node would answer that.
    await this.#call('ping', () => this.#client.exists(redisKey('ping')))
  }

  close (): void {}

  /** Leaves a tombstone, and answers what was there. With `user`, only if it is this user's. */
  async #end (key: string, { user, nextKey = '' }: { user?: string, nextKey?: string | undefined } = {}): Promise<SessionRecord | null | typeof ANOTHERS> {
    const name = redisKey(key)
    const owner = user === undefined ? '' : `=${user}`
    const last = await this.#call('remove', () => this.#client.hatcheckRemove(name, this.#options.now(), TOMBSTONE_MS, owner, nextKey))
    if (last === 0) return ANOTHERS
    return last === null ? null : decodeSession(pairsOf(last))
  }

  /** Ends those that are the user's, and answers how many of them lived. */
  async #endThese (user: string, keys: readonly string[], onEnded?: (key: string) => void): Promise<number> {
    const ends = await Promise.all(keys.map((key) => this.#end(key, { user })))
    const ended = keys.filter((_, i) => ends[i] !== null && ends[i] !== ANOTHERS)
    for (const key of ended) onEnded?.(key)
    // Where there was none there is a tombstone now, so none can begin there either.
    this.#later(this.#index.delete(user, keys.filter((_, i) => ends[i] !== ANOTHERS)))
    return ended.length
  }

  /**
   * Ends what is over the limit before a session begins: of those that were in the index when it was added, everything
   * but the newest `perUser` - 1 that live or are about to begin.
   *
   * So there are never more than `perUser`. Take any sessions that live at the same time, and of these the one that was
   * added to the index last. The others had been added before it and are taken out only once they have ended, so it was
   * told of all of them; and it has begun, so it has ended all but `perUser` - 1 of them before. What has ended has a
   * tombstone and never lives again, nor begins if it was about to.
   */
  async #makeRoom (user: string, newKey: string, others: readonly IndexEntry[], limit: UserLimit): Promise<void> {
    const counting: Array<{ key: string, beganAt: number }> = []
    const stale: IndexEntry[] = []
    for (const batch of batchesOf(others)) {
      const stored = await Promise.all(batch.map(({ key }) => this.#stored(key)))
      for (const [i, entry] of batch.entries()) {
        const beganAt = this.#beganAt(user, entry, stored[i] as Stored)
        if (beganAt === null) stale.push(entry)
        else counting.push({ key: entry.key, beganAt })
      }
    }
    // The key decides where the time does not: whoever looks must find the same order.
    counting.sort((a, b) => a.beganAt - b.beganAt || (a.key < b.key ? -1 : 1))
    const excess = excessOf(counting, newKey, limit)
    for (const batch of batchesOf([...stale, ...excess].map(({ key }) => key))) await this.#endThese(user, batch, limit.onEnded)
    // Those that are another user's by now were left alone.
    this.#later(this.#index.heal(user, stale))
  }

  /** When a session of the user began, or is about to; null if it is over, or not the user's. */
  #beganAt (user: string, { key, addedAt }: IndexEntry, stored: Stored): number | null {
    const record = this.#live(key, stored)
    if (record !== null) return record.user === user ? record.createdAt : null
    const isNowhere = stored !== WRONG_TYPE && Object.keys(stored).length === 0
    return isNowhere && Number(addedAt) > this.#options.now() - BEGINNING_MS ? Number(addedAt) : null
  }

  /** Which of these are live sessions of the user. */
  async #look (user: string, entries: readonly IndexEntry[]): Promise<{ sessions: StoredSession[], stale: IndexEntry[] }> {
    const sessions: StoredSession[] = []
    const stale: IndexEntry[] = []
    for (const batch of batchesOf(entries)) {
      const records = await Promise.all(batch.map(({ key }) => this.read(key)))
      for (const [i, entry] of batch.entries()) {
        const record = records[i]
        if (record?.user === user) sessions.push({ key: entry.key, record })
        else stale.push(entry)
      }
    }
    return { sessions, stale }
  }

  async #clean (user: string): Promise<void> {
    const { stale } = await this.#look(user, await this.#index.sample(user, CLEAN_SAMPLE))
    await this.#index.heal(user, stale)
  }

  #stored (key: string): Promise<Stored> {
    const name = redisKey(key)
    return this.#call('read', () => this.#client.hgetall(name).catch(wrongType))
  }

  #live (key: string, stored: Stored): SessionRecord | null {
    if (stored !== WRONG_TYPE && (isTombstone(stored) || Object.keys(stored).length === 0)) return null
    const record = stored === WRONG_TYPE ? null : decodeSession(stored)
    if (record === null) this.#options.onCorrupt(key, 'session')
    return record !== null && record.expiresAt > this.#options.now() ? record : null
  }

  /** What no caller waits for, and what the next look at the index makes up for if it fails. */
  #later (work: Promise<unknown>): void {
    work.catch(() => {})
  }
}

/** What lies under the key of a session; empty if there is nothing. */
type Stored = Record<string, string> | typeof WRONG_TYPE
/** The session is another user's. */
const ANOTHERS = Symbol('another user’s')

/** The layout of a stored session. Another one reads as absent. */
const FORMAT = '1'

const LONGEST_KEY = 256

function redisKey (key: string): string {
  if (key === '' || key.length > LONGEST_KEY) throw new TypeError(`a session key must have 1 to ${LONGEST_KEY} characters`)
  return `hatcheck:session:${key}`
}

function encode ({ createdAt, seenAt, expiresAt, permanent, user, fields }: SessionRecord): Array<string | number> {
  const times = ['format', FORMAT, 'createdAt', createdAt, 'seenAt', seenAt, 'expiresAt', expiresAt, 'permanent', flag(permanent)]
  return [...times, ...user === null ? [] : ['user', user], ...dataOf(fields)]
}

/** With a dot before its name, no session key can be taken for a field of the session itself. */
function dataOf (fields: SessionRecord['fields']): string[] {
  return Object.entries(fields).flatMap(([name, text]) => [`.${name}`, text])
}

function flag (value: boolean): string {
  return value ? '1' : '0'
}

/** What is left of a session that has ended. */
export function isTombstone (stored: Record<string, string>): boolean {
  return 'endedAt' in stored
}

export function decodeSession (stored: Record<string, string>): SessionRecord | null {
  const { format, createdAt, seenAt, expiresAt, permanent, user = null } = stored
  if (format !== FORMAT || (permanent !== '0' && permanent !== '1')) return null
  if (!isTime(createdAt) || !isTime(seenAt) || !isTime(expiresAt)) return null
  const fields: Record<string, string> = {}
  for (const name in stored) if (name.startsWith('.')) fields[name.slice(1)] = stored[name] as string
  return { createdAt: Number(createdAt), seenAt: Number(seenAt), expiresAt: Number(expiresAt), permanent: permanent === '1', user, fields }
}

function isTime (text: string | undefined): boolean {
  return text !== undefined && /^\d{1,16}$/.test(text)
}

function pairsOf (flat: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (let i = 0; i < flat.length; i += 2) pairs[flat[i] as string] = flat[i + 1] as string
  return pairs
}

function * batchesOf<T> (items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH)
}
