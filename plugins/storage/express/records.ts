import { hash, randomBytes } from 'node:crypto'
import { isTime } from '../../common/is-time.js'
import { assertSize } from '../../store/errors.js'
import { sizeOf, type SessionRecord, type StoredSession } from '../../store/record.js'
import type { StoreOptions } from '../../store/sessions.js'
import type { ExpressSessionStore } from '../../store/express-store.js'
import { answerOf, answerUnlessMissing, sessionUnlessMissing } from './callbacks.js'

/** How much longer than the session the store keeps it, in ms, so that the two clocks may differ. */
const GRACE_MS = 60_000

/**
 * The alphabet and the length of the IDs that express-session makes. Some stores have room for few characters more, some take
 * no others.
 */
const ID = /^[\w-]{1,32}$/
const ID_LENGTH = 32

/** Reads and writes whole records in a store made for express-session. */
export class ExpressRecords {
  readonly #store: ExpressSessionStore
  readonly #options: StoreOptions
  /** Whether `all` has listed a session that was in the store. */
  #listsAll = false

  constructor (store: ExpressSessionStore, options: StoreOptions) {
    this.#store = store
    this.#options = options
  }

  /** Whether the store can list its sessions. */
  get canList (): boolean {
    return typeof this.#store.all === 'function'
  }

  /** Whether the store can count its sessions. */
  get canCount (): boolean {
    return typeof this.#store.length === 'function' || this.canList
  }

  /** Tells whether there is anything under the key. */
  async has (key: string): Promise<boolean> {
    return await this.#get(key) !== null
  }

  /** Returns the record, even if it has expired; null if it is missing, damaged, or not written by hatcheck. */
  async read (key: string): Promise<SessionRecord | null> {
    return storedIn(await this.#get(key))?.record ?? null
  }

  /** Writes a record. @throws SessionTooLargeError */
  async write (key: string, record: SessionRecord): Promise<void> {
    this.assertSize(record)
    const maxAge = Math.max(0, record.expiresAt - this.#options.now()) + GRACE_MS
    const session = {
      // Some stores use one of these, some another. The date is for the clock of the store.
      cookie: { originalMaxAge: maxAge, maxAge, expires: new Date(Date.now() + maxAge), httpOnly: true, path: '/' },
      // As text, so that no store changes the names and values in it.
      hatcheck: JSON.stringify({ key, record })
    }
    await answerOf((callback) => this.#store.set(idOf(key), session, callback))
  }

  /** @throws SessionTooLargeError */
  assertSize ({ fields }: SessionRecord): void {
    assertSize(sizeOf(fields), this.#options.maxBytes)
  }

  async delete (key: string): Promise<void> {
    await answerUnlessMissing((callback) => this.#store.destroy(idOf(key), callback))
  }

  /**
   * Reads every session of hatcheck, including the expired ones.
   *
   * @throws if `all` does not list what is in the store. Some stores answer with rows of their table, or with nothing if they
   * do not know the version of their client: then the end of all sessions of a user would end none.
   */
  async list (): Promise<StoredSession[]> {
    if (this.#listsAll) return await this.#all()
    const trial = randomBytes(24).toString('base64url')
    const now = this.#options.now()
    await this.write(trial, { createdAt: now, seenAt: now, expiresAt: now, permanent: false, user: null, fields: {} })
    try {
      const sessions = await this.#all()
      this.#listsAll = sessions.some(({ key }) => key === trial)
      if (!this.#listsAll) throw new Error('the method all of the store does not list a session that the store has')
      return sessions.filter(({ key }) => key !== trial)
    } finally {
      await this.delete(trial)
    }
  }

  /** Counts with `length`, which may include sessions of other applications; without it, by listing. */
  async count (): Promise<number> {
    if (typeof this.#store.length !== 'function') return (await this.list()).length
    const length = await answerOf<unknown>((callback) => this.#store.length?.(callback))
    // Some databases count in bigints or in texts. Some stores answer with statistics, or with nothing.
    if (!/^\d+$/.test(String(length))) throw new Error('the method length of the store does not answer with a number')
    return Number(length)
  }

  async #all (): Promise<StoredSession[]> {
    const sessions = await answerOf<object>((callback) => this.#store.all?.(callback))
    return Object.values(sessions ?? {}).flatMap((session) => storedIn(session) ?? [])
  }

  async #get (key: string): Promise<unknown> {
    // As express-session does: some stores answer false.
    return await sessionUnlessMissing((callback) => this.#store.get(idOf(key), callback)) || null
  }
}

/** Returns the ID under which the store keeps a session: its key, or the beginning of a hash if the key cannot be an ID. */
function idOf (key: string): string {
  return ID.test(key) ? key : hash('sha256', key, 'base64url').slice(0, ID_LENGTH)
}

/** Returns what hatcheck has put into a session; null if it is not hatcheck's, or damaged. */
function storedIn (session: unknown): StoredSession | null {
  const text = (session as { hatcheck?: unknown } | null)?.hatcheck
  if (typeof text !== 'string') return null
  try {
    const { key, record } = JSON.parse(text)
    const { createdAt, seenAt, expiresAt, permanent, user, fields } = record
    const isSound = typeof key === 'string' && [createdAt, seenAt, expiresAt].every(isTime) && typeof permanent === 'boolean' &&
      (user === null || typeof user === 'string') && Object.values(fields).every((value) => typeof value === 'string')
    return isSound ? { key, record: { createdAt, seenAt, expiresAt, permanent, user, fields } } : null
  } catch {
    return null
  }
}
