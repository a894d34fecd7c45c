import { sortedInSlices } from '../../common/slices.js'
import { byBeginning, excessOf, type StoredSession, type UserLimit } from '../../store/record.js'
import { endEach } from '../common/end-each.js'
import { isStoreKey } from '../common/store-key.js'
import { BATCH, batchesOf } from './batches.js'
import { isMissing, type StoredHash } from './hash.js'
import { ANOTHERS, type RedisRecords } from './records.js'
import { GRACE_MS } from './scripts.js'
import type { IndexEntry, RedisUserIndex } from './user-index.js'

/** From this size on, every login cleans an index a little. */
const CLEAN_FROM = 50
/** How many other sessions a login looks at. It adds one, so the ones that have ended stay a small part. */
const CLEAN_SAMPLE = 10
/**
 * How long a session that is only in the index may be about to begin, in ms. Redis keeps an expired one as long, so nothing that has
 * expired looks as if it were about to begin.
 */
const BEGINNING_MS = GRACE_MS

/** How many sessions are in the index of a user, and which of them were there when this one was added, if that is over the limit. */
type Added = Awaited<ReturnType<RedisUserIndex['add']>>

/** The sessions of a user in Redis: lists them, ends them and keeps to the limit. */
export class RedisUserSessions {
  readonly #records: RedisRecords
  readonly #index: RedisUserIndex
  readonly #now: () => number

  constructor (records: RedisRecords, index: RedisUserIndex, now: () => number) {
    this.#records = records
    this.#index = index
    this.#now = now
  }

  /** Adds a session to the index, which must happen before the session begins. Returns what {@link makeRoom} needs. */
  async add (user: string, key: string, limit?: UserLimit): Promise<Added> {
    return await this.#index.add(user, key, limit?.perUser)
  }

  /**
   * Ends the sessions over the limit before a new one begins: of those that were in the index when it was added, all but the newest
   * `perUser` - 1 that live or are about to begin.
   *
   * So there are never more than `perUser`. Take any sessions that live at the same time, and of these the one that was
   * added to the index last. The others had been added before it, and are taken out only once they have ended, so its
   * login saw all of them; and it has begun, so that login has ended all but `perUser` - 1 of them before. What has ended
   * has a tombstone: it never lives again, and never begins if it was about to.
   */
  async makeRoom (user: string, newKey: string, { others }: Added, limit: UserLimit): Promise<void> {
    const counting: Array<{ key: string, beganAt: number }> = []
    const stale: IndexEntry[] = []
    for (const batch of batchesOf(others)) {
      const stored = await Promise.all(batch.map(({ key }) => this.#stored(key)))
      for (const [i, entry] of batch.entries()) {
        const beganAt = this.#beganAt(user, entry, stored[i] as StoredHash)
        if (beganAt === null) stale.push(entry)
        else counting.push({ key: entry.key, beganAt })
      }
    }
    // The key decides between equal times: every process must find the same order.
    counting.sort((a, b) => a.beganAt - b.beganAt || (a.key < b.key ? -1 : 1))
    const excess = excessOf(counting, newKey, limit)
    for (const batch of batchesOf([...stale, ...excess].map(({ key }) => key))) {
      const { over, failures } = await this.#endThese(user, batch, limit.onEnded)
      inBackground(this.#index.delete(user, over))
      if (failures.length > 0) throw failures[0]
    }
    // Sessions that belong to another user by now did not end.
    inBackground(this.#index.heal(user, stale))
  }

  async list (user: string): Promise<StoredSession[]> {
    const sessions = new Map<string, StoredSession>()
    for await (const page of this.#index.pages(user)) {
      const { sessions: found, stale } = await this.#look(user, page)
      for (const session of found) sessions.set(session.key, session)
      inBackground(this.#index.heal(user, stale))
    }
    return await sortedInSlices([...sessions.values()], byBeginning)
  }

  /**
   * Ends the first sessions of the index and takes them out of it, until nothing else is left. A session that continues
   * under another key meanwhile has an entry at every moment, so the last look at the index, which is one step, sees it.
   *
   * @see SessionStore.removeOfUser
   */
  async endAll (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const seen = new Set(exceptKey === undefined ? [] : [exceptKey])
    // The entries that stay in the index: sessions of other users, and those that a late create has added again.
    const staying = new Set(seen)
    const failed: unknown[] = []
    let count = 0
    for (let isDone = false; !isDone;) {
      const most = staying.size + BATCH
      const keys = await this.#index.first(user, most)
      const fresh = keys.filter((key) => !seen.has(key))
      for (const key of keys) if (seen.has(key)) staying.add(key)
      const { ended, over, failures } = await this.#endThese(user, fresh, onEnded)
      failed.push(...failures)
      await this.#index.delete(user, over)
      for (const key of fresh) seen.add(key)
      count += ended
      isDone = keys.length < most && ended === fresh.length
    }
    if (failed.length > 0) throw failed[0]
    return count
  }

  /** Takes a session that has ended out of the index, in the background. */
  forget (user: string, key: string): void {
    inBackground(this.#index.delete(user, [key]))
  }

  /** Cleans a large index a little, in the background. */
  cleanSome (user: string, { count }: Added): void {
    if (count >= CLEAN_FROM) inBackground(this.#clean(user))
  }

  async #clean (user: string): Promise<void> {
    const { stale } = await this.#look(user, await this.#index.sample(user, CLEAN_SAMPLE))
    await this.#index.heal(user, stale)
  }

  /** Reads what an entry of the index leads to. A damaged entry leads nowhere. */
  async #stored (key: string): Promise<StoredHash> {
    return isStoreKey(key) ? await this.#records.stored(key) : {}
  }

  /** Returns when a session of the user began, or is about to; null if it is over, or not the user's. */
  #beganAt (user: string, { key, addedAt }: IndexEntry, stored: StoredHash): number | null {
    const record = this.#records.live(key, stored)
    if (record !== null) return record.user === user ? record.createdAt : null
    return isMissing(stored) && Number(addedAt) > this.#now() - BEGINNING_MS ? Number(addedAt) : null
  }

  /** Ends those sessions that belong to the user. Returns how many of them lived, and which are over now. */
  async #endThese (user: string, keys: readonly string[], onEnded?: (key: string) => void): Promise<{ ended: number, over: string[], failures: readonly unknown[] }> {
    const { answers, failures } = await endEach(keys, async (key) => isStoreKey(key) && await this.#records.endOfUser(key, user))
    const ended = keys.filter((key) => answers.get(key) === true)
    for (const key of ended) onEnded?.(key)
    // A missing session has a tombstone now, so none can begin there either.
    return { ended: ended.length, over: keys.filter((key) => answers.has(key) && answers.get(key) !== ANOTHERS), failures }
  }

  /** Tells which entries are live sessions of the user. */
  async #look (user: string, entries: readonly IndexEntry[]): Promise<{ sessions: StoredSession[], stale: IndexEntry[] }> {
    const sessions: StoredSession[] = []
    const stale: IndexEntry[] = []
    const records = await Promise.all(entries.map(async ({ key }) => this.#records.live(key, await this.#stored(key))))
    for (const [i, entry] of entries.entries()) {
      const record = records[i]
      if (record?.user === user) sessions.push({ key: entry.key, record })
      else stale.push(entry)
    }
    return { sessions, stale }
  }
}

/** Runs work on the index that no caller waits for. If it fails, the next look at the index makes up for it. */
function inBackground (work: Promise<unknown>): void {
  work.catch(() => {})
}
