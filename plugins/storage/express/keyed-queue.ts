/** Runs the calls for one key one after another. Calls for different keys do not wait for each other. */
export class KeyedQueue {
  /** Per key, the end of the last call. */
  readonly #ends = new Map<string, Promise<void>>()

  /** Runs the work when the calls before it have ended, and holds the turn until the work ends, however long that takes. */
  async run<T> (key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#ends.get(key) ?? Promise.resolve()).then(work)
    const end = turn.then(() => {}, () => {})
    this.#ends.set(key, end)
    try {
      return await turn
    } finally {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    }
  }
}
