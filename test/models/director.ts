import type { Scheduler } from 'fast-check'
import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Lets several requests continue one step at a time, in the order of fast-check's scheduler. The next step is
 * chosen when every request is either done or waiting for its turn, so that no order is left to chance.
 */
export class Director {
  /** The beginnings and ends of the steps so far. */
  readonly log: string[] = []
  readonly #actor = new AsyncLocalStorage<string>()
  readonly #waiting = new Map<string, number>()
  readonly #onStage = new Set<string>()
  #running = 0
  #scheduler: Scheduler | null = null

  /** A step of a request; outside of {@link play} it runs at once. */
  async step<T> (what: string, action: () => T | Promise<T>): Promise<T> {
    if (this.#scheduler === null) return await action()
    const actor = this.#actor.getStore() ?? 'nobody'
    this.#count(actor, 1)
    await this.#scheduler.schedule(Promise.resolve(), `${actor}: ${what}`)
    this.#count(actor, -1)
    this.log.push(`${actor}: ${what} begins`)
    this.#running++
    try {
      return await action()
    } finally {
      this.#running--
      this.log.push(`${actor}: ${what} ends`)
    }
  }

  /** Runs the requests against each other to the end, and returns their results. */
  async play<T> (scheduler: Scheduler, requests: Record<string, () => Promise<T>>): Promise<Record<string, T>> {
    this.log.length = 0
    this.#scheduler = scheduler
    const playing = Object.entries(requests).map(async ([actor, request]) => {
      this.#onStage.add(actor)
      const answer = await this.#actor.run(actor, async () => {
        await this.step('request', () => {})
        return await request()
      })
      this.log.push(`${actor}: done`)
      this.#onStage.delete(actor)
      return [actor, answer] as const
    })
    const act = async (task: () => Promise<void>): Promise<void> => {
      await task()
      do await new Promise((resolve) => { setImmediate(resolve) })
      while (!this.#isQuiet())
    }
    try {
      const answers = await scheduler.waitFor(Promise.all(playing), act)
      await scheduler.waitIdle(act)
      return Object.fromEntries(answers)
    } finally {
      this.#scheduler = null
      this.#waiting.clear()
      this.#onStage.clear()
    }
  }

  #isQuiet (): boolean {
    return this.#running === 0 && [...this.#onStage].every((actor) => (this.#waiting.get(actor) ?? 0) > 0)
  }

  #count (actor: string, difference: number): void {
    this.#waiting.set(actor, (this.#waiting.get(actor) ?? 0) + difference)
  }
}
