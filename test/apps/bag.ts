import type { FastifyRequest } from 'fastify'

/** The values of a session, without the types of an application. */
export type Bag = Record<string, any>

export function bag (request: FastifyRequest): Bag {
  return request.session as unknown as Bag
}
