/** How many items a round visits before it looks at the time again. */
export const STRIDE = 64

/** Visits the items of a collection in slices. A slice goes on where the last one stopped. */
export class Round<T> {
  readonly #items: () => Iterator<T>
  #position: Iterator<T> | null = null

  /** @param items returns an iterator that goes on while items come and go */
  constructor (items: () => Iterator<T>) {
    this.#items = items
  }

  /**
   * Visits the next items.
   *
   * @param until when to stop, by `performance.now()`
   * @returns whether the round has come to its end. The next slice begins another one.
   */
  run (until: number, visit: (item: T) => void): boolean {
    const position = this.#position ??= this.#items()
    for (let seen = 1; ; seen++) {
      const next = position.next()
      if (next.done === true) {
        this.#position = null
        return true
      }
      visit(next.value)
      if (seen % STRIDE === 0 && performance.now() >= until) return false
    }
  }
}
