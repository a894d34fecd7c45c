/** Runs a few tasks at a time. Urgent ones are taken from the queue first. */
export class HashQueue {
  readonly #concurrency: number
  readonly #urgent: Array<() => void> = []
  readonly #others: Array<() => void> = []
  #running = 0

  constructor (concurrency: number) {
    this.#concurrency = concurrency
  }

  /** Returns how many urgent, or how many other, tasks wait. */
  waiting (isUrgent: boolean): number {
    return (isUrgent ? this.#urgent : this.#others).length
  }

  async run<T> (work: () => Promise<T>, isUrgent: boolean): Promise<T> {
    if (this.#running < this.#concurrency) this.#running++
    // Finished work passes its place on, so `#running` stays.
    else await new Promise<void>((resolve) => { (isUrgent ? this.#urgent : this.#others).push(resolve) })
    try {
      return await work()
    } finally {
      const next = this.#urgent.shift() ?? this.#others.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
