import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { createUnavailable } from '../plugins/common/http-errors.js'
import { CrossOriginError } from '../plugins/guards/cross-origin.js'
import { TEXT_FORMAT } from '../plugins/metrics/text-format.js'
import { SERVICE_ERRORS, exactly, json, problems } from '../plugins/openapi/answers.js'
import { StoreUnavailableError } from '../plugins/store/errors.js'

export const StoppingError = createUnavailable('HATCHECK_STOPPING', 'The service is about to stop.')

const schemas = {
  health: {
    operationId: 'checkHealth',
    tags: ['Operations'],
    summary: 'Is the process alive?',
    security: [],
    response: { 200: json('The process is alive.', exactly({ status: { const: 'ok' } })), ...problems(CrossOriginError) }
  },
  readiness: {
    operationId: 'checkReadiness',
    tags: ['Operations'],
    summary: 'Is the service ready?',
    description: 'Checks that the session store answers, and that the service is not about to stop.',
    security: [],
    response: { 200: json('The service is ready.', exactly({ status: { const: 'ready' } })), ...problems(...SERVICE_ERRORS, StoppingError, StoreUnavailableError) }
  }
} satisfies Record<string, FastifySchema>

/** Serves monitoring: `/healthz` (the process is alive), `/readyz` (it can do its work) and `/metrics`. An application has its own checks. */
export default async function health (fastify: FastifyInstance): Promise<void> {
  const { storage, metrics, guards, http } = fastify.hatcheck
  // A slow service is not dead, and its metrics matter most then.
  const always = { answersUnderPressure: true }

  fastify.get('/healthz', { schema: schemas.health, ...http.quiet, config: always }, (_request, reply) => { reply.send({ status: 'ok' }) })

  fastify.get('/readyz', { schema: schemas.readiness, ...http.quiet }, async () => {
    if (http.isDraining()) throw new StoppingError()
    await storage.ping()
    return { status: 'ready' }
  })

  if (metrics?.hasRoute !== true) return
  fastify.get('/metrics', {
    ...http.quiet,
    config: { ...always, isHiddenFrom: isElsewhere },
    onRequest (request, reply, done) {
      if (isElsewhere(request)) http.handleNotFound(request, reply)
      else done()
    }
  }, async (_request, reply) => await reply.type(TEXT_FORMAT).send(await metrics.text()))

  function isElsewhere (request: FastifyRequest): boolean {
    return !guards.isOnThisMachine(request)
  }
}
