import type { FastifyInstance } from 'fastify'

/**
 * In place of what the pages have in common. The headers for browsers would be of no use to a proxy, which asks before
 * every request; and where the request comes from is the business of the application that it is for.
 */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  fastify.setErrorHandler(fastify.hatcheck.handleError)
}
