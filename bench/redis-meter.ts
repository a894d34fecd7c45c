import { Redis } from 'ioredis'
import { keepOnCore } from './cores.js'

/** Tells the CPU time of a Redis. */
export class RedisMeter {
  readonly #client: Redis

  private constructor (client: Redis) {
    this.#client = client
  }

  static async connect (url: string): Promise<RedisMeter> {
    const client = new Redis(url)
    // The end of the bench, which stops Redis first if it is interrupted.
    client.on('error', () => {})
    await keepOnCore('redis', numberIn(await client.info('server'), 'process_id'))
    return new RedisMeter(client)
  }

  /** Resolves to what it has used so far, in µs. */
  async cpuMicros (): Promise<number> {
    const info = await this.#client.info('cpu')
    return (numberIn(info, 'used_cpu_sys') + numberIn(info, 'used_cpu_user')) * 1e6
  }

  close (): void {
    this.#client.disconnect()
  }
}

function numberIn (info: string, name: string): number {
  return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
}
