import type { FastifyBaseLogger, FastifyHttpOptions, FastifyInstance } from 'fastify'
import type { Server } from 'node:http'
import { errorText } from './plugins/common/error-text.js'
import type { ServiceConfig } from './plugins/config/environment.js'
import { trustedProxies } from './plugins/config/trusted-proxies.js'
import type { ProcessLog } from './plugins/process/log.js'
import { letGoOfLostTerminals } from './plugins/process/lost-terminal.js'
import { isMain } from './plugins/process/main.js'
import type { MetricsListener } from './plugins/process/metrics-listener.js'
import { keepNextTickFast } from './plugins/process/next-tick.js'
import { endWithNpm, holdSignals } from './plugins/process/signals.js'
import { hasDuty, isWorker } from './plugins/workers/duties.js'

// Most imports are where they are used, so that signals are handled before they load.

/** After a SIGTERM, open requests can take this long, in ms. Then their connections are closed. */
const GRACE_MS = 5_000
const END_EVERY_MS = 50

/**
 * Limits of a connection, in ms, against clients that send slowly (slowloris). By default, Fastify waits for a request for
 * ever. All requests and responses of the service are small.
 *
 * Sources: mod_reqtimeout of Apache gives headers 20 to 40 s; https://nodejs.org/api/http.html#serverheaderstimeout
 */
const TIMEOUTS = {
  /** The whole request, with its body. */
  requestTimeout: 10_000,
  /** No byte moves, for example because the client does not read the response. Every response is faster. */
  connectionTimeout: 30_000,
  /** Between two requests. Proxies close an idle connection after 60 s (nginx, AWS), and must be the first to do so. */
  keepAliveTimeout: 72_000,
  /** Node checks `requestTimeout` and `headersTimeout` every 2 s instead of every 30 s. */
  http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000, requireHostHeader: false }
} satisfies FastifyHttpOptions<Server>

/** Texts for Fastify's errors about an address. */
const ADDRESS_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The address of this request cannot be decoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of this address is longer than 100 characters.'
}

/** The running service: this process, or a primary with its workers. */
interface Running {
  log: FastifyBaseLogger
  output: ProcessLog
  reloadSecretKeys (): void
  /** Renders the metrics in the text format of Prometheus. */
  metrics (): Promise<string>
  /** Answers the open requests, and ends. */
  close (): Promise<void>
  /** Kills the workers that still run. */
  killWorkers (): void
}

/** Starts the service from the environment. If it cannot start, prints one line and ends the process. */
export async function serve (): Promise<void> {
  const signals = holdSignals()
  keepNextTickFast()
  letGoOfLostTerminals()
  if (!isWorker()) endWithNpm()
  // Without a listener, the process would end when the reader of stderr closes it.
  process.stderr.on('error', () => {})
  const [{ auditLogOf, writeEvent }, { stopWithGrace }] = await Promise.all([import('./plugins/audit/index.js'), import('./plugins/process/stop.js')])
  const started = await start()
  if (started === null) {
    process.exitCode = 1
    // A worker stays alive as long as its primary does.
    if (isWorker()) process.exit()
    return
  }
  const { running: { log, output, reloadSecretKeys, close, killWorkers }, metrics, hasAuditLog } = started
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
      log.error({ err: error }, 'the secret keys cannot be read again; the former keys stay in use')
    }
  })
}

interface Started {
  running: Running
  /** The port of the metrics; undefined: there is none. */
  metrics: MetricsListener | undefined
  hasAuditLog: boolean
}

/** Starts what the environment describes. If it cannot, prints one line and returns null. */
async function start (): Promise<Started | null> {
  let running: Running | null = null
  let metrics: MetricsListener | undefined
  try {
    const [{ loadDotEnv }, { readEnvironment }, { addressOf }] = await Promise.all([
      import('./plugins/config/dot-env.js'), import('./plugins/config/environment.js'), import('./plugins/process/address.js')
    ])
    loadDotEnv()
    const read = readEnvironment(process.env)
    const service = { ...read, host: await addressOf(read.host) }
    const { host, metricsPort: port } = service
    // First, so that a port in use is reported before anything has started.
    if (port !== undefined && !isWorker()) {
      const { openMetricsListener } = await import('./plugins/process/metrics-listener.js')
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
    if (running !== null) return { running, metrics, hasAuditLog: service.auditLog }
  } catch (error) {
    process.stderr.write(`hatcheck: ${errorText(error)}\n`)
  }
  await metrics?.close()
  return null
}

async function startService (service: ServiceConfig): Promise<Running> {
  const { host, port, logLevel } = service
  const [{ openLog }, { isTalkative }, { boundConnections }, { listenError }] = await Promise.all([
    import('./plugins/process/log.js'), import('./plugins/common/log-level.js'), import('./plugins/process/connections.js'),
    import('./plugins/process/address.js')
  ])
  // One worker logs the start. Every worker logs warnings and errors.
  const isQuiet = !hasDuty('announces') && isTalkative(logLevel)
  const output = await openLog(isQuiet ? 'warn' : logLevel, service.auditLog)
  const fastify = await build(service, output)
  boundConnections(fastify.server)
  try {
    await fastify.listen({ host, port, listenTextResolver: (address) => `hatcheck listens at ${address}` })
  } catch (error) {
    await fastify.close()
    throw listenError('PORT', error)
  }
  const { log, hatcheck, sessions, server } = fastify
  if (isQuiet) log.level = logLevel
  if (isWorker()) log.debug(hasDuty('sweeps') ? 'this worker listens, and removes expired sessions' : 'this worker listens')
  return {
    log,
    output,
    reloadSecretKeys () { sessions.reloadSecretKeys() },
    metrics: async () => await hatcheck.metrics?.text() ?? '',
    async close () {
      // A closing server no longer checks the timeouts, and one endless request would keep it open.
      const cutting = setTimeout(() => { server.closeAllConnections() }, GRACE_MS)
      await hatcheck.http.drain()
      // A connection that was busy when the closing began becomes idle after its response, and would keep it open too.
      const ending = setInterval(() => { server.closeIdleConnections() }, END_EVERY_MS)
      await fastify.close()
      clearTimeout(cutting)
      clearInterval(ending)
    },
    killWorkers () {}
  }
}

/**
 * Starts the workers.
 *
 * @returns null if they cannot start; the first worker has printed why.
 */
async function startPrimary ({ workers: count, logLevel, auditLog: hasAuditLog, mode, options }: ServiceConfig): Promise<Running | null> {
  const [{ default: Fastify }, { resolveConfig }, { secretsOf }, { openLog }, { startWorkers }, { auditLogOf, writeEvent }] = await Promise.all([
    import('fastify'), import('./plugins/config/resolve.js'), import('./plugins/tickets/secrets.js'), import('./plugins/process/log.js'),
    import('./plugins/workers/primary.js'), import('./plugins/audit/index.js')
  ])
  // Checked once for all workers, which then share the key that is generated here.
  secretsOf(resolveConfig(options, mode))
  const output = await openLog(logLevel, hasAuditLog, true)
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
  return { log, output, reloadSecretKeys () { workers.signal('SIGHUP') }, metrics: workers.metrics, close: workers.stop, killWorkers: workers.kill }
}

async function build ({ requestLog, auditLog, trustProxy, metricsPort, mode, options }: ServiceConfig, output: ProcessLog): Promise<FastifyInstance> {
  const [{ default: Fastify }, { noCompilers }, { hatcheckService }] = await Promise.all([
    import('fastify'), import('./plugins/openapi/no-compilers.js'), import('./app.js')
  ])
  const fastify = Fastify({
    schemaController: noCompilers,
    logger: output.options,
    ...!requestLog && { childLoggerFactory: output.errorsOnly },
    trustProxy: trustProxy && trustedProxies(trustProxy),
    ...TIMEOUTS,
    // While the server closes, requests on open connections are still answered.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => { fastify.hatcheck.http.answerParserError(error, socket) },
    // Requests with such an address reach no route and no error handler.
    frameworkErrors: (error, request, reply) => {
      // Fastify's text has the whole address with the query, which must not reach the response or the log.
      error.message = ADDRESS_ERRORS[error.code] ?? error.message
      fastify.hatcheck.http.handleError(error, request as never, reply as never)
      fastify.hatcheck.metrics?.countRequest(request as never, reply as never)
    }
  }) as unknown as FastifyInstance
  output.setLossLogger(fastify.log)
  try {
    await fastify.register(hatcheckService, { ...options, mode, auditLog, metricsRoute: metricsPort === undefined })
    // Only `npm run dev` runs the sources.
    if (import.meta.filename.endsWith('.ts')) await (await import('./plugins/openapi/docs.js')).serveDocs(fastify)
    await fastify.ready()
  } catch (error) {
    // An open store would keep the process alive.
    await fastify.close().catch(() => {})
    throw error
  }
  const { storage, config, http } = fastify.hatcheck
  fastify.server.on('connect', http.answerConnect).on('checkExpectation', http.answerExpectation)
  fastify.log.info(`store: ${storage.description}`)
  fastify.log.info(mode === 'demo'
    ? 'mode: demo, for this machine only; signing in with a new name creates the account. Set SECRET_KEY and SIGNUP to serve others.'
    : `mode: service; signup is ${config.signup}`)
  return fastify
}

if (isMain(import.meta.url)) await serve()
