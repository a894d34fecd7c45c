import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { inRequest } from './gate.js'
import { perform, type Visit } from './visit.js'

/** Serves a peer that is a plugin of Fastify. */
export async function serveFastify (port: number, register: (fastify: FastifyInstance) => Promise<void>, visitOf: (request: FastifyRequest) => Visit): Promise<void> {
  // A busy machine may need longer to start than Fastify allows.
  const fastify = Fastify({ pluginTimeout: 0 }) as unknown as FastifyInstance
  fastify.addHook('onRequest', (_request, _reply, done) => { inRequest(done) })
  await register(fastify)
  fastify.all('/*', async (request) => await perform(request.url, visitOf(request)))
  await fastify.listen({ host: '127.0.0.1', port })
}
