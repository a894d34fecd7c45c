import { fork, type ChildProcess } from 'node:child_process'
import type { Resources } from './contenders/contender.js'
import { keepOnCore } from './cores.js'
import { answerOf, endProcess } from './processes.js'
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
    const { port, pids } = await answerOf<Started>(this.#process, this.name)
    await keepOnCore('contender', ...pids)
    this.port = port
  }

  async usage (): Promise<Usage> {
    return await answerOf(this.#process, this.name, 'usage')
  }

  /** Resolves when it has ended; idempotent. */
  async stop (): Promise<void> {
    const impatience = setTimeout(() => { this.#process.kill('SIGKILL') }, STOP_MS)
    await endProcess(this.#process, () => { if (this.#process.connected) this.#process.disconnect() })
    clearTimeout(impatience)
  }
}
