import type { FastifyError, FastifyInstance } from 'fastify'
import { NOBODY } from './names.js'

/**
 * Replaces what the pages have in common. A proxy has no use for headers meant for browsers, and the origin of a request is the
 * business of the application behind the proxy.
 */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  const { http: { handleError }, openapi } = fastify.hatcheck
  // A request can be refused before it reaches the route.
  fastify.setErrorHandler((error, request, reply) => handleError(error as FastifyError, request, reply.headers(NOBODY)))
  openapi.describeRoutes(fastify)
}
