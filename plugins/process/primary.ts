import Fastify from 'fastify'
import { auditLogOf, writeEvent } from '../audit/index.js'
import type { ServiceConfig } from '../config/environment.js'
import { resolveConfig } from '../config/resolve.js'
import { secretsOf } from '../tickets/secrets.js'
import { startWorkers } from '../workers/primary.js'
import { openLog } from './log.js'
import type { Running } from './running.js'

/**
 * Starts the workers of the service (`WORKERS`), and logs for all of them.
 *
 * @returns null if they cannot start; the first worker has printed why.
 */
export async function startPrimary ({ workers: count, logLevel, auditLog: hasAuditLog, mode, options }: ServiceConfig): Promise<Running | null> {
  // Checked once for all workers, which then share the key that is generated here.
  secretsOf(resolveConfig(options, mode))
  const output = await openLog({ level: logLevel, hasAuditLog, hasWorkers: true })
  const { log } = Fastify({ logger: output.options })
  output.setLossLogger(log)
  const auditLog = auditLogOf(log, hasAuditLog)
  const workers = await startWorkers({
    count,
    onLine (line) { output.write(line) },
    onEnd (worker, how) {
      if (how === 0) log.info({ worker }, 'a worker was stopped; another one replaces it')
      else writeEvent(auditLog, 'sys_crash', { reason: String(how), ...worker !== undefined && { worker } })
    },
    onError (error) { log.error({ err: error }, 'the system cannot start or reach a worker') }
  })
  if (workers === null) return null
  workers.all().then(() => { log.info(`workers: ${count}`) }, () => {})
  return { log, auditLog, output, reloadSecretKeys () { workers.signal('SIGHUP') }, metrics: workers.metrics, close: workers.stop, killWorkers: workers.kill }
}
