/** hatcheck leaves a primary that has become a replica at most once in this time, in ms. */
const LEAVE_EVERY_MS = 1_000

/**
 * Notices that a primary has become a replica, by the error of a write. Another connection finds the new primary, if a name or a
 * sentinel leads to it. To open one fails the calls of a moment, reads as well, so not every write that fails may do it.
 */
export class Demotion {
  #noticed: { error: Error, at: number } | null = null

  /** Tells whether to leave the server. */
  leaves (error: Error): boolean {
    // In Redis before version 7, the error of a script quotes that of its command.
    if (!/(?:^|-)READONLY\b/.test(error.message) || this.reason !== null) return false
    this.#noticed = { error, at: performance.now() }
    return true
  }

  /** Why a connection was closed just now, if it was for this. */
  get reason (): Error | null {
    return this.#noticed !== null && performance.now() - this.#noticed.at < LEAVE_EVERY_MS ? this.#noticed.error : null
  }
}
