import type { Database, RootDatabase } from 'lmdb'
import { storeUnavailable } from '../session/errors.js'
import { FORMATS, isKnownFormat } from '../storage/formats.js'
import { LmdbWriter } from '../storage/lmdb-writer.js'
import { counted, uncounted, waitOf, type Counter, type Policy } from './policy.js'
import type { AttemptStore } from './store.js'

/** How many counters one slice of a sweep looks at. */
const SWEEP_SLICE = 500

/** Failed logins in LMDB, beside the sessions: every process of the machine that opens the folder counts together. */
export class LmdbAttempts implements AttemptStore {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  /** A counter of another format counts as none. */
  readonly #counters: Database<Counter & { format?: number }, string>
  /** Where the next slice of a sweep begins. */
  #sweepFrom = ''

  constructor (env: RootDatabase) {
    this.#env = env
    this.#writer = new LmdbWriter(env)
    this.#counters = env.openDB({ name: 'attempts', encoding: 'json' })
  }

  waitOf (key: string, policy: Policy, now: number): number {
    return waitOf(this.#read(() => this.#get(key)), policy, now)
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
    const slice = this.#read(() => [...this.#counters.getRange({ start: this.#sweepFrom, limit: SWEEP_SLICE })])
    const forgiven = slice.filter(({ value }) => isKnownFormat('attempts', value.format) && value.expiresAt <= now)
    if (forgiven.length > 0) {
      await this.#write(() => {
        for (const { key } of forgiven) {
          if ((this.#get(key)?.expiresAt ?? Infinity) <= now) this.#counters.remove(key)
        }
      })
    }
    const last = slice.length < SWEEP_SLICE ? undefined : slice.at(-1)
    this.#sweepFrom = last === undefined ? '' : `${last.key}\0`
    return last !== undefined
  }

  #get (key: string): Counter | null {
    const counter = this.#counters.get(key)
    return counter !== undefined && isKnownFormat('attempts', counter.format) ? counter : null
  }

  #put (key: string, { level, at, before, expiresAt }: Counter): void {
    this.#counters.put(key, { format: FORMATS.attempts, level, at, before, expiresAt })
  }

  #read<T> (action: () => T): T {
    try {
      // Else it would not see what another process has just counted.
      this.#env.resetReadTxn()
      return action()
    } catch (error) {
      throw storeUnavailable(error, 'attempts')
    }
  }

  #write<T> (action: () => T): Promise<T> {
    return this.#writer.write('attempts', false, action)
  }
}
