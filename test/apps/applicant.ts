import type { FastifyInstance } from 'fastify'
import { Client, type Answer } from '../clients/client.js'
import { START } from '../time/units.js'

export const RIGHT = 'correct horse battery'
export const WRONG = 'staple of something else'

/** A clock that stands still until a test advances it. */
export function clock (): { now: () => number, pass: (ms: number) => void } {
  let time = START
  return { now: () => time, pass (ms) { time += ms } }
}

/** A cheap authenticator that records the names it was asked about. */
export function gatekeeper (): { authenticate: (name: string, password: string) => { name: string } | null, asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    authenticate (name, password) {
      asked.push(name)
      return password === RIGHT ? { name } : null
    }
  }
}

/** A client at an address, with a cookie jar, that asks for JSON. */
export class Applicant extends Client {
  readonly #from: string

  constructor (fastify: FastifyInstance, from = '192.0.2.1') {
    super(fastify)
    this.#from = from
  }

  attempt (name: string, password = WRONG, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send({ method: 'POST', url: '/login', remoteAddress: this.#from, headers, payload: { client_name: name, password } })
  }
}
