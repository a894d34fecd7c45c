import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Child } from './child.js'
import type { Contender } from './contenders/contender.js'
import type { Turns } from './load/load.js'
import { measure, type Sample } from './measure.js'
import { redisPlace, type Place } from './places.js'
import { CONNECTIONS, Population } from './population.js'
import { RedisMeter } from './redis-meter.js'
import { requests, type Asked, type RequestName } from './requests.js'
import type { Row } from './rows.js'

/** On a busy machine Redis may miss the deadline of hatcheck, 250 ms. A contender that fails otherwise fails each time. */
const ATTEMPTS = 8
/** hatcheck then waits before it asks Redis again. */
const PAUSE_MS = 1_000

/** Longer than a warm-up takes. */
const WARM_UP_MS = 20_000
/** What goes before a measurement, as a part of it. */
const LEAD = 1 / 2

/** A contender that runs, with its visitors and its Redis. */
export class Contestant {
  readonly contender: Contender
  readonly #population = new Population()
  #child: Child | undefined
  #redis: Place | undefined
  #meter: RedisMeter | undefined
  #signal: AbortSignal | undefined

  constructor (contender: Contender) {
    this.contender = contender
  }

  get child (): Child {
    if (this.#child === undefined) throw new Error(`${this.contender.name} has not been started`)
    return this.#child
  }

  /**
   * @param file the compiled server
   * @param dataDir a folder that does not exist yet
   * @param profiles a folder for its CPU profile
   */
  async start (file: string, dataDir: string, signal: AbortSignal, profiles?: string): Promise<void> {
    this.#signal = signal
    mkdirSync(dataDir, { recursive: true })
    if (this.contender.usesRedis === true) {
      this.#redis = await redisPlace(dataDir, signal) ?? undefined
      if (this.#redis !== undefined) this.#meter = await RedisMeter.connect(this.#redis.where)
    }
    this.#child = new Child(file, this.contender.name, { dataDir, redisUrl: this.#redis?.where ?? '' }, profiles)
    await this.#child.start()
  }

  /** What it is asked; null: it has no such request. */
  asked (request: RequestName): Asked | null {
    const own = this.contender.requests?.[request]
    return own === undefined ? requests[request] : own
  }

  async logVisitorsIn (): Promise<void> {
    const login = this.asked('login')
    if (login === null) throw new Error(`${this.contender.name} has no login`)
    await this.#persistently(async () => { await this.#population.logIn(this.child.port, login) })
  }

  async warmUp ({ request, senders }: Row, requests: number): Promise<void> {
    const asked = this.asked(request)
    if (asked === null) return
    await this.#persistently(async () => { await measure(this.child, asked, atMost(requests, this.#population.turnsOf(senders)), { ms: WARM_UP_MS, connections: CONNECTIONS }) })
  }

  async measure ({ request, senders }: Row, ms: number): Promise<Sample | null> {
    const asked = this.asked(request)
    if (asked === null) return null
    const turns = this.#population.turnsOf(senders)
    return await this.#persistently(async () => {
      const lead = { turns: atMost(this.#population.mostBefore(senders), turns), ms: ms * LEAD }
      return await measure(this.child, asked, turns, { ms, lead, connections: CONNECTIONS, redis: this.#meter })
    })
  }

  async stop (): Promise<void> {
    await this.#child?.stop()
    this.#meter?.close()
    await this.#redis?.close()
  }

  async #persistently<T> (work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        const failure = new Error(`${this.contender.name}: ${(error as Error).message}`, { cause: error })
        if (attempt === ATTEMPTS || this.#signal?.aborted === true) throw failure
        process.stderr.write(`once more: ${failure.message.split('\r\n')[0]}\n`)
        await sleep(PAUSE_MS)
      }
    }
  }
}

function atMost (requests: number, turns: Turns): Turns {
  let left = requests
  return (connection) => left-- > 0 ? turns(connection) : null
}
