import { setTimeout as sleep } from 'node:timers/promises'
import { Client, cookiesSetBy, type Answer } from '../../test/clients/client.js'
import type { Gate } from './gates.js'
import type { Key, Seen } from './peers/visit.js'

/** Where a request waits; `perform` in peers/visit.ts says what each means. */
export const POSITIONS = ['begin', 'store', 'store2', 'end'] as const
export type Position = typeof POSITIONS[number]

/** A gate and where in its request it stands. */
export interface Stop {
  gate: Gate
  at: Position
}

/** A busy machine can make a peer refuse a request for a while. */
const BUSY = 503
const BUSY_MS = 100
const MAX_TRIES = 100

/** A browser with its cookies. Each request is a step of the script. */
export class Browser {
  readonly #client: Client
  readonly #name: string
  readonly #note: (step: string) => void

  constructor (url: string, name: string, note: (step: string) => void, cookies = new Map<string, string>()) {
    this.#client = new Client(url)
    this.#name = name
    this.#note = note
    for (const [cookie, value] of cookies) this.#client.cookies.set(cookie, value)
  }

  /** The cookies as they are now, for another browser to present. */
  get cookies (): Map<string, string> {
    return new Map(this.#client.cookies)
  }

  async login (user: string, stop?: Stop, owner = ''): Promise<Answer> {
    return await this.#sendUntilServed(`login/${user}${owner === '' ? '' : `/${owner}`}`, stop)
  }

  async logout (stop?: Stop): Promise<Answer> {
    return await this.#send('logout', stop)
  }

  async set (key: Key, value: string, stop?: Stop): Promise<Answer> {
    return await this.#sendUntilServed(`set/${key}/${value}`, stop)
  }

  async touch (stop?: Stop): Promise<Answer> {
    return await this.#send('touch', stop)
  }

  async renew (stop?: Stop): Promise<Answer> {
    return await this.#send('renew', stop)
  }

  async revokeAll (): Promise<Answer> {
    return await this.#send('revoke-all')
  }

  /** Returns what a handler sees with these cookies. */
  async read (): Promise<Seen> {
    const answer = await this.#sendUntilServed('read')
    if (answer.statusCode !== 200) throw new Error(`/read was answered with ${answer.statusCode}: ${answer.body}`)
    const seen = answer.json<Seen>()
    this.#note(`${this.#name} is ${seen.user ?? 'nobody'}, with ${JSON.stringify(seen.values)}`)
    return seen
  }

  /** Only what waits at no gate can be sent again. */
  async #sendUntilServed (path: string, stop?: Stop): Promise<Answer> {
    for (let i = 0; ; i++) {
      const answer = await this.#send(path, stop)
      if (answer.statusCode !== BUSY || stop !== undefined || i === MAX_TRIES) return answer
      await sleep(BUSY_MS)
    }
  }

  async #send (path: string, stop?: Stop): Promise<Answer> {
    const query = stop === undefined ? '' : `?gate=${stop.gate.name}&at=${stop.at}`
    if (stop !== undefined) this.#note(`${this.#name} sends /${path}, which is to wait at "${stop.at}"`)
    const answer = await this.#client.send({ method: 'POST', url: `/${path}${query}` })
    this.#note(`${this.#name} has the answer to /${path}: ${answer.statusCode}${setsCookie(answer) ? ', with a session cookie' : ''}`)
    return answer
  }
}

/** Tells whether an answer gives the browser a cookie, and does not just remove one. */
export function setsCookie (answer: Answer): boolean {
  const expired = [answer.headers['set-cookie'] ?? []].flat().filter((line) => Date.parse(/expires=([^;]+)/i.exec(line)?.[1] ?? '') <= Date.now())
  return cookiesSetBy(answer).some(({ name, value, isRemoval }) => !isRemoval && value !== '' && !expired.some((line) => line.startsWith(`${name}=`)))
}
