import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { until } from '../time/loop-clock.js'
import { childEnvironment } from './child.js'
import { freePort } from './free-port.js'
import type { Lifetime } from './scope.js'
import { compiled } from './service.js'

export interface ServiceInto {
  readonly url: string
  readonly port: number
  readonly child: ChildProcess
  /** The exit code, or the name of the signal that ended the process. */
  readonly ended: Promise<number | string>
}

export interface IntoOptions {
  env?: Record<string, string>
  /** The maximum number of open descriptors of the process. */
  descriptors?: number
}

/** Starts `node dist/server.js` with its log in a destination of the test, such as a descriptor, and waits for its answer. */
export async function startInto (t: Lifetime, folder: string, stdio: StdioOptions, { env = {}, descriptors }: IntoOptions = {}): Promise<ServiceInto> {
  const port = await freePort()
  const limited = descriptors === undefined ? '' : `ulimit -n ${descriptors}; `
  const child = spawn('sh', ['-c', `${limited}exec "$0" "$1"`, process.execPath, compiled('server')], { cwd: folder, env: childEnvironment({ PORT: String(port), ...env }), stdio })
  const ended = new Promise<number | string>((resolve) => { child.once('exit', (code, signal) => { resolve(code ?? signal ?? 'unknown') }) })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  await until('the service answers', async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the service ended with ${child.exitCode ?? child.signalCode}`)
    return await fetch(`${url}/healthz`).then(({ ok }) => ok, () => false)
  })
  return { url, port, child, ended }
}
