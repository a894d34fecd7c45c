import type { FastifyRequest } from 'fastify'
import { createRefusal, withHeaders } from '../common/http-errors.js'

/** Where the body ends depends on the coding, so further bytes may belong to another request. */
export const TransferCodingError = withHeaders(
  createRefusal('HATCHECK_TRANSFER_CODING', 'The only transfer coding that this server supports is chunked.', 400), { connection: 'close' })
export const ContentCodingError = withHeaders(
  createRefusal('HATCHECK_CONTENT_CODING', 'The body of a request must not have a Content-Encoding such as gzip.', 415), { 'accept-encoding': 'identity' })

const PLAIN = /^(?:identity)?$/i

/** Says why a request is refused whose transfer coding Node does not undo; null if it is not. Source: RFC 9112, section 6.1. */
export function transferCodingError ({ headers }: Pick<FastifyRequest, 'headers'>): Error | null {
  const coding = headers['transfer-encoding']
  return coding === undefined || coding.toLowerCase() === 'chunked' ? null : new TransferCodingError()
}

/** Says why a request is refused whose body the service would read as it is, encoded; null if it is not. Source: RFC 9110, section 8.4. */
export function contentCodingError ({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>): Error | null {
  // The service reads no body of these.
  if (method === 'GET' || method === 'HEAD') return null
  return PLAIN.test(headers['content-encoding'] ?? '') ? null : new ContentCodingError()
}
