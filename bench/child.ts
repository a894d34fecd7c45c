import { fork, type ChildProcess } from 'node:child_process'
import type { Profiler } from 'node:inspector'
import type { Resources } from './contenders/contender.js'
import { keepOnCore } from './cores.js'
import { answerOf, endProcess } from './processes.js'
import type { Question, Started, Usage } from './server.js'

/** Longer than any contender needs to close. */
const STOP_MS = 5_000

/** One contender, in a process of its own. */
export class Child {
  readonly name: string
  port = 0
  /** Whether a CPU profile of the process can tell what it does: not if other processes do the work. */
  isProfilable = true
  readonly #process: ChildProcess

  constructor (file: string, name: string, { dataDir, redisUrl }: Resources) {
    this.name = name
    // Without the driver's own flags, which would bring its TypeScript loader along.
    this.#process = fork(file, [name, dataDir, redisUrl], { execArgv: [] })
  }

  get url (): string {
    return `http://127.0.0.1:${this.port}/`
  }

  /** Resolves when it listens. */
  async start (): Promise<void> {
    const { port, pids } = await answerOf<Started>(this.#process, this.name)
    await keepOnCore('contender', ...pids)
    this.port = port
    this.isProfilable = pids.length === 1
  }

  async usage (): Promise<Usage> {
    return await this.#ask('usage')
  }

  async startProfile (): Promise<void> {
    await this.#ask('start profile')
  }

  async endProfile (): Promise<Profiler.Profile> {
    return await this.#ask('end profile')
  }

  /** Resolves when it has ended; idempotent. */
  async stop (): Promise<void> {
    const impatience = setTimeout(() => { this.#process.kill('SIGKILL') }, STOP_MS)
    await endProcess(this.#process, () => { if (this.#process.connected) this.#process.disconnect() })
    clearTimeout(impatience)
  }

  async #ask<T> (question: Question): Promise<T> {
    return await answerOf(this.#process, this.name, question)
  }
}
