import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyHttpOptions, type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import { realpathSync } from 'node:fs'
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { hatcheckService } from './app.js'
import { loadDotEnv, readEnvironment, type ServiceConfig } from './plugins/config/environment.js'

/** Requests under way at a SIGTERM have so long to end, in ms; then their connections are closed. */
const GRACE_MS = 5_000
/** So long after a SIGTERM the process ends in any case, in ms: a store may take 5 s to write what is left, and Docker waits for 10 s. */
const LONGEST_STOP_MS = 10_000
const DRAIN_EVERY_MS = 50

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
  http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000 }
} satisfies FastifyHttpOptions<Server>

/** What Fastify says of an address, in other words. */
const ADDRESS_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The address of this request cannot be decoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of this address is longer than 100 characters.'
}

/** No line of today has any of them. These are here for the line that someone adds in a hurry. */
const SECRET_FIELDS = ['password', 'pwd', 'cookie', 'secretKey', 'body.password', 'body.pwd',
  'headers.cookie', 'headers.authorization', 'headers["set-cookie"]']

/** Starts the service from the environment; ends the process with one clear line if it cannot. */
export async function serve (): Promise<void> {
  let fastify: FastifyInstance | undefined
  try {
    loadDotEnv()
    const service = readEnvironment(process.env)
    fastify = await build(service)
    await fastify.listen({ host: service.host, port: service.port, listenTextResolver: (address) => `hatcheck listens at ${address}` })
  } catch (error) {
    await fastify?.close()
    process.stderr.write(`hatcheck: ${(error as Error).message}\n`)
    process.exitCode = 1
    return
  }
  const { log, hatcheck } = fastify
  const running = fastify
  hatcheck.audit('sys_startup', null)
  process.on('SIGHUP', () => {
    try {
      running.sessions.reloadSecretKeys()
    } catch (error) {
      log.error({ err: error }, 'the secret keys cannot be read anew; they stay as they were')
    }
  })
  closeWithGrace({ delay: LONGEST_STOP_MS, skip: ['SIGHUP'], logger: { error: (text: unknown) => { log.error(text) } } }, async ({ err: error, signal }) => {
    if (error === undefined) {
      log.info(`${signal} received: hatcheck stops`)
      hatcheck.audit('sys_shutdown', null, { reason: String(signal) })
    } else {
      log.error({ err: error }, 'hatcheck stops after an error')
      hatcheck.audit('sys_crash', null)
    }
    // A connection that was busy when the closing began is idle after its answer, and would keep the server open.
    const draining = setInterval(() => { running.server.closeIdleConnections() }, DRAIN_EVERY_MS)
    // Node looks for slow ones no more, and one that never ends its request would keep it open too.
    const cutting = setTimeout(() => { running.server.closeAllConnections() }, GRACE_MS)
    await running.close()
    clearTimeout(cutting)
    clearInterval(draining)
  })
}

async function build ({ logLevel, trustProxy, mode, options }: ServiceConfig): Promise<FastifyInstance> {
  const fastify = Fastify({
    logger: await loggerOptions(logLevel),
    trustProxy,
    ...TIMEOUTS,
    // An address that cannot be decoded, or is too long, reaches no route and no error handler.
    frameworkErrors: (error, request, reply) => {
      // Its text would tell the whole address, with the query, in the answer and in the log.
      error.message = ADDRESS_ERRORS[error.code] ?? error.message
      fastify.hatcheck.handleError(error, request as never, reply as never)
    }
  }) as unknown as FastifyInstance
  await fastify.register(hatcheckService, { ...options, mode })
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
  return isPretty ? { ...lines, transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' } } } : lines
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
