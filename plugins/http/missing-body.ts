import type { FastifyRequest } from 'fastify'

/**
 * Makes a request with a body of no bytes one without a body. Some clients name a type or a coding with every request, a logout among
 * them, and Fastify would refuse a type that no route reads.
 */
export function ignoreTypeOfMissingBody ({ raw: { headers } }: Pick<FastifyRequest, 'raw'>): void {
  // Without the length there can be a body: HTTP/2 does not need to name it.
  if (headers['content-length'] !== '0') return
  delete headers['content-type']
  delete headers['content-encoding']
}
