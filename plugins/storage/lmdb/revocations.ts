import type { Database, RootDatabase } from 'lmdb'
import { hash } from 'node:crypto'
import { nextBarrier, type Barrier, type Revocation, type RevocationStore } from '../../store/revocations.js'
import { soundNextKey } from '../common/store-key.js'
import { DATABASES } from './databases.js'
import { objectIn } from './json.js'
import { readFresh } from './read-fresh.js'
import { SliceSweep } from './slice-sweep.js'
import { LmdbWriter } from './writer.js'

/** LMDB limits the length of a key; a name may be longer than that. */
const LONGEST_NAME = 128

/** The prefix of the keys of users. */
const USER = 'user '
/** Of a user with a long name. */
const LONG_USER = 'user-hash '

type Ended = { until: number, nextKey?: string }
type Stored = Barrier & { until: number }

/**
 * Remembers in LMDB which sessions have ended. Every process of the machine that opens the folder knows it at once. An end
 * is answered once it is flushed to the disk.
 */
export class LmdbRevocations implements RevocationStore {
  readonly sync = true
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  /** The key of a session, or a user, each with a prefix → an entry as JSON */
  readonly #entries: Database<Buffer, string>
  readonly #sweep: SliceSweep

  constructor (env: RootDatabase) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#entries = env.openDB(DATABASES.revocations)
    this.#sweep = new SliceSweep(env, this.#entries, isOver)
  }

  lookUp (key: string, user: string | null): Revocation {
    return readFresh(this.#env, 'read', () => ({
      hasEnded: this.#entries.doesExist(sessionKey(key)),
      barrier: user === null ? null : this.#barrier(userKey(user))
    }))
  }

  end (key: string, until: number, nextKey?: string): Promise<boolean> {
    const name = sessionKey(key)
    return this.#writer.write('end', true, () => {
      if (this.#entries.doesExist(name)) return false
      this.#put(name, { until, ...nextKey !== undefined && { nextKey } })
      return true
    })
  }

  successor (key: string): string | null {
    const stored = readFresh(this.#env, 'read', () => this.#entries.get(sessionKey(key)))
    return stored === undefined ? null : soundNextKey(objectIn(stored)?.['nextKey'], key)
  }

  endAll (user: string, now: number, until: number, exceptKey?: string): Promise<void> {
    const name = userKey(user)
    return this.#writer.write('end', true, () => {
      const stored = this.#entries.get(name)
      // A damaged entry is replaced: the time is higher than any epoch before it.
      const last = stored === undefined ? null : barrierIn(stored)
      this.#put(name, { ...nextBarrier(last, now, exceptKey), until })
    })
  }

  async sweep (now: number, budgetMs: number): Promise<number> {
    const begun = performance.now()
    let dropped = 0
    do dropped += await this.#sweep.next(now)
    while (!this.#sweep.isAtStart && performance.now() - begun < budgetMs)
    return this.#sweep.isAtStart ? dropped : Math.max(1, dropped)
  }

  /** @throws Error if the entry is damaged: nothing is known about the sessions of the user then. */
  #barrier (name: string): Barrier | null {
    const stored = this.#entries.get(name)
    if (stored === undefined) return null
    const barrier = barrierIn(stored)
    if (barrier === null) throw new Error('the revocation epoch of a user is damaged; "hatcheck sessions revoke-all NAME" repairs it')
    return barrier
  }

  #put (name: string, entry: Ended | Stored): void {
    this.#entries.put(name, Buffer.from(JSON.stringify(entry)))
  }
}

/** Tells what of an entry is damaged; null if it is sound. */
export function damageOf (name: string, bytes: Buffer): 'end' | 'endOfAll' | null {
  if (name.startsWith(USER) || name.startsWith(LONG_USER)) return barrierIn(bytes) === null ? 'endOfAll' : null
  return Number.isFinite(objectIn(bytes)?.['until']) ? null : 'end'
}

/** A damaged entry stays: its session has ended. */
function isOver (_key: string, stored: Buffer, now: number): boolean {
  return Number(objectIn(stored)?.['until'] ?? Infinity) <= now
}

function sessionKey (key: string): string {
  return `session ${key}`
}

function userKey (user: string): string {
  return user.length <= LONGEST_NAME ? `${USER}${user}` : `${LONG_USER}${hash('sha256', user, 'base64url')}`
}

/** Decodes a barrier. Returns null if it is damaged. */
function barrierIn (bytes: Buffer): Barrier | null {
  const { epoch, spared, sparedSince } = objectIn(bytes) ?? {}
  const isSound = Number.isSafeInteger(epoch) && Number.isSafeInteger(sparedSince) && (spared === null || typeof spared === 'string')
  return isSound ? { epoch: epoch as number, spared, sparedSince: sparedSince as number } : null
}
