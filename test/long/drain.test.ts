import { once } from 'node:events'
import { Agent } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { Client } from '../clients/client.js'
import { openSocket, readAnswer } from '../clients/raw-client.js'
import { startService, workersOf } from '../processes/service.js'
import { fastFolder } from '../stores/fast-folder.js'
import { until } from '../time/loop-clock.js'

/** How long the load lasts before the signal. */
const LOAD_MS = 400
/** By the clients' clock: a request that was written this long before the signal was sent before it. */
const MARGIN_MS = 5
const PASSWORD = '12345678'
/** Stands for a value: none yet, and a user is logged in. */
const LOGIN = -1

/** A request and its outcome. */
interface Sent {
  what: string
  /** The time at which its last byte was with the kernel. */
  writtenAt: number
  answeredAt: number
  /** The status of a complete answer, or the kind of failure. */
  outcome: number | 'closed' | 'reset' | 'refused'
  cookie: string
  keepsOpen: boolean
}

for (const workers of ['1', '2']) {
  test(`SIGTERM under load, WORKERS=${workers}: requests sent before it are answered, and acknowledged writes are stored`, async (t) => {
    const folder = fastFolder(t)
    const service = await startService(t, folder, { WORKERS: workers, LOG_LEVEL: 'info' })
    if (workers !== '1') await until('all workers listen', () => service.output().includes(`workers: ${workers}`))
    const { sent, stop, stored, ended } = await load(t, service.url)
    await pause(LOAD_MS)
    await until('a user has logged out', () => ended.length > 0)
    const signalledAt = performance.now()
    // A service manager signals every process, and then the primary signals its workers.
    if (workers !== '1') for (const pid of workersOf(service)) process.kill(pid, 'SIGTERM')
    t.equal(await service.end('SIGTERM'), 0)
    const tookMs = performance.now() - signalledAt
    await stop()
    t.comment(`it took ${Math.round(tookMs)} ms`)

    const before = sent.filter(({ writtenAt }) => writtenAt < signalledAt - MARGIN_MS)
    const underWay = before.filter(({ answeredAt }) => answeredAt > signalledAt)
    t.ok(underWay.length > 0, `${before.length} requests before the signal, ${underWay.length} of them under way`)
    t.strictSame(summary(before.filter(({ outcome }) => typeof outcome !== 'number' || outcome >= 400)), {}, 'each has a complete answer, the one that it would have had without the signal')
    t.comment(`since the signal: ${JSON.stringify(summary(sent.filter(({ writtenAt }) => writtenAt >= signalledAt)))}`)

    const again = await startService(t, folder, { LOG_LEVEL: 'info' })
    const lost: string[] = []
    for (const [cookie, value] of stored) {
      const { user, data } = (await new Client(again.url).get('/session', { cookie })).json<{ user: unknown, data: { n?: number } }>()
      if (value === LOGIN ? user === null : !(Number(data.n) >= value)) lost.push(`${value} was acknowledged, ${JSON.stringify(data)} is there`)
    }
    t.strictSame(lost, [], `${stored.size} sessions have their last acknowledged value`)
    const revived: string[] = []
    for (const cookie of ended) if ((await new Client(again.url).get('/verify', { cookie })).statusCode !== 401) revived.push(cookie)
    t.ok(ended.length > 0)
    t.strictSame(revived, [], `${ended.length} sessions that have ended stay ended`)
    t.equal(await again.end(), 0)
  })
}

test('while it drains, the service answers, reports that it is not ready, and closes its connections', async (t) => {
  const service = await startService(t, t.testdir(), { LOG_LEVEL: 'info' })
  const ready = await ask(service.url, 'GET /readyz')
  t.match(ready, { outcome: 200, keepsOpen: true })
  const end = service.end('SIGTERM')
  await until('it drains', () => service.output().includes('sys_shutdown'))
  // A client that would keep its connection.
  const agent = new Agent({ keepAlive: true })
  const unready = await new Client(service.url, { agent }).get('/readyz')
  t.match([unready.statusCode, unready.headers.connection, unready.json()], [503, 'close', { code: 'HATCHECK_STOPPING' }])
  t.match(await ask(service.url, 'GET /'), { outcome: 200, keepsOpen: false })
  t.match(await ask(service.url, 'GET /healthz'), { outcome: 200, keepsOpen: false })
  t.equal(await end, 0)
})

/** Runs clients, with kept connections and with a new one per request, each with one request at a time, until they are stopped. */
async function load (t: Test, url: string) {
  const sent: Sent[] = []
  /** The last acknowledged value of each session, by its cookie. */
  const stored = new Map<string, number>()
  const ended: string[] = []
  const over = new AbortController()

  const kept = Array.from({ length: 20 }, async () => {
    const socket = await open(url)
    let cookie = ''
    for (let n = 1; !over.signal.aborted; n++) {
      const answer = await send(socket, 'PUT /session/n', cookie, String(n))
      sent.push(answer)
      if (typeof answer.outcome !== 'number' || answer.outcome >= 300) break
      cookie = answer.cookie || cookie
      stored.set(cookie, n)
      if (!answer.keepsOpen) break
    }
    socket.destroy()
  })
  const fresh = Array.from({ length: 10 }, async () => {
    while (!over.signal.aborted) {
      const answer = await ask(url, 'GET /')
      sent.push(answer)
      if (typeof answer.outcome !== 'number') break
    }
  })
  const visitors = Array.from({ length: 4 }, async (_, i) => {
    for (let n = 0; !over.signal.aborted; n++) {
      const login = await ask(url, 'POST /login', '', JSON.stringify({ client_name: `visitor ${i}`, password: PASSWORD }))
      sent.push(login)
      if (login.outcome !== 200) break
      stored.set(login.cookie, LOGIN)
      const put = await ask(url, 'PUT /session/n', login.cookie, String(n))
      sent.push(put)
      if (typeof put.outcome !== 'number' || put.outcome >= 300) break
      stored.set(login.cookie, n)
      if (n % 2 === 1) continue
      const logout = await ask(url, 'POST /logout', login.cookie)
      sent.push(logout)
      stored.delete(login.cookie)
      if (logout.outcome !== 200) break
      ended.push(login.cookie)
    }
  })
  const all = Promise.all([...kept, ...fresh, ...visitors])
  t.teardown(() => { over.abort() })
  return { sent, stored, ended, async stop () { over.abort(); await all } }
}

/** One request on its own connection. */
async function ask (url: string, what: string, cookie = '', body = ''): Promise<Sent> {
  let socket: Socket
  try {
    socket = await open(url)
  } catch {
    return { what, writtenAt: Infinity, answeredAt: Infinity, outcome: 'refused', cookie, keepsOpen: false }
  }
  try {
    return await send(socket, what, cookie, body)
  } finally {
    socket.destroy()
  }
}

async function open (url: string): Promise<Socket> {
  const socket = openSocket(url, { noDelay: true })
  await once(socket, 'connect')
  return socket
}

/**
 * Sends one request over a socket, and reads its answer. A Client could not say when the bytes of the request are with the
 * kernel (when `write` comes back), nor how a connection ends.
 */
function send (socket: Socket, what: string, cookie: string, body = ''): Promise<Sent> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const take = (chunk: Buffer): void => {
      chunks.push(chunk)
      const answer = readAnswer(Buffer.concat(chunks))
      if (answer !== null) finish(answer.status, answer.head)
    }
    const fail = (error: NodeJS.ErrnoException): void => { finish(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : 'closed') }
    const close = (): void => { finish('closed') }
    const finish = (outcome: Sent['outcome'], head = ''): void => {
      socket.off('data', take).off('error', fail).off('close', close)
      const ticket = /^set-cookie: (hatcheck=[^;]+)/im.exec(head)?.[1] ?? ''
      resolve({ what, writtenAt, answeredAt: performance.now(), outcome, cookie: ticket, keepsOpen: !/^connection: close/im.test(head) })
    }
    socket.on('data', take).on('error', fail).on('close', close)
    socket.write([`${what} HTTP/1.1`, 'Host: localhost', 'Accept: application/json', ...cookie === '' ? [] : [`Cookie: ${cookie}`],
      ...body === '' ? ['Content-Length: 0'] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`], '', body].join('\r\n'))
    const writtenAt = performance.now()
  })
}

/** The number of requests for each outcome. */
function summary (requests: readonly Sent[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { what, outcome } of requests) counts[`${what} ${outcome}`] = (counts[`${what} ${outcome}`] ?? 0) + 1
  return counts
}
