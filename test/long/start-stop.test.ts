import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { makeFolder } from '../../plugins/common/data-folder.js'
import { Client } from '../clients/client.js'
import { needs } from '../helper.js'
import { checkout, childEnvironment, fixture, preloading } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { compiled, runServer, startService, workersOf } from '../processes/service.js'
import { loopTime, until } from '../time/loop-clock.js'

const EARLY = { NODE_OPTIONS: preloading(fixture('early-signal.js')) }

for (const [WORKERS, early] of [['1', 'SIGUSR2'], ['2', 'SIGHUP'], ['2', 'SIGUSR1']] as const) {
  test(`WORKERS=${WORKERS}: SIGHUP, SIGUSR1 and SIGUSR2 never end the process or open a debugger, from the first moment on: ${early} at the start`, async (t) => {
    const { child, url, output, end } = await startService(t, t.testdir(), { WORKERS, EARLY_SIGNAL: early, ...EARLY })
    await until('all run', () => output().includes(WORKERS === '1' ? 'sys_startup' : 'workers: 2'))
    t.match(output(), `${early} is handled early`, 'the signal was sent before the program was loaded')
    if (early === 'SIGHUP') await until('it is answered after the start', () => output().includes('secret keys replaced'))
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
      child.kill(signal)
      for (const worker of workersOf({ child })) process.kill(worker, signal)
    }
    await pause(200)
    t.notMatch(output(), 'Debugger listening')
    t.equal((await fetch(`${url}/healthz`)).status, 200)
    t.equal(await end(), 0)
  })
}

for (const [WORKERS, signal] of [['1', 'SIGTERM'], ['1', 'SIGINT'], ['2', 'SIGTERM'], ['2', 'SIGQUIT']] as const) {
  test(`WORKERS=${WORKERS}: ${signal} during the start ends the process with exit code 0`, async (t) => {
    const { code, stdout, stderr } = await runServer(t.testdir(), { WORKERS, EARLY_SIGNAL: signal, ...EARLY })
    t.strictSame([code, stdout, stderr], [0, '', `${signal} is handled early\n`])
  })
}

for (const WORKERS of ['1', '2']) {
  test(`WORKERS=${WORKERS}: a signal that comes while the store opens waits for the end of the start, and is a clean stop`, async (t) => {
    const { code, stdout, stderr } = await runServer(t.testdir(), { WORKERS, NODE_OPTIONS: preloading(fixture('signal-at-store.js')) })
    t.strictSame([code, stderr], [0, ''])
    t.match(stdout, /hatcheck listens[^]*SIGTERM received: hatcheck stops/)
  })
}

for (const WORKERS of ['1', '2']) {
  test(`WORKERS=${WORKERS}: Ctrl-\\, which reaches every process, is a clean stop as Ctrl-C is`, async (t) => {
    const service = await startService(t, t.testdir(), { WORKERS })
    await until('all run', () => service.output().includes(WORKERS === '1' ? 'sys_startup' : 'workers: 2'))
    for (const worker of workersOf(service)) process.kill(worker, 'SIGQUIT')
    t.equal(await service.end('SIGQUIT'), 0)
    t.match(service.output(), 'SIGQUIT received: hatcheck stops')
    t.notMatch(service.output(), 'hatcheck ends at once')
  })
}

test('a data folder that cannot be created is reported in one line, and the service ends with exit code 1', async (t) => {
  for (const folder of ['/proc/x', '/proc/x/y/z', '/dev/null', '/dev/null/x', '/sys/x']) t.throws(() => makeFolder(folder), folder)
  for (const WORKERS of ['1', '2']) {
    const { code, stdout, stderr } = await runServer(t.testdir(), { WORKERS, DATA_DIR: '/proc/x' })
    t.strictSame([code, stdout], [1, ''])
    t.match(stderr, /^hatcheck: [^\n]+\n$/)
  }
})

test('a start that takes longer than Fastify waits for a plugin by default, on a busy machine, succeeds', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:', NODE_OPTIONS: preloading(fixture('slow-machine.js')) })
  t.equal((await fetch(`${service.url}/readyz`)).status, 200)
  t.equal(await service.end('SIGTERM'), 0)
})

test('a second signal ends the process at once, and is logged', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:' })
  const ended = service.end('SIGTERM')
  await until('it stops', () => service.output().includes('SIGTERM received'))
  service.child.kill('SIGTERM')
  t.equal(await ended, 1)
  t.match(service.output(), 'second SIGTERM: hatcheck ends at once')
})

for (const WORKERS of ['1', '2']) {
  test(`WORKERS=${WORKERS}: a fault in machine code ends the process by its signal, and a worker is replaced`, async (t) => {
    const folder = t.testdir()
    const service = await startService(t, folder, { WORKERS })
    await until('all run', () => service.output().includes(WORKERS === '1' ? 'sys_startup' : 'workers: 2'))
    // LMDB reads its file as memory: where the file ends too early, each access is a SIGBUS.
    truncateSync(join(folder, 'data/lmdb/data.mdb'))
    await new Client(service.url).login('Harry').catch(() => {})
    if (WORKERS === '1') t.equal(await service.ended, 'SIGBUS')
    else await until('the primary logs it', () => service.output().includes('"reason":"SIGBUS"'))
  })
}

for (const signal of ['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGTRAP'] as const) {
  test(`${signal} has no listener`, async (t) => {
    const { end } = await startService(t, t.testdir(), { SESSION_STORE: 'memory:' })
    t.equal(await end(signal), signal)
  })
}

for (const WORKERS of ['1', '2']) {
  test(`WORKERS=${WORKERS}: a terminal that closes does not end the service, which then still stops with exit code 0`, needs('script'), async (t) => {
    const folder = t.testdir()
    const port = await freePort()
    // The shell outlives the terminal, to tell how the service ended.
    const command = `trap '' HUP; '${process.execPath}' '${compiled('server')}' & echo $! > pid; wait $!; echo $? > code`
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { cwd: folder, env: childEnvironment({ WORKERS, PORT: String(port) }), stdio: ['pipe', 'ignore', 'ignore'] })
    const isUp = async (): Promise<boolean> => await fetch(`http://127.0.0.1:${port}/healthz`).then(({ ok }) => ok, () => false)
    await until('it runs', isUp)
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    t.teardown(() => { if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL') })
    terminal.kill('SIGKILL')
    await once(terminal, 'exit')
    t.ok(await isUp())
    process.kill(pid, 'SIGTERM')
    await until('it has ended', () => existsSync(join(folder, 'code')) && readFileSync(join(folder, 'code'), 'utf8').endsWith('\n'))
    t.equal(readFileSync(join(folder, 'code'), 'utf8'), '0\n')
  })
}

test('a worker that does not stop is killed after its deadline', { timeout: 30_000 }, async (t) => {
  const { child, output, end } = await startService(t, t.testdir(), { WORKERS: '2' })
  await until('all run', () => output().includes('workers: 2'))
  const workers = workersOf({ child })
  process.kill(workers[0] ?? 0, 'SIGSTOP')
  const begun = loopTime()
  t.equal(await end(), 'SIGKILL')
  t.ok(loopTime() - begun < 10_000)
  await until('all have ended', () => workers.every((pid) => !existsSync(`/proc/${pid}`)))
  t.match(output(), 'hatcheck has not stopped in time and is killed')
})

test('ending npm ends the service that npm started', async (t) => {
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
