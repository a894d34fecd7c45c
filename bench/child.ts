import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Resources } from './contenders/contender.js'
import { keepOnCore } from './cores.js'
import type { Started, Usage } from './server.js'

/** Longer than any contender needs to close. */
const STOP_MS = 5_000

/** One contender, in a process of its own. */
export class Child {
  readonly name: string
  port = 0
  readonly #process: ChildProcess

  /** @param profiles a folder for its CPU profile */
  constructor (file: string, name: string, { dataDir, redisUrl }: Resources, profiles?: string) {
    this.name = name
    // Without the driver's own flags, which would bring its TypeScript loader along.
    const execArgv = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-name=${name.replaceAll('/', '-')}.cpuprofile`]
    this.#process = fork(file, [name, dataDir, redisUrl], { execArgv })
  }

  get url (): string {
    return `http://127.0.0.1:${this.port}/`
  }

  /** Resolves when it listens. */
  async start (): Promise<void> {
    const { port, pids } = await this.#answer<Started>()
    await keepOnCore('contender', ...pids)
    this.port = port
  }

  async usage (): Promise<Usage> {
    const answer = this.#answer<Usage>()
    // A message that cannot be sent shows as an answer that does not come.
    this.#process.send('usage', () => {})
    return await answer
  }

  /** Resolves when it has ended; idempotent. */
  async stop (): Promise<void> {
    if (this.#hasEnded()) return
    const ended = once(this.#process, 'exit')
    const impatience = setTimeout(() => { this.#process.kill('SIGKILL') }, STOP_MS)
    if (this.#process.connected) this.#process.disconnect()
    await ended
    clearTimeout(impatience)
  }

  async #answer<T> (): Promise<T> {
    const done = new AbortController()
    const { signal } = done
    try {
      if (this.#hasEnded()) throw new Error(`${this.name} has ended`)
      return await Promise.race([
        once(this.#process, 'message', { signal }).then(([message]) => message as T),
        once(this.#process, 'exit', { signal }).then(() => { throw new Error(`${this.name} has ended`) })
      ])
    } finally {
      done.abort()
    }
  }

  #hasEnded (): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }
}
