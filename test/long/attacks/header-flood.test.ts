import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { logInto } from '../../apps/log-lines.js'
import { allFrom, openSocket } from '../../clients/raw-client.js'
import { build, buildHost, needs, testKey } from '../../helper.js'
import { acceptsConnections, endWith } from '../../processes/child.js'
import { freePort } from '../../processes/free-port.js'
import { startService } from '../../processes/service.js'
import { startNginx } from '../../programs/nginx.js'
import { fastFolder } from '../../stores/fast-folder.js'
import { until } from '../../time/loop-clock.js'
import { underAttack } from './under-attack.js'

// Node drops header lines beyond the first 1,000, and some proxies write their own lines behind those of the client.
//
//                                                     version 0.1            now
//   1,000 lines through Caddy or nginx, to demo mode  200: it is open        403 or 431
//   the same, to /metrics                             open                   403 or 431
//   1,000 lines through a HAProxy that is trusted     the client's address   the address that HAProxy says
//                                                     is believed

/** Requests at a time and in total, by number of lines: `FLOOD=100` is the long form. */
const ROUNDS = Number(process.env['FLOOD'] ?? 4)
const AT_A_TIME = 8
/** 1,000 is where Node begins to drop lines. */
const LINES = [10, 990, 1_000, 1_100, 10_000]
const CLAIMED = '203.0.113.77'
/** The port of the service or of the proxy in front of it; 0 means none. */
const REFUSALS = [0, 400, 403, 404, 431, 502]

/** Proxies that append their lines to those of the client, with limits that let as many lines through as possible. */
const PROXIES: Record<string, { program: string, start: (t: Test, port: number) => Promise<number> }> = {
  'nginx that says nothing': {
    program: 'nginx',
    start: async (t, port) => portOf(await startNginx(t, { http: 'large_client_header_buffers 16 64k;', server: `location / { proxy_pass http://127.0.0.1:${port}; }` }))
  },
  'nginx that speaks HTTP/1.1': {
    program: 'nginx',
    start: async (t, port) => portOf(await startNginx(t, { http: 'large_client_header_buffers 16 64k;', server: `location / { proxy_http_version 1.1; proxy_set_header X-Forwarded-For $remote_addr; proxy_pass http://127.0.0.1:${port}; }` }))
  },
  Caddy: {
    program: 'caddy',
    async start (t, port) {
      const own = await freePort()
      const file = join(fastFolder(t), 'Caddyfile')
      writeFileSync(file, `{\nadmin off\n}\nhttp://localhost:${own} {\nreverse_proxy 127.0.0.1:${port} {\nheader_up Host 127.0.0.1:${port}\n}\n}\n`)
      await run(t, 'caddy', ['run', '--adapter', 'caddyfile', '--config', file], own)
      return own
    }
  },
  HAProxy: {
    program: 'haproxy',
    async start (t, port) {
      const own = await freePort()
      const file = join(fastFolder(t), 'haproxy.cfg')
      writeFileSync(file, ['global', 'tune.bufsize 131072', 'tune.http.maxhdr 32767', 'defaults', 'mode http', 'timeout client 10s', 'timeout server 10s', 'timeout connect 10s',
        'frontend f', `bind 127.0.0.1:${own}`, 'option forwardfor', 'default_backend b', 'backend b', `server s 127.0.0.1:${port}`, ''].join('\n'))
      await run(t, 'haproxy', ['-db', '-f', file], own)
      return own
    }
  }
}

for (const [name, { program, start }] of Object.entries(PROXIES)) {
  test(`a flood of header lines through ${name} bypasses no check`, { ...needs(program), timeout: 60_000 }, async (t) => {
    await t.test('demo mode refuses the flooded requests', async (t) => {
      const fastify = await build(t)
      await fastify.listen({ host: '127.0.0.1', port: 0 })
      const port = await start(t, (fastify.server.address() as AddressInfo).port)
      for (const count of LINES) {
        for (const path of ['/', '/metrics']) t.ok(REFUSALS.includes((await flood(port, path, count)).status), `${path} with ${count} lines`)
      }
    })

    // A proxy without lines of its own passes on what the client claimed, and must not be trusted.
    if (name === 'nginx that says nothing') return
    await t.test('a trusted proxy\'s address is not replaced by a claimed one', async (t) => {
      const app = await buildHost(t, {}, { trustProxy: '127.0.0.1' })
      app.get('/', async (request) => request.ip)
      app.server.maxHeadersCount = 0
      await app.listen({ host: '127.0.0.1', port: 0 })
      const port = await start(t, (app.server.address() as AddressInfo).port)
      for (const count of LINES) {
        const { status, body } = await flood(port, '/', count)
        t.ok(status === 200 || REFUSALS.includes(status), `${count} lines: ${status}`)
        t.notMatch(body, CLAIMED, 'no claimed address is believed')
      }
    })
  })
}

test('the service sees every line of a direct header flood, or refuses the request', async (t) => {
  const fastify = await build(t)
  let lines = 0
  fastify.server.on('request', ({ rawHeaders }) => { lines = rawHeaders.length / 2 })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  for (const count of LINES) {
    lines = 0
    // Lines that a proxy adds come last.
    const { status } = await flood(port, '/', count, { last: ['Via: 1.1 proxy'] })
    t.equal(status, count > 3_000 ? 431 : 403, `${count} lines`)
    if (status === 403) t.ok(lines > count, 'no line is dropped')
  }
})

test('an application whose server drops header lines gets no cookie without Secure, and a warning if it trusts a proxy', async (t) => {
  const log: string[] = []
  const start = async (limit: number | null, trustProxy: string | false = false): Promise<number> => {
    const app = await buildHost(t, { routes: ['login', 'verify'], authenticate: (name) => ({ name }) }, { trustProxy, ...logInto(log, 'warn') })
    app.get('/enter', async (request) => { await request.login('Harry') })
    app.server.maxHeadersCount = limit
    await app.listen({ host: '127.0.0.1', port: 0 })
    return (app.server.address() as AddressInfo).port
  }
  const [dropping, keeping] = [await start(null), await start(0)]
  const warnings = (): number => log.filter((line) => line.includes('app.server.maxHeadersCount = 0')).length
  t.equal(warnings(), 0)
  await start(0, '127.0.0.1')
  t.equal(warnings(), 0)
  await start(null, '127.0.0.1')
  t.equal(warnings(), 1)
  const none = { first: [] }
  t.match(await flood(dropping, '/enter', 10, none), { status: 200 })
  t.match(await flood(dropping, '/enter', 1_100, none), { status: 400 }, 'no cookie without Secure')
  t.match(await flood(dropping, '/verify', 1_100, none), { status: 431 })
  t.match(await flood(keeping, '/enter', 1_100, none), { status: 200 })
  t.match(await flood(keeping, '/verify', 1_100, none), { status: 401 })
})

test('during a header flood the service answers, and a known device logs in', { timeout: 60_000 }, async (t) => {
  const service = await startService(t, fastFolder(t), { SECRET_KEY: testKey, SIGNUP: 'open', LOG_LEVEL: 'info' })
  const port = portOf(service.url)
  const { slowestHealthMs, logins, refusals } = await underAttack(t, service, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      for (const count of LINES) await Promise.all(Array.from({ length: AT_A_TIME }, () => flood(port, '/', count)))
    }
  })
  t.ok(slowestHealthMs < (process.env['FLOOD'] === undefined ? 2_000 : 100), `/healthz within ${slowestHealthMs} ms`)
  t.ok(logins > 0)
  t.strictSame(refusals, [])
})

function portOf (url: string): number {
  return Number(new URL(url).port)
}

/** A request with this many extra lines. The status is 0 if there is no answer. */
async function flood (port: number, path: string, lines: number, { first = [`X-Forwarded-For: ${CLAIMED}`], last = [] }: { first?: string[], last?: string[] } = {}): Promise<{ status: number, body: string }> {
  // Not the address of the proxies, which is trusted.
  const socket = openSocket(`http://127.0.0.1:${port}`, { localAddress: '127.0.0.2' })
  // The names sort before those of every proxy, and are short: 1,000 of them fit into 16 KiB.
  const many = Array.from({ length: lines }, (_, i) => `A${i.toString(36)}:`)
  socket.write([`GET ${path} HTTP/1.1`, `Host: localhost:${port}`, 'Connection: close', ...first, ...many, ...last, '', ''].join('\r\n'))
  const text = await allFrom(socket)
  return { status: Number(text.slice(9, 12)), body: text.slice(text.indexOf('\r\n\r\n')) }
}

async function run (t: Test, program: string, args: readonly string[], port: number): Promise<void> {
  const child = spawn(program, args, { stdio: 'ignore', env: { PATH: process.env['PATH'], HOME: fastFolder(t) } })
  endWith(t, child)
  await until(`${program} listens`, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended`)
    return await acceptsConnections(port)
  })
}
