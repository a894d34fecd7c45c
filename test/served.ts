import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { freePort } from './free-port.js'
import { compiled, until } from './service.js'

const ERROR_LEVEL = 50
const MOST_ERRORS = 100

/** The compiled service in a long-running process: its log is read and not kept. */
export interface Served {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** The first log lines of level `error` and above, and any output that is not a log line. */
  readonly errors: readonly string[]
  /** How it ended; null while it runs. */
  ended (): number | string | null
  /** Ends the process, and returns its exit code or the name of the signal that ended it. */
  stop (): Promise<number | string>
}

/** Starts `node dist/server.js` in a folder, and waits until it answers. Its environment contains only `env`. */
export async function serve (folder: string, env: Record<string, string>): Promise<Served> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, [compiled('server')], { cwd: folder, env: { PATH: process.env['PATH'], PORT: String(port), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const errors: string[] = []
  let end: number | string | null = null
  const exit = once(child, 'exit').then(([code, signal]: Array<number | string>) => (end = code ?? signal ?? 'unknown'))
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      if (Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? ERROR_LEVEL) >= ERROR_LEVEL && errors.length < MOST_ERRORS) errors.push(line)
    })
  }
  try {
    await until('the service answers', async () => {
      if (end !== null) throw new Error(`the service ended:\n${errors.join('\n')}`)
      return await fetch(`${url}/healthz`).then(({ ok }) => ok, () => false)
    })
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return {
    url,
    port,
    pid: child.pid as number,
    errors,
    ended: () => end,
    stop () {
      child.kill('SIGTERM')
      return exit
    }
  }
}
