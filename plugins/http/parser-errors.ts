import type { FastifyBaseLogger } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { STATUS_CODES } from '../common/node-http.js'

/** By the code of the error. Anything else is a 400. */
const ANSWERS: Record<string, { status: number, code: string, detail: string }> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'HATCHECK_REQUEST_TIMEOUT', detail: 'The request was not complete in time.' },
  HPE_HEADER_OVERFLOW: { status: 431, code: 'HATCHECK_HEADER_SIZE', detail: 'The header of this request is larger than 16 KiB.' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, code: 'HATCHECK_CHUNK_EXTENSIONS', detail: 'The chunk extensions of this request are larger than 16 KiB.' }
}
const BAD_REQUEST = { status: 400, code: 'HATCHECK_BAD_REQUEST', detail: 'This is not an HTTP request as RFC 9112 describes it.' }

/** What Node knows of a connection: the answer whose turn it is, and the request that came last. */
interface Connection {
  _httpMessage?: ServerResponse | null
  parser?: { incoming?: IncomingMessage | null } | null
}

/**
 * Makes a function that answers bytes which are no HTTP request, and ends the connection. Fastify does not see them.
 *
 * @param plainHeaders the headers of every answer over plain http
 */
export function createParserErrors (log: FastifyBaseLogger, plainHeaders: Readonly<Record<string, string>>): (error: NodeJS.ErrnoException, socket: Socket) => void {
  /** Connections that end. Later bytes on them are ignored. */
  const ending = new WeakSet<Socket>()

  function answerParserError (error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || ending.has(socket)) return
    ending.add(socket)
    const { code, message } = error
    // The error also has the bytes of the request.
    log.trace({ err: { code, message } }, 'the client sent no valid request')
    answerInTurn(error, socket)
  }

  /** The requests before it are owed their answers first: a client takes the next answer for that of its oldest request. */
  function answerInTurn (error: NodeJS.ErrnoException, socket: Socket): void {
    if (socket.destroyed) return
    const { _httpMessage: underWay, parser } = socket as Connection
    if (underWay?.req.complete === true) {
      underWay.once('close', () => { answerInTurn(error, socket) })
      return
    }
    // A request whose body is wrong may have been answered before its end: one answer more would be that of another request.
    const isAnswered = underWay?.headersSent ?? parser?.incoming?.complete === false
    if (socket.writable && !isAnswered) socket.write(answerTo(error))
    socket.destroySoon()
  }

  function answerTo ({ code: errorCode = '' }: NodeJS.ErrnoException): string {
    const { status, code, detail } = ANSWERS[errorCode] ?? BAD_REQUEST
    const title = STATUS_CODES[status]
    const body = JSON.stringify({ type: 'about:blank', title, status, detail, code })
    const headers = {
      ...plainHeaders,
      date: new Date().toUTCString(),
      connection: 'close',
      'content-type': 'application/problem+json; charset=utf-8',
      'content-length': Buffer.byteLength(body)
    }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    return `HTTP/1.1 ${status} ${title}\r\n${lines}\r\n${body}`
  }

  return answerParserError
}
