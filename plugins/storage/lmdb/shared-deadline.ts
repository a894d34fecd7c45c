import { setImmediate } from 'node:timers'

/** A deadline for many pieces of work, with one timer. They time out in the order in which they were added. */
export class SharedDeadline<T> {
  readonly #ms: number
  readonly #onLate: (work: T) => void
  /** The work under way, with the time at which each piece was added. */
  readonly #added = new Map<T, number>()
  #timer: NodeJS.Timeout | undefined

  /** @param onLate called for each piece of work that is not removed within this time, after answers that have arrived in time */
  constructor (ms: number, onLate: (work: T) => void) {
    this.#ms = ms
    this.#onLate = onLate
  }

  add (work: T): void {
    this.#added.set(work, performance.now())
    if (this.#timer === undefined) this.#wait(this.#ms)
    else if (this.#added.size === 1) this.#timer.ref()
  }

  remove (work: T): void {
    // A running timer costs less than to stop it and to start one for the next work, but must not hold the process.
    if (this.#added.delete(work) && this.#added.size === 0) this.#timer?.unref()
  }

  #wait (ms: number): void {
    // `onLate` may have added work, whose deadline is later than that of the work that waits here.
    clearTimeout(this.#timer)
    // An answer that arrived while the process was busy is still in time: the event loop reads it before an immediate.
    this.#timer = setTimeout(() => { setImmediate(() => { this.#check() }) }, ms)
  }

  #check (): void {
    this.#timer = undefined
    const now = performance.now()
    for (const [work, since] of this.#added) {
      const left = since + this.#ms - now
      if (left > 0) {
        this.#wait(Math.ceil(left))
        return
      }
      this.#added.delete(work)
      this.#onLate(work)
    }
  }
}
