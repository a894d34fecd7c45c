import { Random } from '../inputs/random.js'
import { START } from '../time/units.js'

type Act = () => Promise<void> | void

/** Fake time, in seconds, and random numbers that are the same for the same seed. */
export class World {
  readonly seconds: number
  readonly #agenda: Act[][]
  readonly #random: Random
  #now = 0

  constructor (seconds: number, seed: number) {
    this.seconds = seconds
    this.#agenda = Array.from({ length: seconds }, () => [])
    this.#random = new Random(seed)
  }

  get nowMs (): number {
    return START + this.#now * 1_000
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
    return this.#random.integer(limit)
  }

  chance (probability: number): boolean {
    return this.#random.next() < probability
  }
}
