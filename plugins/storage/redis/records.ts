import type { SessionRecord } from '../../store/record.js'
import { TOMBSTONE_MS, type OnCorruptSession } from '../../store/sessions.js'
import type { BoundedCall } from '../common/bounded-calls.js'
import { isMissing, readHash, type StoredHash } from './hash.js'
import { redisKey } from './keys.js'
import type { Scripted } from './scripted.js'
import type { SessionScripts } from './scripts.js'
import { decodeSession, isTombstone, pairsOf } from './session-codec.js'

/** The session belongs to another user. */
export const ANOTHERS = Symbol('another user’s')

/** Reads and ends single sessions in Redis. */
export class RedisRecords {
  readonly #client: Scripted<SessionScripts>
  readonly #call: BoundedCall
  readonly #now: () => number
  readonly #onCorrupt: OnCorruptSession

  /** @param onCorrupt called for each record that cannot be decoded; such a record reads as missing */
  constructor (client: Scripted<SessionScripts>, call: BoundedCall, now: () => number, onCorrupt: OnCorruptSession) {
    this.#client = client
    this.#call = call
    this.#now = now
    this.#onCorrupt = onCorrupt
  }

  async read (key: string): Promise<SessionRecord | null> {
    return this.live(key, await this.stored(key))
  }

  /** Reads the value under a key, which may be a tombstone or something else. */
  stored (key: string): Promise<StoredHash> {
    const name = redisKey.session(key)
    return this.#call('read', () => readHash(this.#client, name))
  }

  /** Decodes a stored record. Returns null unless it is a live session. */
  live (key: string, stored: StoredHash): SessionRecord | null {
    if (isTombstone(stored) || isMissing(stored)) return null
    const record = decodeSession(stored)
    if (record === null) this.#onCorrupt(key, 'session')
    return record !== null && record.expiresAt > this.#now() ? record : null
  }

  /**
   * Ends a session and leaves a tombstone. Returns the record at its end, or null if it was not live.
   *
   * @param nextKey where the session continues
   */
  async end (key: string, nextKey = ''): Promise<SessionRecord | null> {
    const last = await this.#end(key, '', nextKey)
    return Array.isArray(last) ? decodeSession(pairsOf(last)) : null
  }

  /** Ends a session if it belongs to the user. Returns whether it was live. A missing session has a tombstone then as well. */
  async endOfUser (key: string, user: string): Promise<boolean | typeof ANOTHERS> {
    const last = await this.#end(key, `=${user}`, '')
    return last === 0 ? ANOTHERS : last !== null
  }

  #end (key: string, owner: string, nextKey: string): Promise<string[] | 0 | 1 | null> {
    const name = redisKey.session(key)
    return this.#call('remove', () => this.#client.hatcheckRemove(name, this.#now(), TOMBSTONE_MS, owner, nextKey))
  }
}
