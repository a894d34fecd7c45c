import type { FastifyInstance } from 'fastify'
import { guarded } from '../plugins/session/errors.js'

/** For what watches over the service: `/healthz` says that the process serves, `/readyz` that it can do its work. */
export default async function health (fastify: FastifyInstance): Promise<void> {
  const { config, storage } = fastify.hatcheck
  // An application has its own, and knows what else it needs.
  if (config.mode === 'plugin') return
  // They are asked every few seconds, for ever. A log that is quieter still stays so.
  const quiet = ['error', 'fatal'].includes(fastify.log.level) ? {} : { logLevel: 'warn' } as const

  fastify.get('/healthz', quiet, (_request, reply) => { reply.send({ status: 'ok' }) })

  // Once the service stops, Fastify answers 503 to everything, this included. Redis is waited for for 250 ms.
  fastify.get('/readyz', quiet, async () => {
    await guarded('ping', () => storage.sessions.ping())
    return { status: 'ready' }
  })
}
