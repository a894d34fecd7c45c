import type { FastifyError, FastifyInstance } from 'fastify'
import { NOBODY } from './names.js'

/**
 * In place of what the pages have in common. The headers for browsers would be of no use to a proxy, which asks before
 * every request; and where the request comes from is the business of the application that it is for.
 */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  const { handleError, describeRoutes } = fastify.hatcheck
  // A request can be refused before the route gets to see it.
  fastify.setErrorHandler((error, request, reply) => handleError(error as FastifyError, request, reply.headers(NOBODY)))
  describeRoutes(fastify)
}
