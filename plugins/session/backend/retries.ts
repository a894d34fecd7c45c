/** How often what has failed is tried again. */
const EVERY_MS = 1_000
/** How many are tried at once: a store that does not answer must not have all of its places taken. */
const MAX_PARALLEL = 100

/**
 * Tries again what a store could not take. Each by itself, so that one that fails or hangs delays no other; those left over follow as
 * soon as one succeeds.
 *
 * @param due returns what is to be tried, the next first; what has failed should come last.
 * @param attempt resolves to whether it has succeeded, and never rejects.
 * @returns a function that stops it.
 */
export function startRetrying<T> (due: () => Iterable<T>, attempt: (one: T) => Promise<boolean>): () => void {
  const inProgress = new Set<T>()
  let isStopped = false
  const timer = setInterval(retry, EVERY_MS).unref()

  async function retry (): Promise<void> {
    const next = [...due()].filter((one) => !inProgress.has(one)).slice(0, MAX_PARALLEL - inProgress.size)
    const outcomes = await Promise.all(next.map(attemptNow))
    if (outcomes.includes(true) && !isStopped) await retry()
  }

  async function attemptNow (one: T): Promise<boolean> {
    inProgress.add(one)
    const hasSucceeded = await attempt(one)
    inProgress.delete(one)
    return hasSucceeded
  }

  return () => {
    isStopped = true
    clearInterval(timer)
  }
}
