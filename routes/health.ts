import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { createUnavailable } from '../plugins/common/unavailable.js'
import { quietLevel } from '../plugins/common/log-level.js'
import { isLoopback } from '../plugins/common/loopback.js'
import { TEXT_FORMAT } from '../plugins/metrics/listener.js'
import { exactly, json, problems } from '../plugins/openapi/answers.js'
import { guarded } from '../plugins/store/errors.js'

export const StoppingError = createUnavailable('HATCHECK_STOPPING', 'The service is about to stop.')

const schemas = {
  health: {
    operationId: 'checkHealth',
    tags: ['Operations'],
    summary: 'Whether the process is alive',
    security: [],
    response: { 200: json('The process is alive.', exactly({ status: { const: 'ok' } })), ...problems() }
  },
  readiness: {
    operationId: 'checkReadiness',
    tags: ['Operations'],
    summary: 'Whether the service can work',
    description: 'Asks the store, and is 503 while the service stops.',
    security: [],
    response: { 200: json('The store answers.', exactly({ status: { const: 'ready' } })), ...problems(StoppingError) }
  }
} satisfies Record<string, FastifySchema>

/** Adds the routes for monitoring: `/healthz` (the process is alive), `/readyz` (the store answers) and `/metrics`. */
export default async function health (fastify: FastifyInstance): Promise<void> {
  const { config, storage, metrics, isLocal, handleNotFound } = fastify.hatcheck
  // An application has its own, and knows what else to check.
  if (config.mode === 'plugin') return
  // Probes come every few seconds and would fill the log.
  const quiet = quietLevel(fastify.log.level)
  // A slow service is alive, and its metrics matter most while it is slow.
  const always = { answersUnderPressure: true }

  fastify.get('/healthz', { schema: schemas.health, ...quiet, config: always }, (_request, reply) => { reply.send({ status: 'ok' }) })

  // Redis has 250 ms to answer.
  fastify.get('/readyz', { schema: schemas.readiness, ...quiet }, async () => {
    if (fastify.hatcheck.isDraining) throw new StoppingError()
    await guarded('ping', () => storage.sessions.ping())
    return { status: 'ready' }
  })

  if (metrics?.hasRoute !== true) return
  fastify.get('/metrics', {
    ...quiet,
    config: { ...always, isHiddenFrom: isElsewhere },
    onRequest (request, reply, done) {
      if (isElsewhere(request)) handleNotFound(request, reply)
      else done()
    }
  }, async (_request, reply) => await reply.type(TEXT_FORMAT).send(await metrics.text()))

  function isElsewhere (request: FastifyRequest): boolean {
    return !isLoopback(request.socket.remoteAddress ?? '') || !isLocal(request)
  }
}
