import fp from 'fastify-plugin'
import { STATUS_CODES, type OutgoingMessage } from 'node:http'
import type { Socket } from 'node:net'

declare module 'fastify' {
  interface Hatcheck {
    /** Answers what is no request, so that there is nothing else to answer it, and ends the connection. */
    answerParserError (error: NodeJS.ErrnoException, socket: Socket): void
  }
}

/** By the code of the error. Anything else is a 400. */
const ANSWERS: Record<string, { status: number, code: string, detail: string }> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'HATCHECK_REQUEST_TIMEOUT', detail: 'The request did not come to its end in time.' },
  HPE_HEADER_OVERFLOW: { status: 431, code: 'HATCHECK_HEADER_SIZE', detail: 'The header of this request is larger than 16 KiB.' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, code: 'HATCHECK_CHUNK_EXTENSIONS', detail: 'The chunk extensions of this request are larger than 16 KiB.' }
}
const BAD_REQUEST = { status: 400, code: 'HATCHECK_BAD_REQUEST', detail: 'This is not an HTTP request as RFC 9112 describes it.' }

/** The answers of the service that come before Fastify, with what all others have. */
export default fp(async function parserErrors (fastify) {
  const { hatcheck } = fastify

  hatcheck.answerParserError = (error, socket) => {
    // The connection is gone.
    if (error.code === 'ECONNRESET' || socket.destroyed) return
    const { status, code, detail } = ANSWERS[error.code ?? ''] ?? BAD_REQUEST
    fastify.log.trace({ err: error }, 'what came is no request')
    const { _httpMessage: underWay } = socket as { _httpMessage?: OutgoingMessage | null }
    // After the beginning of another answer, it would be read as a part of that.
    if (socket.writable && underWay?.headersSent !== true) {
      const title = STATUS_CODES[status]
      const body = JSON.stringify({ type: 'about:blank', title, status, detail, code })
      const headers = {
        ...hatcheck.plainHeaders,
        date: new Date().toUTCString(),
        connection: 'close',
        'content-type': 'application/problem+json; charset=utf-8',
        'content-length': Buffer.byteLength(body)
      }
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
      socket.write(`HTTP/1.1 ${status} ${title}\r\n${lines}\r\n${body}`)
    }
    socket.destroySoon()
  }
}, { name: 'parser-errors', dependencies: ['config', 'security-headers'] })
