/**
 * Calls `onLate` after this time, unless the returned function is called first. An answer that arrived while the process was
 * busy is still in time: the event loop reads it before it calls `onLate`.
 */
export function deadline (ms: number, onLate: () => void): () => void {
  const timer = setTimeout(() => { setImmediate(onLate) }, ms)
  return () => { clearTimeout(timer) }
}

/**
 * Waits for the work, but no longer than this. The work goes on.
 *
 * @throws Error with the text if it takes longer, or what the work throws.
 */
export async function within<T> (ms: number, work: Promise<T>, text = `not within ${ms} ms`): Promise<T> {
  return await new Promise((resolve, reject) => {
    const settled = deadline(ms, () => { reject(new Error(text)) })
    work.then(resolve, reject).finally(settled)
  })
}
