import type { Database, RangeOptions, RootDatabase } from 'lmdb'
import type { DATABASES } from './databases.js'

/** LMDB limits the length of a key; a name may be longer than that. */
const LONGEST_INDEX_NAME = 256

/**
 * An index of sessions: several keys of sessions under one user or one time. Entries of format 1 stay until their session
 * leaves them.
 */
export class SessionIndex<K extends string | number> {
  readonly #entries: Database<string | Buffer, K>

  constructor (env: RootDatabase, place: typeof DATABASES['keysOfUser' | 'keysByExpiry']) {
    this.#entries = env.openDB<string | Buffer, K>({ ...place })
  }

  has (at: K, key: string): boolean {
    return this.#entries.doesExist(at, key) || this.#entries.doesExist(at, formerEntry(key))
  }

  /** Adds an entry that is not there. */
  add (at: K, key: string): void {
    this.#entries.put(at, key)
  }

  /** Removes an entry, within a transaction. Returns false if it was not there. */
  remove (at: K, key: string): boolean {
    return this.#entries.removeSync(at, key) || this.#entries.removeSync(at, formerEntry(key))
  }

  /** Returns how many entries there are under one user or one time. */
  countAt (at: K): number {
    return this.#entries.getValuesCount(at)
  }

  /** Returns entries by user or time. A damaged entry can decode to anything. */
  range (options?: RangeOptions): Iterable<{ key: K, value: string }> {
    return this.#entries.getRange(options) as Iterable<{ key: K, value: string }>
  }
}

/** Returns the key of a user in the index by user. Long names with the same beginning share one. */
export function indexName (user: string): string {
  return user.length <= LONGEST_INDEX_NAME ? user : user.slice(0, LONGEST_INDEX_NAME)
}

/** Returns the bytes of an entry of format 1. */
function formerEntry (key: string): Buffer {
  return Buffer.from(key, 'latin1')
}
