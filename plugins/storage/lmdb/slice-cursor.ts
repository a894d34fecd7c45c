import type { Database } from 'lmdb'
import { isPlainKey } from './keys.js'

/** How many entries one slice has. */
const SLICE = 200

interface Entry {
  readonly key: string
  readonly value: Buffer
}

/** The place of a sweep that goes through a database in slices, and begins again after the last. */
export class SliceCursor {
  readonly #database: Database<Buffer, string>
  #from = ''

  constructor (database: Database<Buffer, string>) {
    this.#database = database
  }

  get isAtStart (): boolean {
    return this.#from === ''
  }

  /** Returns the next entries, and the same ones again until {@link passed} is called. */
  slice (): Entry[] {
    return [...this.#database.getRange({ start: this.#from, limit: SLICE })]
  }

  /** Goes on behind a slice. */
  passed (slice: readonly Entry[]): void {
    const last = slice.length < SLICE ? undefined : slice.findLast(({ key }) => isPlainKey(key))
    this.#from = last === undefined ? '' : `${last.key}\0`
  }
}
