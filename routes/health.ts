import type { FastifyInstance } from 'fastify'
import createError from '@fastify/error'
import { guarded } from '../plugins/session/errors.js'

export const StoppingError = createError('HATCHECK_STOPPING', 'The service is about to stop.', 503)

/** For what watches over the service: `/healthz` says that the process serves, `/readyz` that it can do its work. */
export default async function health (fastify: FastifyInstance): Promise<void> {
  const { config, storage } = fastify.hatcheck
  // An application has its own, and knows what else it needs.
  if (config.mode === 'plugin') return
  // They are asked every few seconds, for ever. A log that is quieter still stays so.
  const quiet = ['error', 'fatal'].includes(fastify.log.level) ? {} : { logLevel: 'warn' } as const

  fastify.get('/healthz', quiet, (_request, reply) => { reply.send({ status: 'ok' }) })

  // Redis is waited for for 250 ms.
  fastify.get('/readyz', quiet, async () => {
    if (fastify.hatcheck.isDraining) throw new StoppingError()
    await guarded('ping', () => storage.sessions.ping())
    return { status: 'ready' }
  })
}
