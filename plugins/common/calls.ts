import { setImmediate } from 'node:timers'

/**
 * The calls of one request, one after another. A call starts at once if none is under way.
 *
 * A caller may leave a call alone: the response waits for it, and {@link Calls.unheeded} says how it failed. Such a
 * rejection is never an unhandled one, which would end the process.
 */
export class Calls {
  #last: Promise<void> | null = null
  readonly #failures: Failure[] = []

  get isBusy (): boolean {
    return this.#last !== null
  }

  /** Whether a call has failed that {@link unheeded} has not reported. */
  get hasFailed (): boolean {
    return this.#failures.some(({ call }) => !call.isHeeded)
  }

  run<T> (work: () => Promise<T>): Promise<T> {
    const before = this.#last
    const call: Call<T> = new Call<T>((resolve, reject) => {
      // What `work` throws is a rejection, and it runs up to its first pause before this returns.
      const running = before === null ? work() : before.then(work)
      running.then(resolve, reject)
    })
    this.#endsWith(call.track((failed, error) => { this.#failures.push({ call: failed, error }) }))
    return call
  }

  /** Runs work whose failure the caller handles. */
  runHeeded<T> (work: () => Promise<T>): Promise<T> {
    const running = this.#last === null ? work() : this.#last.then(work)
    this.#endsWith(running)
    return running
  }

  /** Resolves when no call is under way. */
  async idle (): Promise<void> {
    while (this.#last !== null) await this.#last
  }

  /** The errors of failed calls that nobody waits for. Each is reported once. */
  unheeded (): unknown[] {
    if (this.#failures.length === 0) return []
    return this.#failures.splice(0).filter(({ call }) => !call.isHeeded).map(({ error }) => error)
  }

  #endsWith (running: Promise<unknown>): void {
    const ended = (): void => { if (this.#last === end) this.#last = null }
    const end = running.then(ended, ended)
    this.#last = end
  }
}

/** Starts a call for which no response waits. Its rejection goes to `onUnheeded` if nobody awaits it, and never ends the process. */
export function standaloneCall<T> (work: () => Promise<T>, onUnheeded: (error: unknown) => void): Promise<T> {
  const call: Call<T> = new Call<T>((resolve, reject) => { work().then(resolve, reject) })
  // A caller may still look at the promise in the same turn of the event loop.
  call.track((failed, error) => { setImmediate(() => { if (!failed.isHeeded) onUnheeded(error) }) })
  return call
}

interface Failure {
  call: Call<any>
  error: unknown
}

/** A promise that knows whether somebody waits for it. The promise that `then` returns is one as well. */
class Call<T> extends Promise<T> {
  isHeeded = false
  #onFailure: ((call: Call<any>, error: unknown) => void) | null = null

  // `await`, `catch`, `finally` and Promise.all come by here as well: the one place that can see whether a promise is awaited.
  override then<A = T, B = never> (onResolved?: ((value: T) => A | PromiseLike<A>) | null, onRejected?: ((reason: any) => B | PromiseLike<B>) | null): Promise<A | B> {
    this.isHeeded = true
    const next = super.then(onResolved, onRejected) as Call<A | B>
    if (this.#onFailure !== null) next.track(this.#onFailure).catch(() => {})
    return next
  }

  /** Resolves when the call has ended, however it did. Does not count as waiting for it. */
  track (onFailure: (call: Call<any>, error: unknown) => void): Promise<void> {
    this.#onFailure = onFailure
    return super.then(() => {}, (error: unknown) => { onFailure(this, error) })
  }
}
