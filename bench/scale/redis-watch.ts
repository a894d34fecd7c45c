import { Redis } from 'ioredis'

/** The longest time for which Redis served nobody else, in ms, by what it did: a command, or work of its own. */
export type RedisHolds = Record<string, number>

/** Shorter commands are not noted, in µs. */
const NOTED_FROM_MICROS = 500
const MOST_NOTED = 10_000

/** Watches what holds a Redis. */
export class RedisWatch {
  readonly #client: Redis

  constructor (url: string) {
    this.#client = new Redis(url)
  }

  async begin (): Promise<void> {
    await this.#client.config('SET', 'slowlog-log-slower-than', NOTED_FROM_MICROS, 'slowlog-max-len', MOST_NOTED, 'latency-monitor-threshold', 1)
    await this.#client.slowlog('RESET')
    await this.#client.latency('RESET')
  }

  async end (): Promise<RedisHolds> {
    const holds: RedisHolds = {}
    const note = (what: string, ms: number): void => { holds[what] = Math.max(ms, holds[what] ?? 0) }
    const slow = await this.#client.slowlog('GET', MOST_NOTED) as Array<[number, number, number, string[]]>
    for (const [,, micros, [command = '']] of slow) note(command.toLowerCase(), micros / 1_000)
    const events = await this.#client.latency('LATEST') as Array<[string, number, number, number]>
    for (const [event,,, ms] of events) if (!/^(?:fast-)?command$/.test(event)) note(event, ms)
    return holds
  }

  /** Lets the sessions under these keys expire at the same time, in ms since the epoch, by the clock of Redis. */
  async expireAt (keys: readonly string[], time: number): Promise<void> {
    const pipeline = this.#client.pipeline()
    for (const key of keys) pipeline.pexpireat(`hatcheck:session:${key}`, time)
    await pipeline.exec()
  }

  async keyCount (): Promise<number> {
    return await this.#client.dbsize()
  }

  close (): void {
    this.#client.disconnect()
  }
}
