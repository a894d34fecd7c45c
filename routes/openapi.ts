import type { FastifyInstance, FastifySchema } from 'fastify'
import { json, problems } from '../plugins/openapi/answers.js'

const schema = {
  operationId: 'getOpenApi',
  tags: ['Operations'],
  summary: 'This document',
  security: [],
  response: {
    200: json('An OpenAPI document.', {
      type: 'object',
      required: ['openapi', 'info', 'paths', 'components'],
      properties: { openapi: { const: '3.1.0' }, info: { type: 'object' }, paths: { type: 'object' }, components: { type: 'object' } }
    }),
    ...problems()
  }
} satisfies FastifySchema

/** What all these routes take and answer, for programs that read OpenAPI. */
export default async function openapi (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  // An application describes itself.
  if (hatcheck.config.mode === 'plugin') return

  fastify.get('/openapi.json', { schema }, (_request, reply) => { reply.type('application/json; charset=utf-8').send(hatcheck.openapi()) })
}
