import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { build, buildHost } from './helper.js'
import { exchange } from './raw-client.js'

const authenticate = (name: string): { name: string } => ({ name })

test('a request whose Host header is ambiguous or invalid is refused at every address, and ends its connection', async (t) => {
  for (const mode of ['service', 'demo', 'plugin'] as const) {
    const app = mode === 'plugin' ? await buildHost(t, { routes: true, authenticate }) : await build(t, { mode, authenticate })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const get = async (target: string, hosts: readonly string[]): ReturnType<typeof exchange> =>
      await exchange(port, `GET ${target} HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}\r\n`)
    const refused: Array<[target: string, ...hosts: string[]]> = [
      ['/login', 'localhost', 'evil.example'], ['/login', 'localhost', 'localhost'], ['/verify', 'localhost', 'evil.example'], ['http://evil.example/login', 'localhost'], ['http://localhost/login', 'evil.example'],
      ['/login', 'localhost:65536'], ['/login', 'local host'], ['/login', 'localhost/'], ['/login', 'user@localhost'], ['/login', '[::z]'], ['/login', 'localhost:80:80']
    ]
    if (mode !== 'plugin') refused.push(['/nowhere', 'localhost', 'localhost'])
    for (const [target, ...hosts] of refused) {
      const { answers, isClosed } = await get(target, hosts)
      t.match(answers, [{ status: 400, body: '"code":"HATCHECK_HOST"' }], `${mode}: ${target} for ${hosts.join(' and ')}`)
      t.ok(isClosed)
    }
    for (const [target, host] of [['/login', 'localhost:65535'], ['/login', '[::1]'], ['http://localhost/login', 'LOCALHOST']] as const) {
      t.match(await exchange(port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), { answers: [{ status: 200 }] }, `${mode}: ${target} for ${host}`)
    }
  }
})
