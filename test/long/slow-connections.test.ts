import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'tap'
import { TIMEOUTS } from '../../plugins/process/timeouts.js'
import { Client } from '../clients/client.js'
import { allFrom, openSocket, statusLines } from '../clients/raw-client.js'
import { pageAt } from '../pages/pages.js'
import { memoryOf } from '../processes/process-memory.js'
import { startService } from '../processes/service.js'

test('the limits of a connection are those of the documentation', (t) => {
  const page = pageAt('docs/production.md').replace(/\s+/g, ' ')
  const { requestTimeout, connectionTimeout, keepAliveTimeout, http } = TIMEOUTS
  for (const [sentence, documented] of [
    [/A request must arrive within (\d+) seconds/, [requestTimeout, http.headersTimeout]],
    [/a 408, up to (\d+) seconds later/, [http.connectionsCheckingInterval]],
    [/without any traffic for (\d+) seconds/, [connectionTimeout]],
    [/waits (\d+) seconds for its next request/, [keepAliveTimeout]]
  ] as const) {
    for (const ms of documented) t.equal(Number(sentence.exec(page)?.[1]) * 1_000, ms, sentence.source)
  }
  t.end()
})

test('500 slow connections are closed and delay no other client', { timeout: 60_000 }, async (t) => {
  const service = await startService(t, t.testdir(), { LOG_LEVEL: 'info' })
  const { url } = service
  const before = memoryOf(service.child.pid)
  const drip = (begin: string, more: string) => (socket: Socket): void => {
    socket.write(begin)
    const dripping = setInterval(() => { socket.write(more) }, 1_000)
    socket.on('close', () => { clearInterval(dripping) })
  }
  const kinds: Array<[count: number, what: string, behave: (socket: Socket) => void]> = [
    [200, 'headers without an end', drip('GET / HTTP/1.1\r\nHost: localhost\r\n', 'X-A: b\r\n')],
    [200, 'a body without an end', drip('PUT /session/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n', '1')],
    [50, 'half a line', (socket) => { socket.write('GET') }],
    [50, 'nothing', () => {}]
  ]
  const ends: Array<{ what: string, statuses: string[] }> = []
  const slow = kinds.flatMap(([count, what, behave]) => Array.from({ length: count }, async () => {
    const socket = openSocket(url)
    await once(socket, 'connect')
    behave(socket)
    ends.push({ what, statuses: statusLines(await allFrom(socket)) })
  }))
  let peak = 0
  let served = 0
  while (ends.length < slow.length) {
    const harry = new Client(url, { timeoutMs: 2_500 })
    const login = await harry.login()
    const cart = await harry.put('/session/cart', [])
    if (login.statusCode !== 303 || cart.statusCode !== 201) t.fail(`${login.statusCode} ${cart.statusCode}`)
    served++
    peak = Math.max(peak, memoryOf(service.child.pid))
    await new Promise((resolve) => { setTimeout(resolve, 200) })
  }
  t.ok(served > 5, `${served} others have logged in and stored something meanwhile`)
  await Promise.all(slow)
  t.equal(ends.length, 500)
  t.strictSame(ends.filter(({ statuses }) => statuses.join() !== '408 Request Timeout'), [], 'each gets an answer with the reason')
  t.comment(`${before} MiB before, ${peak} MiB at most`)
  t.ok(peak < before + 100, 'and they use little memory')
  t.equal((await fetch(`${url}/healthz`)).status, 200)
  t.equal(await service.end(), 0)
})
