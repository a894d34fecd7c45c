import { isApplicationKey } from './fields.js'

export type Entry = readonly [key: string, value: unknown]

/** A copy of more values for each check would cost a handler that sets them one by one the square of their number. */
const MOST_COPIED = 64

/** The values of the application as one object, for its schema. It follows each change; a call creates it again. */
export class Snapshot {
  #values: Record<string, unknown>
  #size: number

  constructor (entries: Iterable<Entry>) {
    const values = [...entries].filter(([key]) => isApplicationKey(key))
    this.#values = Object.fromEntries(values)
    this.#size = values.length
  }

  get size (): number { return this.#size }

  put (key: string, value: unknown): void {
    if (!isApplicationKey(key)) return
    if (!Object.hasOwn(this.#values, key)) this.#size++
    this.#values[key] = value
  }

  delete (key: string): void {
    if (!Object.hasOwn(this.#values, key)) return
    this.#size--
    delete this.#values[key]
  }

  /**
   * Shows the values together with others to a function. With up to {@link MOST_COPIED} values, it gets a copy, which it may keep
   * and change.
   */
  with<T> (others: ReadonlyMap<string, unknown>, look: (values: Record<string, unknown>) => T): T {
    if (this.#size <= MOST_COPIED) return look({ ...this.#values, ...Object.fromEntries(others) })
    const before = [...others.keys()].map((key) => [key, Object.getOwnPropertyDescriptor(this.#values, key)] as const)
    try {
      for (const [key, value] of others) this.#values[key] = value
      return look(this.#values)
    } finally {
      // The function has frozen it.
      if (!Object.isExtensible(this.#values)) this.#values = { ...this.#values }
      for (const [key, descriptor] of before) {
        if (descriptor === undefined) delete this.#values[key]
        else Object.defineProperty(this.#values, key, descriptor)
      }
    }
  }
}
