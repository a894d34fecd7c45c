import type { Database, RootDatabase } from 'lmdb'
import { FORMATS, isKnownFormat, type Unreadable } from '../common/formats.js'
import { DATABASES } from './databases.js'
import { objectIn } from './json.js'
import { keyText } from './keys.js'
import { readFresh } from './read-fresh.js'
import { SliceSweep } from './slice-sweep.js'
import { LmdbWriter } from './writer.js'
import { counted, uncounted, waitOf, type Counter, type Policy } from '../../store/attempt-policy.js'
import { isCounter, type AttemptStore } from '../../store/attempts.js'

/** Counts failed logins in LMDB, beside the sessions. The processes of the machine that open the folder count together. */
export class LmdbAttempts implements AttemptStore {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #onCorrupt: (key: string) => void
  /** key → counter as JSON */
  readonly #counters: Database<Buffer, string>
  readonly #sweep: SliceSweep

  /** @param onCorrupt called for each damaged counter. It counts as no failures, and so does a counter of another format. */
  constructor (env: RootDatabase, onCorrupt: (key: string) => void = () => {}) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#onCorrupt = onCorrupt
    this.#counters = env.openDB(DATABASES.attempts)
    this.#sweep = new SliceSweep(env, this.#counters, (key, stored, now) => this.#isUseless(key, stored, now))
  }

  waitOf (key: string, policy: Policy, now: number): number {
    return waitOf(readFresh(this.#env, 'attempts', () => this.#get(key)), policy, now)
  }

  admit (key: string, policy: Policy, now: number): Promise<number> {
    return this.#write(() => {
      const counter = this.#get(key)
      const wait = waitOf(counter, policy, now)
      if (wait === 0) this.#put(key, counted(counter, policy, now))
      return wait
    })
  }

  count (key: string, policy: Policy, now: number): Promise<void> {
    return this.#write(() => { this.#put(key, counted(this.#get(key), policy, now)) })
  }

  uncount (key: string, policy: Policy): Promise<void> {
    return this.#write(() => {
      const counter = this.#get(key)
      if (counter !== null) this.#put(key, uncounted(counter, policy))
    })
  }

  forget (key: string): Promise<void> {
    return this.#write(() => { this.#counters.remove(key) })
  }

  async sweep (now: number): Promise<boolean> {
    await this.#sweep.next(now)
    return !this.#sweep.isAtStart
  }

  #get (key: string): Counter | null {
    const stored = this.#counters.get(key)
    if (stored === undefined) return null
    const counter = decodeCounter(stored)
    if (counter === 'damaged') this.#onCorrupt(key)
    return typeof counter === 'object' ? counter : null
  }

  #isUseless (key: string, stored: Buffer, now: number): boolean {
    const counter = decodeCounter(stored)
    if (counter === 'damaged') this.#onCorrupt(keyText(key, this.#counters))
    return counter === 'damaged' || (counter !== 'of an unknown format' && counter.expiresAt <= now)
  }

  #put (key: string, { level, at, before, expiresAt }: Counter): void {
    this.#counters.put(key, Buffer.from(JSON.stringify({ format: FORMATS.attempts, level, at, before, expiresAt })))
  }

  #write<T> (action: () => T): Promise<T> {
    return this.#writer.write('attempts', false, action)
  }
}

/** Decodes a counter. Returns why it cannot be read if it cannot. */
export function decodeCounter (bytes: Buffer): Counter | Unreadable {
  const stored = objectIn(bytes)
  if (stored === null) return 'damaged'
  const { format, ...counter } = stored
  if (!isKnownFormat('attempts', format)) return 'of an unknown format'
  return isCounter(counter) ? counter : 'damaged'
}
