import { clearImmediate, setImmediate } from 'node:timers'

/** Means that work was not done in time. It may still be done. */
export class DeadlineError extends Error {}

/**
 * Calls `onLate` after this time, unless the returned function is called first. An answer that arrived while the process was
 * busy is still in time: the event loop reads it before it calls `onLate`.
 */
export function deadline (ms: number, onLate: () => void): () => void {
  let late: NodeJS.Immediate | undefined
  const timer = setTimeout(() => { late = setImmediate(onLate) }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(late)
  }
}

/**
 * Waits for the work, but no longer than this. The work goes on.
 *
 * @throws DeadlineError with the text if it takes longer, or the error of the work.
 */
export async function within<T> (ms: number, work: Promise<T>, text = `not within ${ms} ms`): Promise<T> {
  return await new Promise((resolve, reject) => {
    const cancel = deadline(ms, () => { reject(new DeadlineError(text)) })
    work.then(resolve, reject).finally(cancel)
  })
}
