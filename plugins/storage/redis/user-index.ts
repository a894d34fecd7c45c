import { TOMBSTONE_MS } from '../../store/sessions.js'
import type { BoundedCall } from '../common/bounded-calls.js'
import { BATCH as PAGE, batchesOf } from './batches.js'
import { redisKey } from './keys.js'
import type { Scripted } from './scripted.js'
import type { SessionScripts } from './scripts.js'

/** A session in the index of a user. */
export interface IndexEntry {
  readonly key: string
  /** When the session was added, in ms, as Redis writes it. */
  readonly addedAt: string
}

/**
 * The index by user: for each user a sorted set of the sessions, by the time when they were added.
 *
 * It lies in another slot than the sessions, so no script can change both. Instead, a session is added here before it
 * begins, so a session that exists is always in the index. An entry without a session is found when the index is read, and
 * removed once it is so old that no `create` can still be under way.
 */
export class RedisUserIndex {
  readonly #client: Scripted<SessionScripts>
  readonly #call: BoundedCall
  readonly #now: () => number
  readonly #keepMs: number
  readonly #onCorrupt: (user: string) => void

  /**
   * @param keepMs how long an index is kept after a session was added, in ms: longer than any session lives
   * @param onCorrupt called for each user whose index is another kind of value. That is a failure: the user may have sessions.
   */
  constructor (client: Scripted<SessionScripts>, call: BoundedCall, now: () => number, keepMs: number, onCorrupt: (user: string) => void = () => {}) {
    this.#client = client
    this.#call = call
    this.#now = now
    this.#keepMs = keepMs
    this.#onCorrupt = onCorrupt
  }

  /**
   * Adds a session. Returns how many there are then, and if that is over `limit`, which others were there when this one was
   * added: of any two, the later one sees the earlier.
   */
  async add (user: string, key: string, limit?: number): Promise<{ count: number, others: IndexEntry[] }> {
    const [count, entries] = await this.#callFor(user, 'index', (name) => this.#client.hatcheckIndex(name, key, this.#now(), this.#keepMs, limit ?? ''))
    return { count, others: entriesOf(entries).filter((entry) => entry.key !== key) }
  }

  /**
   * Returns the entries of a user in pages: a long list would hold Redis, and the event loop. Every entry that is there all
   * the while is in one of them; one that is added again meanwhile can be in two.
   */
  async * pages (user: string): AsyncGenerator<IndexEntry[]> {
    let from = '-inf'
    // Several may have been added at the same time: the next page begins with those of the last.
    let again = new Set<string>()
    for (let isLast = false; !isLast;) {
      const most = PAGE + again.size
      const entries = entriesOf(await this.#callFor(user, 'list', (name) => this.#client.zrange(name, from, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')))
      yield entries.filter(({ key }) => !again.has(key))
      isLast = entries.length < most
      from = entries.at(-1)?.addedAt ?? from
      again = new Set(entries.filter(({ addedAt }) => addedAt === from).map(({ key }) => key))
    }
  }

  /** Returns the keys of the first entries, all as of one moment. */
  async first (user: string, most: number): Promise<string[]> {
    return await this.#callFor(user, 'list', (name) => this.#client.zrange(name, 0, String(most - 1)))
  }

  /** Returns some entries at random. */
  async sample (user: string, count: number): Promise<IndexEntry[]> {
    return entriesOf(await this.#callFor(user, 'list', (name) => this.#client.zrandmember(name, count, 'WITHSCORES')))
  }

  /** Removes sessions that have ended for good. */
  async delete (user: string, keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#callFor(user, 'index', (name) => this.#client.zrem(name, ...keys))
  }

  /** Removes entries without a session, except young ones and those that were added again. */
  async heal (user: string, stale: readonly IndexEntry[]): Promise<void> {
    const youngest = this.#now() - TOMBSTONE_MS
    const old = stale.filter(({ addedAt }) => Number(addedAt) < youngest)
    for (const batch of batchesOf(old)) await this.#callFor(user, 'index', (name) => this.#client.hatcheckUnindex(name, batch.flatMap(({ key, addedAt }) => [key, addedAt])))
  }

  /** @param command gets the name of the index in Redis */
  #callFor<T> (user: string, doing: string, command: (name: string) => Promise<T>): Promise<T> {
    return this.#call(doing, () => command(redisKey.index(user)).catch((error: Error) => {
      if (/\bWRONGTYPE\b/.test(error.message)) this.#onCorrupt(user)
      throw error
    }))
  }
}

/** In version 2 of the protocol, members and their scores alternate. */
function entriesOf (reply: readonly string[]): IndexEntry[] {
  const entries: IndexEntry[] = []
  for (let i = 0; i < reply.length; i += 2) entries.push({ key: reply[i] as string, addedAt: reply[i + 1] as string })
  return entries
}
