import { readFileSync, readdirSync } from 'node:fs'
import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { Client, type Sending } from '../clients/client.js'
import { testKey } from '../helper.js'
import { Random } from '../inputs/random.js'
import type { Lifetime } from '../processes/scope.js'
import { serve, type Served } from '../processes/served.js'

export interface SoakOptions {
  seconds: number
  /** Requests per second to each service. */
  rate: number
  seed: number
  onProgress?: (line: string) => void
}

export interface SoakReport {
  store: string
  requests: number
  /** Answers by status. */
  statuses: Record<number, number>
  /** The use of the process in the second and in the last third of the time: medians. */
  residentMiB: [before: number, after: number]
  descriptors: [before: number, after: number]
  /** Unexpected results; only the first few are kept. */
  faults: string[]
}

const STORES = { memory: 'memory:', LMDB: 'lmdb:' }
const VISITORS = 20
const MOST_FAULTS = 5
const SAMPLE_MS = 2_000
const MIB = 1_048_576
/** The size of the heap varies: memory that is collected late is no leak. */
const MOST_GROWTH_MIB = 16
const MOST_DESCRIPTORS = 5
/** Sessions expire during the run, so that their number is stable after a while. */
const IDLE_SECONDS = 20
const PASSWORD = 'not on any list of passwords'

/**
 * A mixed load for a long time, on a service in memory and one on LMDB: memory and descriptors must not grow, and no
 * answer may be a 5xx.
 */
export async function soak (t: Lifetime, options: SoakOptions): Promise<SoakReport[]> {
  return await Promise.all(Object.entries(STORES).map(async ([name, store]) => await soakOne(t, name, store, options)))
}

async function soakOne (t: Lifetime, name: string, store: string, { seconds, rate, seed, onProgress }: SoakOptions): Promise<SoakReport> {
  const report: SoakReport = { store: name, requests: 0, statuses: {}, residentMiB: [0, 0], descriptors: [0, 0], faults: [] }
  const service = await serve(t, {
    SESSION_STORE: store,
    SECRET_KEY: testKey,
    SIGNUP: 'open',
    SESSION_COOKIE_SECURE: 'false',
    SESSION_IDLE_TIMEOUT: String(IDLE_SECONDS),
    ANONYMOUS_SESSIONS_PER_MINUTE: '100000',
    LOG_LEVEL: 'error'
  })
  // Connections are kept, as browsers keep them.
  const agent = new Agent({ keepAlive: true })
  t.teardown(async () => {
    agent.destroy()
    await service.stop()
  })
  const end = Date.now() + seconds * 1_000
  const samples: Sample[] = []
  const isOver = (): boolean => Date.now() >= end || report.faults.length >= MOST_FAULTS
  await Promise.all([sample(), ...Array.from({ length: VISITORS }, async (_, i) => { await visit(i) })])
  const third = Math.floor(samples.length / 3)
  const [before, after] = [samples.slice(third, 2 * third), samples.slice(-third)]
  for (const kind of ['residentMiB', 'descriptors'] as const) report[kind] = [median(before, kind), median(after, kind)]
  const grown = report.residentMiB[1] - report.residentMiB[0]
  if (grown > MOST_GROWTH_MIB) report.faults.push(`memory grows: ${grown.toFixed(1)} MiB`)
  if (report.descriptors[1] - report.descriptors[0] > MOST_DESCRIPTORS) report.faults.push(`descriptors grow: ${report.descriptors.join(' to ')}`)
  report.faults.push(...service.errors.slice(0, MOST_FAULTS).map((line) => `the log has: ${line}`))
  if (service.ended() !== null) report.faults.push(`the service ended with ${service.ended()}`)
  return report

  async function sample (): Promise<void> {
    while (!isOver() && service.ended() === null) {
      samples.push(sampleOf(service))
      if (samples.length % 30 === 0) onProgress?.(`${name}: ${report.requests} requests, ${samples.at(-1)?.residentMiB.toFixed(0)} MiB, ${samples.at(-1)?.descriptors} descriptors`)
      await pause(SAMPLE_MS)
    }
  }

  async function visit (number: number): Promise<void> {
    const random = new Random(seed * VISITORS + number)
    const visitor = new Visitor(service.url, agent, `visitor-${number}`, (status) => {
      report.requests++
      report.statuses[status] = (report.statuses[status] ?? 0) + 1
    })
    try {
      await visitor.logIn()
      while (!isOver()) {
        await visitor.act(random)
        await pause(random.next() * 2_000 * VISITORS / rate)
      }
    } catch (error) {
      if (report.faults.length < MOST_FAULTS) report.faults.push(`${visitor.name}: ${String(error)}`)
    }
  }
}

interface Sample {
  residentMiB: number
  descriptors: number
}

function sampleOf ({ pid }: Served): Sample {
  const [, kib = 0] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return { residentMiB: Number(kib) * 1_024 / MIB, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

function median (samples: readonly Sample[], kind: keyof Sample): number {
  return samples.map((sample) => sample[kind]).sort((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0
}

/** A user with a browser, who sometimes misbehaves. */
class Visitor {
  readonly name: string
  readonly #url: string
  readonly #agent: Agent
  readonly #client: Client
  readonly #count: (status: number) => void

  constructor (url: string, agent: Agent, name: string, count: (status: number) => void) {
    this.#url = url
    this.#agent = agent
    this.#client = new Client(url, { agent })
    this.name = name
    this.#count = count
  }

  async logIn (): Promise<void> {
    const { statusCode } = await this.#client.login(this.name, PASSWORD)
    this.#count(statusCode)
    if (statusCode !== 303) throw new Error(`a login: ${statusCode}`)
  }

  async act (random: Random): Promise<void> {
    const key = `key-${random.integer(20)}`
    const chance = random.next()
    if (chance < 0.3) await this.#expect([200], 'GET', '/', { headers: { accept: 'text/html' } })
    else if (chance < 0.5) await this.#expect([204, 401], 'GET', '/verify')
    else if (chance < 0.65) await this.#change('PUT', key, JSON.stringify('x'.repeat(random.integer(300))))
    else if (chance < 0.7) await this.#expect([200, 403, 404], 'DELETE', `/session/${key}`)
    else if (chance < 0.8) await this.#expect([200], 'GET', '/session')
    else if (chance < 0.84) await this.#expect([200, 401], 'GET', '/sessions', { headers: { accept: 'application/json' } })
    else if (chance < 0.88) await this.#expect([404], 'GET', `/nowhere/${key}`)
    else if (chance < 0.92) await this.#leave()
    else if (chance < 0.95) await this.#asStranger(key)
    else if (chance < 0.96) await this.#expect([400, 415], 'POST', '/login', { payload: '{', headers: { 'content-type': 'application/json' } })
    else if (chance < 0.98) await this.#expect([200], 'GET', '/healthz')
    else await this.#comeBack()
  }

  async #change (method: string, key: string, body: string): Promise<void> {
    await this.#expect([201, 204], method, `/session/${key}`, { payload: body, headers: { 'content-type': 'application/json' } })
  }

  /** Disconnects before the answer. */
  async #leave (): Promise<void> {
    const gone = new AbortController()
    const asking = this.#ask({ method: 'GET', url: '/session', signal: gone.signal }).then(() => {}, () => {})
    setImmediate(() => { gone.abort() })
    await asking
  }

  async #comeBack (): Promise<void> {
    await this.#expect([303], 'POST', '/logout')
    await this.logIn()
  }

  /** A session that is never used again. */
  async #asStranger (key: string): Promise<void> {
    await new Visitor(this.#url, this.#agent, 'stranger', this.#count).#change('PUT', key, '1')
  }

  async #expect (statuses: readonly number[], method: string, url: string, more: Pick<Sending, 'headers' | 'payload'> = {}): Promise<void> {
    const status = await this.#ask({ method, url, ...more })
    if (!statuses.includes(status)) throw new Error(`${method} ${url}: ${status} and not ${statuses.join(' or ')}`)
  }

  async #ask (sending: Sending): Promise<number> {
    const { statusCode } = await this.#client.send(sending)
    this.#count(statusCode)
    return statusCode
  }
}

/** The report as a few readable lines. */
export function describe ({ store, requests, statuses, residentMiB, descriptors, faults }: SoakReport): string {
  return [
    `${store}: ${requests} requests; ${Object.entries(statuses).map(([status, count]) => `${status} × ${count}`).join(', ')}`,
    `memory ${residentMiB.map((mib) => mib.toFixed(1)).join(' to ')} MiB, descriptors ${descriptors.join(' to ')}`,
    ...faults.length === 0 ? ['no faults'] : faults
  ].join('\n')
}
