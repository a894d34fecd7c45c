import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { isMainThread } from 'node:worker_threads'

/**
 * The transactions whose callback has not run. A thread of lmdb-js waits for it, and Node waits for its threads when it exits.
 * Without a turn of the event loop the callback cannot run, so the exit would never end.
 */
const waiting = new Set<object>()

const STDERR = 2

/** The error that is about to end the process. */
let fatal: { error: unknown } | undefined

/** Notes that a transaction has begun. Until {@link callbackRuns}, an exit of the process kills it; no commit is lost by that. */
export function callbackAwaited (transaction: object): void {
  waiting.add(transaction)
}

/** Notes that the callback runs, or never will. */
export function callbackRuns (transaction: object): void {
  waiting.delete(transaction)
}

// The exit of a worker thread must not end the process.
if (isMainThread) {
  process.on('uncaughtExceptionMonitor', (error) => {
    fatal = { error }
    process.nextTick(() => { fatal = undefined })
  })
  process.on('exit', () => {
    if (waiting.size === 0) return
    try {
      // Node prints the error after this event.
      if (fatal !== undefined) writeSync(STDERR, `${inspect(fatal.error)}\n`)
    } finally {
      // Even if nobody reads standard error.
      process.kill(process.pid, 'SIGKILL')
    }
  })
}
