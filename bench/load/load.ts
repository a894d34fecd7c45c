import type { RequestTemplate } from '../requests.js'
import { Connection } from './connection.js'
import type { Visitor } from './visitor.js'

/** The visitor who sends the next request, and the word in its body. */
interface Turn {
  visitor: Visitor
  word?: string
}

/** Chooses the visitor who sends the next request of a connection; null: none is left. */
export type Turns = (connection: number) => Turn | null

export interface Result {
  elapsedMs: number
  /** How long each request took. */
  latenciesMs: number[]
}

/** With fewer requests, a measurement goes on for up to {@link MAX_EXTENSION} times as long. */
const MIN_REQUESTS = 100
const MAX_EXTENSION = 5

/** Kept-alive connections to one server. */
export class Load {
  readonly #port: number
  readonly #connections: readonly Connection[]

  private constructor (port: number, connections: readonly Connection[]) {
    this.#port = port
    this.#connections = connections
  }

  static async open (port: number, connections: number): Promise<Load> {
    return new Load(port, await Promise.all(Array.from({ length: connections }, () => Connection.open(port))))
  }

  /**
   * Sends requests, on each connection one after another, for some time or until no visitor is left. A slow server gets more time:
   * a median needs some requests.
   *
   * This process stays awake all the while. One that sleeps until the next answer has to be woken by the server, which costs
   * the server more than the session does, and the more the slower it is: that would be measured instead.
   *
   * @param isLenient whether a request may be refused
   * @throws if a request is refused, or if two pages differ in length.
   */
  async run (template: RequestTemplate, turns: Turns, ms: number, isLenient = false): Promise<Result> {
    const textOf = writer(template, this.#port)
    const latenciesMs: number[] = []
    let pageBytes: number | undefined
    let isRunning = true
    const isTime = (elapsed: number): boolean => elapsed < ms || (latenciesMs.length < MIN_REQUESTS && elapsed < MAX_EXTENSION * ms)
    const stayAwake = (): void => { if (isRunning) setImmediate(stayAwake) }
    stayAwake()
    const start = performance.now()
    try {
      await Promise.all(this.#connections.map(async (connection, index) => {
        while (isTime(performance.now() - start)) {
          const turn = turns(index)
          if (turn === null) return
          const begun = performance.now()
          const { status, head, bodyBytes } = await connection.send(textOf(turn))
          latenciesMs.push(performance.now() - begun)
          const isRefused = status < 200 || status >= 400
          if (isRefused && isLenient) continue
          if (isRefused) throw new Error(`${template.method} ${template.path} is answered with ${head}`)
          if (template.headers?.['accept'] === 'text/html' && bodyBytes !== (pageBytes ??= bodyBytes)) throw new Error(`pages of ${pageBytes} and of ${bodyBytes} bytes`)
          turn.visitor.take(head)
        }
      }))
    } finally {
      isRunning = false
    }
    return { elapsedMs: performance.now() - start, latenciesMs }
  }

  close (): void {
    for (const connection of this.#connections) connection.close()
  }
}

/** Writes the request of a turn. */
function writer ({ method, path, headers = {}, body }: RequestTemplate, port: number): (turn: Turn) => string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${lines}`
  if (method === 'GET') return ({ visitor }) => `${head}${visitor.cookieLine}\r\n`
  if (body === undefined) return ({ visitor }) => `${head}${visitor.cookieLine}content-length: 0\r\n\r\n`
  return ({ visitor, word = '' }) => {
    const text = body(word)
    return `${head}${visitor.cookieLine}content-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`
  }
}
