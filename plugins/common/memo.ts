import { ownText } from './own-text.js'

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

  /** Returns the value of a key, and makes it if there is none. */
  getOrMake (key: string, make: (key: string) => T): T {
    let value = this.get(key)
    if (value === undefined) this.set(key, value = make(key))
    return value
  }

  set (key: string, value: T): void {
    if (this.#young.size >= this.#size) {
      this.#old = this.#young
      this.#young = new Map()
    }
    // Many keys are parts of a request.
    this.#young.set(ownText(key), value)
  }
}
