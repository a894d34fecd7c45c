import type { FastifyBaseLogger, FastifyHttpOptions, FastifyInstance } from 'fastify'
import type { Server } from 'node:http'
import type { ServiceConfig } from './plugins/config/environment.js'
import { trustedProxies } from './plugins/config/trusted-proxies.js'
import type { MetricsListener } from './plugins/metrics/listener.js'
import type { ProcessLog } from './plugins/process/log.js'
import { isMain } from './plugins/process/main.js'
import { endWithNpm, holdSignals } from './plugins/process/signals.js'
import { hasDuty, isWorker } from './plugins/workers/duties.js'

// Most is imported where it is used: signals must be handled before it is loaded.

/** Requests under way at a SIGTERM have so long to end, in ms; then their connections are closed. */
const GRACE_MS = 5_000
const END_EVERY_MS = 50

/**
 * What a connection may take, in ms, so that slow ones (slowloris) end and others do not wait for them. By default Fastify
 * would wait for a request for ever. All that is sent here is small.
 *
 * Sources: mod_reqtimeout of Apache gives headers 20 to 40 s; https://nodejs.org/api/http.html#serverheaderstimeout
 */
const TIMEOUTS = {
  /** All of a request, with its body. */
  requestTimeout: 10_000,
  /** Nothing moves, such as when nobody takes the answer. Longer than any answer takes. */
  connectionTimeout: 30_000,
  /** Between two requests. Proxies give up an idle connection after 60 s (nginx, AWS), and have to be the first to do so. */
  keepAliveTimeout: 72_000,
  /** Node looks at the first and the next so often, and not every 30 s. */
  http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000, requireHostHeader: false }
} satisfies FastifyHttpOptions<Server>

/** What Fastify says of an address, in other words. */
const ADDRESS_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The address of this request cannot be decoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of this address is longer than 100 characters.'
}

/** What serves: this process, or a primary with its workers. */
interface Running {
  log: FastifyBaseLogger
  output: ProcessLog
  reloadSecretKeys (): void
  /** In the text format of Prometheus. */
  metrics (): Promise<string>
  /** Answers what is under way, and ends. */
  close (): Promise<void>
  /** Kills the workers that have not ended by themselves. */
  killWorkers (): void
}

/** Starts the service from the environment; ends the process with one clear line if it cannot. */
export async function serve (): Promise<void> {
  const signals = holdSignals()
  if (!isWorker()) endWithNpm()
  // Without a listener, a reader of stderr that is gone would end the process.
  process.stderr.on('error', () => {})
  const [{ auditLogOf, writeEvent }, { stopWithGrace }] = await Promise.all([import('./plugins/audit/index.js'), import('./plugins/process/stop.js')])
  let running: Running | null = null
  let metrics: MetricsListener | undefined
  let hasAuditLog = false
  try {
    const { loadDotEnv, readEnvironment } = await import('./plugins/config/environment.js')
    loadDotEnv()
    const service = readEnvironment(process.env)
    const { host, metricsPort: port } = service
    hasAuditLog = service.auditLog
    // First, so that a port that cannot be had is said before anything has started.
    if (port !== undefined && !isWorker()) {
      const { openMetricsListener } = await import('./plugins/metrics/listener.js')
      metrics = await openMetricsListener({
        host,
        port,
        async text () {
          if (running === null) throw new Error('the service is starting')
          return await running.metrics()
        }
      })
    }
    running = service.workers === 1 || isWorker() ? await startService(service) : await startPrimary(service)
  } catch (error) {
    process.stderr.write(`hatcheck: ${(error as Error).message}\n`)
  }
  if (running === null) {
    await metrics?.close()
    process.exitCode = 1
    // By itself a worker would wait for its primary.
    if (isWorker()) process.exit()
    return
  }
  const { log, output, reloadSecretKeys, close, killWorkers } = running
  const auditLog = auditLogOf(log, hasAuditLog)
  if (metrics !== undefined) log.info(`metrics at ${metrics.url}`)
  if (!isWorker()) writeEvent(auditLog, 'sys_startup', {})
  stopWithGrace({
    log,
    auditLog,
    output,
    killWorkers,
    async close () {
      await close()
      await metrics?.close()
    }
  })
  signals.release(() => {
    try {
      reloadSecretKeys()
    } catch (error) {
      log.error({ err: error }, 'the secret keys cannot be read anew; they stay as they were')
    }
  })
}

async function startService (service: ServiceConfig): Promise<Running> {
  const { host, port, logLevel } = service
  const [{ openLog }, { isTalkative }, { boundConnections }] = await Promise.all([
    import('./plugins/process/log.js'), import('./plugins/common/log-level.js'), import('./plugins/process/connections.js')
  ])
  // What is said of the start is said by one of all workers. What is wrong, each says.
  const isQuiet = !hasDuty('announces') && isTalkative(logLevel)
  const output = await openLog(isQuiet ? 'warn' : logLevel, service.auditLog)
  const fastify = await build(service, output)
  boundConnections(fastify.server)
  try {
    await fastify.listen({ host, port, listenTextResolver: (address) => `hatcheck listens at ${address}` })
  } catch (error) {
    await fastify.close()
    throw error
  }
  const { log, hatcheck, sessions, server } = fastify
  if (isQuiet) log.level = logLevel
  if (isWorker()) log.debug(hasDuty('sweeps') ? 'this worker listens, and drops what has expired' : 'this worker listens')
  return {
    log,
    output,
    reloadSecretKeys () { sessions.reloadSecretKeys() },
    metrics: async () => await hatcheck.metrics?.text() ?? '',
    async close () {
      // Node looks for slow ones no more once it closes, and one that never ends its request would keep it open.
      const cutting = setTimeout(() => { server.closeAllConnections() }, GRACE_MS)
      await hatcheck.http.drain()
      // A connection that was busy when the closing began is idle after its answer, and would keep it open too.
      const ending = setInterval(() => { server.closeIdleConnections() }, END_EVERY_MS)
      await fastify.close()
      clearTimeout(cutting)
      clearInterval(ending)
    },
    killWorkers () {}
  }
}

/** Null if the workers cannot start; the first has said why. */
async function startPrimary ({ workers: count, logLevel, auditLog: hasAuditLog, mode, options }: ServiceConfig): Promise<Running | null> {
  const [{ default: Fastify }, { resolveConfig }, { secretsOf }, { openLog }, { startWorkers }, { auditLogOf, writeEvent }] = await Promise.all([
    import('fastify'), import('./plugins/config/resolve.js'), import('./plugins/tickets/secrets.js'), import('./plugins/process/log.js'),
    import('./plugins/workers/primary.js'), import('./plugins/audit/index.js')
  ])
  // What is wrong here is wrong for all, and of a key that has to be made there is one.
  secretsOf(resolveConfig(options, mode))
  const output = await openLog(logLevel, hasAuditLog, true)
  const { log } = Fastify({ logger: output.options })
  output.tellLossesBy(log)
  const auditLog = auditLogOf(log, hasAuditLog)
  const workers = await startWorkers({
    count,
    onLine (line) { output.write(line) },
    onEnd (worker, how) {
      if (how === 0) log.info({ worker }, 'a worker was stopped; another one takes its place')
      else writeEvent(auditLog, 'sys_crash', { reason: String(how), ...worker !== undefined && { worker } })
    },
    onError (error) { log.error({ err: error }, 'the system refuses something to a worker') }
  })
  if (workers === null) return null
  workers.all().then(() => { log.info(`workers: ${count}`) }, () => {})
  return { log, output, reloadSecretKeys () { workers.signal('SIGHUP') }, metrics: workers.metrics, close: workers.stop, killWorkers: workers.kill }
}

async function build ({ requestLog, auditLog, trustProxy, metricsPort, mode, options }: ServiceConfig, output: ProcessLog): Promise<FastifyInstance> {
  const [{ default: Fastify }, { hatcheckService }] = await Promise.all([import('fastify'), import('./app.js')])
  const fastify = Fastify({
    logger: output.options,
    ...!requestLog && { childLoggerFactory: output.errorsOnly },
    trustProxy: trustProxy && trustedProxies(trustProxy),
    ...TIMEOUTS,
    // On a connection that is open still, a request is answered to the end.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => { fastify.hatcheck.http.answerParserError(error, socket) },
    // An address that cannot be decoded, or is too long, reaches no route and no error handler.
    frameworkErrors: (error, request, reply) => {
      // Its text would tell the whole address, with the query, in the answer and in the log.
      error.message = ADDRESS_ERRORS[error.code] ?? error.message
      fastify.hatcheck.http.handleError(error, request as never, reply as never)
      fastify.hatcheck.metrics?.countRequest(request as never, reply as never)
    }
  }) as unknown as FastifyInstance
  output.tellLossesBy(fastify.log)
  await fastify.register(hatcheckService, { ...options, mode, auditLog, metricsRoute: metricsPort === undefined })
  // What runs from the sources is `npm run dev`; what is built is not for development.
  if (import.meta.filename.endsWith('.ts')) await (await import('./plugins/openapi/docs.js')).serveDocs(fastify)
  await fastify.ready()
  const { storage, config } = fastify.hatcheck
  fastify.log.info(`store: ${storage.description}`)
  fastify.log.info(mode === 'demo'
    ? 'mode: demo, for this machine only; signing in with a new name creates the account. Set SECRET_KEY and SIGNUP to serve others.'
    : `mode: service; signup is ${config.signup}`)
  return fastify
}

if (isMain(import.meta.url)) await serve()
