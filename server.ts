import type { FastifyInstance } from 'fastify'
import { errorText } from './plugins/common/error-text.js'
import type { ServiceConfig } from './plugins/config/environment.js'
import { trustedProxies } from './plugins/config/trusted-proxies.js'
import type { ProcessLog } from './plugins/process/log.js'
import { letGoOfLostTerminals } from './plugins/process/lost-terminal.js'
import { isMain } from './plugins/process/main.js'
import type { MetricsListener } from './plugins/process/metrics-listener.js'
import { keepNextTickFast } from './plugins/process/next-tick.js'
import type { Running } from './plugins/process/running.js'
import { endWithNpm, holdSignals } from './plugins/process/signals.js'
import { START_MS, TIMEOUTS } from './plugins/process/timeouts.js'
import { hasDuty, isWorker } from './plugins/workers/duties.js'

// Most imports are where they are used, so that signals are handled before they load.

/** Starts the service from the environment. If it cannot start, prints one line and ends the process. */
export async function serve (): Promise<void> {
  const signals = holdSignals()
  keepNextTickFast()
  letGoOfLostTerminals()
  if (!isWorker()) endWithNpm()
  // Without a listener, the process would end when the reader of stderr closes it.
  process.stderr.on('error', () => {})
  const [{ writeEvent }, { stopWithGrace }] = await Promise.all([import('./plugins/audit/index.js'), import('./plugins/process/stop.js')])
  const started = await start(signals.defer)
  if (started === null) {
    process.exitCode = 1
    // A worker stays alive as long as its primary does.
    if (isWorker()) process.exit()
    return
  }
  const { running, metrics } = started
  const { log, auditLog } = running
  if (metrics !== undefined) log.info(`metrics at ${metrics.url}`)
  if (!isWorker()) writeEvent(auditLog, 'sys_startup', {})
  stopWithGrace({
    ...running,
    async close () {
      await running.close()
      await metrics?.close()
    }
  })
  signals.release(() => {
    try {
      running.reloadSecretKeys()
    } catch (error) {
      log.error({ err: error }, 'the secret keys cannot be read again; the former keys stay in use')
    }
  })
}

interface Started {
  running: Running
  /** Undefined if the metrics have no port of their own. */
  metrics: MetricsListener | undefined
}

/**
 * Starts what the environment describes. If it cannot, prints one line and returns null.
 *
 * @param deferSignals called before a store opens
 */
async function start (deferSignals: () => void): Promise<Started | null> {
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
    deferSignals()
    if (service.workers === 1 || isWorker()) running = await startService(service)
    else running = await (await import('./plugins/process/primary.js')).startPrimary(service)
    if (running !== null) return { running, metrics }
  } catch (error) {
    process.stderr.write(`hatcheck: ${errorText(error)}\n`)
  }
  await metrics?.close()
  return null
}

async function startService (service: ServiceConfig): Promise<Running> {
  const { host, port, logLevel } = service
  const [{ openLog }, { isTalkative }, { boundConnections }, { listenError }, { closeService }, { auditLogOf }] = await Promise.all([
    import('./plugins/process/log.js'), import('./plugins/common/log-level.js'), import('./plugins/process/connections.js'),
    import('./plugins/process/address.js'), import('./plugins/process/close.js'), import('./plugins/audit/index.js')
  ])
  const output = await openLog({ level: logLevel, hasAuditLog: service.auditLog })
  const fastify = await build(service, output)
  boundConnections(fastify.server)
  // Fastify logs the address. Not before: routes go by the level of the log.
  const isQuiet = !hasDuty('announces') && isTalkative(logLevel)
  if (isQuiet) fastify.log.level = 'warn'
  try {
    await fastify.listen({ host, port, listenTextResolver: (address) => `hatcheck listens at ${address}` })
  } catch (error) {
    await fastify.close()
    throw listenError('PORT', error)
  }
  const { log, hatcheck, sessions } = fastify
  if (isQuiet) log.level = logLevel
  if (isWorker()) log.debug(hasDuty('sweeps') ? 'this worker listens, and removes expired sessions' : 'this worker listens')
  return {
    log,
    auditLog: auditLogOf(log, service.auditLog),
    output,
    reloadSecretKeys () { sessions.reloadSecretKeys() },
    metrics: async () => await hatcheck.metrics?.text() ?? '',
    close: async () => { await closeService(fastify) },
    killWorkers () {}
  }
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
    pluginTimeout: START_MS,
    // While the server closes, requests on open connections are still answered.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => { fastify.hatcheck.http.answerParserError(error, socket) },
    frameworkErrors: (error, request, reply) => { fastify.hatcheck.http.handleAddressError(error, request, reply) }
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
  // One worker logs the start. Every worker logs warnings and errors.
  if (!hasDuty('announces')) return fastify
  fastify.log.info(`store: ${storage.description}`)
  fastify.log.info(mode === 'demo'
    ? 'mode: demo, for this machine only; signing in with a new name creates the account. Set SECRET_KEY and SIGNUP to serve others.'
    : `mode: service; signup is ${config.signup}`)
  return fastify
}

if (isMain(import.meta.url)) await serve()
