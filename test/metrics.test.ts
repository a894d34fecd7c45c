import type { FastifyInstance, InjectOptions } from 'fastify'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { METHODS } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { AggregatorRegistry } from 'prom-client'
import { test } from 'tap'
import { openMetricsListener } from '../plugins/process/metrics-listener.js'
import { replacementOf } from '../plugins/store/contract/index.js'
import { Client } from './clients/client.js'
import { openSocket } from './clients/raw-client.js'
import { build, buildHost, needs } from './helper.js'
import { pageAt } from './pages/pages.js'
import { checkout, preloading } from './processes/child.js'
import { runServer, startService } from './processes/service.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const authenticate = (name: string, password: string): { name: string } | null => password === 'alohomora!' ? { name } : null

/** The value of each series, by name and labels. */
function seriesOf (text: string): Map<string, number> {
  return new Map(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))]
  }))
}

async function scrape (fastify: FastifyInstance): Promise<Map<string, number>> {
  const { statusCode, body } = await fastify.inject('/metrics')
  if (statusCode !== 200) throw new Error(`${statusCode} ${body}`)
  return seriesOf(body)
}

const requests = (method: string, route: string, status: number): string => `hatcheck_http_requests_total{method="${method}",route="${route}",status="${status}"}`

test('a request is counted once, by its method, the pattern of its route and its status', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate })
  const harry = new Client(fastify)
  await harry.login('Harry', 'alohomora!')
  await harry.get('/')
  await harry.get('/?next=/elsewhere')
  await harry.send({ method: 'HEAD', url: '/' })
  await harry.send({ method: 'PUT', url: '/session/cart', payload: '[]', headers: { 'content-type': 'application/json' } })
  await harry.send({ method: 'PUT', url: '/session/wish', payload: '[]', headers: { 'content-type': 'application/json' } })
  await harry.send({ method: 'PATCH', url: '/session/wish' })
  await harry.get('/verify')
  await harry.get('/nothing')
  await harry.post('/nothing/else', {})
  const series = await scrape(fastify)
  const counted = Object.fromEntries([...series].filter(([name]) => name.startsWith('hatcheck_http_requests_total')))
  t.strictSame(counted, {
    [requests('POST', '/login', 303)]: 1,
    [requests('GET', '/', 200)]: 2,
    [requests('HEAD', '/', 200)]: 1,
    [requests('PUT', '/session/:key', 201)]: 2,
    [requests('other', '/session/:key', 405)]: 1,
    [requests('GET', '/verify', 204)]: 1,
    [requests('GET', 'unknown', 404)]: 1,
    [requests('POST', 'unknown', 404)]: 1
  })
  t.equal(series.get('hatcheck_http_request_duration_seconds_count{route="/"}'), 3)
  t.equal(series.get('hatcheck_http_request_duration_seconds_bucket{le="+Inf",route="/"}'), 3)
  const bounds = [...series].filter(([name]) => name.startsWith('hatcheck_http_request_duration_seconds_bucket') && name.includes('"/login"')).map(([, value]) => value)
  t.strictSame(bounds, [...bounds].sort((a, b) => a - b), 'a bucket includes the counts below it')
  t.ok(Number(series.get('hatcheck_http_request_duration_seconds_sum{route="/login"}')) > 0)
  t.equal((await scrape(fastify)).get(requests('GET', '/metrics', 200)), 1, 'the last scrape is counted too')
})

test('1,000 unusual addresses and methods create no more series than a few do', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate }, { logger: false })
  const methods = METHODS.filter((method) => method !== 'CONNECT')
  const odd = (i: number): InjectOptions => ({
    method: methods[i % methods.length] as never,
    url: i % 5 === 0 ? `/session/key-${i}` : i % 5 === 1 ? `/sessions/handle-${i}` : i % 5 === 2 ? `/verify?user=user-${i}` : `/${'%F0%9F%8E%A9'.repeat(i % 7)}/${i}`,
    headers: { host: `host-${i}.example`, cookie: `hatcheck=${i}`, 'x-request-id': `id-${i}`, 'user-agent': `agent ${i}` }
  })
  for (let i = 0; i < 5 * methods.length; i++) await fastify.inject(odd(i))
  const before = await scrape(fastify)
  await scrape(fastify)
  const names = new Set((await scrape(fastify)).keys())
  for (let i = 1_000; i < 2_000; i++) await fastify.inject(odd(i))
  const after = await scrape(fastify)
  t.strictSame([...after.keys()].filter((name) => name.startsWith('hatcheck_') && !names.has(name)), [])
  t.ok(before.size > 100 && after.size < 600, `${after.size} series`)
  t.notMatch([...after.keys()].join('\n'), /-1\d\d\d|user-|handle-|%F0|agent|example/)
})

test('logins are counted by outcome, and sessions by how they begin and end', async (t) => {
  let now = Date.now()
  const { store, down, up } = breakable(openStore(t, 'memory:', { now: () => now }))
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: store, now: () => now })
  const start = await scrape(fastify)
  const of = (series: Map<string, number>) => ({
    logins: ['success', 'fail', 'throttled', 'error'].map((outcome) => series.get(`hatcheck_logins_total{outcome="${outcome}"}`)),
    created: series.get('hatcheck_sessions_created_total'),
    renewed: series.get('hatcheck_sessions_renewed_total'),
    ended: ['logout', 'expired', 'revoked'].map((reason) => series.get(`hatcheck_sessions_ended_total{reason="${reason}"}`))
  })
  t.strictSame(of(start), { logins: [0, 0, 0, 0], created: 0, renewed: 0, ended: [0, 0, 0] }, 'all series exist from the start')

  const [harry, phone, sally] = [new Client(fastify), new Client(fastify), new Client(fastify)]
  await harry.login('Harry', 'alohomora!')
  await harry.login('Harry', 'alohomora!')
  await phone.login('Harry', 'alohomora!')
  await sally.login('Sally', 'alohomora!')
  await sally.post('/logout')
  await fastify.sessions.revokeUser('Harry')
  await sally.login('Sally', 'alohomora!')
  for (let i = 0; i < 7; i++) await new Client(fastify).login('Ron', 'open sesame')
  await new Client(fastify).login('', 'open sesame')
  down('create')
  await new Client(fastify).login('Luna', 'alohomora!')
  up()
  now += 86_400_000
  await store.sweep(5, (key, user) => { fastify.hatcheck.audit('session_ended', null, { user, session: key, reason: 'expired' }) })
  t.strictSame(of(await scrape(fastify)), { logins: [5, 7, 1, 1], created: 4, renewed: 1, ended: [1, 1, 2] })
})

test('store calls are timed and store failures counted, and the metrics delay neither', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:', { maxBytes: 300 }))
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: store, sessionMaxBytes: 100_000 })
  const harry = new Client(fastify)
  await harry.login('Harry', 'alohomora!')
  for (let i = 0; i < 3; i++) await harry.get('/')
  const put = async (value: string): Promise<number> => (await harry.send({ method: 'PUT', url: '/session/cart', payload: JSON.stringify(value), headers: { 'content-type': 'application/json' } })).statusCode
  t.equal(await put('x'.repeat(1_000)), 413)
  const replacements = async (): Promise<number> => (await scrape(fastify)).get('hatcheck_store_operation_duration_seconds_count{operation="replace"}') ?? 0
  const before = await replacements()
  await fastify.sessions.store.replace('never was', 'next', replacementOf())
  t.equal(await replacements(), before + 1)
  let series = await scrape(fastify)
  const errors = (): Array<string | undefined> => [...series].filter(([name, value]) => name.startsWith('hatcheck_store_errors_total') && value > 0).map(([name, value]) => `${/operation="(\w+)"/.exec(name)?.[1]} ${value}`)
  t.equal(series.get('hatcheck_store_operation_duration_seconds_count{operation="read"}'), 4)
  t.equal(series.get('hatcheck_store_operation_duration_seconds_count{operation="patch"}'), 1)
  t.equal(series.get('hatcheck_sessions_live'), 1)
  t.strictSame(errors(), [], 'a session that is too large is no failure of the store')

  down()
  for (let i = 0; i < 2; i++) t.equal((await harry.get('/')).statusCode, 503)
  t.equal((await harry.send({ method: 'DELETE', url: '/session/cart' })).statusCode, 503)
  t.equal((await harry.post('/logout')).statusCode, 503)
  series = await scrape(fastify)
  const logouts = [...series].filter(([name]) => name.startsWith('hatcheck_http_requests_total') && name.includes('/logout'))
  t.strictSame(logouts, [[requests('POST', '/logout', 503), 1]], 'an error while the answer is sent counts as its status, and as one request')
  t.equal(series.has('hatcheck_sessions_live'), false, 'the number is unknown')
  t.strictSame(errors(), ['read 4', 'remove 1', 'count 1'])
  up()
  t.equal((await new Client(fastify).login('Harry', 'alohomora!')).statusCode, 303)
  t.equal((await scrape(fastify)).get('hatcheck_sessions_live'), 2, 'the number is known again')
})

test('a request for the metrics does not wait for a store that hangs, and queries it only once', async (t) => {
  const pause = stop()
  let counts = 0
  const store = watched(openStore(t, 'memory:'), async (call) => {
    if (call !== 'count') return
    counts++
    await pause.here()
  }, false)
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: store })
  for (let i = 0; i < 3; i++) t.equal((await scrape(fastify)).has('hatcheck_sessions_live'), false)
  t.equal(counts, 1)
  pause.go()
  await until('the answer is there when it has come', async () => (await scrape(fastify)).get('hatcheck_sessions_live') === 0)
})

test('with Redis, live sessions are counted, and left out while Redis is down', needs('redis-server'), async (t) => {
  const redis = await startRedis(t)
  const fastify = await build(t, { mode: 'service', authenticate, sessionStore: redis.url })
  await new Client(fastify).login('Harry', 'alohomora!')
  const live = async (): Promise<number | undefined> => (await scrape(fastify)).get('hatcheck_sessions_live')
  await until('it is counted', async () => await live() === 1)
  await redis.stop()
  // A count takes two calls of 250 ms at most, and the next one begins after a hundred times as long.
  await until('the number is unknown', async () => await live() === undefined, 60_000)
  t.ok(Number((await scrape(fastify)).get('hatcheck_store_errors_total{operation="count"}')) >= 1)
})

test('only this machine gets the metrics; any other client gets a 404', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate }, { trustProxy: ['127.0.0.1', '192.0.2.1'] })
  const here: Record<string, InjectOptions> = {
    'by name': { headers: { host: 'localhost:3000' } },
    'by address': { headers: { host: '127.0.0.1:3000' } },
    'over IPv6': { headers: { host: '[::1]:3000' }, remoteAddress: '::1' },
    'over IPv4 within IPv6': { headers: { host: 'localhost:3000' }, remoteAddress: '::ffff:127.0.0.1' }
  }
  for (const [what, options] of Object.entries(here)) {
    const response = await fastify.inject({ url: '/metrics', ...options })
    t.match([response.statusCode, response.headers['content-type'], response.headers['cache-control']], [200, 'text/plain; version=0.0.4; charset=utf-8', 'no-store'], what)
  }
  t.equal((await fastify.inject({ method: 'HEAD', url: '/metrics' })).statusCode, 200)
  t.match(await fastify.inject({ method: 'POST', url: '/metrics' }), { statusCode: 405, headers: { allow: 'GET, HEAD, OPTIONS' } })

  const elsewhere: Record<string, InjectOptions> = {
    'from another machine': { remoteAddress: '192.0.2.7' },
    'from another machine within IPv6': { remoteAddress: '::ffff:192.0.2.7' },
    'to another name': { headers: { host: 'hatcheck.example' } },
    'by a name that another site may give to this machine': { headers: { host: 'localhost.example' } },
    'through a proxy that says for whom': { headers: { 'x-forwarded-for': '127.0.0.1' } },
    'through a proxy that says to where': { headers: { host: 'hatcheck.example', 'x-forwarded-host': 'localhost' } },
    'through a proxy that says so itself': { headers: { via: '1.1 proxy' } },
    'through a proxy of another machine': { headers: { forwarded: 'for=127.0.0.1' }, remoteAddress: '192.0.2.1' }
  }
  for (const [what, options] of Object.entries(elsewhere)) {
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'REPORT']) {
      for (const accept of ['text/html', 'application/json']) {
        const request = { method: method as never, ...options, headers: { accept, ...options.headers } }
        const [metrics, unknown] = [await fastify.inject({ url: '/metrics', ...request }), await fastify.inject({ url: '/nothing', ...request })]
        const shown = ({ statusCode, headers: { date: _date, ...headers }, body }: typeof metrics): object => ({ statusCode, headers, body })
        t.equal(metrics.statusCode, 404)
        t.strictSame(shown(metrics), shown(unknown), `${method} ${what}`)
      }
    }
  }
})

test('an application has no metrics of hatcheck, and demo mode has them for this machine', async (t) => {
  const host = await buildHost(t, { routes: true, authenticate })
  t.equal((await host.inject('/metrics')).statusCode, 404)
  t.equal(host.hatcheck.metrics, null)
  const demo = await build(t)
  t.equal((await demo.inject('/metrics')).statusCode, 200)
  t.equal((await demo.inject({ url: '/metrics', headers: { host: 'hatcheck.example' } })).statusCode, 403, 'as everything else')
})

test('every metric is valid for Prometheus, follows its naming conventions and is documented', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate })
  await new Client(fastify).login('Harry', 'alohomora!')
  const { body } = await fastify.inject('/metrics')
  for (const line of body.split('\n').filter((line) => line !== '')) {
    t.match(line, /^(?:# HELP [a-z_0-9]+ \S.*|# TYPE [a-z_0-9]+ (?:counter|gauge|histogram)|[a-z_0-9]+(?:\{[a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*\})? (?:[\d.e+-]+|Nan))$/i)
  }
  const page = pageAt('docs/audit-and-metrics.md')
  const types = [...body.matchAll(/^# TYPE (hatcheck_\w+) (\w+)$/gm)].map(([, name = '', type]) => ({ name, type }))
  t.equal(types.length, 10)
  for (const { name, type } of types) {
    t.equal(type === 'counter', name.endsWith('_total'), name)
    t.equal(type === 'histogram', name.endsWith('_seconds'), name)
    t.ok(page.includes(`| \`${name}`), `${name} has its line`)
  }
  const listed = [...page.matchAll(/^\| `(hatcheck_\w+)/gm)].map(([, name]) => name)
  t.strictSame(listed.sort(), types.map(({ name }) => name).sort())
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds']) t.match(body, name)
})

test('the metrics of several processes are summed, and the sessions of their shared store are counted once', async (t) => {
  const store = openStore(t, 'memory:')
  const both = [await build(t, { mode: 'service', authenticate, sessionStore: store }), await build(t, { mode: 'service', authenticate, sessionStore: store })]
  for (const [i, fastify] of both.entries()) for (let times = 0; times <= i; times++) await new Client(fastify).login('Harry', 'alohomora!')
  const all = []
  for (const fastify of both) all.push(await (await fastify.hatcheck.metrics?.registry())?.getMetricsAsJSON() ?? [])
  const series = seriesOf(await AggregatorRegistry.aggregate(all).metrics())
  t.equal(series.get(requests('POST', '/login', 303)), 3)
  t.equal(series.get('hatcheck_logins_total{outcome="success"}'), 3)
  t.equal(series.get('hatcheck_http_request_duration_seconds_count{route="/login"}'), 3)
  t.equal(series.get('hatcheck_http_request_duration_seconds_bucket{le="+Inf",route="/login"}'), 3)
  t.equal(series.get('hatcheck_sessions_live'), 3)
})

test('idle connections to METRICS_PORT block no client, and only a few stay open', async (t) => {
  const listener = await openMetricsListener({ host: '127.0.0.1', port: 0, text: async () => 'up 1\n' })
  t.teardown(() => listener.close())
  const port = Number(new URL(listener.url).port)
  const sockets = Array.from({ length: 100 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  await until('all but a few are closed', () => sockets.filter(({ destroyed }) => !destroyed).length <= 16)
  t.equal(await (await fetch(listener.url)).text(), 'up 1\n')
})

test('an error while collecting metrics is a 500, and affects nothing else', async (t) => {
  let isBroken = true
  const listener = await openMetricsListener({
    host: '127.0.0.1',
    port: 0,
    async text () {
      if (isBroken) throw new Error('inside')
      return 'up 1\n'
    }
  })
  t.teardown(() => listener.close())
  const failed = await fetch(listener.url)
  t.match([failed.status, await failed.text()], [500, ''])
  isBroken = false
  t.equal(await (await fetch(listener.url)).text(), 'up 1\n')

  const fastify = await build(t, { mode: 'service', authenticate })
  const registry = await fastify.hatcheck.metrics?.registry()
  registry?.registerMetric({ name: 'broken', async get () { throw new Error('inside') } } as never)
  const response = await fastify.inject('/metrics')
  t.equal(response.statusCode, 500)
  t.notMatch(response.body, 'inside')
  t.equal((await new Client(fastify).login('Harry', 'alohomora!')).statusCode, 303)
})

test('with METRICS_PORT the metrics are served there only, until the service has stopped', async (t) => {
  const service = await startService(t, t.testdir(), { METRICS_PORT: '0' })
  await until('the log has the address of the metrics', () => service.output().includes('metrics at'))
  const [, url = ''] = /metrics at (http:\/\/127\.0\.0\.1:\d+\/metrics)/.exec(service.output()) ?? []
  t.equal((await fetch(`${service.url}/metrics`)).status, 404)
  t.equal((await fetch(`${service.url}/metrics`, { method: 'POST' })).status, 404)
  const response = await fetch(url)
  t.match([response.status, response.headers.get('content-type'), response.headers.get('cache-control')], [200, 'text/plain; version=0.0.4; charset=utf-8', 'no-store'])
  t.match(await response.text(), requests('GET', 'unknown', 404))
  t.equal((await fetch(`${url}?format=text`)).status, 200)
  t.match(await fetch(url, { method: 'HEAD' }), { status: 200 })
  t.equal((await fetch(url, { method: 'POST' })).status, 405)
  for (const path of ['/', '/healthz', '/metrics/', '/login']) t.equal((await fetch(new URL(path, url))).status, 404, path)
  t.equal((await fetch(`${service.url}/%zz`)).status, 400)
  t.match(await (await fetch(url)).text(), requests('GET', 'unknown', 400), 'requests that reach no route are counted too')

  const body = 'client_name=Harry&password=12345678'
  const socket = openSocket(service.url)
  socket.write(`POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`)
  await until('a login is under way', () => service.output().includes('"/login"'))
  const ended = service.end('SIGTERM')
  await until('new connections are refused', () => fetch(service.url).then(() => false, () => true))
  t.match(await (await fetch(url)).text(), 'hatcheck_sessions_created_total 0', 'the service is still stopping')
  socket.end(body.slice(-1))
  t.equal(await ended, 0)
  await t.rejects(fetch(url))
})

test('a METRICS_PORT that is in use stops the start', async (t) => {
  const same = await runServer(t.testdir(), { PORT: '3999', METRICS_PORT: '3999' })
  t.match([same.code, same.stderr], [1, 'hatcheck: METRICS_PORT must be another port than PORT, so that users cannot read the metrics. Both are 3999.\n'])
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo
  const taken = await runServer(t.testdir(), { METRICS_PORT: String(port) })
  t.match([taken.code, taken.stderr], [1, `hatcheck: HOST must be an address of this machine, and METRICS_PORT a free port that this user can open: listen EADDRINUSE: address already in use 127.0.0.1:${port}.\n`])
})

test('with OpenTelemetry loaded first, the service is traced, and no span has a secret', async (t) => {
  const example = join(checkout, 'examples/otel')
  t.match(readFileSync(join(example, 'README.md'), 'utf8'), '\nnode --import ./examples/otel/otel.js dist/server.js\n')
  const service = await startService(t, t.testdir(), { NODE_OPTIONS: preloading(join(example, 'otel.js')) })
  const harry = new Client(service.url)
  t.equal((await harry.post('/login?next=/secret-place', { client_name: 'Harry', password: '12345678' })).statusCode, 303)
  t.equal((await harry.get('/')).statusCode, 200)
  t.equal((await harry.get('/nothing')).statusCode, 404)
  t.equal(await service.end(), 0)
  const spans = service.output()
  for (const name of ['POST /login', 'GET /', 'GET unknown', 'handler - home', 'onSend - commitSession']) t.match(spans, `name: '${name}'`)
  t.match(spans, /'url\.path': '\/login',\s+'http\.route': '\/login',\s+'http\.response\.status_code': 303/)
  t.notMatch(spans, /secret-place|12345678/)
})
