import type { FastifyBaseLogger } from 'fastify'

/** Logs what code of the application has thrown. It can be anything, even an object whose properties throw when the log reads them. */
export function logError (log: Pick<FastifyBaseLogger, 'error'>, error: unknown, message: string): void {
  try {
    log.error({ err: error }, message)
  } catch {
    // Not with what reading it has thrown: that may be the same object.
    log.error({ err: new Error('What was thrown cannot be read.') }, message)
  }
}
