import { connect, type Socket } from 'node:net'

const END_OF_HEAD = Buffer.from('\r\n\r\n')
/** The answers to what is no request: the server closes the connection after them. */
const ENDS_CONNECTION = [400, 431]

export interface RawAnswer {
  status: number
  head: string
  body: string
}

/**
 * Bytes to a server over one connection that is kept, many requests at once, and the answers in their order. The server
 * may close it, as it does after a request that is none; then the rest of the batch has no answer.
 */
export class RawClient {
  readonly #port: number
  #socket: Socket | null = null

  constructor (port: number) {
    this.#port = port
  }

  /** Sends requests all at once, and answers what came back for them. */
  send (requests: readonly Buffer[]): Promise<RawAnswer[]> {
    const socket = this.#socket ??= connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
    return new Promise((resolve) => {
      const answers: RawAnswer[] = []
      let rest: Buffer = Buffer.alloc(0)
      const take = (chunk: Buffer): void => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
        for (let answer = parse(rest); answer !== null; answer = parse(rest)) {
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
      // A reset after the last answer is a way of closing.
      if (socket.listenerCount('error') === 0) socket.on('error', () => {})
      socket.on('data', take).once('close', close)
      socket.write(Buffer.concat(requests))
    })
  }

  close (): void {
    this.#socket?.destroy()
  }
}

function parse (bytes: Buffer): RawAnswer & { length: number } | null {
  const end = bytes.indexOf(END_OF_HEAD)
  if (end === -1) return null
  const head = bytes.toString('latin1', 0, end)
  const length = end + END_OF_HEAD.length + Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  if (bytes.length < length) return null
  return { status: Number(head.slice(9, 12)), head, body: bytes.toString('latin1', end + END_OF_HEAD.length, length), length }
}
