import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { test } from 'tap'
import { visitor } from '../plugins/testing/index.js'
import { logInto } from './apps/log-lines.js'
import { allFrom, openSocket, statusLines } from './clients/raw-client.js'
import { build, buildHost, needs } from './helper.js'
import { startService } from './processes/service.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const authenticate = (name: string): { name: string } => ({ name })

async function statusOf (fastify: FastifyInstance, url: string): Promise<number> {
  return (await fastify.inject(url)).statusCode
}

test('/healthz answers 200 whatever the store does, and /readyz answers 200 only while the store works', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const calls: string[] = []
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: watched(store, (call) => { calls.push(call) }) })
  const harry = await visitor(fastify).login('Harry')
  calls.length = 0
  for (const state of ['up', 'down']) {
    if (state === 'down') down()
    const healthy = await harry.inject('/healthz')
    t.match([healthy.statusCode, healthy.body, healthy.headers['content-type'], healthy.headers['set-cookie']],
      [200, '{"status":"ok"}', 'application/json; charset=utf-8', undefined], state)
  }
  t.strictSame(calls, [], 'the store is not asked')
  const unready = await harry.inject('/readyz')
  t.match([unready.statusCode, unready.headers['retry-after'], unready.json()], [503, '1', { code: 'HATCHECK_STORE_UNAVAILABLE' }])
  t.notMatch(unready.body, 'ENOENT', 'the reason is in the log')
  up()
  const ready = await harry.inject('/readyz')
  t.match([ready.statusCode, ready.body, ready.headers['cache-control']], [200, '{"status":"ready"}', 'no-store'])
  t.strictSame(calls, ['ping', 'ping'], 'no session is read')
})

test('health checks do not fill the log', async (t) => {
  for (const level of ['info', 'fatal']) {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const lines: string[] = []
    const server: FastifyServerOptions = logInto(lines, level)
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
  await until('it is ready', async () => await statusOf(fastify, '/readyz') === 200)
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
