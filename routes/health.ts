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
    summary: 'Does the process serve?',
    security: [],
    response: { 200: json('It does.', exactly({ status: { const: 'ok' } })), ...problems() }
  },
  readiness: {
    operationId: 'checkReadiness',
    tags: ['Operations'],
    summary: 'Can it do its work?',
    description: 'Asks the store.',
    security: [],
    response: { 200: json('It can.', exactly({ status: { const: 'ready' } })), ...problems(StoppingError) }
  }
} satisfies Record<string, FastifySchema>

/**
 * For what watches over the service: `/healthz` says that the process serves, `/readyz` that it can do its work, `/metrics`
 * what it has done.
 */
export default async function health (fastify: FastifyInstance): Promise<void> {
  const { config, storage, metrics, isLocal, handleNotFound } = fastify.hatcheck
  // An application has its own, and knows what else it needs.
  if (config.mode === 'plugin') return
  // They are asked every few seconds, for ever. A log that is quieter still stays so.
  const quiet = quietLevel(fastify.log.level)
  // A service that is slow is not dead, and how slow it is one wants to know just then.
  const always = { answersUnderPressure: true }

  fastify.get('/healthz', { schema: schemas.health, ...quiet, config: always }, (_request, reply) => { reply.send({ status: 'ok' }) })

  // Redis is waited for for 250 ms.
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
