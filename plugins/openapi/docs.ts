import type { FastifyInstance } from 'fastify'

/** The content security policy that Swagger UI needs: the policy of the pages would block it. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Serves Swagger UI at `/docs`, to read the document and try it out. For development only: the package does not depend on it. */
export async function serveDocs (fastify: FastifyInstance): Promise<void> {
  const [{ fastifySwagger }, { fastifySwaggerUi }] = await Promise.all([import('@fastify/swagger'), import('@fastify/swagger-ui')])
  const document = JSON.parse(await fastify.hatcheck.openapi.document?.() ?? '{}')
  await fastify.register(async function docs (scope) {
    scope.addHook('onRequest', (request, _reply, done) => { done(fastify.hatcheck.guards.demoError(request) ?? undefined) })
    await scope.register(fastifySwagger, { mode: 'static', specification: { document } })
    await scope.register(fastifySwaggerUi, { routePrefix: '/docs', staticCSP: POLICY })
  })
}
