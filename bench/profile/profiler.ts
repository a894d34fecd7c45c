import { Session, type Profiler as Protocol } from 'node:inspector'
import { promisify } from 'node:util'

/** Often enough for the parts of a request of 20 µs in a measurement of a quarter of a second, and seldom enough to cost little. */
const INTERVAL_MICROS = 200

/** The CPU profiler of this process. */
export class Profiler {
  #session = new Session()

  /** Begins a profile. Drops one that has not ended. */
  async start (): Promise<void> {
    this.#session.disconnect()
    this.#session = new Session()
    this.#session.connect()
    await this.#post('Profiler.enable')
    await this.#post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS })
    await this.#post('Profiler.start')
  }

  async end (): Promise<Protocol.Profile> {
    const { profile } = await this.#post('Profiler.stop') as Protocol.StopReturnType
    this.#session.disconnect()
    return profile
  }

  async #post (method: string, parameters: object = {}): Promise<unknown> {
    return await promisify<string, object, unknown>(this.#session.post.bind(this.#session))(method, parameters)
  }
}
