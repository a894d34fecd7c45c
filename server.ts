import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyBaseLogger, type FastifyHttpOptions, type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import { realpathSync } from 'node:fs'
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { hatcheckService } from './app.js'
import { writeEvent } from './plugins/audit.js'
import { loadDotEnv, readEnvironment, type ServiceConfig } from './plugins/config/environment.js'
import { resolveConfig } from './plugins/config/resolve.js'
import { trustedProxies } from './plugins/config/trusted-proxies.js'
import { openMetricsListener, type MetricsListener } from './plugins/metrics/listener.js'
import { secretsOf } from './plugins/session/secrets.js'
import { hasDuty, isWorker } from './plugins/workers/duties.js'

/** Requests under way at a SIGTERM have so long to end, in ms; then their connections are closed. */
const GRACE_MS = 5_000
/** So long after a SIGTERM the process ends in any case, in ms: a store may take 5 s to write what is left, and Docker waits for 10 s. */
const LONGEST_STOP_MS = 10_000
const END_EVERY_MS = 50
const STOPS_WORKER = ['SIGTERM', 'SIGINT'] as const

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

/** No line of today has any of them. These are here for the line that someone adds in a hurry. */
const SECRET_FIELDS = ['password', 'pwd', 'cookie', 'secretKey', 'body.password', 'body.pwd',
  'headers.cookie', 'headers.authorization', 'headers["set-cookie"]']

/** What serves: this process, or a primary with its workers. */
interface Running {
  log: FastifyBaseLogger
  reloadSecretKeys (): void
  /** In the text format of Prometheus. */
  metrics (): Promise<string>
  /** Answers what is under way, and ends. */
  close (): Promise<void>
}

/** Starts the service from the environment; ends the process with one clear line if it cannot. */
export async function serve (): Promise<void> {
  let running: Running | null = null
  let metrics: MetricsListener | undefined
  try {
    loadDotEnv()
    const service = readEnvironment(process.env)
    const { host, metricsPort: port } = service
    // First, so that a port that cannot be had is said before anything has started.
    if (port !== undefined && !isWorker()) {
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
  const { log, reloadSecretKeys, close } = running
  if (metrics !== undefined) log.info(`metrics at ${metrics.url}`)
  if (!isWorker()) writeEvent(log, 'sys_startup', {})
  process.on('SIGHUP', () => {
    try {
      reloadSecretKeys()
    } catch (error) {
      log.error({ err: error }, 'the secret keys cannot be read anew; they stay as they were')
    }
  })
  const { close: stop } = closeWithGrace({
    delay: LONGEST_STOP_MS,
    skip: ['SIGHUP', ...isWorker() ? STOPS_WORKER : []],
    logger: { error: (text: unknown) => { log.error(text) } }
  }, async ({ err: error, signal }) => {
    if (error !== undefined) {
      log.error({ err: error }, 'hatcheck stops after an error')
      writeEvent(log, 'sys_crash', {})
    } else if (!isWorker()) {
      log.info(`${signal} received: hatcheck stops`)
      writeEvent(log, 'sys_shutdown', { reason: String(signal) })
    }
    await close()
    await metrics?.close()
  })
  if (!isWorker()) return
  // Ctrl-C, or a service manager, reaches the workers as well as the primary, which then tells them once more. That is no
  // second wish to stop, which would be: at once.
  let isStopping = false
  for (const signal of STOPS_WORKER) {
    process.on(signal, () => {
      if (!isStopping) stop()
      isStopping = true
    })
  }
}

async function startService (service: ServiceConfig): Promise<Running> {
  const { host, port, logLevel } = service
  // What is said of the start is said by one of all workers. What is wrong, each says.
  const isQuiet = !hasDuty('announces') && !['error', 'fatal', 'silent'].includes(logLevel)
  const fastify = await build({ ...service, logLevel: isQuiet ? 'warn' : logLevel })
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
    reloadSecretKeys () { sessions.reloadSecretKeys() },
    metrics: async () => await hatcheck.metrics?.text() ?? '',
    async close () {
      // Node looks for slow ones no more once it closes, and one that never ends its request would keep it open.
      const cutting = setTimeout(() => { server.closeAllConnections() }, GRACE_MS)
      await hatcheck.drain()
      // A connection that was busy when the closing began is idle after its answer, and would keep it open too.
      const ending = setInterval(() => { server.closeIdleConnections() }, END_EVERY_MS)
      await fastify.close()
      clearTimeout(cutting)
      clearInterval(ending)
    }
  }
}

/** Null if the workers cannot start; the first has said why. */
async function startPrimary ({ workers: count, logLevel, mode, options }: ServiceConfig): Promise<Running | null> {
  // What is wrong here is wrong for all, and of a key that has to be made there is one.
  secretsOf(resolveConfig(options, mode))
  const { startWorkers } = await import('./plugins/workers/primary.js')
  const { log } = Fastify({ logger: await loggerOptions(logLevel) })
  const workers = await startWorkers({
    count,
    onEnd (worker, how) {
      if (how === 0) log.info({ worker }, 'a worker was stopped; another one takes its place')
      else writeEvent(log, 'sys_crash', { reason: String(how), ...worker !== undefined && { worker } })
    },
    onError (error) { log.error({ err: error }, 'the system refuses something to a worker') }
  })
  if (workers === null) return null
  workers.all().then(() => { log.info(`workers: ${count}`) }, () => {})
  return { log, reloadSecretKeys () { workers.signal('SIGHUP') }, metrics: workers.metrics, close: workers.stop }
}

async function build ({ logLevel, trustProxy, metricsPort, mode, options }: ServiceConfig): Promise<FastifyInstance> {
  const fastify = Fastify({
    logger: await loggerOptions(logLevel),
    trustProxy: trustProxy && trustedProxies(trustProxy),
    ...TIMEOUTS,
    // On a connection that is open still, a request is answered to the end.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => { fastify.hatcheck.answerParserError(error, socket) },
    // An address that cannot be decoded, or is too long, reaches no route and no error handler.
    frameworkErrors: (error, request, reply) => {
      // Its text would tell the whole address, with the query, in the answer and in the log.
      error.message = ADDRESS_ERRORS[error.code] ?? error.message
      fastify.hatcheck.handleError(error, request as never, reply as never)
      fastify.hatcheck.metrics?.countRequest(request as never, reply as never)
    }
  }) as unknown as FastifyInstance
  await fastify.register(hatcheckService, { ...options, mode, metricsRoute: metricsPort === undefined })
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

/** JSON lines; at a terminal, if pino-pretty is there, lines for people. */
async function loggerOptions (level: string): Promise<NonNullable<FastifyServerOptions['logger']>> {
  if (level === 'silent') return false
  const lines = { level, timestamp: isoTime, serializers: { req: describeRequest }, redact: SECRET_FIELDS }
  const isPretty = process.stdout.isTTY && await import('pino-pretty').then(() => true, () => false)
  return isPretty ? { ...lines, transport: { target: 'pino-pretty', options: { ignore: isWorker() ? 'hostname' : 'pid,hostname', translateTime: 'SYS:HH:MM:ss' } } } : lines
}

/** UTC, so that it can be read as it is. */
function isoTime (): string {
  return `,"time":"${new Date().toISOString()}"`
}

/** What every request is logged with: no header, and of the address the path alone, since a query may have anything in it. */
export function describeRequest ({ method, url, host, ip, socket }: FastifyRequest): Record<string, unknown> {
  return { method, url: url.split('?', 1)[0], host, remoteAddress: ip, remotePort: socket.remotePort }
}

const startedAs = process.argv[1]
if (startedAs !== undefined && realpathSync(startedAs) === fileURLToPath(import.meta.url)) await serve()
