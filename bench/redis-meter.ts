import { Redis } from 'ioredis'

/** Tells the CPU time of a Redis. */
export class RedisMeter {
  readonly #client: Redis

  constructor (url: string) {
    this.#client = new Redis(url)
    // When the bench is interrupted, Redis stops before this client does.
    this.#client.on('error', () => {})
  }

  /** Resolves to what it has used so far, in µs. */
  async cpuMicros (): Promise<number> {
    const info = await this.#client.info('cpu')
    return (secondsIn(info, 'used_cpu_sys') + secondsIn(info, 'used_cpu_user')) * 1e6
  }

  close (): void {
    this.#client.disconnect()
  }
}

function secondsIn (info: string, name: string): number {
  return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
}
