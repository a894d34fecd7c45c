/** How often it is looked whether npm is still there. */
const LOOK_EVERY_MS = 500

/** What ends a service that is starting, as it would end one that runs. */
export const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const

export interface HeldSignals {
  /** The service runs: from now on `reload` answers SIGHUP, and ending is left to others. Answers one that came before. */
  release (reload: () => void): void
}

/**
 * Handles signals from the first moment of a process on, before the program is loaded. Without handlers each of them would
 * end it, SIGHUP with a code that systemd takes for success, and as process 1 of a container it would be deaf to all.
 *
 * - SIGHUP during the start is answered after it: the keys may have been read already.
 * - SIGTERM and SIGINT during the start end the process at once with 0. Nothing has been promised to anybody yet.
 * - SIGUSR2 is ignored, always.
 */
export function holdSignals (): HeldSignals {
  let isReloadWanted = false
  let reload = (): void => { isReloadWanted = true }
  const leave = (): void => { process.exit(0) }
  process.on('SIGHUP', () => { reload() })
  process.on('SIGUSR2', () => {})
  for (const signal of STOP_SIGNALS) process.on(signal, leave)
  return {
    release (listener) {
      for (const signal of STOP_SIGNALS) process.off(signal, leave)
      reload = listener
      if (isReloadWanted) reload()
    }
  }
}

/**
 * Ends the process as SIGTERM does once npm has ended that has started it: npm hands signals to its shell, and not every shell
 * hands them on.
 */
export function endWithNpm (): void {
  if (process.env['npm_lifecycle_event'] === undefined) return
  const parent = process.ppid
  const looking = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(looking)
    process.kill(process.pid, 'SIGTERM')
  }, LOOK_EVERY_MS).unref()
}
