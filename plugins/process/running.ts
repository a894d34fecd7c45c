import type { FastifyBaseLogger } from 'fastify'
import type { ProcessLog } from './log.js'

/** The running service: this process, or a primary with its workers. */
export interface Running {
  log: FastifyBaseLogger
  /** The log for security events. */
  auditLog: FastifyBaseLogger
  output: ProcessLog
  reloadSecretKeys (): void
  /** Renders the metrics in the text format of Prometheus. */
  metrics (): Promise<string>
  /** Answers the open requests, and ends. */
  close (): Promise<void>
  /** Kills the workers that still run. */
  killWorkers (): void
}
