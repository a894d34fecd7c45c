import type { Agent } from 'node:http'
import { storeKey } from '../../plugins/tickets/ticket.js'
import { Client } from '../clients/client.js'
import type { Random } from '../inputs/random.js'

/** What a visitor knows of one session. An operation without an answer has both outcomes. */
export interface Visit {
  readonly user: string
  readonly cookie: string
  readonly key: string
  /** Whether the session may be live, and whether it may have ended. */
  state: 'live' | 'ended' | 'unknown'
  /** The possible values of each key; undefined for none. */
  readonly values: Map<string, Array<string | undefined>>
}

const MOST_VISITS = 8
const KEYS = ['a', 'b', 'c', 'd']
/** Sometimes more than a page of LMDB. */
const LONGEST_VALUE = 6_000

export type Count = Record<'login' | 'set' | 'renewal' | 'read' | 'logout', number>

/** Logs in, writes, renews its ID, reads and logs out, one after another, and records what was acknowledged. */
export class Visitor {
  readonly visits: Visit[] = []
  /** Visits that changed since their last check. */
  readonly recent = new Set<Visit>()
  readonly acknowledged: Count = { login: 0, set: 0, renewal: 0, read: 0, logout: 0 }
  readonly faults: string[] = []
  readonly #name: string
  readonly #random: Random
  readonly #writes: boolean
  #written = 0

  /** @param writes false: the visitor sets no values, as each would be a new cookie where that carries the session */
  constructor (name: string, random: Random, writes = true) {
    this.#name = name
    this.#random = random
    this.#writes = writes
  }

  get live (): Visit[] {
    return this.visits.filter(({ state }) => state === 'live')
  }

  /** Continues until the service does not answer any more. */
  async roam (url: string, agent: Agent): Promise<void> {
    try {
      for (;;) await this.#step(url, agent)
    } catch (error) {
      if (error instanceof Fault) this.faults.push(error.message)
    }
  }

  async #step (url: string, agent: Agent): Promise<void> {
    const live = this.live
    const chance = this.#random.next()
    if (live.length === 0 || (live.length < MOST_VISITS && chance < 0.3)) await this.#login(url, agent)
    else if (chance < 0.65 && this.#writes) await this.#set(this.#random.of(live), url, agent)
    else if (chance < 0.72) await this.#renew(this.#random.of(live), url, agent)
    else if (chance < 0.8) await this.look(this.#random.of(live), url, agent)
    else await this.#logout(this.#random.of(live), url, agent)
  }

  async #login (url: string, agent: Agent): Promise<void> {
    const client = new Client(url, { agent })
    const status = await post(client, `/login/${this.#name}`)
    if (status !== 200 || client.cookie() === '') throw new Fault(`a login got ${status}`)
    this.#begin(client.cookie())
    this.acknowledged.login++
  }

  /** The visit goes on under a new ID with the same values. */
  async #renew (visit: Visit, url: string, agent: Agent): Promise<void> {
    this.recent.add(visit)
    visit.state = 'unknown'
    const client = new Client(url, { agent })
    const status = await post(client, '/renew', visit.cookie)
    if (status !== 200 || client.cookie() === '') throw new Fault(`a renewal got ${status}`)
    visit.state = 'ended'
    this.#begin(client.cookie(), visit.values)
    this.acknowledged.renewal++
  }

  #begin (cookie: string, values: Visit['values'] = new Map()): void {
    const id = cookie.split('=')[1]?.split('.')[0] ?? ''
    const visit: Visit = { user: this.#name, cookie, key: storeKey(id), state: 'live', values: new Map(values) }
    this.visits.push(visit)
    this.recent.add(visit)
  }

  async #set (visit: Visit, url: string, agent: Agent): Promise<void> {
    const key = this.#random.of(KEYS)
    const value = `${++this.#written}:`.padEnd(this.#random.integer(this.#random.next() < 0.1 ? LONGEST_VALUE : 200), 'x')
    this.recent.add(visit)
    const before = visit.values.get(key) ?? [undefined]
    visit.values.set(key, [...before, value])
    const status = await post(new Client(url, { agent }), `/set/${key}`, visit.cookie, value)
    if (status !== 200) throw new Fault(`a write got ${status}`)
    visit.values.set(key, [value])
    this.acknowledged.set++
  }

  async #logout (visit: Visit, url: string, agent: Agent): Promise<void> {
    this.recent.add(visit)
    visit.state = 'unknown'
    const status = await post(new Client(url, { agent }), '/logout', visit.cookie)
    if (status !== 200) throw new Fault(`a logout got ${status}`)
    visit.state = 'ended'
    this.acknowledged.logout++
  }

  /** Compares the service's answer about a visit with what was acknowledged; from then on the answer is known. */
  async look (visit: Visit, url: string, agent: Agent): Promise<void> {
    const answer = await new Client(url, { agent }).get('/', { cookie: visit.cookie })
    if (answer.statusCode !== 200) throw new Fault(`a read got ${answer.statusCode}`)
    const { user, data } = answer.json<{ user: string | null, data: Record<string, string> }>()
    this.acknowledged.read++
    if (user !== null && visit.state === 'ended') throw new Fault(`${visit.key} is logged in after its logout`)
    if (user === null && visit.state === 'live') throw new Fault(`${visit.key} has lost its login`)
    visit.state = user === null ? 'ended' : 'live'
    if (user === null) return
    if (user !== visit.user) throw new Fault(`${visit.key} is ${user} and not ${visit.user}`)
    for (const [key, possible] of visit.values) {
      if (!possible.includes(data[key])) throw new Fault(`${visit.key} has ${data[key]?.slice(0, 20)} as ${key}, and not one of ${possible.map((value) => value?.slice(0, 20)).join(', ')}`)
      visit.values.set(key, [data[key]])
    }
  }
}

/** A broken promise, which must not happen whenever the service is killed. */
export class Fault extends Error {}

/** Sends a request that changes something. It counts as answered when the head of the answer arrives. */
async function post (client: Client, url: string, cookie?: string, payload?: string): Promise<number> {
  const headers = { ...cookie !== undefined && { cookie }, ...payload !== undefined && { 'content-type': 'text/plain' } }
  return (await client.send({ method: 'POST', url, headers, ...payload !== undefined && { payload }, waitFor: 'head' })).statusCode
}
