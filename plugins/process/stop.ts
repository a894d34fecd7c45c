import closeWithGrace from 'close-with-grace'
import { writeEvent } from '../audit/index.js'
import { isWorker } from '../workers/duties.js'
import type { Running } from './running.js'
import { STOP_SIGNALS } from './signals.js'

/**
 * The longest stop, in ms; after it the process kills itself. A store may need 5 s for its last writes, and Docker waits 10 s. A
 * worker has less time, so that its primary can log the kill.
 */
const LONGEST_STOP_MS = { worker: 8_000, other: 8_500 }

/**
 * The signals of a fault in machine code, such as a page of LMDB that cannot be read. A listener in JavaScript never runs for them:
 * the instruction would fail again and again, and the process would neither answer nor end.
 */
const FAULTS = ['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGTRAP'] as const

/** Stops the process gracefully at a signal or after an uncaught error, always within 10 s. */
export function stopWithGrace ({ log, auditLog, output, close, killWorkers }: Running): void {
  let isLate = false
  const { close: stop } = closeWithGrace({
    delay: false,
    skip: ['SIGHUP', 'SIGUSR2', ...FAULTS, ...isWorker() ? STOP_SIGNALS : []],
    logger: { error: (text: unknown) => { log.error(text) } },
    onSecondSignal (signal) { exitWith(`second ${signal}: hatcheck ends at once`) },
    onSecondError (error) { exitWith('hatcheck ends at once after another error', error) }
  }, async ({ err: error, signal }) => {
    setTimeout(killAll, isWorker() ? LONGEST_STOP_MS.worker : LONGEST_STOP_MS.other)
    if (error !== undefined) {
      log.error({ err: error }, 'hatcheck stops after an error')
      writeEvent(auditLog, 'sys_crash', {})
    } else if (!isWorker()) {
      log.info(`${signal} received: hatcheck stops`)
      writeEvent(auditLog, 'sys_shutdown', { reason: String(signal) })
    }
    await close()
    await output.flush()
    if (isLate || output.isStuck()) killSelf()
  })
  if (!isWorker()) return
  // Ctrl-C, or a service manager, signals the workers as well as the primary, which signals them again. A worker must not take
  // that for a second signal, which would end it at once.
  let isStopping = false
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      if (!isStopping) stop()
      isStopping = true
    })
  }

  /** Logs the reason. close-with-grace exits the process as soon as this returns. */
  function exitWith (text: string, error?: unknown): void {
    killWorkers()
    if (output.isStuck()) killSelf()
    log.error({ ...error !== undefined && { err: error } }, text)
  }

  function killAll (): void {
    isLate = true
    killWorkers()
    log.error('hatcheck has not stopped in time and is killed')
    output.flush().then(killSelf, killSelf)
  }
}

/** Ends the process by SIGKILL: `process.exit` waits for the threads of Node, even for one that hangs in a write to the disk. */
function killSelf (): void {
  process.kill(process.pid, 'SIGKILL')
}
