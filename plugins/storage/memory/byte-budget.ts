import { createUnavailable } from '../../common/http-errors.js'

/** Means that the memory store has reached its limit in bytes. */
export const StoreFullError = createUnavailable<[number]>('HATCHECK_STORE_FULL', 'The memory store is full: it holds %d MiB, which is its limit.')

const MIB = 1_048_576

/** The bytes of memory that a store may take, and those that it takes. */
export class ByteBudget {
  readonly #most: number
  #taken = 0

  constructor (most: number) {
    this.#most = most
  }

  /** Tells whether this many bytes are left. */
  has (bytes: number): boolean {
    return this.#taken + bytes <= this.#most
  }

  /** Takes bytes, or gives them back if the number is negative. */
  take (bytes: number): void {
    this.#taken += bytes
  }

  exhausted (): Error {
    return new StoreFullError(Math.floor(this.#most / MIB))
  }
}
