import { setTimeout as sleep } from 'node:timers/promises'

interface RetryOptions {
  attempts?: number
  /** @default 0: at once */
  pauseMs?: number
  /** Called with every failure but the last. May throw to give up. */
  onFailure?: (error: Error) => void
}

/** Repeats work that fails: on a busy machine, Redis may miss the deadline of hatcheck, 250 ms. */
export async function retry<T> (work: () => T | PromiseLike<T>, { attempts = 20, pauseMs = 0, onFailure }: RetryOptions = {}): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === attempts) throw error
      onFailure?.(error as Error)
      await sleep(pauseMs)
    }
  }
}
