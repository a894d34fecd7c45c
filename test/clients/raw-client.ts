import { connect, type Socket, type TcpNetConnectOpts } from 'node:net'

const END_OF_HEAD = Buffer.from('\r\n\r\n')
/** The answers to invalid requests: the server closes the connection after them. */
const ENDS_CONNECTION = [400, 431]
/** Longer than any answer takes. */
const EXCHANGE_MS = 5_000

export interface RawAnswer {
  status: number
  head: string
  body: string
}

/**
 * Sends bytes over one kept connection, many requests at once, and returns the answers in order. The server closes the
 * connection after an invalid request; then the rest of the batch has no answer.
 */
export class RawClient {
  readonly #port: number
  #socket: Socket | null = null

  constructor (port: number) {
    this.#port = port
  }

  /** Sends all requests at once. */
  send (requests: readonly Buffer[]): Promise<RawAnswer[]> {
    const socket = this.#socket ??= connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
    return new Promise((resolve) => {
      const answers: RawAnswer[] = []
      let rest: Buffer = Buffer.alloc(0)
      const take = (chunk: Buffer): void => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
        for (let answer = readAnswer(rest); answer !== null; answer = readAnswer(rest)) {
          rest = rest.subarray(answer.length)
          answers.push(answer)
        }
        if (answers.length >= requests.length) finish()
      }
      const close = (): void => {
        this.#socket = null
        finish()
      }
      const finish = (): void => {
        socket.off('data', take).off('close', close)
        if (ENDS_CONNECTION.includes(answers.at(-1)?.status ?? 0)) {
          socket.destroy()
          this.#socket = null
        }
        resolve(answers)
      }
      // A reset after the last answer counts as a close.
      if (socket.listenerCount('error') === 0) socket.on('error', () => {})
      socket.on('data', take).once('close', close)
      socket.write(Buffer.concat(requests))
    })
  }

  close (): void {
    this.#socket?.destroy()
  }
}

/**
 * Sends text over a new connection, and reads what comes back until the server closes it.
 *
 * @returns the answers in their order, and whether the server closed the connection in time
 */
export async function exchange (port: number, text: string): Promise<{ answers: RawAnswer[], isClosed: boolean }> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  const isClosed = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => { resolve(false) }, EXCHANGE_MS)
    socket.on('error', () => {}).on('data', (chunk) => { chunks.push(chunk) }).on('close', () => {
      clearTimeout(timer)
      resolve(true)
    })
    socket.write(text, 'latin1')
  })
  socket.destroy()
  const answers: RawAnswer[] = []
  for (let rest: Buffer = Buffer.concat(chunks); rest.length > 0;) {
    const answer = readAnswer(rest, 'GET', isClosed)
    if (answer === null) throw new Error(`no answer: ${rest.toString()}`)
    answers.push(answer)
    rest = rest.subarray(answer.length)
  }
  return { answers, isClosed }
}

/**
 * Reads the answer at the beginning of the bytes, and its length; null if it is not complete.
 *
 * @param method the method of the request, since the answer to HEAD has no body
 * @param isClosed whether no more bytes come: that ends a body without a length
 */
export function readAnswer (bytes: Buffer, method = 'GET', isClosed = false): RawAnswer & { length: number } | null {
  const end = bytes.indexOf(END_OF_HEAD)
  if (end === -1) return null
  const head = bytes.toString('latin1', 0, end)
  const status = Number(head.slice(9, 12))
  const start = end + END_OF_HEAD.length
  const answer = (to: number, length = to): RawAnswer & { length: number } => ({ status, head, body: bytes.toString('latin1', start, to), length })
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') return answer(start)
  const [, given] = /\r\ncontent-length: (\d+)/i.exec(head) ?? []
  if (given !== undefined) return bytes.length < start + Number(given) ? null : answer(start + Number(given))
  if (!/\r\ntransfer-encoding: chunked/i.test(head)) return isClosed ? answer(bytes.length) : null
  for (let at = start; ;) {
    const line = bytes.indexOf('\r\n', at)
    if (line === -1) return null
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    at = line + 2 + size + 2
    if (bytes.length < at) return null
    if (size === 0) return answer(at)
  }
}

/** Connects to a service; an error counts as a close. */
export function openSocket (url: string, options: Pick<TcpNetConnectOpts, 'localAddress' | 'noDelay'> = {}): Socket {
  const { hostname, port } = new URL(url)
  return connect({ ...options, host: hostname, port: Number(port) }).on('error', () => {})
}

/** Returns the bytes that arrive until the other side closes the connection. */
export async function allFrom (socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk) => { text += chunk.toString('latin1') })
  // Not by `once`, which an error, such as a reset, would make fail.
  if (!socket.closed) await new Promise((resolve) => { socket.once('close', resolve) })
  return text
}

/** Returns the status and the reason of each answer in a text. */
export function statusLines (text: string): string[] {
  return [...text.matchAll(/^HTTP\/1\.1 (.+)\r$/gm)].map(([, status = '']) => status)
}
