import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { extname, join } from 'node:path'
import { checkout } from '../../test/processes/child.js'
import { endProcess } from '../processes.js'
import type { Peer } from './peers/index.js'

const START_MS = 30_000
/** Debian's own: it has the packages python3-flask and python3-flask-session. */
export const PYTHON = process.env['PYTHON'] ?? '/usr/bin/python3'

/** The process of a peer. */
export class PeerProcess {
  readonly #command: string
  readonly #args: readonly string[]
  readonly #env: Record<string, string>
  #child: ChildProcess | null = null

  constructor ({ program }: Peer, env: Record<string, string>) {
    this.#env = env
    if ('python' in program) {
      this.#command = PYTHON
      this.#args = ['-W', 'ignore', join(checkout, 'bench/anomalies/peers/flask-peer.py'), program.python]
    } else {
      this.#command = process.execPath
      this.#args = [...process.execArgv, join(import.meta.dirname, 'peers', `serve${extname(import.meta.filename)}`), program.module, program.variant ?? '']
    }
  }

  /** Starts it, and resolves when it listens. */
  async start (): Promise<void> {
    const child = this.#child = spawn(this.#command, this.#args, { env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...this.#env }, stdio: ['pipe', 'pipe', 'pipe'] })
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text })
    const timer = setTimeout(() => { child.kill('SIGKILL') }, START_MS)
    const listens = await Promise.race([once(child.stdout, 'data').then(() => true), once(child, 'exit').then(() => false)]).finally(() => { clearTimeout(timer) })
    if (!listens) throw new Error(`the process of the peer has ended:\n${errors}`)
    child.stdout.resume()
  }

  /** Kills it with SIGKILL, and resolves when it has ended. */
  async kill (): Promise<void> {
    const child = this.#child
    if (child !== null) await endProcess(child, () => { child.kill('SIGKILL') })
  }
}
