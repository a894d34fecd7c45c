/** Runs tasks with the same key one after another, and tasks with different keys side by side. */
export class KeyedQueue {
  readonly #ends = new Map<string, Promise<void>>()
  readonly #lengths = new Map<string, number>()
  #waiting = 0
  #running = 0

  /** How many tasks wait, under all keys together. */
  get waiting (): number {
    return this.#waiting
  }

  /** How many tasks wait or run, under all keys together. */
  get size (): number {
    return this.#waiting + this.#running
  }

  /** Returns how many tasks wait under one key. */
  lengthOf (key: string): number {
    return this.#lengths.get(key) ?? 0
  }

  /** Runs the task once every earlier task with this key has ended, even with an error. */
  async run<T> (key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#ends.get(key)
    const result = before === undefined ? this.#start(task) : this.#after(key, before, task)
    const end = result.then(ignore, ignore)
    this.#ends.set(key, end)
    try {
      return await result
    } finally {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    }
  }

  async #after<T> (key: string, before: Promise<void>, task: () => Promise<T>): Promise<T> {
    this.#count(key, 1)
    await before
    this.#count(key, -1)
    return await this.#start(task)
  }

  async #start<T> (task: () => Promise<T>): Promise<T> {
    this.#running++
    try {
      return await task()
    } finally {
      this.#running--
    }
  }

  #count (key: string, by: number): void {
    this.#waiting += by
    const length = this.lengthOf(key) + by
    if (length === 0) this.#lengths.delete(key)
    else this.#lengths.set(key, length)
  }
}

function ignore (): void {}
