import type { FastifyRequest } from 'fastify'
import type { Http2Stream } from 'node:http2'

/**
 * Makes a request with a body of no bytes one without a body. Some clients name a type or a coding with every request, a logout among
 * them, and Fastify would refuse a type that no route reads.
 */
export function ignoreTypeOfMissingBody ({ raw }: Pick<FastifyRequest, 'raw'>): void {
  const { headers, stream } = raw as typeof raw & { stream?: Http2Stream }
  // HTTP/2 does not need to name the length.
  if (headers['content-length'] !== '0' && stream?.endAfterHeaders !== true) return
  delete headers['content-type']
  delete headers['content-encoding']
}
