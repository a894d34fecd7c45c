/** The interval at which the process checks whether npm still runs. */
const POLL_EVERY_MS = 500

/** How long a signal waits for the end of the start, in ms. */
const LONGEST_START_MS = 5_000

/** The signals that end the service. */
export const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const

interface HeldSignals {
  /** Lets a signal that ends the service wait for the end of the start from now on. */
  defer (): void
  /**
   * Passes SIGHUP to `reload` from now on, and one that came before, and stops handling the signals that end the service. One that
   * has waited is sent again.
   */
  release (reload: () => void): void
}

/**
 * Handles signals from the first moment of the process, before the program is loaded. Without a handler each signal would end the
 * process, SIGHUP with a code that systemd takes for success; process 1 of a container would ignore all of them.
 *
 * - SIGHUP during the start takes effect after it: the keys may have been read already.
 * - A signal that ends the service ends the process at once with 0 until the store opens. Then it waits for the end of the start:
 *   an exit while a thread of LMDB runs would crash.
 * - SIGUSR1 and SIGUSR2 are always ignored. Without a handler, SIGUSR1 would open the debugger of Node.
 */
export function holdSignals (): HeldSignals {
  let isReloadWanted = false
  let reload = (): void => { isReloadWanted = true }
  let isDeferred = false
  let stopWanted: NodeJS.Signals | undefined
  const leave = (signal: NodeJS.Signals): void => {
    if (!isDeferred) process.exit(0)
    if (stopWanted !== undefined) process.exit(1)
    stopWanted = signal
    setTimeout(() => { if (isDeferred) process.exit(0) }, LONGEST_START_MS).unref()
  }
  process.on('SIGHUP', () => { reload() })
  for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {})
  for (const signal of STOP_SIGNALS) process.on(signal, leave)
  return {
    defer () { isDeferred = true },
    release (listener) {
      isDeferred = false
      for (const signal of STOP_SIGNALS) process.off(signal, leave)
      if (stopWanted !== undefined) process.kill(process.pid, stopWanted)
      reload = listener
      if (isReloadWanted) reload()
    }
  }
}

/**
 * Sends this process SIGTERM once the npm that started it has ended: npm passes signals only to its shell, and not every shell
 * passes them on.
 */
export function endWithNpm (): void {
  if (process.env['npm_lifecycle_event'] === undefined) return
  const parent = process.ppid
  const polling = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(polling)
    process.kill(process.pid, 'SIGTERM')
  }, POLL_EVERY_MS).unref()
}
