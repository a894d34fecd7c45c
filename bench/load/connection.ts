import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { readResponse, type Response } from './response.js'

/**
 * A kept-alive connection with one request at a time, on a bare socket: the load generator must cost less than the cheapest
 * server.
 */
export class Connection {
  readonly #socket: Socket
  #rest: Buffer | null = null
  #waiting: { resolve: (response: Response) => void, reject: (error: Error) => void } | null = null

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => { this.#receive(chunk) })
    socket.on('error', (error) => { this.#fail(error) })
    socket.on('close', () => { this.#fail(new Error('the server has closed the connection')) })
  }

  static async open (port: number): Promise<Connection> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new Connection(socket)
  }

  async send (request: string): Promise<Response> {
    // Such a socket would stay silent.
    if (this.#socket.destroyed) throw new Error('the server has closed the connection')
    return await new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(request, 'latin1')
    })
  }

  close (): void {
    this.#socket.destroy()
  }

  #receive (chunk: Buffer): void {
    const data = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    try {
      const response = readResponse(data)
      this.#rest = response === null ? data : null
      if (response !== null) this.#waiting?.resolve(response)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail (error: Error): void {
    this.#waiting?.reject(error)
  }
}
