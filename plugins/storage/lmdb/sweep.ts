import type { RootDatabase } from 'lmdb'
import type { StoredSession } from '../../store/record.js'
import { TOMBSTONE_MS } from '../../store/sessions.js'
import { isStoreKey } from '../common/store-key.js'
import type { LmdbRecords, LmdbRecordsOptions } from './records.js'
import { LmdbWriter } from './writer.js'

/** How many entries a sweep handles before it looks at the time again. */
const BATCH = 10

/** The sweep of the sessions in LMDB. It follows the index by expiry. */
export class LmdbSweep {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #records: LmdbRecords
  readonly #options: LmdbRecordsOptions
  /** How many damaged entries, which cannot be removed, the index begins with, as far as this sweep has come. */
  #immovable = 0

  constructor (env: RootDatabase, records: LmdbRecords, options: LmdbRecordsOptions) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#records = records
    this.#options = options
  }

  /** @see SessionStore.sweep */
  async run (budgetMs: number, onExpired?: (key: string, user: string | null) => void): Promise<number> {
    const expired: StoredSession[] = []
    // LMDB keeps every page that a reader may need. A reader that was killed stays listed until this call.
    this.#env.readerCheck()
    const dropped = await this.#writer.write('sweep', false, () => this.#dropDue(budgetMs, expired))
    for (const { key, record } of expired) onExpired?.(key, record.user)
    return dropped
  }

  #dropDue (budgetMs: number, expired: StoredSession[]): number {
    const started = performance.now()
    const now = this.#options.now()
    const { keysByExpiry } = this.#records
    let dropped = 0
    do {
      const due = [...keysByExpiry.range({ end: now + 1, limit: BATCH, offset: this.#immovable })]
      for (const { key: time, value: key } of due) {
        const isRemoved = typeof time === 'number' && isStoreKey(key) && keysByExpiry.remove(time, key)
        if (!isRemoved) {
          this.#immovable++
          this.#options.onCorrupt('', 'index by expiry')
        }
        if (isStoreKey(key) && !this.#expire(key, time, now, expired) && isRemoved) dropped++
      }
      if (due.length < BATCH) {
        this.#immovable = 0
        return dropped
      }
    } while (performance.now() - started < budgetMs)
    // There may be more, even if every entry so far was only moved.
    return Math.max(1, dropped)
  }

  /**
   * @param key of an entry that has come due in the index by expiry, and is not there any more
   * @returns whether the entry was only moved: its session or tombstone lives longer
   */
  #expire (key: string, time: number, now: number, expired: StoredSession[]): boolean {
    const records = this.#records
    const record = records.get(key, false)
    const later = now + 1
    const isLive = record !== null && record.expiresAt >= later
    // It has changed since, or the entry was damaged.
    if (isLive) records.keysByExpiry.add(record.expiresAt, key)
    else {
      records.drop(key, record, time)
      if (record !== null) expired.push({ key, record })
    }
    if (!records.hasTombstone(key)) return isLive
    const until = records.tombstone(key)?.until ?? 0
    const isRemembered = until >= later && until <= now + TOMBSTONE_MS
    if (isRemembered) records.keysByExpiry.add(until, key)
    else records.removeTombstone(key)
    return isLive || isRemembered
  }
}
