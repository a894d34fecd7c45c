import type { FastifyInstance, FastifySchema } from 'fastify'
import { SERVICE_ERRORS, json, problems } from '../plugins/openapi/answers.js'

const schema = {
  operationId: 'getOpenApi',
  tags: ['Operations'],
  summary: 'Get this document',
  security: [],
  response: {
    200: json('The OpenAPI document of this service.', {
      type: 'object',
      required: ['openapi', 'info', 'paths', 'components'],
      properties: { openapi: { const: '3.1.0' }, info: { type: 'object' }, paths: { type: 'object' }, components: { type: 'object' } }
    }),
    ...problems(...SERVICE_ERRORS)
  }
} satisfies FastifySchema

/** Serves the OpenAPI document of all routes. */
export default async function openapi (fastify: FastifyInstance): Promise<void> {
  const { document } = fastify.hatcheck.openapi
  // An application describes itself.
  if (document === undefined) return

  fastify.get('/openapi.json', { schema }, async (_request, reply) => await reply.type('application/json; charset=utf-8').send(await document()))
}
