import type { FastifyBaseLogger } from 'fastify'

/**
 * Logs what code of the application has thrown. It can be anything, also an object whose properties throw when the log reads
 * them: then the log has that error in its place.
 */
export function logError (log: Pick<FastifyBaseLogger, 'error'>, error: unknown, message: string): void {
  try {
    log.error({ err: error }, message)
  } catch (unreadable) {
    log.error({ err: unreadable }, message)
  }
}
