import type { Database, RootDatabase } from 'lmdb'
import { isPlainKey } from './keys.js'
import { readFresh } from './read-fresh.js'
import { LmdbWriter } from './writer.js'

/** How many entries one slice has. */
const SLICE = 200

/** The sweep of a database: it goes through all entries in slices, and begins again after the last. */
export class SliceSweep {
  readonly #env: RootDatabase
  readonly #database: Database<Buffer, string>
  readonly #isOver: (key: string, value: Buffer, now: number) => boolean
  #from = ''

  /** @param isOver tells whether an entry is to be dropped. The key can be a damaged one. */
  constructor (env: RootDatabase, database: Database<Buffer, string>, isOver: (key: string, value: Buffer, now: number) => boolean) {
    this.#env = env
    this.#database = database
    this.#isOver = isOver
  }

  get isAtStart (): boolean {
    return this.#from === ''
  }

  /** Goes through the next slice. Returns how many of its entries were over. */
  async next (now: number): Promise<number> {
    const slice = readFresh(this.#env, 'sweep', () => [...this.#database.getRange({ start: this.#from, limit: SLICE })])
    const over = slice.filter(({ key, value }) => this.#isOver(key, value, now) && isPlainKey(key))
    if (over.length > 0) await LmdbWriter.of(this.#env).write('sweep', false, () => { for (const { key } of over) this.#drop(key, now) })
    const last = slice.length < SLICE ? undefined : slice.findLast(({ key }) => isPlainKey(key))
    // Not before: a slice that could not be dropped comes again.
    this.#from = last === undefined ? '' : `${last.key}\0`
    return over.length
  }

  /** Drops an entry, unless it has changed since. */
  #drop (key: string, now: number): void {
    const value = this.#database.get(key)
    if (value !== undefined && this.#isOver(key, value, now)) this.#database.remove(key)
  }
}
