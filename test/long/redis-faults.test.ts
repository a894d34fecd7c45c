import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { Visitor, listen, loggedIn, statuses, underLoad } from '../apps/visitors.js'
import { Client } from '../clients/client.js'
import { build, buildHost, gate, needs } from '../helper.js'
import { freePort } from '../processes/free-port.js'
import { Curl, hatcheckProcess, startService } from '../processes/service.js'
import { startRedis } from '../programs/redis.js'
import { loopTime, pause, until } from '../time/loop-clock.js'

/** Rules for every answer, whatever happens to the store: it comes in time, and logs no user out. */
function checkAnswers (t: Test, visitors: readonly Visitor[]): void {
  const answers = visitors.flatMap((visitor) => visitor.answers)
  t.comment(JSON.stringify(statuses(visitors)), `slowest ${Math.round(Math.max(...answers.map(({ tookMs }) => tookMs)))} ms`)
  t.strictSame(answers.filter(({ status }) => status !== 200 && status !== 503), [], 'only 200 and 503')
  t.ok(answers.some(({ status }) => status === 503), 'some 503')
  t.strictSame(answers.filter(({ cookie }) => cookie !== 'keeps'), [], 'no answer touches the cookie')
  t.strictSame(answers.filter(({ status, retryAfter }) => status === 503 && retryAfter !== '1'), [], 'every 503 has Retry-After')
  t.strictSame(answers.filter(({ waitedMs }) => waitedMs > 1_000), [], 'every answer within a second')
  for (const { name, answers } of visitors) {
    t.ok(answers.every(({ user }) => user === undefined || user === null || user === name), 'no user gets another\'s session')
  }
}

test('after Redis is killed and restarted with its data, no user is logged out and no acknowledged write is lost', needs('redis-server'), async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  const { url, fastify } = await listen(t, { sessionStore: server.url })
  const visitors = await loggedIn(url, 8)
  const leaving = new Visitor(url, 'leaving')
  await leaving.login()
  const copy = leaving.cookie
  let backAfter = Infinity

  await underLoad(visitors, async () => {
    await pause(500)
    await server.stop('SIGKILL')
    await pause(300)

    t.match(await leaving.send('POST', '/logout'), { status: 503, cookie: 'clears' }, 'a logout is not confirmed, but the cookie is cleared')
    t.match(await new Visitor(url, 'anonymous').send('GET', '/'), { status: 200, user: null, cookie: 'keeps' }, 'a visitor is served')
    t.match(await new Visitor(url, 'new').send('POST', '/login/new'), { status: 503, cookie: 'keeps' }, 'no user can log in')
    t.match(await leaving.send('GET', '/plain', copy), { status: 200 }, 'requests without a session are served')
    await pause(300)

    await server.start()
    const back = loopTime()
    t.not((await leaving.send('GET', '/', copy)).user, 'leaving', 'the ticket is refused at once')
    const probe = visitors[0] as Visitor
    await until('it is back', async () => (await new Visitor(url, probe.name).send('GET', '/', probe.cookie)).status === 200, 1_000)
    backAfter = loopTime() - back
    await pause(1_000)
  })
  t.comment(`back after ${Math.round(backAfter)} ms`)
  checkAnswers(t, visitors)
  for (const { answers, name } of visitors) {
    t.ok(answers.every(({ status, user }) => status === 503 || user === name), 'no user was anonymous for a moment')
    t.match(answers.at(-1), { status: 200, user: name })
    const counts = answers.flatMap(({ count }) => count ?? [])
    t.strictSame(counts, counts.toSorted((a, b) => a - b), 'no acknowledged write is lost')
  }
  await until('the logout is stored now', async () => (await fastify.sessions.store.ofUser('leaving')).length === 0, 1_500)
  t.match(await leaving.send('GET', '/', copy), { status: 200, user: null })
})

test('after Redis is killed and restarted without data, sessions are gone and logins work at once', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const { url } = await listen(t, { sessionStore: server.url })
  const visitors = await loggedIn(url, 8)
  let settled: number[] = []
  await underLoad(visitors, async () => {
    await pause(300)
    await server.stop('SIGKILL')
    await pause(700)
    await server.start()
    await pause(1_000)
    settled = visitors.map(({ answers }) => answers.length)
    await pause(200)
  })
  for (const [i, { answers }] of visitors.entries()) {
    t.ok(answers.slice(settled[i]).every(({ status }) => status === 200), 'within a second of the return there are no errors')
    t.match(answers.at(-1), { status: 200, user: null }, 'the sessions are gone')
  }
  await (visitors[0] as Visitor).login()
  t.match(await visitors[0]?.send('GET', '/'), { status: 200, user: 'visitor0' }, 'and users can log in again')
})

test('while Redis hangs for ten seconds, every answer comes in time and no user is logged out', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const { url } = await listen(t, { sessionStore: server.url })
  const visitors = await loggedIn(url, 8)
  const leaving = new Visitor(url, 'leaving')
  await leaving.login()
  const copy = leaving.cookie
  await underLoad(visitors, async () => {
    await pause(200)
    await server.client.client('PAUSE', 10_000)
    const begun = performance.now()
    await pause(5_000)
    const logout = await leaving.send('POST', '/logout')
    t.match(logout, { status: 503, cookie: 'clears' })
    t.ok(logout.waitedMs < 1_000)
    await pause(10_000 - (performance.now() - begun))
    const back = performance.now()
    const probe = visitors[0] as Visitor
    await until('it is back', async () => (await new Visitor(url, probe.name).send('GET', '/', probe.cookie)).status === 200, 1_000)
    t.comment(`back after ${Math.round(performance.now() - back)} ms`)
    await pause(500)
  })
  checkAnswers(t, visitors)
  for (const { answers, name } of visitors) {
    t.ok(answers.every(({ status, user }) => status === 503 || user === name))
    t.match(answers.at(-1), { status: 200, user: name }, 'everyone is still logged in')
  }
  await until('the logout is stored in the end', async () => !(await server.client.keys('hatcheck:user:leaving')).length)
  t.match(await leaving.send('GET', '/', copy), { status: 200, user: null })
})

test('requests succeed again after Redis was stopped, and after its connections were cut', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const { url } = await listen(t, { sessionStore: server.url })
  const visitors = await loggedIn(url, 4)
  await underLoad(visitors, async () => {
    server.signal('SIGSTOP')
    await pause(3_000)
    server.signal('SIGCONT')
    await pause(1_200)
    t.ok(visitors.every(({ answers }) => answers.at(-1)?.status === 200))
    await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await pause(1_000)
  })
  checkAnswers(t, visitors)
  for (const { answers, name } of visitors) t.match(answers.at(-1), { status: 200, user: name })
})

test('a call whose Redis answer is lost counts as failed, and leaves nothing behind', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  let swallows = false
  const connections = new Set<Socket>()
  const proxy = createServer((inbound) => {
    const outbound = connectSocket(server.port, '127.0.0.1')
    connections.add(inbound)
    inbound.pipe(outbound)
    outbound.on('data', (data) => { if (!swallows) inbound.write(data) })
    for (const [one, other] of [[inbound, outbound], [outbound, inbound]] as const) one.on('error', () => {}).on('close', () => { other.destroy() })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => { proxy.close() })

  const fastify = await buildHost(t, { sessionStore: `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}` })
  const lost = gate()
  let waiting = 0
  const reached = async (): Promise<void> => {
    waiting++
    await lost.passed
  }
  fastify.get('/', async ({ user, session }) => ({ user: user?.name ?? null, keys: session.keys() }))
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.post('/login-later', async (request) => {
    await reached()
    await request.login('Sally')
  })
  fastify.post('/logout-later', async (request) => {
    await reached()
    await request.logout()
  })
  const [leaving, arriving] = [new Client(fastify), new Client(fastify)]
  await leaving.send({ method: 'POST', url: '/login' })
  const copy = leaving.cookieHeader

  const answers = [leaving.send({ method: 'POST', url: '/logout-later' }), arriving.send({ method: 'POST', url: '/login-later' })] as const
  await until('both are under way', () => waiting === 2)
  swallows = true
  lost.open()
  const [logout, login] = await Promise.all(answers)
  t.match(logout, { statusCode: 503, headers: { 'set-cookie': /Max-Age=0/ } }, 'the logout is not confirmed')
  t.equal(login.statusCode, 503)
  t.notOk(login.headers['set-cookie'], 'no user is logged in')

  swallows = false
  for (const connection of connections) connection.destroy()
  await until('it continues', async () => (await fastify.inject({ url: '/', headers: { cookie: copy } })).statusCode === 200, 1_000)
  t.strictSame((await fastify.inject({ url: '/', headers: { cookie: copy } })).json(), { user: null, keys: [] })
  t.strictSame(await fastify.sessions.store.ofUser('Harry'), [], 'the session had ended')
  t.strictSame(await fastify.sessions.store.ofUser('Sally'), [], 'and the new one has not begun')
})

test('a missing socket is an unavailable store, and not a missing session', needs('redis-server'), async (t) => {
  // The path of a Unix socket must be short.
  const folder = mkdtempSync(join(tmpdir(), 'hatcheck-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const socket = join(folder, 'redis.sock')
  const port = await freePort()
  const args = ['--unixsocket', socket, '--appendonly', 'yes']
  const server = await startRedis(t, { folder, port, args })
  const { url } = await listen(t, { sessionStore: `redis+unix://${socket}` })
  const visitors = await loggedIn(url, 2)
  await server.stop('SIGTERM')
  await until('the socket is gone', async () => (await visitors[0]?.send('GET', '/'))?.status === 503)
  for (const method of ['GET', 'POST'] as const) {
    t.match(await visitors[0]?.send(method, method === 'GET' ? '/' : '/count'), { status: 503, cookie: 'keeps' })
  }
  await server.start()
  await until('and there again', async () => (await visitors[0]?.send('GET', '/'))?.user === 'visitor0', 1_000)
  checkAnswers(t, visitors.slice(0, 1))
})

test('the service starts while Redis is down, serves pages, and accepts logins once Redis is up', needs('redis-server'), async (t) => {
  const port = await freePort()
  const fastify = await build(t, { sessionStore: `redis://127.0.0.1:${port}` })
  const browser = new Client(fastify)
  t.equal((await browser.get('/')).statusCode, 200)
  t.equal((await browser.get('/login')).statusCode, 200)
  const refused = await browser.login()
  t.equal(refused.statusCode, 503)
  t.notOk(refused.headers['set-cookie'])
  t.match(refused.json(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  await startRedis(t, { port })
  await until('a login succeeds', async () => (await browser.login()).statusCode === 303, 1_500)
  t.match((await browser.get('/')).body, 'Harry Your account is logged in.')
})

test('the process outlives Redis, and the command line works on the same accounts', needs('redis-server'), async (t) => {
  const folder = t.testdir({ redis: {} })
  const port = await freePort()
  const env = { SESSION_STORE: `redis://127.0.0.1:${port}`, SIGNUP: 'closed' }
  const addSally = async (): Promise<string> => {
    const { code, stdout, stderr } = await hatcheckProcess(folder, ['user', 'add', 'Sally'], { env, input: 'correct horse battery\n' })
    return `${code} ${stdout}${stderr}`
  }
  t.match(await addSally(), /^1 hatcheck: the Redis store cannot be reached.*\nhatcheck: redis:.*\nhatcheck: The session store cannot answer right now \(account\)\. The reason: .*\n$/)
  const service = await startService(t, folder, env)
  t.match(service.output(), /the Redis store cannot be reached; requests that need it get a 503 until it can/)
  const server = await startRedis(t, { folder: join(folder, 'redis'), port })
  t.match(await addSally(), '0 Sally can log in now.')
  t.match((await hatcheckProcess(folder, ['user', 'list'], { env })).stdout, /^Sally\t/)

  const browser = new Curl(folder, 'jar')
  const status = async (path: string): Promise<number> => (await browser.send(service.url + path)).status
  const credentials = { client_name: 'Sally', password: 'correct horse battery' }
  t.equal((await browser.post(`${service.url}/login`, credentials)).status, 303)
  t.match((await browser.send(service.url)).body, 'Sally Your account is logged in.')
  for (let i = 0; i < 2; i++) {
    await server.stop()
    t.equal(await status('/'), 503)
    t.equal(await status('/login'), 503)
    await server.start()
    await until('it is back', async () => await status('/') === 200, 1_000)
  }
  t.equal(service.child.exitCode, null)
  t.equal(await service.end(), 0)
  t.equal(service.output().match(/the Redis store cannot be reached/g)?.length, 3)
  t.equal(service.output().match(/the Redis store can be reached again/g)?.length, 3)
})
