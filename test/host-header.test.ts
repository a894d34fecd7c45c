import Fastify, { type FastifyInstance } from 'fastify'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { hatcheck } from '../app.js'
import { exchange } from './clients/raw-client.js'
import { build, buildHost, testKey } from './helper.js'

const authenticate = (name: string): { name: string } => ({ name })

test('a request whose Host header is ambiguous or invalid is refused at every address, and ends its connection', async (t) => {
  for (const mode of ['service', 'demo', 'plugin'] as const) {
    const app = mode === 'plugin' ? await buildHost(t, { routes: true, authenticate }) : await build(t, { mode, authenticate })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const get = async (target: string, hosts: readonly string[], version: string): ReturnType<typeof exchange> =>
      await exchange(port, `GET ${target} HTTP/${version}\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}\r\n`)
    const refused: Array<[target: string, ...hosts: string[]]> = [
      ['/login', 'localhost', 'evil.example'], ['/login', 'localhost', 'localhost'], ['/verify', 'localhost', 'evil.example'], ['http://evil.example/login', 'localhost'], ['http://localhost/login', 'evil.example'],
      ['/login', 'localhost:65536'], ['/login', 'local host'], ['/login', 'localhost/'], ['/login', 'user@localhost'], ['/login', '[::z]'], ['/login', 'localhost:80:80']
    ]
    if (mode !== 'plugin') refused.push(['/nowhere', 'localhost', 'localhost'])
    // Node reads a request of each of these versions on a connection of HTTP/1.
    for (const version of ['1.0', '1.1', '2.0']) {
      for (const [target, ...hosts] of refused) {
        const { answers, isClosed } = await get(target, hosts, version)
        t.match(answers, [{ status: 400, body: '"code":"HATCHECK_HOST"' }], `${mode}, HTTP/${version}: ${target} for ${hosts.join(' and ')}`)
        t.ok(isClosed)
      }
      if (mode !== 'plugin') {
        const byDelete = await exchange(port, `DELETE /login HTTP/${version}\r\nHost: localhost\r\nHost: evil.example\r\n\r\n`)
        t.match(byDelete.answers, [{ status: 400, body: '"code":"HATCHECK_HOST"' }], `${mode}, HTTP/${version}: a method that the address does not support`)
      }
      const inCapitals = await exchange(port, `GET /login HTTP/${version}\r\nHost: localhost\r\nHOST: evil.example\r\n\r\n`)
      t.match(inCapitals.answers, [{ status: 400, body: '"code":"HATCHECK_HOST"' }], `${mode}, HTTP/${version}: two hosts, one in capitals`)
      const { answers: [withoutHost] } = await get('/login', [], version)
      t.equal(withoutHost?.status === 400, version !== '1.0', `${mode}, HTTP/${version}: ${withoutHost?.status} without a host`)
    }
    t.match(await exchange(port, 'GET /login HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'), { answers: [{ status: mode === 'demo' ? 403 : 200 }] }, `${mode}: the empty host`)
    for (const [target, host] of [['/login', 'localhost:65535'], ['/login', '[::1]'], ['http://localhost/login', 'LOCALHOST']] as const) {
      t.match(await exchange(port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), { answers: [{ status: 200 }] }, `${mode}: ${target} for ${host}`)
    }
  }
})

test('a request with as many header lines as Node keeps is refused in an application, since it may have had more, and the service keeps all', async (t) => {
  for (const mode of ['service', 'plugin'] as const) {
    const app = mode === 'plugin' ? await buildHost(t, { routes: true, authenticate }) : await build(t, { mode, authenticate })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const tooMany = mode === 'plugin' ? 431 : 200
    for (const [lines, status] of [[999, 200], [1_000, tooMany], [1_001, tooMany]] as const) {
      // Two lines are Host and Connection.
      const { answers } = await exchange(port, `GET /login HTTP/1.1\r\nHost: localhost\r\n${'a:b\r\n'.repeat(lines - 2)}Connection: close\r\n\r\n`)
      t.match(answers, [{ status, ...status === 431 && { body: '"code":"HATCHECK_HEADER_LINES"' } }], `${mode}: ${lines}`)
    }
  }
})

test('a request target with a star is refused, except "OPTIONS *"', async (t) => {
  for (const mode of ['service', 'plugin'] as const) {
    const app = mode === 'plugin' ? await buildHost(t, { routes: true, authenticate }) : await build(t, { mode, authenticate })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const send = async (line: string): ReturnType<typeof exchange> => await exchange(port, `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    for (const line of ['GET *login', 'POST *logout', 'GET *verify', ...mode === 'service' ? ['GET *', 'GET *?a', 'GET *session/a', 'OPTIONS *login', 'GET *metrics'] : []]) {
      const { answers: [answer], isClosed } = await send(line)
      t.equal(answer?.status, 400, `${mode}: ${line}`)
      t.match(answer?.body, '"code":"HATCHECK_BAD_REQUEST"')
      t.ok(isClosed)
    }
    if (mode === 'service') t.match(await send('OPTIONS *'), { answers: [{ status: 204 }] })
  }
})

test('a request over HTTP/2 whose host is ambiguous or invalid is refused', async (t) => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['login'], authenticate })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const client = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { client.destroy() })
  const statusOf = async (hosts: http2.OutgoingHttpHeaders): Promise<unknown> => {
    const stream = client.request({ ':path': '/login', ...hosts })
    const [headers] = await once(stream, 'response') as [http2.IncomingHttpHeaders]
    stream.close()
    return headers[':status']
  }
  for (const hosts of [{}, { ':authority': 'example.com' }, { ':authority': 'example.com', host: 'EXAMPLE.com' }]) t.equal(await statusOf(hosts), 200, JSON.stringify(hosts))
  for (const hosts of [{ ':authority': 'example.com', host: 'evil.example' }, { ':authority': 'example.com:65536' }]) t.equal(await statusOf(hosts), 400, JSON.stringify(hosts))
})
