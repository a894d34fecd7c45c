import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger } from 'fastify'
import { writeEvent } from '../audit/index.js'
import { isWorker } from '../workers/duties.js'
import type { ProcessLog } from './log.js'
import { STOP_SIGNALS } from './signals.js'

/**
 * How long a stop may take, in ms, before the process kills itself: a store may take 5 s to write what is left, and Docker waits for
 * 10 s. A worker has less, so that its primary can log it.
 */
const LONGEST_STOP_MS = { worker: 8_000, other: 8_500 }

export interface Stoppable {
  log: FastifyBaseLogger
  /** For security events. */
  auditLog: FastifyBaseLogger
  output: Pick<ProcessLog, 'flush' | 'isStuck'>
  /** Answers the requests under way, and closes everything. */
  close (): Promise<void>
  /** Kills the workers that have not ended by themselves. */
  killWorkers (): void
}

/** Stops the process at a signal or after an uncaught error: gracefully, and within 10 s in any case. */
export function stopWithGrace ({ log, auditLog, output, close, killWorkers }: Stoppable): void {
  let isLate = false
  const { close: stop } = closeWithGrace({
    delay: false,
    skip: ['SIGHUP', 'SIGUSR2', ...isWorker() ? STOP_SIGNALS : []],
    logger: { error: (text: unknown) => { log.error(text) } },
    onSecondSignal (signal) { leaveWith(`second ${signal}: hatcheck ends at once`) },
    onSecondError (error) { leaveWith('hatcheck ends at once after another error', error) }
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
    if (isLate || output.isStuck()) killItself()
  })
  if (!isWorker()) return
  // Ctrl-C, or a service manager, reaches the workers as well as the primary, which then tells them once more. That is no
  // second wish to stop, which would be: at once.
  let isStopping = false
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      if (!isStopping) stop()
      isStopping = true
    })
  }

  /** The process exits as soon as this returns. */
  function leaveWith (text: string, error?: unknown): void {
    killWorkers()
    if (output.isStuck()) killItself()
    log.error({ ...error !== undefined && { err: error } }, text)
  }

  function killAll (): void {
    isLate = true
    killWorkers()
    log.error('hatcheck has not stopped in time and is killed')
    output.flush().then(killItself, killItself)
  }
}

/** Node's own exit waits for its threads, also for one that hangs in a write to a disk that does not answer. */
function killItself (): void {
  process.kill(process.pid, 'SIGKILL')
}
