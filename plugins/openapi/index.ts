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
  const own = config.mode === 'plugin' ? undefined : createDocument(config, useSchemas)

  /** Makes the schemas of a scope describe its routes without validating or serializing anything. */
  function describeRoutes (scope: FastifyInstance): void {
    useSchemas(scope)
    if (own !== undefined) scope.addHook('onRoute', own.noteRoute)
  }

  return { describeRoutes, document: own?.document }
}

/** Adds the schemas that those of the routes refer to, and compilers that check and change nothing. */
function useSchemas (scope: FastifyInstance): void {
  for (const schema of [problem, user]) if (scope.getSchema(schema.$id) === undefined) scope.addSchema(schema)
  // Handlers validate their input with error texts of their own, and responses are sent as they are.
  scope.setValidatorCompiler(() => () => true)
  scope.setSerializerCompiler(() => JSON.stringify)
}
