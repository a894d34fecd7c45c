import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gate } from '../../test/helper.js'

/** A point at which a request of a peer waits until the script opens it. */
export interface Gate {
  readonly name: string
  /** Resolves when the request waits here. */
  readonly reached: Promise<void>
  open (): void
}

/**
 * Gates for processes in any language: a process comes to a gate with an HTTP request, and continues when it is answered. A gate
 * that is open already lets everything pass.
 */
export class Gates {
  readonly #server: Server
  readonly #gates = new Map<string, { arrive: () => void, passed: Promise<void> }>()

  private constructor () {
    this.#server = createServer((request, response) => {
      const gate = this.#gates.get(request.url?.slice(1) ?? '')
      gate?.arrive()
      Promise.resolve(gate?.passed).then(() => { response.end() }, () => {})
    })
  }

  static async listen (): Promise<Gates> {
    const gates = new Gates()
    gates.#server.listen(0, '127.0.0.1')
    await once(gates.#server, 'listening')
    return gates
  }

  get url (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  add (): Gate {
    const name = String(this.#gates.size)
    const [arrival, departure] = [gate(), gate()]
    this.#gates.set(name, { arrive: arrival.open, passed: departure.passed })
    return { name, reached: arrival.passed, open: departure.open }
  }

  close (): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
