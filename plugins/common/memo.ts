/** A map of bounded size. It has two generations and drops the older when the younger is full, so it keeps the last `size` entries, and twice as many at most. */
export class Memo<T> {
  #young = new Map<string, T>()
  #old = new Map<string, T>()
  readonly #size: number

  constructor (size: number) {
    this.#size = size
  }

  get (key: string): T | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set (key: string, value: T): void {
    if (this.#young.size >= this.#size) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }
}
