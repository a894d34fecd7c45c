import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { freePort } from '../bench/free-port.js'
import { childEnvironment, checkout } from './fixtures/child.js'
import { startInto } from './service-into.js'
import { compiled, runServer, startService, until } from './service.js'

const EARLY = { NODE_OPTIONS: `--import ${join(import.meta.dirname, 'fixtures/early-signal.js')}` }

for (const WORKERS of ['1', '2']) {
  for (const signal of ['SIGHUP', 'SIGUSR2'] as const) {
    test(`WORKERS=${WORKERS}: ${signal} ends nothing, from the first moment on`, async (t) => {
      const { child, url, ended } = await startInto(t, t.testdir(), ['ignore', 'pipe', 'pipe'], { env: { WORKERS, EARLY_SIGNAL: signal, ...EARLY } })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { output += text })
      await until('all run', () => output.includes(WORKERS === '1' ? 'sys_startup' : 'workers: 2'))
      t.match(output, `${signal} is handled early`, 'it was sent before the program was there')
      if (signal === 'SIGHUP') await until('it is answered after the start', () => output.includes('secret keys replaced'))
      child.kill(signal)
      await new Promise((resolve) => { setTimeout(resolve, 200) })
      t.equal((await fetch(`${url}/healthz`)).status, 200)
      child.kill('SIGTERM')
      t.equal(await ended, 0)
    })
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`WORKERS=${WORKERS}: ${signal} during the start ends it with 0`, async (t) => {
      const { code, stdout, stderr } = await runServer(t.testdir(), { WORKERS, EARLY_SIGNAL: signal, ...EARLY })
      t.strictSame([code, stdout, stderr], [0, '', `${signal} is handled early\n`])
    })
  }

  test(`WORKERS=${WORKERS}: a data folder that cannot be made is one line and exit code 1`, async (t) => {
    for (const DATA_DIR of ['/proc/x', '/proc/x/y/z', '/dev/null', '/dev/null/x', '/sys/x']) {
      const { code, stdout, stderr } = await runServer(t.testdir(), { WORKERS, DATA_DIR })
      t.equal(code, 1, DATA_DIR)
      t.match(stderr, /^hatcheck: .+\n$/)
      t.equal(stderr.split('\n').length, 2, stderr)
      t.equal(stdout, '')
    }
  })
}

test('a second signal ends the process at once, and the log says so', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:' })
  const ended = service.end('SIGTERM')
  await until('it stops', () => service.output().includes('SIGTERM received'))
  service.child.kill('SIGTERM')
  t.equal(await ended, 1)
  t.match(service.output(), 'second SIGTERM: hatcheck ends at once')
})

test('a worker that is deaf is killed in time', { timeout: 30_000 }, async (t) => {
  const { child, ended } = await startInto(t, t.testdir(), ['ignore', 'pipe', 'inherit'], { env: { WORKERS: '2' } })
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => { output += text })
  await until('all run', () => output.includes('workers: 2'))
  const workers = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').map(Number)
  process.kill(workers[0] ?? 0, 'SIGSTOP')
  const begun = performance.now()
  child.kill('SIGTERM')
  t.equal(await ended, 'SIGKILL')
  t.ok(performance.now() - begun < 10_000)
  await until('all have ended', () => workers.every((pid) => !existsSync(`/proc/${pid}`)))
  t.match(output, 'hatcheck has not stopped in time and is killed')
})

test('to end npm is to end the service that it has started', async (t) => {
  const folder = t.testdir()
  compiled('server')
  const port = await freePort()
  const child = spawn('npm', ['start'], { cwd: checkout, env: childEnvironment({ PORT: String(port), DATA_DIR: join(folder, 'data') }), stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | string | null>((resolve) => { child.once('exit', (code, signal) => { resolve(code ?? signal) }) })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  await until('it runs', () => output.includes('sys_startup'))
  const pid = Number(/"pid":(\d+)/.exec(output)?.[1])
  t.teardown(() => { if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL') })
  child.kill('SIGTERM')
  await ended
  await until('the service has ended', () => !existsSync(`/proc/${pid}`))
  t.match(output, 'SIGTERM received: hatcheck stops')
})
