import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { test } from 'tap'
import { Client } from './client.js'
import { build, buildHost, needs } from './helper.js'
import { allFrom, openSocket, statusLines } from './raw-client.js'
import { startRedis } from './redis.js'
import { startService, until } from './service.js'
import { breakable, eventually, openStore, watched } from './watched-store.js'

const authenticate = (name: string): { name: string } => ({ name })

async function statusOf (fastify: FastifyInstance, url: string): Promise<number> {
  return (await fastify.inject(url)).statusCode
}

test('/healthz answers 200 whatever the store does, and /readyz answers 200 only while the store works', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const calls: string[] = []
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: watched(store, (call) => { calls.push(call) }) })
  const harry = new Client(fastify)
  await harry.login()
  calls.length = 0
  for (const state of ['up', 'down']) {
    if (state === 'down') down()
    const healthy = await harry.get('/healthz')
    t.match([healthy.statusCode, healthy.body, healthy.headers['content-type'], healthy.headers['set-cookie']],
      [200, '{"status":"ok"}', 'application/json; charset=utf-8', undefined], state)
  }
  t.strictSame(calls, [], 'the store is not asked')
  const unready = await harry.get('/readyz')
  t.match([unready.statusCode, unready.headers['retry-after'], unready.json()], [503, '1', { code: 'HATCHECK_STORE_UNAVAILABLE' }])
  t.notMatch(unready.body, 'ENOENT', 'the reason is in the log')
  up()
  const ready = await harry.get('/readyz')
  t.match([ready.statusCode, ready.body, ready.headers['cache-control']], [200, '{"status":"ready"}', 'no-store'])
  t.strictSame(calls, ['ping', 'ping'], 'no session is read')
})

test('health checks do not fill the log', async (t) => {
  for (const level of ['info', 'fatal']) {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const lines: string[] = []
    const server: FastifyServerOptions = { logger: { level, stream: { write (line: string) { lines.push(line) } } } }
    const fastify = await build(t, { mode: 'service', authenticate, sessionStore: store }, server)
    await fastify.ready()
    lines.length = 0
    for (const url of ['/healthz', '/readyz']) t.equal(await statusOf(fastify, url), 200)
    t.strictSame(lines, [])
    await statusOf(fastify, '/')
    t.equal(lines.length > 0, level === 'info', 'other requests are logged')
    lines.length = 0
    down()
    t.equal(await statusOf(fastify, '/readyz'), 503)
    t.equal(lines.some((line) => line.includes('ENOENT')), level === 'info', 'unless there is an error')
  }
})

test('demo mode answers health checks from this machine only, and an application has no such routes', async (t) => {
  const demo = await build(t)
  const host = await buildHost(t, { routes: true, authenticate })
  for (const url of ['/healthz', '/readyz']) {
    t.equal(await statusOf(demo, url), 200)
    t.equal((await demo.inject({ url, headers: { host: 'hatcheck.example' } })).statusCode, 403)
    t.equal(await statusOf(host, url), 404)
  }
})

test('a service whose Redis is down is not ready, and is ready again when Redis is back', needs('redis-server'), async (t) => {
  const redis = await startRedis(t)
  const fastify = await build(t, { mode: 'service', sessionStore: redis.url })
  t.equal(await statusOf(fastify, '/readyz'), 200)
  redis.signal('SIGSTOP')
  t.equal(await statusOf(fastify, '/readyz'), 503, 'Redis hangs')
  t.equal(await statusOf(fastify, '/healthz'), 200)
  await redis.stop()
  t.equal(await statusOf(fastify, '/readyz'), 503, 'Redis is gone')
  t.equal(await statusOf(fastify, '/healthz'), 200)
  await redis.start()
  await eventually(t, 'it is ready', async () => await statusOf(fastify, '/readyz') === 200)
})

test('after SIGTERM the service is not ready, finishes requests under way, and does not wait for those that never end', async (t) => {
  const service = await startService(t, t.testdir())
  const body = 'client_name=Harry&password=12345678'
  const [socket, endless] = [openSocket(service.url), openSocket(service.url)]
  for (const each of [socket, endless]) {
    each.write(`POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`)
  }
  await until('both logins are under way', () => service.output().split('"/login"').length > 2)
  const ended = service.end('SIGTERM')
  await until('new connections are refused', () => fetch(`${service.url}/readyz`).then(() => false, () => true))
  socket.write(`${body.slice(-1)}GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  t.strictSame(statusLines(await allFrom(socket)), ['303 See Other', '503 Service Unavailable'])
  t.notOk(endless.closed)
  t.strictSame(statusLines(await allFrom(endless)), [])
  t.equal(await ended, 0)
})

test('while the event loop is late, requests are refused before any work, and served again when it is on time', { timeout: 60_000 }, async (t) => {
  const calls: string[] = []
  const lines: string[] = []
  const store = watched(openStore(t, 'memory:'), (call) => { calls.push(call) }, false)
  const asked: string[] = []
  const fastify = await build(t, {
    mode: 'service',
    sessionStore: store,
    authenticate (name) {
      asked.push(name)
      return { name }
    }
  }, { logger: { level: 'info', stream: { write (line: string) { lines.push(line) } } } })
  const harry = new Client(fastify)
  await harry.login()
  await harry.get('/metrics')
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const send = (method: string, path: string, { accept = '*/*', cookie = harry.cookieHeader, body = '' } = {}): string =>
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nCookie: ${cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const requests: Array<[request: string, status: number]> = [
    [send('GET', '/', { accept: 'text/html' }), 503],
    [send('GET', '/session'), 503],
    [send('POST', '/login', { body: 'client_name=Ron&password=12345678' }), 503],
    [send('GET', '/verify'), 503],
    [send('GET', '/readyz'), 503],
    [send('GET', '/nothing'), 503],
    [send('DELETE', '/login'), 503],
    [send('GET', '/healthz', { cookie: '' }), 200],
    [send('GET', '/metrics', { cookie: '' }), 200]
  ]
  const client = connect({ host: '127.0.0.1', port })
  await once(client, 'connect')
  let text = ''
  client.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
  const turn = async (): Promise<void> => {
    const until = performance.now() + 1_100
    while (performance.now() < until);
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  for (let turns = 0; turns < 20 && !fastify.hatcheck.guards.isOverloaded?.(); turns++) await turn()
  calls.length = lines.length = asked.length = 0
  client.write(requests.map(([request]) => request).join(''))
  const statuses = (): number[] => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
  for (let turns = 0; turns < 20 && statuses().length < requests.length; turns++) await turn()
  t.strictSame(statuses(), requests.map(([, status]) => status))
  t.strictSame([calls, asked], [['count'], []], 'no session is read and no password checked')
  const answers = text.split(/(?=HTTP\/1\.1 )/)
  for (const answer of answers.slice(0, 7)) t.match(answer, /^retry-after: 1\r$/m)
  t.match(answers[0], '<h1>Service Unavailable</h1><p>There is more to do here than can be done.')
  t.match(answers[0], 'content-security-policy')
  t.match(answers[1], '"status":503,"detail":"There is more to do here than can be done. Please try again in a moment.","code":"HATCHECK_OVERLOADED"')
  t.match(answers[3], 'remote-user: \r\nremote-session: \r\n', 'no header of a client is left in place')
  t.match(answers[8], 'hatcheck_http_requests_shed_total 7\n')
  t.notMatch(lines.join(''), /"level":[45]0/, 'no line per request, at warn or above')
  client.destroy()
  await eventually(t, 'it is served again', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200)
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
})
