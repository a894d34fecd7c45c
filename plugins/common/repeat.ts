/**
 * Repeats a task at intervals, without keeping the process alive. A task that still goes on is not begun a second time. Its errors are
 * dropped.
 *
 * @returns a function that ends the repetition; a task under way goes on.
 */
export function repeat (everyMs: number, task: () => Promise<void>): () => void {
  let isRunning = false
  const timer = setInterval(() => {
    if (isRunning) return
    isRunning = true
    task().catch(() => {}).finally(() => { isRunning = false })
  }, everyMs).unref()
  return () => { clearInterval(timer) }
}
