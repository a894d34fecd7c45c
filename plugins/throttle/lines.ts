/** Lines in which people wait: what has the same key is done one after another. */
export class Lines {
  readonly #ends = new Map<string, Promise<void>>()
  #waiting = 0

  /** How many wait, in all lines together. */
  get waiting (): number {
    return this.#waiting
  }

  async inTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#ends.get(key)
    const turn = before === undefined ? work() : this.#after(before, work)
    const end = turn.then(ignore, ignore)
    this.#ends.set(key, end)
    try {
      return await turn
    } finally {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    }
  }

  async #after<T> (before: Promise<void>, work: () => Promise<T>): Promise<T> {
    this.#waiting++
    await before
    this.#waiting--
    return await work()
  }
}

function ignore (): void {}
