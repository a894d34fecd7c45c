/**
 * The option `schemaController` of a Fastify in which every scope with schemas has compilers of its own. Otherwise Fastify loads
 * Ajv and fast-json-stringify, which is a tenth of the start of the service.
 */
export const noCompilers = { compilersFactory: { buildValidator: refuse, buildSerializer: refuse } }

function refuse (): never {
  throw new Error('A route with a schema needs the compilers of describeRoutes.')
}
