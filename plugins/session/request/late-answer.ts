import { isLate } from '../../store/errors.js'

/** How long a store that did not answer in time counts as silent. A request that goes on after this asks it again. */
const SILENT_MS = 1_000

/** An answer of the store for which a request has waited in vain. A request does so once: its response does not ask again. */
export class LateAnswer {
  readonly #error: unknown
  readonly #at: number

  private constructor (error: unknown, at: number) {
    this.#error = error
    this.#at = at
  }

  /**
   * Returns the late answer that an error of a call means.
   *
   * @param last that of an earlier call: without a session, each call fails with the error by which it could not be read
   */
  static from (error: unknown, last: LateAnswer | null, now: number): LateAnswer | null {
    return isLate(error) && (last === null || last.#error !== error) ? new LateAnswer(error, now) : last
  }

  /** Returns the error, if it happened a moment ago; else null. */
  recentError (now: number): unknown {
    return now < this.#at + SILENT_MS ? this.#error : null
  }
}
