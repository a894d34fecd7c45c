/** A seed for another run each time, as text for a default of the command line. */
export function newSeed (): string {
  return String(Date.now() % 2 ** 32)
}

/** Pseudo-random numbers that are the same for the same seed. */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to 1, excluding 1. Source: mulberry32, https://github.com/bryc/code/blob/master/jshash/PRNGs.md */
  next (): number {
    this.#state = this.#state + 0x6d2b79f5 | 0
    let mixed = Math.imul(this.#state ^ this.#state >>> 15, 1 | this.#state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }

  /** From 0 to `below`, excluding it. */
  integer (below: number): number {
    return Math.floor(this.next() * below)
  }

  of<T> (list: readonly T[]): T {
    return list[this.integer(list.length)] as T
  }
}
