type Act = () => Promise<void> | void

/** Fake time, in seconds, and random numbers that are the same for the same seed. */
export class World {
  readonly seconds: number
  readonly #agenda: Act[][]
  #now = 0
  #state: number

  constructor (seconds: number, seed: number) {
    this.seconds = seconds
    this.#agenda = Array.from({ length: seconds }, () => [])
    this.#state = seed
  }

  get nowMs (): number {
    return 1_800_000_000_000 + this.#now * 1_000
  }

  /** Events after the end are dropped. */
  at (second: number, act: Act): void {
    this.#agenda[second]?.push(act)
  }

  in (seconds: number, act: Act): void {
    this.at(this.#now + Math.max(1, seconds), act)
  }

  every (seconds: number, act: Act): void {
    this.in(seconds, async () => {
      await act()
      this.every(seconds, act)
    })
  }

  async run (): Promise<void> {
    for (const acts of this.#agenda) {
      for (const act of acts) await act()
      acts.length = 0
      this.#now++
    }
  }

  below (limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  chance (probability: number): boolean {
    return this.#random() < probability
  }

  /** Mulberry32. */
  #random (): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
