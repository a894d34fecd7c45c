import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import { test, type Test } from 'tap'
import { resolveConfig } from '../../plugins/config/resolve.js'
import { openKeyring, type Keyring } from '../../plugins/tickets/keyring.js'
import { newSecret } from '../../plugins/tickets/secrets.js'
import { createTicketSigner } from '../../plugins/tickets/ticket.js'
import { DUTIES_VARIABLE } from '../../plugins/workers/duties.js'
import { Client, userOf } from '../clients/client.js'
import { openSocket } from '../clients/raw-client.js'
import { build, needs, testKey } from '../helper.js'
import { compiledFixture, run } from '../processes/child.js'
import { runServer, startService, workersOf, type Service } from '../processes/service.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { openStore, watched } from '../stores/watched-store.js'
import { until } from '../time/loop-clock.js'

const PASSWORD = '12345678'

/** A line of the log. */
interface Line { pid: number, msg: string, level: number, event?: string, worker?: number, reason?: string, req?: { url: string } }

function linesOf (service: Service): Line[] {
  return service.output().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line)
}

/** The service with two workers. */
async function startTwo (t: Test, folder: string, env: Record<string, string> = {}): Promise<Service> {
  const service = await startService(t, folder, { WORKERS: '2', LOG_LEVEL: 'debug', ...env })
  await until('both workers listen', () => linesOf(service).some(({ msg }) => msg === 'workers: 2'))
  return service
}

/** Logs in over a connection of its own, as all requests here, so that any of the workers may take it. */
async function logIn (url: string, name = 'Harry'): Promise<string> {
  const client = new Client(url)
  const { statusCode } = await client.login(name, PASSWORD)
  if (statusCode !== 303) throw new Error(`the login was answered with ${statusCode}`)
  return client.cookie()
}

/** The value of a series of the metrics at this address. */
async function metric (url: string, series: string): Promise<number> {
  const lines = (await new Client(url).get('')).body.split('\n')
  for (const line of lines) if (line !== '' && !/^#|^\w+(?:\{.*\})? (?:Nan|[+-]?(?:\d|Inf))/.test(line)) throw new Error(`not for Prometheus: ${line}`)
  return Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1))
}

/** Asks until both workers have answered: the system chooses which of them accepts a connection. */
async function untilBothAnswer (service: Service, path: string, work: () => Promise<unknown>): Promise<void> {
  const answering = new Set<number>()
  const known = linesOf(service).length
  await until('both workers have answered', async () => {
    await Promise.all(Array.from({ length: 8 }, work))
    for (const { pid, req } of linesOf(service).slice(known)) if (req?.url === path) answering.add(pid)
    return answering.size === 2
  })
}

test('an error that prevents the start is reported once, and not by each worker', async (t) => {
  const folder = t.testdir({ file: '' })
  const occupied = createServer().listen(0, '127.0.0.1')
  await once(occupied, 'listening')
  t.teardown(() => { occupied.close() })
  const flaws: Array<[env: Record<string, string>, line: RegExp]> = [
    [{ SECRET_KEY: 'short' }, /^hatcheck: SECRET_KEY must be at least 32 bytes/],
    [{ SESSION_STORE: 'lmdb:./file/in' }, /^hatcheck: The data folder cannot be written/],
    [{ PORT: String((occupied.address() as AddressInfo).port) }, /^hatcheck: HOST must be .*, and PORT a free port .*EADDRINUSE/]
  ]
  for (const [env, line] of flaws) {
    const { code, stderr } = await runServer(folder, { WORKERS: '2', ...env })
    t.equal(code, 1)
    t.match(stderr.trimEnd(), line)
    t.equal(stderr.trimEnd().split('\n').length, 1, stderr)
  }
})

test('several processes act as one service', async (t) => {
  const folder = fastFolder(t)
  const service = await startTwo(t, folder)
  const { url } = service
  const workers = (): number[] => workersOf(service)
  const lines = linesOf(service)

  await t.test('the start is logged once', async (t) => {
    for (const text of [/^hatcheck listens at/, /^store: lmdb:/, /^mode: demo/, /^workers: 2$/, /^sys_startup$/]) {
      t.equal(lines.filter(({ msg }) => text.test(msg)).length, 1, String(text))
    }
    t.equal(workers().length, 2)
    t.notOk(workers().includes(service.child.pid ?? 0))
    t.strictSame(readdirSync(join(folder, 'data')).sort(), ['.gitignore', 'lmdb', 'secret.key'], 'one key was created')
  })

  await t.test('a login at one worker is known to both, with the same account', async (t) => {
    const cookie = await logIn(url)
    await untilBothAnswer(service, '/', async () => { t.equal(await userOf(url, cookie), 'Harry') })
    await untilBothAnswer(service, '/login', async () => { await logIn(url) })
  })

  await t.test('parallel changes of one session through both workers lose nothing', async (t) => {
    const cookie = await logIn(url)
    let keys = 0
    await untilBothAnswer(service, '/session/key0', async () => {
      await Promise.all(Array.from({ length: 10 }, async () => {
        const n = keys++
        const { statusCode } = await new Client(url).put(`/session/key${n}`, n, { cookie })
        if (statusCode !== 201) t.fail(`${statusCode}`)
      }))
      // The key that all of them have written.
      await new Client(url).get('/session/key0', { cookie })
    })
    const { data } = (await new Client(url).get('/session', { cookie })).json<{ data: Record<string, number> }>()
    t.equal(keys >= 80, true, `${keys} keys`)
    t.strictSame(data, Object.fromEntries(Array.from({ length: keys }, (_, n) => [`key${n}`, n])))
  })

  await t.test('failed logins are counted across workers', async (t) => {
    const statuses: number[] = []
    for (let n = 0; n < 20; n++) {
      statuses.push((await new Client(url).login('Harry', 'another one')).statusCode)
    }
    t.strictSame(statuses.slice(0, 6), Array(6).fill(401))
    t.ok(statuses.includes(429), statuses.join())
  })

  await t.test('SIGHUP reaches every worker', async () => {
    const before = linesOf(service).length
    service.child.kill('SIGHUP')
    await until('both have read their keys', () => new Set(linesOf(service).slice(before)
      .filter(({ msg }) => msg.startsWith('secret keys replaced')).map(({ pid }) => pid)).size === 2)
  })

  const requests = 'hatcheck_http_requests_total{method="GET",route="/",status="200"}'

  await t.test('either worker returns the metrics of both', async (t) => {
    let asked = await metric(`${url}/metrics`, requests)
    await untilBothAnswer(service, '/', async () => {
      await new Client(url).get('/')
      asked++
    })
    for (let times = 0; times < 8; times++) t.equal(await metric(`${url}/metrics`, requests), asked)
    t.equal(await metric(`${url}/metrics`, 'hatcheck_sessions_live'), await metric(`${url}/metrics`, 'hatcheck_sessions_created_total'), 'the store that they share is counted once')
  })

  await t.test('one worker removes expired sessions, and its replacement takes over when it is killed', async (t) => {
    const cookie = await logIn(url, 'Sally')
    const sweepers = (): number[] => linesOf(service).filter(({ msg }) => msg === 'this worker listens, and removes expired sessions').map(({ pid }) => pid)
    const [first = 0, ...others] = sweepers()
    t.strictSame(others, [])
    t.ok(workers().includes(first))
    const known = await metric(`${url}/metrics`, requests)
    process.kill(first, 'SIGKILL')
    await until('another worker has taken its place', () => sweepers().length === 2)
    t.match(linesOf(service).filter(({ event }) => event === 'sys_crash'), [{ level: 50, pid: service.child.pid, worker: first, reason: 'SIGKILL', user: null }])
    t.equal(workers().length, 2)
    t.ok(workers().includes(sweepers()[1] ?? 0))
    t.equal((await new Client(url).get('/verify', { cookie })).statusCode, 204, 'no user is logged out')
    t.equal(linesOf(service).filter(({ msg }) => msg.startsWith('hatcheck listens at')).length, 1, 'and the start is not logged again')
    t.equal(await metric(`${url}/metrics`, requests), known, 'earlier counts are kept')
  })

  await t.test('a worker that gets SIGTERM answers its requests, ends, and is replaced', async (t) => {
    const before = workers()
    const [leaving = 0] = before
    process.kill(leaving, 'SIGTERM')
    await until('another worker has taken its place', () => linesOf(service).some(({ pid, msg }) => msg.startsWith('this worker listens') && !before.includes(pid) && workers().includes(pid)))
    t.match(linesOf(service).find(({ msg }) => msg.startsWith('a worker was stopped')), { worker: leaving })
    t.equal(linesOf(service).filter(({ event }) => event === 'sys_crash').length, 1, 'which is no crash')
  })

  await t.test('Ctrl-C stops every worker after its requests under way, and is logged once', async (t) => {
    const pids = workers()
    const socket = openSocket(url)
    socket.write('PUT /session/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n123')
    await until('it is under way', () => linesOf(service).some(({ req }) => req?.url === '/session/n'))
    for (const pid of pids) process.kill(pid, 'SIGINT')
    const ended = service.end('SIGINT')
    await until('new connections are refused', () => fetch(`${url}/healthz`).then(() => false, () => true))
    socket.write('4')
    const [answer] = await once(socket, 'data')
    t.match(String(answer), 'HTTP/1.1 201 Created')
    t.equal(await ended, 0)
    for (const pid of pids) t.notOk(existsSync(`/proc/${pid}`))
    t.equal(linesOf(service).filter(({ event }) => event === 'sys_shutdown').length, 1)
    t.equal(linesOf(service).filter(({ event }) => event === 'sys_crash').length, 1)
  })
})

/** Two workers, and the cookie of a user who has logged out while Redis can be read only. */
async function unstoredLogout (t: Test): Promise<{ service: Service, cookie: string, recover: () => Promise<unknown> }> {
  const redis = await startRedis(t)
  const rights = ['on', '>secret', '~hatcheck:*', '+@read', '+@write', '+@scripting', '+info', '+ping']
  await redis.client.acl('SETUSER', 'app', ...rights)
  const service = await startTwo(t, t.testdir(), { SESSION_STORE: `redis://app:secret@127.0.0.1:${redis.port}`, METRICS_PORT: '0' })
  const cookie = await logIn(service.url)
  await redis.client.acl('SETUSER', 'app', '-@write', '-@scripting', '+@read')
  const logout = await new Client(service.url).post('/logout', {}, { cookie, accept: 'application/json' })
  t.match([logout.statusCode, logout.json()], [503, { code: 'HATCHECK_LOGOUT_UNCONFIRMED' }])
  return { service, cookie, recover: () => redis.client.acl('SETUSER', 'app', ...rights) }
}

test('every worker logs as configured: no requests of a monitor or a proxy, and with REQUEST_LOG=off no requests', async (t) => {
  for (const [REQUEST_LOG, paths] of [['on', ['/healthz', '/readyz', '/verify', '/whoami']], ['off', ['/session', '/no/such/page']]] as const) {
    const service = await startTwo(t, fastFolder(t), { LOG_LEVEL: 'info', REQUEST_LOG })
    for (const path of paths) await Promise.all(Array.from({ length: 24 }, async () => await new Client(service.url).get(path)))
    if (REQUEST_LOG === 'on') await untilBothAnswer(service, '/session', async () => await new Client(service.url).get('/session'))
    t.equal(await service.end('SIGTERM'), 0)
    t.same(linesOf(service).filter(({ req }) => (paths as readonly string[]).includes(req?.url ?? '')), [])
  }
})

test('a session whose end the store cannot take is refused by all workers', needs('redis-server'), async (t) => {
  const { service, cookie, recover } = await unstoredLogout(t)
  await untilBothAnswer(service, '/', async () => { t.equal(await userOf(service.url, cookie), null) })
  await recover()
  await until('the end is stored', () => linesOf(service).some(({ event, reason }) => event === 'session_ended' && reason === 'logout'))
  t.equal((await new Client(service.url).get('/verify', { cookie })).statusCode, 401)

  await t.test('with METRICS_PORT the primary returns the metrics of all workers', async (t) => {
    const [, address = ''] = /^metrics at (\S+)$/.exec(linesOf(service).find(({ msg }) => msg.startsWith('metrics at'))?.msg ?? '') ?? []
    t.equal(await metric(address, 'hatcheck_logins_total{outcome="success"}'), 1)
    t.equal((await new Client(service.url).get('/metrics')).statusCode, 404)
  })

  await t.test('workers do not outlive a killed primary', async (t) => {
    const pids = workersOf(service)
    t.equal(await service.end('SIGKILL'), 'SIGKILL')
    await until('they have ended', () => pids.every((pid) => !existsSync(`/proc/${pid}`)))
  })
})

test('a session whose end the store cannot take is also refused by workers that start later', needs('redis-server'), async (t) => {
  const { service, cookie, recover } = await unstoredLogout(t)
  // The second one asks the first, which has no message but the answer to its own question.
  for (const leaving of workersOf(service)) {
    const before = workersOf(service)
    process.kill(leaving, 'SIGKILL')
    await until('another worker has taken its place', () => linesOf(service).some(({ pid, msg }) => msg.startsWith('this worker listens') && !before.includes(pid) && workersOf(service).includes(pid)))
    await untilBothAnswer(service, '/', async () => { t.equal(await userOf(service.url, cookie), null) })
  }
  await recover()
  await until('the end is stored', () => linesOf(service).some(({ event, reason }) => event === 'session_ended' && reason === 'logout'))
})

test('a worker that hangs delays the others, and causes no warning of a memory leak', { timeout: 60_000 }, async (t) => {
  t.strictSame(await run(process.execPath, [compiledFixture('hung-worker'), '16'], t.testdir()), { code: 0, stdout: '', stderr: '' })
})

test('only the worker with the sweep duty sweeps sessions and failed logins', async (t) => {
  for (const [duties, sweeps] of [['sweeps', true], ['', false], [undefined, true]] as const) {
    if (duties !== undefined) process.env[DUTIES_VARIABLE] = duties
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => { mock.timers.reset() })
    const calls: string[] = []
    const fastify = await build(t, { secretKey: testKey, authenticate: (name) => ({ name }), sessionStore: watched(openStore(t, 'memory:'), (call) => { calls.push(call) }) })
    await fastify.ready()
    const attempts: string[] = []
    const { storage } = fastify.hatcheck
    storage.attempts.sweep = () => { attempts.push('sweep'); return false }
    Reflect.deleteProperty(process.env, DUTIES_VARIABLE)
    mock.timers.tick(60_000)
    mock.timers.reset()
    if (sweeps) await until('it sweeps', () => calls.includes('sweep') && attempts.length > 0)
    t.strictSame([calls.filter((call) => call === 'sweep'), attempts], sweeps ? [['sweep'], ['sweep']] : [[], []], duties ?? 'alone')
  }
})

test('no worker signs with a new key before all workers verify with it', async (t) => {
  const [oldKey, newKey] = [newSecret(), newSecret()]
  const folder = t.testdir({ key: oldKey })
  const config = resolveConfig({ secretKeyFile: join(folder, 'key') }, 'service')
  const workers = [0, 1].map(() => openKeyring(config, { info () {}, error () {} }, false))
  const [one, other] = workers as [Keyring, Keyring]
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
    for (const worker of workers) worker.stop()
  })
  const id = one.signer.newId()
  const [byOld, byNew] = [oldKey, newKey].map((key) => createTicketSigner([Buffer.from(key)]).sign(id))
  writeFileSync(join(folder, 'key'), `${newKey}\n${oldKey}\n`)
  one.reload()
  t.equal(one.signer.sign(id), byOld, 'the other has not seen the new one')
  t.ok(one.signer.verify(byNew ?? ''), 'which would be enough here already')
  other.reload()
  mock.timers.tick(3_000)
  for (const { signer } of workers) {
    t.equal(signer.sign(id), byNew)
    t.ok(signer.verify(byOld ?? ''))
  }
  writeFileSync(join(folder, 'key'), oldKey)
  one.reload()
  t.equal(one.signer.sign(id), byOld, 'a leaked key is dropped at once')
  t.equal(one.signer.verify(byNew ?? ''), null)
})
