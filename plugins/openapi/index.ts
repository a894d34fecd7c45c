import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { problem, user } from './answers.js'
import { createDocument } from './document.js'

export type OpenApi = ReturnType<typeof createOpenApi>

/**
 * Makes the OpenAPI document of the service from the schemas of the routes. In an application with `@fastify/swagger`, the same
 * schemas appear in the application's own document.
 */
export default fp(async function openapi (fastify) {
  fastify.hatcheck.provide('openapi', createOpenApi(fastify))
}, { name: 'openapi', dependencies: ['config'] })

function createOpenApi ({ hatcheck: { config } }: FastifyInstance) {
  // An application describes itself.
  const described = config.mode === 'plugin' ? undefined : createDocument(config, describe)

  /** Makes the schemas of a scope describe its routes without validating or serializing anything. */
  function describeRoutes (scope: FastifyInstance): void {
    describe(scope)
    if (described !== undefined) scope.addHook('onRoute', described.noteRoute)
  }

  return { describeRoutes, document: described?.document }
}

function describe (scope: FastifyInstance): void {
  for (const schema of [problem, user]) if (scope.getSchema(schema.$id) === undefined) scope.addSchema(schema)
  // Handlers validate their input with error texts of their own, and responses are sent as they are.
  scope.setValidatorCompiler(() => () => true)
  scope.setSerializerCompiler(() => JSON.stringify)
}
