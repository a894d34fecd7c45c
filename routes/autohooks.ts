import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'

/** What all of hatcheck's own routes have in common, and no route of a host application. */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  const { secureHeaders, refusalOf, noteUntrustedProxy, crossOriginError } = hatcheck
  fastify.setErrorHandler(hatcheck.handleError)
  hatcheck.describeRoutes(fastify)
  if (hatcheck.config.mode !== 'plugin') fastify.addHook('onRoute', hatcheck.noteRoute)
  // With a callback, since it runs for every request: a promise would cost more than the checks.
  fastify.addHook('onRequest', function guard (request, reply, done) {
    secureHeaders(request, reply)
    noteUntrustedProxy(request)
    const error = refusalOf(request) ?? crossOriginError(request)
    if (error === null) done()
    else done(error)
  })
  // Text is no form: without this, a body of that type would count as one without fields.
  if (fastify.hasContentTypeParser('text/plain')) fastify.removeContentTypeParser('text/plain')
  if (!fastify.hasContentTypeParser('application/x-www-form-urlencoded')) await fastify.register(formbody)
}
