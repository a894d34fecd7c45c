import { createInterface } from 'node:readline'
import type { Lifetime } from './scope.js'
import { startInto } from './service-into.js'

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

/** Starts `node dist/server.js` in a folder of its own, and waits until it answers. */
export async function serve (t: Lifetime, env: Record<string, string>): Promise<Served> {
  const { url, port, child, ended } = await startInto(t, t.testdir(), ['ignore', 'pipe', 'pipe'], { env })
  const errors: string[] = []
  let end: number | string | null = null
  ended.then((how) => { end = how }, () => {})
  for (const input of [child.stdout, child.stderr]) {
    if (input === null) continue
    createInterface({ input }).on('line', (line) => {
      if (Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? ERROR_LEVEL) >= ERROR_LEVEL && errors.length < MOST_ERRORS) errors.push(line)
    })
  }
  return {
    url,
    port,
    pid: child.pid as number,
    errors,
    ended: () => end,
    stop () {
      child.kill('SIGTERM')
      return ended
    }
  }
}
