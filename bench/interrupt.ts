import { constants } from 'node:os'

/** Cleans up and ends the process when somebody interrupts it. The returned controller is aborted first. */
export function endWhenInterrupted (cleanUp: () => Promise<void>): AbortController {
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interrupt.abort()
      cleanUp().finally(() => { process.exit(128 + constants.signals[signal]) })
    })
  }
  return interrupt
}
