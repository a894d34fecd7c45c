import { mkdirSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { Child } from './child.js'
import { say } from './command.js'
import type { Contender } from './contenders/contender.js'
import { keepOnCore } from './cores.js'
import type { Turns } from './load/load.js'
import { measure, type Sample } from './measure.js'
import type { Plan } from './options.js'
import { CONNECTIONS, Population } from './population.js'
import type { ProfileFolder } from './profile/folder.js'
import { RedisMeter } from './redis-meter.js'
import { requestOf, type RequestName, type RequestTemplate } from './requests.js'
import { retry } from './retry.js'
import type { Row } from './rows.js'
import { startRedis, type RedisServer } from './stores.js'

/** A contender that fails for another reason than a busy machine fails each time. */
const ATTEMPTS = 8
/** For what keeps the machine busy to pass, and for a connection to Redis to be opened again. */
const PAUSE_MS = 1_000

/** How long the uncounted requests before a measurement take, as a part of it. */
const LEAD = 1 / 2

/** A contender that runs, with its visitors and its Redis. */
export class RunningContender {
  readonly contender: Contender
  readonly #profiles: ProfileFolder | undefined
  readonly #population = new Population()
  #child: Child | undefined
  #redis: RedisServer | undefined
  #meter: RedisMeter | undefined
  #signal: AbortSignal | undefined

  constructor (contender: Contender, profiles?: ProfileFolder) {
    this.contender = contender
    this.#profiles = profiles
  }

  get child (): Child {
    if (this.#child === undefined) throw new Error(`${this.contender.name} has not been started`)
    return this.#child
  }

  /**
   * @param file the compiled server
   * @param dataDir a folder that does not exist yet
   */
  async start (file: string, dataDir: string, signal: AbortSignal): Promise<void> {
    this.#signal = signal
    mkdirSync(dataDir, { recursive: true })
    if (this.contender.usesRedis === true) {
      const redis = await startRedis(dataDir, signal)
      if (redis === null) throw new Error('redis-server is not installed')
      this.#redis = redis
      this.#meter = new RedisMeter(redis.resources.redisUrl)
      await keepOnCore('redis', redis.pid)
    }
    // After the teardown, nothing would stop what starts now.
    signal.throwIfAborted()
    this.#child = new Child(file, this.contender.name, { dataDir, redisUrl: this.#redis?.resources.redisUrl ?? '' })
    await this.#child.start()
  }

  async logVisitorsIn (visitors: number): Promise<void> {
    const login = this.#request('login')
    if (login === null) throw new Error(`${this.contender.name} has no login`)
    await this.#retry(async () => { await this.#population.logIn(visitors, this.child.port, login) })
  }

  async warmUp ({ request, senders }: Row, { requests, ms }: Plan['warmUp']): Promise<void> {
    const template = this.#request(request)
    if (template === null) return
    const population = this.#population
    await this.#retry(async () => {
      await measure(this.child, template, atMost(Math.min(requests, population.mostBefore(senders)), population.turnsOf(senders)), { ms, connections: CONNECTIONS })
    })
  }

  /** Resolves to null if the contender has no such request. */
  async measure ({ name, request, senders }: Row, ms: number): Promise<Sample | null> {
    const template = this.#request(request)
    if (template === null) return null
    const turns = this.#population.turnsOf(senders)
    const onProfile = this.#profiles === undefined ? undefined : (profile: Profiler.Profile): void => { this.#profiles?.write(`${this.contender.name}, ${name}`, profile) }
    return await this.#retry(async () => {
      const lead = { turns: atMost(this.#population.mostBefore(senders), turns), ms: ms * LEAD }
      return await measure(this.child, template, turns, { ms, lead, connections: CONNECTIONS, redis: this.#meter, onProfile })
    })
  }

  async stop (): Promise<void> {
    await this.#child?.stop()
    this.#meter?.close()
    await this.#redis?.close()
  }

  #request (name: RequestName): RequestTemplate | null {
    return requestOf(this.contender, name)
  }

  async #retry<T> (work: () => Promise<T>): Promise<T> {
    return await retry(work, {
      attempts: ATTEMPTS,
      pauseMs: PAUSE_MS,
      onFailure: (error) => {
        this.#signal?.throwIfAborted()
        say(`once more: ${this.contender.name}: ${error.message.split('\r\n')[0]}`)
      }
    }).catch((error: Error) => { throw new Error(`${this.contender.name}: ${error.message}`, { cause: error }) })
  }
}

function atMost (requests: number, turns: Turns): Turns {
  let left = requests
  return (connection) => left-- > 0 ? turns(connection) : null
}
