/** Lines in which tries wait: those with the same key are made one after another. */
export class Lines {
  readonly #ends = new Map<string, Promise<void>>()
  readonly #lengths = new Map<string, number>()
  #waiting = 0

  /** How many wait, in all lines together. */
  get waiting (): number {
    return this.#waiting
  }

  /** How many wait in one line. */
  lengthOf (key: string): number {
    return this.#lengths.get(key) ?? 0
  }

  async inTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#ends.get(key)
    const turn = before === undefined ? work() : this.#after(key, before, work)
    const end = turn.then(ignore, ignore)
    this.#ends.set(key, end)
    try {
      return await turn
    } finally {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    }
  }

  async #after<T> (key: string, before: Promise<void>, work: () => Promise<T>): Promise<T> {
    this.#count(key, 1)
    await before
    this.#count(key, -1)
    return await work()
  }

  #count (key: string, by: number): void {
    this.#waiting += by
    const length = this.lengthOf(key) + by
    if (length === 0) this.#lengths.delete(key)
    else this.#lengths.set(key, length)
  }
}

function ignore (): void {}
