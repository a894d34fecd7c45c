import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import tap, { test } from 'tap'
import { newSecret } from '../../../plugins/tickets/secrets.js'
import { Client } from '../../clients/client.js'
import { openSocket } from '../../clients/raw-client.js'
import { checkout, fixture, preloading, run } from '../../processes/child.js'
import { startInto } from '../../processes/service-into.js'
import { until } from '../../time/loop-clock.js'
import { endures } from './under-attack.js'

/*
 * Idle connections can use up all file descriptors of the process. A timer that needs one must not end the process, and a
 * file that could not be loaded meanwhile must be loaded later.
 *
 *                                        version 0.1                   now
 *   200 idle connections                 the process ends              /healthz within 100 ms
 *   a sign-up without a descriptor       500, and so all after it      the next one works
 */

tap.setTimeout(600_000)

const DESCRIPTORS = 96
const IDLE_CONNECTIONS = 200
const PASSWORD = 'correct horse battery staple'

const connections = [
  { workers: 1, what: 'send nothing', begins: '' },
  { workers: 2, what: 'never end their request', begins: 'GET / HTTP/1.1\r\nHost: localhost\r\n' }
]

for (const { workers, what, begins } of connections) {
  test(`WORKERS=${workers}: the service survives ${IDLE_CONNECTIONS} connections that ${what}, with ${DESCRIPTORS} descriptors`, async (t) => {
    const service = await startInto(t, t.testdir(), 'ignore', { descriptors: DESCRIPTORS, env: { WORKERS: String(workers) } })
    await endures(t, service, async () => {
      const sockets: Socket[] = []
      for (let i = 0; i < IDLE_CONNECTIONS; i++) {
        const socket = openSocket(service.url)
        if (begins !== '') socket.write(begins)
        sockets.push(socket)
        if (i % 20 === 0) await pause(100)
      }
      await pause(500)
      for (const socket of sockets) socket.destroy()
    })
    service.child.kill('SIGTERM')
    t.equal(await service.ended, 0)
  })
}

test('while no descriptor is free, operations that need one fail, and they work again afterwards', async (t) => {
  const key = newSecret()
  const folder = t.testdir({ key })
  const service = await startInto(t, folder, ['pipe', 'pipe', 'pipe'], {
    descriptors: 200,
    env: {
      SECRET_KEY_FILE: 'key',
      SIGNUP: 'open',
      SESSION_COOKIE_SECURE: 'false',
      NODE_OPTIONS: preloading(fixture('no-descriptors.js'))
    }
  })
  let log = ''
  for (const stream of [service.child.stdout, service.child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { log += text })
  // Connections that are already open.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const client = new Client(service.url, { agent })
  const signUp = async (name: string): Promise<number> => (await new Client(service.url, { agent }).login(name, PASSWORD)).statusCode
  const metrics = async (): Promise<number> => (await client.get('/metrics')).statusCode
  const document = async (): Promise<number> => (await client.get('/openapi.json')).statusCode
  t.equal((await client.get('/healthz')).statusCode, 200)

  service.child.stdin?.write('take')
  await until('they are taken', () => log.includes('no descriptor is free'))
  t.equal(await signUp('Harry'), 500, 'the list of passwords cannot be loaded')
  t.equal(await metrics(), 500)
  t.equal(await document(), 500)
  const accept = { accept: 'text/html, application/json;q=0.5', 'accept-language': 'de' }
  for (const [path, status] of [['/', 200], ['/login', 200], ['/nowhere', 404]] as const) {
    const page = await client.get(path, accept)
    t.match([page.statusCode, page.headers['content-language'], page.headers['x-content-type-options']], [status, 'de', 'nosniff'], `the first page of the process: ${path}`)
  }
  const refused = await client.get('/metrics', { accept: 'application/json' })
  t.match([refused.statusCode, refused.headers['content-type']], [500, 'application/problem+json; charset=utf-8'])
  t.notMatch(refused.body, checkout, 'no path of the machine')
  writeFileSync(join(folder, 'key'), `${newSecret()}\n${key}\n`)
  await until('the change is noticed', () => log.includes('the key file has changed but cannot be used'))
  service.child.stdin?.write('free')

  await until('the new key is in force', () => log.includes('secret keys replaced'))
  t.equal(await signUp('Harry'), 303)
  t.equal(await metrics(), 200)
  t.equal(await document(), 200)
  t.equal((await client.get('/readyz')).statusCode, 200)
  t.equal(service.child.exitCode, null)
  agent.destroy()
  service.child.kill('SIGTERM')
  t.equal(await service.ended, 0)
  t.notMatch(log, 'sys_crash')
})

test('a process without free descriptors cannot load the list of passwords, and loads it later', async (t) => {
  const module = join(checkout, 'build/plugins/accounts/common-passwords.js')
  const program = `
    import { closeSync, openSync } from 'node:fs'
    import { isCommonPassword } from ${JSON.stringify(module)}
    const taken = []
    try { for (;;) taken.push(openSync('/dev/null')) } catch {}
    console.log(await isCommonPassword('password1', 'Harry').catch(({ code }) => code))
    for (const fd of taken) closeSync(fd)
    console.log(await isCommonPassword('password1', 'Harry'))`
  const { stdout, stderr } = await run('sh', ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, program], t.testdir())
  t.equal(stdout, 'EMFILE\ntrue\n', stderr)
})
