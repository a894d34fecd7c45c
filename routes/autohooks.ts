import type { FastifyInstance } from 'fastify'
import { unlessInstalled } from '../plugins/common/not-installed.js'

/** What all of hatcheck's own routes have in common, and no route of a host application. */
export default async function shared (fastify: FastifyInstance): Promise<void> {
  const { http: { secureHeaders, handleError }, guards: { refusalOf, noteUntrustedProxy, crossOriginError, otherMethods }, openapi } = fastify.hatcheck
  fastify.setErrorHandler(handleError)
  openapi.describeRoutes(fastify)
  if (otherMethods !== undefined) fastify.addHook('onRoute', otherMethods.noteRoute)
  // With a callback: it runs for every request, and a promise costs more than the checks.
  fastify.addHook('onRequest', function guard (request, reply, done) {
    secureHeaders(request, reply)
    noteUntrustedProxy(request)
    const error = refusalOf(request) ?? crossOriginError(request)
    if (error === null) done()
    else done(error)
  })
  // Without this, a text body would count as a form without fields.
  if (fastify.hasContentTypeParser('text/plain')) fastify.removeContentTypeParser('text/plain')
  if (!fastify.hasContentTypeParser('application/x-www-form-urlencoded')) {
    const { default: formbody } = await import('@fastify/formbody').catch(unlessInstalled('@fastify/formbody'))
    await fastify.register(formbody)
  }
}
