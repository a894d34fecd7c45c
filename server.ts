import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hatcheckService } from './app.js'
import { loadDotEnv, readEnvironment, type ServiceConfig } from './plugins/config/environment.js'

/** Requests under way at a SIGTERM have so long to end, in ms. */
const GRACE_MS = 10_000
const DRAIN_EVERY_MS = 50

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
  const { log } = fastify
  const running = fastify
  process.on('SIGHUP', () => {
    try {
      running.sessions.reloadSecretKeys()
    } catch (error) {
      log.error({ err: error }, 'the secret keys cannot be read anew; they stay as they were')
    }
  })
  closeWithGrace({ delay: GRACE_MS, skip: ['SIGHUP'], logger: { error: (text: unknown) => { log.error(text) } } }, async ({ err: error, signal }) => {
    if (error === undefined) log.info(`${signal} received: hatcheck stops`)
    else log.error({ err: error }, 'hatcheck stops after an error')
    // A connection that was busy when the closing began is idle after its answer, and would keep the server open.
    const draining = setInterval(() => { running.server.closeIdleConnections() }, DRAIN_EVERY_MS)
    await running.close()
    clearInterval(draining)
  })
}

async function build ({ logLevel, trustProxy, mode, options }: ServiceConfig): Promise<FastifyInstance> {
  const fastify = Fastify({
    logger: await loggerOptions(logLevel),
    trustProxy,
    // An address that cannot be decoded reaches no route and no error handler.
    frameworkErrors: (error, request, reply) => { fastify.hatcheck.handleError(error, request as never, reply as never) }
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
  const isPretty = process.stdout.isTTY && await import('pino-pretty').then(() => true, () => false)
  return isPretty ? { level, transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } } } : { level }
}

const startedAs = process.argv[1]
if (startedAs !== undefined && realpathSync(startedAs) === fileURLToPath(import.meta.url)) await serve()
