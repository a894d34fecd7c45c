import type { FastifyBaseLogger } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { STATUS_CODES } from '../common/node-http.js'

/** An answer that is sent without Fastify. */
interface BareAnswer {
  status: number
  code: string
  detail: string
  headers?: Readonly<Record<string, string>>
}

const BAD_REQUEST: BareAnswer = { status: 400, code: 'HATCHECK_BAD_REQUEST', detail: 'This is not an HTTP request as RFC 9112 describes it.' }
/** By the code of the error. Anything else is a {@link BAD_REQUEST}. */
const ANSWERS: Record<string, BareAnswer> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'HATCHECK_REQUEST_TIMEOUT', detail: 'The request was not complete in time.' },
  HPE_HEADER_OVERFLOW: { status: 431, code: 'HATCHECK_HEADER_SIZE', detail: 'The header of this request is larger than 16 KiB.' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, code: 'HATCHECK_CHUNK_EXTENSIONS', detail: 'The chunk extensions of this request are larger than 16 KiB.' },
  // For Node, an unknown method and bytes that are no HTTP are the same error.
  HPE_INVALID_METHOD: { ...BAD_REQUEST, detail: 'This is not an HTTP request, or its method is unknown.' }
}
const EXPECTATION: BareAnswer = { status: 417, code: 'HATCHECK_EXPECTATION', detail: 'The only expectation that this server supports is 100-continue.' }
/** Its target is another server, which takes no method here. */
const CONNECT: BareAnswer = { status: 405, code: 'HATCHECK_METHOD_NOT_ALLOWED', detail: 'This address does not support this method.', headers: { allow: '' } }

/** The part of Node's state of a connection that is used here: the answer whose turn it is, and the request that came last. */
interface Connection {
  _httpMessage?: ServerResponse | null
  parser?: { incoming?: IncomingMessage | null } | null
}

/**
 * Makes the answers to what Fastify does not see: bytes that are not an HTTP request, and two kinds of requests that Node keeps to
 * itself. Each ends the connection.
 *
 * @param plainHeaders the headers of every answer over plain http
 */
export function createParserErrors (log: FastifyBaseLogger, plainHeaders: Readonly<Record<string, string>>) {
  /** Connections that end. Later bytes on them are ignored. */
  const ending = new WeakSet<Socket>()

  function answerParserError (error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || ending.has(socket)) return
    ending.add(socket)
    const { code, message } = error
    // The error also has the bytes of the request.
    log.trace({ err: { code, message } }, 'the client sent no valid request')
    answerInTurn(ANSWERS[code ?? ''] ?? BAD_REQUEST, socket)
  }

  /** Answers CONNECT: a listener of `connect`. */
  function answerConnect (_request: IncomingMessage, stream: Duplex): void {
    // Node has removed its own listener, so an error would end the process.
    stream.on('error', () => {})
    answerInTurn(CONNECT, stream as Socket)
  }

  /** Answers a request that expects something other than 100-continue: a listener of `checkExpectation`. */
  function answerExpectation (_request: IncomingMessage, response: ServerResponse): void {
    const { headers, body } = answerTo(EXPECTATION)
    response.writeHead(EXPECTATION.status, headers).end(body)
  }

  /** The requests before it are owed their answers first: a client takes the next answer for that of its oldest request. */
  function answerInTurn (bare: BareAnswer, socket: Socket): void {
    if (socket.destroyed) return
    const { _httpMessage: underWay, parser } = socket as Connection
    if (underWay?.req.complete === true) {
      underWay.once('close', () => { answerInTurn(bare, socket) })
      return
    }
    // A request whose body is wrong may have been answered before its end: one answer more would be that of another request.
    const isAnswered = underWay?.headersSent ?? parser?.incoming?.complete === false
    if (socket.writable && !isAnswered) socket.write(textOf(bare))
    socket.destroySoon()
  }

  function textOf (bare: BareAnswer): string {
    const { headers, body } = answerTo(bare)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    return `HTTP/1.1 ${bare.status} ${STATUS_CODES[bare.status]}\r\n${lines}\r\n${body}`
  }

  function answerTo ({ status, code, detail, headers }: BareAnswer) {
    const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail, code })
    return {
      headers: {
        ...plainHeaders,
        ...headers,
        date: new Date().toUTCString(),
        connection: 'close',
        'content-type': 'application/problem+json; charset=utf-8',
        'content-length': Buffer.byteLength(body)
      },
      body
    }
  }

  return { answerParserError, answerConnect, answerExpectation }
}
