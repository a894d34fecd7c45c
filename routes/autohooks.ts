import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'

/** What all of hatcheck's own routes have in common, and no route of a host application. */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  fastify.setErrorHandler(hatcheck.handleError)
  fastify.addHook('onRequest', hatcheck.secureHeaders)
  if (hatcheck.guardDemo !== null) fastify.addHook('onRequest', hatcheck.guardDemo)
  fastify.addHook('onRequest', hatcheck.refuseCrossOrigin)
  // Text is no form: without this, a body of that type would count as one without fields.
  if (fastify.hasContentTypeParser('text/plain')) fastify.removeContentTypeParser('text/plain')
  if (!fastify.hasContentTypeParser('application/x-www-form-urlencoded')) await fastify.register(formbody)
}
