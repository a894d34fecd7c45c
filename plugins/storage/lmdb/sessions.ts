import type { RootDatabase } from 'lmdb'
import { setImmediate } from 'node:timers/promises'
import { SLICE_MS, eachInSlices, sortedInSlices } from '../../common/slices.js'
import { guarded } from '../../store/errors.js'
import {
  byBeginning, continuationOf, hasFields, splitByPrefix, successorLimit, successorOf, touched, withChanges,
  type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type StoredSession, type UserLimit
} from '../../store/record.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import { soundNextKey } from '../common/store-key.js'
import { readFresh } from './read-fresh.js'
import { LmdbRecords, type LmdbRecordsOptions } from './records.js'
import { LmdbSweep } from './sweep.js'
import { LmdbWriter } from './writer.js'

/** The options of the LMDB store. */
interface LmdbStoreOptions extends LmdbRecordsOptions {
  /** Throws if the open files are no longer in their place. {@link LmdbStore.ping} calls it. */
  assertInPlace?: () => void
}

/** Activity of a session that is not written yet. */
interface Activity extends Pick<SessionRecord, 'seenAt' | 'expiresAt'> {
  /** A time at which the stored session was live: that of the first call whose write had to wait. */
  readonly since: number
}

/** How many keys are read from the index by user at once. */
const KEYS_AT_ONCE = 500

/**
 * Keeps sessions in LMDB: durable, and shared by every process of the machine that opens the same folder.
 *
 * A session is one value; the indexes by user and by expiry change in the same transaction. Reads are synchronous, each
 * from the newest committed state. What must survive a power cut (the beginning of a session with a user, every end of
 * a session) is answered after the flush to disk. Other writes are answered at the commit, which survives the end of
 * the process; lmdb-js 3.5 tells of it only after the flush.
 */
export class LmdbStore implements CompleteSessionStore {
  readonly sync = true
  readonly keepsLimit: boolean = true
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #options: LmdbStoreOptions
  readonly #records: LmdbRecords
  readonly #sweep: LmdbSweep
  readonly #unwritten = new Map<string, Activity>()

  /** @param env an environment with room for four databases; {@link close} leaves it open */
  constructor (env: RootDatabase, options: LmdbStoreOptions) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#options = options
    this.#records = new LmdbRecords(env, options)
    this.#sweep = new LmdbSweep(env, this.#records, options)
  }

  read (key: string): SessionRecord | null {
    return readFresh(this.#env, 'read', () => this.#records.live(key) ?? this.#kept(key))
  }

  async create (key: string, record: SessionRecord, limit?: UserLimit): Promise<boolean> {
    let ended: StoredSession[] = []
    const created = await this.#writer.write('create', record.user !== null, () => {
      if (this.#records.isTaken(key)) return false
      // A copy, since the record is the caller's.
      this.#records.put(key, { ...record, fields: { ...record.fields } }, null)
      ended = this.#records.endOldest(record.user, key, limit)
      return true
    })
    for (const { key } of ended) limit?.onEnded?.(key)
    return created
  }

  patch (key: string, changes: SessionChanges): Promise<boolean> {
    return this.#writer.write('patch', changes.user !== undefined, () => {
      const record = this.#records.live(key)
      if (record === null) return false
      this.#records.put(key, withChanges(record, changes), record)
      return true
    })
  }

  take (key: string, prefix: string): Promise<SessionFields> {
    return this.#writer.write('take', false, () => {
      const record = this.#records.live(key)
      if (record === null) return {}
      const { taken, rest } = splitByPrefix(prefix, record.fields)
      if (Object.keys(taken).length > 0) this.#records.put(key, { ...record, fields: rest }, record)
      return taken
    })
  }

  /** Nobody waits for this, so the session may have expired by the time of the transaction. The time of the call counts. */
  async touch (key: string, seenAt: number, expiresAt: number): Promise<boolean> {
    const at = this.#options.now()
    const activity = { seenAt, expiresAt, since: this.#unwritten.get(key)?.since ?? at }
    this.#unwritten.set(key, activity)
    try {
      return await this.#writer.write('touch', false, () => {
        const record = this.#records.get(key)
        if (record === null || record.expiresAt <= at) return false
        this.#records.put(key, touched(record, seenAt, expiresAt), record)
        // Repairs an entry that was damaged.
        if (record.user !== null) this.#records.indexByUser(key, record.user)
        return true
      })
    } finally {
      if (this.#unwritten.get(key) === activity) this.#unwritten.delete(key)
    }
  }

  remove (key: string, nextKey?: string): Promise<SessionRecord | null> {
    return this.#writer.write('remove', true, () => this.#records.end(key, nextKey))
  }

  successor (key: string): string | null {
    const tombstone = readFresh(this.#env, 'read', () => this.#records.tombstone(key))
    return tombstone !== null && tombstone.until > this.#options.now() ? soundNextKey(tombstone.nextKey, key) : null
  }

  async replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): Promise<Replaced> {
    let ended: StoredSession[] = []
    const replaced = await this.#writer.write('replace', true, (): Replaced => {
      const last = this.#records.live(key)
      if (last === null) return { outcome: 'gone' }
      if (this.#records.isTaken(nextKey)) return { outcome: 'refused' }
      const next = successorOf(last, change)
      // First, since it throws if the successor is too large.
      if (hasFields(next)) this.#records.put(nextKey, next, null)
      this.#records.end(key, continuationOf(nextKey, next, change))
      ended = this.#records.endOldest(next.user, nextKey, successorLimit(next, last, limit))
      return { outcome: 'replaced', last, next: hasFields(next) ? next : null }
    })
    for (const { key } of ended) limit?.onEnded?.(key)
    return replaced
  }

  async ofUser (user: string): Promise<StoredSession[]> {
    const sessions: StoredSession[] = []
    await guarded('list', async () => {
      await eachInSlices(await this.#keysOf(user), (key) => {
        const record = this.#records.liveOf(user, key)
        if (record !== null) sessions.push({ key, record })
      }, () => { this.#env.resetReadTxn() })
    })
    return await sortedInSlices(sessions, byBeginning)
  }

  /** Goes through the index until one look at all of it finds no session that the call must end, also under another key. */
  async removeOfUser (user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
    const staying = new Set(exceptKey === undefined ? [] : [exceptKey])
    let [count, offset, isDone] = [0, 0, false]
    while (!isDone) {
      const ended: string[] = []
      const isLast = await this.#writer.write('remove', true, () => {
        const until = performance.now() + SLICE_MS
        const keys = this.#records.keysOf(user, { offset, limit: KEYS_AT_ONCE })
        for (const key of keys) {
          const record = staying.has(key) ? null : this.#records.liveOf(user, key)
          if (record === null) {
            staying.add(key)
            offset++
          } else {
            this.#records.end(key, undefined, record)
            ended.push(key)
          }
          if (performance.now() >= until) return false
        }
        return keys.length < KEYS_AT_ONCE
      })
      count += ended.length
      for (const key of ended) onEnded?.(key)
      if (isLast) {
        // What was renewed meanwhile may stand before the entries of the last slice.
        isDone = await this.#hasOnly(staying, user)
        offset = 0
      }
    }
    return count
  }

  count (): number {
    return readFresh(this.#env, 'count', () => this.#records.size)
  }

  sweep (budgetMs: number, onExpired?: (key: string, user: string | null) => void): Promise<number> {
    return this.#sweep.run(budgetMs, onExpired)
  }

  ping (): void {
    readFresh(this.#env, 'ping', () => {
      this.#options.assertInPlace?.()
      this.#records.has('ping')
    })
  }

  async close (): Promise<void> {
    await this.#writer.flush()
  }

  /** Returns a session that lives on only by activity that is not written yet. */
  #kept (key: string): SessionRecord | null {
    const activity = this.#unwritten.get(key)
    if (activity === undefined || activity.expiresAt <= this.#options.now()) return null
    const record = this.#records.get(key)
    return record === null || record.expiresAt <= activity.since ? null : touched(record, activity.seenAt, activity.expiresAt)
  }

  /** Tells whether the index has no other keys for a user, all as of one moment. */
  async #hasOnly (keys: ReadonlySet<string>, user: string): Promise<boolean> {
    return (await guarded('remove', () => this.#keysOf(user))).every((key) => keys.has(key))
  }

  /** Returns all keys that the index has for a user at one moment. */
  async #keysOf (user: string): Promise<string[]> {
    this.#env.resetReadTxn()
    const transaction = this.#env.useReadTransaction()
    try {
      const keys: string[] = []
      for (;;) {
        const part = this.#records.keysOf(user, { offset: keys.length, limit: KEYS_AT_ONCE, transaction })
        keys.push(...part)
        if (part.length < KEYS_AT_ONCE) return keys
        await setImmediate()
      }
    } finally {
      transaction.done()
    }
  }
}
