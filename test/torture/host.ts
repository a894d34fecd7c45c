import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fixture } from '../processes/child.js'

const PROGRAM = fixture('torture-host.js')
const START_MS = 20_000

/** Applications with the plugin in a process of their own, from `dist`. */
export interface Host {
  /** Opens an application with each of these options, and returns their addresses; null if the process ends before that. */
  open (options: readonly object[]): Promise<string[] | null>
  /** Kills the process, and returns when it is dead. */
  kill (): Promise<void>
  /** Its output on standard error. */
  errors (): string
}

/** Starts the process and lets it load its code. It lives too briefly for optimized code to repay its compilation. */
export function startHost (): Host {
  const child = spawn(process.execPath, ['--no-opt', PROGRAM], { env: { PATH: process.env['PATH'] }, stdio: 'pipe' })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text })
  child.stdin.on('error', () => {})
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve() }) })
  const timer = setTimeout(() => { child.kill('SIGKILL') }, START_MS)
  const loaded = lines.next()
  return {
    async open (options) {
      await loaded
      child.stdin.write(`${JSON.stringify(options)}\n`)
      const { value } = await lines.next() as { value?: string }
      clearTimeout(timer)
      return value?.split(' ') ?? null
    },
    async kill () {
      clearTimeout(timer)
      child.kill('SIGKILL')
      await ended
    },
    errors: () => errors
  }
}
