import type { RootDatabase } from 'lmdb'
import type { StoredSession } from '../../store/record.js'
import { TOMBSTONE_MS } from '../../store/sessions.js'
import type { LmdbRecords, LmdbRecordsOptions } from './records.js'
import { isStoreKey } from './session-databases.js'
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
        if (typeof time === 'number' && isStoreKey(key) && keysByExpiry.remove(time, key)) dropped++
        else {
          this.#immovable++
          this.#options.onCorrupt('', 'index by expiry')
        }
        if (isStoreKey(key)) this.#expire(key, time, now, expired)
      }
      if (due.length < BATCH) {
        this.#immovable = 0
        break
      }
    } while (performance.now() - started < budgetMs)
    return dropped
  }

  /** @param key of an entry that has come due in the index by expiry, and is not there any more */
  #expire (key: string, time: number, now: number, expired: StoredSession[]): void {
    const records = this.#records
    const record = records.get(key, false)
    const later = now + 1
    if (record === null || record.expiresAt < later) records.drop(key, record, time)
    // The entry was damaged, or the record.
    else records.keysByExpiry.add(record.expiresAt, key)
    if (record !== null && record.expiresAt < later) expired.push({ key, record })
    if (!records.hasTombstone(key)) return
    const until = records.tombstone(key)?.until ?? 0
    if (until >= later && until <= now + TOMBSTONE_MS) records.keysByExpiry.add(until, key)
    else records.removeTombstone(key)
  }
}
