import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { mock } from 'node:test'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { openLog } from '../plugins/process/log.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { logInto } from './apps/log-lines.js'
import { answersMayDiffer } from './checks/checks.js'
import { Client } from './clients/client.js'
import { RawClient, exchange } from './clients/raw-client.js'
import { build, buildHost, handleOf, testKey } from './helper.js'
import { fixture, preloading } from './processes/child.js'
import { startInto } from './processes/service-into.js'
import { startService } from './processes/service.js'
import { breakable, openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

type Line = Record<string, unknown> & { event: string }

interface Log {
  server: FastifyServerOptions
  lines: string[]
  /** The security events since the last call, without the members that every line has. */
  events (): Line[]
}

function captured (level = 'trace'): Log {
  const lines: string[] = []
  let seen = 0
  return {
    server: logInto(lines, level),
    lines,
    events () {
      const fresh = lines.slice(seen).map((line) => JSON.parse(line) as Line).filter(({ event }) => event !== undefined)
      seen = lines.length
      return fresh.map(({ time: _time, pid: _pid, hostname: _hostname, reqId: _id, msg: _msg, ...rest }) => rest as Line)
    }
  }
}

const INFO = 30
const WARN = 40

async function service (t: Test, options: HatcheckOptions & { mode?: 'service' | 'demo' } = {}): Promise<Log & { fastify: FastifyInstance, client: Client }> {
  const log = captured()
  const fastify = await build(t, options, log.server)
  return { ...log, fastify, client: new Client(fastify) }
}

const harry = { user: 'Harry', address: '127.0.0.1' }

test('the log has one event for each login, new login and logout', async (t) => {
  const { client, events, lines } = await service(t)
  t.strictSame(events(), [])
  await client.login()
  const first = handleOf(client.cookie())
  t.strictSame(events(), [
    { level: INFO, event: 'session_created', ...harry, session: first },
    { level: INFO, event: 'authn_login_success', ...harry, session: first }
  ])
  await client.get('/')
  t.strictSame(events(), [], 'reading a page is no event')
  await client.login()
  const second = handleOf(client.cookie())
  t.strictSame(events(), [
    { level: INFO, event: 'session_renewed', ...harry, session: second, previous: first },
    { level: INFO, event: 'authn_login_success', ...harry, session: second }
  ])
  const copy = client.cookieHeader
  await client.post('/logout')
  t.strictSame(events(), [{ level: INFO, event: 'session_ended', ...harry, session: second, reason: 'logout' }])
  await client.get('/logout', { cookie: copy })
  t.strictSame(events(), [], 'it ends once')

  const line = JSON.parse(lines.find((text) => text.includes('authn_login_success')) as string) as Record<string, unknown>
  t.match(line, { msg: 'authn_login_success', reqId: /^req-/ }, 'the line has the ID of the request')
  t.ok(Math.abs(Number(line['time']) - Date.now()) < 60_000, 'ms since the epoch, which is UTC')
})

test('every line of a request has its request ID, and never an ID that the client sent', async (t) => {
  const { store, down } = breakable(openStore(t, 'memory:'))
  const { client, fastify, lines } = await service(t, { mode: 'service', authenticate: (name, password) => password === '12345678' ? { name } : null, sessionStore: store })
  const headers = { 'x-request-id': 'id-of-a-client', 'request-id': 'id-of-a-client', traceparent: '00-id-of-a-client-01' }
  await client.get('/')
  lines.length = 0
  await client.post('/login', { client_name: 'Harry', password: 'wrong' }, headers)
  await client.post('/login', { client_name: 'Harry', password: '12345678' }, headers)
  await client.get('/nothing', headers)
  await client.get('/', { ...headers, 'sec-fetch-site': 'cross-site' })
  fastify.sessions.on('renewed', () => { throw new Error('a listener') })
  await client.post('/login', { client_name: 'Harry', password: '12345678' }, headers)
  down('touch', 'remove')
  // A cookie that is signed with a former key is recorded as activity.
  fastify.sessions.setSecretKeys([newSecret(), testKey])
  await client.get('/', headers)
  await client.post('/logout', {}, headers)
  const all = lines.map((line) => JSON.parse(line) as Line & { reqId?: string, msg: string })
  for (const text of ['the activity of a session could not be recorded', 'a listener of "renewed" failed', 'the end of a session could not be stored', 'authn_login_fail', 'session_created', 'request refused', 'request completed']) {
    t.ok(all.some(({ msg }) => msg.startsWith(text)), text)
  }
  const without = all.filter(({ reqId, msg }) => !/^req-/.test(reqId ?? '') && !msg.startsWith('secret keys replaced'))
  t.strictSame(without.map(({ msg }) => msg), [])
  t.equal(new Set(all.map(({ reqId }) => reqId)).size, 8, 'seven requests, and the lines of no request')
  t.notMatch(lines.join(''), 'id-of-a-client')
})

test('a login as another user ends the session and begins a new one', async (t) => {
  const { client, events } = await service(t)
  await client.login()
  const first = handleOf(client.cookie())
  events()
  await client.login('Sally')
  const sally = { user: 'Sally', address: '127.0.0.1', session: handleOf(client.cookie()) }
  t.strictSame(events(), [
    { level: INFO, event: 'session_ended', ...harry, session: first, reason: 'logout' },
    { level: INFO, event: 'session_created', ...sally },
    { level: INFO, event: 'authn_login_success', ...sally }
  ])
})

test('each failed login is logged once, with its reason', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { fastify, client, events } = await service(t, {
    sessionStore: store,
    authenticate: (name, password) => {
      if (name === 'Ron') throw Object.assign(new Error('not now'), { statusCode: 403 })
      if (name === 'Fast') throw Object.assign(new Error('too many'), { statusCode: 429 })
      return password === 'alohomora!' ? { name } : null
    }
  })
  answersMayDiffer(fastify, 'the authenticator says no in its own words')
  const failed = (reason: string, user: string | null = 'Harry'): object => ({ level: WARN, event: 'authn_login_fail', user, address: '127.0.0.1', reason })

  t.equal((await client.login('Harry', 'open sesame')).statusCode, 401)
  t.strictSame(events(), [failed('credentials')])
  t.equal((await client.post('/login', { client_name: 'Harry', password: 'open sesame' }, { accept: 'text/html' })).statusCode, 401)
  t.strictSame(events(), [failed('credentials')], 'the answer is the form again')
  t.equal((await client.login('', 'open sesame')).statusCode, 400)
  t.strictSame(events(), [failed('input', '')])
  t.equal((await client.login('Harry', '')).statusCode, 400)
  t.strictSame(events(), [failed('input')])
  t.equal((await client.send({ method: 'POST', url: '/login', headers: { 'content-type': 'application/json' }, payload: '{' })).statusCode, 400)
  t.strictSame(events(), [failed('refused', null)])
  t.equal((await client.login('Ron', 'open sesame')).statusCode, 403)
  t.strictSame(events(), [failed('refused', 'Ron')])
  t.equal((await client.login('Fast', 'open sesame')).statusCode, 429)
  t.strictSame(events(), [], 'the code that counts the attempts logs the refusal')
  down()
  t.equal((await client.login('Harry', 'alohomora!')).statusCode, 503)
  t.strictSame(events(), [failed('unavailable')])
  up()
  t.equal((await client.login('Harry', 'alohomora!')).statusCode, 303)
  t.strictSame(events().map(({ event }) => event), ['session_created', 'authn_login_success'])
})

test('a password that is given again to end other sessions is logged like that of a login', async (t) => {
  const clock = { time: Date.UTC(2026, 0, 31, 12) }
  const { client, events } = await service(t, { now: () => clock.time })
  await client.login('Harry', '12345678')
  const later = async (password: string, accept: string): Promise<number> => {
    clock.time += 11 * 60_000
    events()
    return (await client.post('/sessions', { others: '1', password }, { accept })).statusCode
  }
  for (const accept of ['text/html', 'application/json']) {
    const cases: Array<[password: string, status: number, reason: string]> = [['alohomora!', 401, 'credentials'], ['x'.repeat(1_025), 400, 'input']]
    for (const [password, status, reason] of cases) {
      t.equal(await later(password, accept), status)
      t.strictSame(events(), [{ level: WARN, event: 'authn_login_fail', ...harry, session: handleOf(client.cookie()), reason }], `${accept}: ${reason}`)
    }
    t.equal(await later('', accept), 401)
    t.strictSame(events(), [], 'it is asked for')
    t.equal(await later('12345678', accept), accept === 'text/html' ? 303 : 200)
    t.match(events(), [{ event: 'session_renewed' }, { level: INFO, event: 'authn_login_success', ...harry, session: handleOf(client.cookie()) }])
  }
})

test('a login fails if all sessions of its user are ended while it is under way', async (t) => {
  const { fastify, client, events } = await service(t)
  await client.login()
  await client.post('/logout')
  events()
  const { isStillValid } = fastify.hatcheck.login
  fastify.hatcheck.login.isStillValid = async (user) => {
    await fastify.accounts?.disable(user.name)
    return await isStillValid(user)
  }
  t.equal((await client.login()).statusCode, 401)
  const [created, revoked, failed, ...more] = events()
  t.match(created, { event: 'session_created', user: 'Harry' })
  t.match(revoked, { event: 'session_ended', reason: 'revoked', session: created?.['session'] })
  t.match(failed, { event: 'authn_login_fail', reason: 'credentials', user: 'Harry' })
  t.strictSame(more, [])
})

test('sessions that are revoked or expire are logged without a request or an address', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  let time = Date.now()
  const { fastify, client, events } = await service(t, { now: () => time })
  await client.login()
  const first = handleOf(client.cookie())
  events()
  await fastify.sessions.revokeUser('Harry')
  t.strictSame(events(), [{ level: INFO, event: 'session_ended', user: 'Harry', session: first, reason: 'revoked' }], 'no request, no address')
  await client.login()
  const second = handleOf(client.cookie())
  events()
  time += 86_400_000
  mock.timers.tick(60_000)
  await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame(events(), [{ level: INFO, event: 'session_ended', user: 'Harry', session: second, reason: 'expired' }])
})

test('the end of all other sessions logs who asked for it', async (t) => {
  const log = captured()
  const fastify = await buildHost(t, {}, log.server)
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.post('/others', async (request) => await fastify.hatcheck.session.endOthers(request))
  const [client, other] = [new Client(fastify), new Client(fastify)]
  for (const each of [client, other]) await each.send({ method: 'POST', url: '/login' })
  log.events()
  await client.send({ method: 'POST', url: '/others' })
  t.strictSame(log.events(), [{ level: INFO, event: 'session_ended', ...harry, session: handleOf(other.cookie()), reason: 'revoked' }])
})

test('a refused cross-site request is logged', async (t) => {
  const { client, events } = await service(t)
  const foreign = { 'sec-fetch-site': 'cross-site' }
  const refused = { level: WARN, event: 'malicious_cors', user: null, address: '127.0.0.1', reason: 'cross_origin' }
  for (const url of ['/login', '/logout']) {
    t.equal((await client.post(url, { client_name: 'Harry', password: '12345678' }, foreign)).statusCode, 403)
    t.strictSame(events(), [refused], url)
  }
  t.equal((await client.get('/logout', { ...foreign, accept: 'application/json' })).statusCode, 403)
  t.strictSame(events(), [refused])
  t.equal((await client.get('/logout', foreign)).statusCode, 200)
  t.strictSame(events(), [], 'a confirmation page is no refusal')
})

test('a refusal for lack of a login, and a refusal by demo mode, are logged once', async (t) => {
  const { client, events, fastify } = await service(t)
  fastify.get('/private', { onRequest: fastify.requireLogin }, async () => 'private')
  const refused = { level: WARN, event: 'authz_fail', user: null, address: '127.0.0.1' }
  t.equal((await client.get('/private')).statusCode, 401)
  t.strictSame(events(), [{ ...refused, reason: 'login_required' }])
  t.equal((await client.get('/private', { accept: 'text/html' })).statusCode, 303)
  t.strictSame(events(), [], 'a browser is led to the login page')
  for (const url of ['/', '/nowhere']) {
    t.equal((await client.get(url, { host: 'example.com' })).statusCode, 403)
    t.strictSame(events(), [{ ...refused, reason: 'demo_mode' }], url)
  }
  t.equal((await client.post('/login', { client_name: 'Harry', password: '12345678' }, { host: 'example.com' })).statusCode, 403)
  t.strictSame(events(), [{ ...refused, reason: 'demo_mode' }], 'no failed login beside it')
})

test('an application has the same events in its own log', async (t) => {
  const log = captured('info')
  const fastify = await buildHost(t, {}, log.server)
  fastify.post('/cart', async ({ session }) => { Object.assign(session, { cart: ['apple'] }) })
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.get('/private', { onRequest: fastify.requireLogin }, async () => 'private')
  const client = new Client(fastify)
  await client.get('/private')
  await client.send({ method: 'POST', url: '/cart' })
  const anonymous = handleOf(client.cookie())
  await client.send({ method: 'POST', url: '/login' })
  t.strictSame(log.events(), [
    { level: WARN, event: 'authz_fail', user: null, address: '127.0.0.1', reason: 'login_required' },
    { level: INFO, event: 'session_created', user: null, address: '127.0.0.1', session: anonymous },
    { level: INFO, event: 'session_renewed', ...harry, session: handleOf(client.cookie()), previous: anonymous }
  ])
})

test('the audit log has its own level in the service and can be turned off; in an application it uses the application\'s', async (t) => {
  for (const level of ['warn', 'error', 'fatal', 'silent']) {
    const log = captured(level)
    const client = new Client(await build(t, {}, log.server))
    await client.login()
    await client.post('/logout')
    t.strictSame(log.events().map(({ event }) => event), ['session_created', 'authn_login_success', 'session_ended'], level)
    t.equal(log.lines.length, 3, 'and nothing else')
  }
  const off = captured()
  const fastify = await build(t, { auditLog: false }, off.server)
  await new Client(fastify).login()
  t.strictSame(off.events(), [])
  t.match((await fastify.inject('/metrics')).body, 'hatcheck_logins_total{outcome="success"} 1', 'the login is counted all the same')

  const log = captured('warn')
  const host = await buildHost(t, {}, log.server)
  host.post('/login', async (request) => { await request.login('Harry') })
  await host.inject({ method: 'POST', url: '/login' })
  t.strictSame(log.lines, [])
})

test('a logged name cannot break out of its string, and is truncated', async (t) => {
  const { client, lines, events } = await service(t)
  const forged = 'Harry\r\n{"level":30,"event":"authn_login_success","user":"admin"}\u2028\u001b[2J'
  const before = lines.length
  await client.login(forged)
  for (const line of lines.slice(before)) {
    t.match(line, /^\{[^\p{Cc}]*\}\n$/u, 'one line')
    JSON.parse(line)
  }
  t.match(events(), [{ event: 'authn_login_fail', user: forged, reason: 'input' }])
  await client.login('x'.repeat(5_000))
  t.equal(events()[0]?.['user'], 'x'.repeat(256))
})

/** The security events in the output of a process. */
function eventsOf (output: string): Line[] {
  return output.split('\n').filter((line) => line.includes('"event":')).map((line) => JSON.parse(line) as Line)
}

test('the process logs its start and its end, in UTC', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:' })
  t.equal(await service.end(), 0)
  const events = eventsOf(service.output())
  t.match(events, [{ event: 'sys_startup', level: INFO, user: null }, { event: 'sys_shutdown', level: INFO, reason: 'SIGTERM' }])
  t.equal(events.length, 2)
  for (const { time } of events) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})

for (const word of ['reject', 'throw']) {
  test(`an uncaught error (${word}) is logged, requests under way are answered, and the exit code is 1`, async (t) => {
    const env = { SESSION_STORE: 'memory:', NODE_OPTIONS: preloading(fixture('crash.js')) }
    const service = await startService(t, t.testdir(), env)
    const login = new Client(service.url).login()
    await until('the login is under way', () => service.output().includes('incoming request'))
    service.child.stdin?.write(word)
    const [response, code] = await Promise.all([login, service.end('SIGCONT')])
    t.equal(response.statusCode, 303)
    t.equal(code, 1)
    const crashes = eventsOf(service.output()).filter(({ event }) => event.startsWith('sys_'))
    t.match(crashes, [{ event: 'sys_startup' }, { event: 'sys_crash', level: 50 }])
    t.equal(crashes.length, 2)
    t.match(service.output(), /"err":\{"type":"Error","message":"nobody has caught this"/)
  })
}

test('LOG_LEVEL, REQUEST_LOG and AUDIT_LOG each control their part of the service\'s log', async (t) => {
  const settings: Array<[env: Record<string, string>, wanted: RegExp[], unwanted: RegExp[]]> = [
    [{ REQUEST_LOG: 'off' }, [/hatcheck listens/, /authn_login_fail/, /session_created/], [/incoming request/, /request completed/, /request refused/]],
    [{ LOG_LEVEL: 'silent', AUDIT_LOG: 'on' }, [/sys_startup/, /authn_login_fail/, /session_created/, /sys_shutdown/], [/hatcheck listens/, /incoming request/]],
    [{ AUDIT_LOG: 'off' }, [/hatcheck listens/, /incoming request/, /request refused/], [/"event":/]]
  ]
  const folder = t.testdir()
  for (const [env, wanted, unwanted] of settings) {
    const { url, child, ended } = await startInto(t, folder, ['ignore', 'pipe', 'pipe'], { env: { SESSION_STORE: 'memory:', ...env } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { output += text })
    for (const password of ['12345678', 'wrong one']) {
      await new Client(url).login('Harry', password)
    }
    child.kill('SIGTERM')
    t.equal(await ended, 0)
    for (const text of wanted) t.match(output, text, JSON.stringify(env))
    for (const text of unwanted) t.notMatch(output, text, JSON.stringify(env))
  }
})

test('one request writes a bounded amount to the log, whatever it contains', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:', LOG_LEVEL: 'info' })
  const { port } = new URL(service.url)
  const client = new RawClient(Number(port))
  const long = (text: string): string => text.repeat(Math.floor(15_000 / Buffer.byteLength(text)))
  const form = 'Content-Type: application/x-www-form-urlencoded'
  const requests: Array<[what: string, head: string, body?: string]> = [
    ['a long path', `GET /${long('x')} HTTP/1.1\r\nHost: localhost`],
    ['a long path that cannot be decoded', `GET /${long('%zz')} HTTP/1.1\r\nHost: localhost`],
    ['a long path of quotes', `GET /${long('"')} HTTP/1.1\r\nHost: localhost`],
    ['a long host', `GET / HTTP/1.1\r\nHost: ${long('h')}`],
    ['a long type', `POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/${long('x')}`, 'x'],
    ['a long name', `POST /login HTTP/1.1\r\nHost: localhost\r\n${form}`, `client_name=${long('%00')}&password=12345678`],
    ['long invalid JSON', 'POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json', long('{')]
  ]
  for (const [what, head, body = ''] of requests) {
    const before = service.output().length
    const [answer] = await client.send([Buffer.from(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)])
    t.ok((answer?.status ?? 0) >= 400, `${what}: ${answer?.status}`)
    // The log has the lines of a request before those of the next one.
    const next = `/after-${what.replaceAll(' ', '-')}`
    await client.send([Buffer.from(`GET ${next} HTTP/1.1\r\nHost: localhost\r\n\r\n`)])
    await until('the next request is in the log', () => service.output().includes(next))
    const written = service.output().slice(before, service.output().indexOf(next))
    t.ok(written.length > 100 && written.length < 4_096, `${what} writes ${written.length} bytes`)
  }
  client.close()
})

test('fields with secrets are left out of every log line of the service', async (t) => {
  const { options } = await openLog({ level: 'info', hasAuditLog: false })
  let output = ''
  const fastify = Fastify({ logger: { ...Object(options) as object, stream: { write (line: string) { output += line } } } })
  t.teardown(() => fastify.close())
  const secret = 'correct-horse-battery'
  const fields = { password: secret, pwd: secret, cookie: secret, secretKey: secret, headers: { cookie: secret, authorization: secret, 'set-cookie': secret } }
  fastify.log.info({ ...fields, body: { password: secret, pwd: secret, client_name: 'Harry' } }, 'a line')
  t.match(output, 'Harry')
  t.notMatch(output, secret)
})

test('the log of the service has paths but neither query strings nor the user of an absolute address', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:', LOG_LEVEL: 'trace' })
  const secret = 'correct-horse-battery'
  for (const path of ['/login', '/nowhere', '/%zz', '/login/%E0%A4%A']) {
    const response = await fetch(`${service.url}${path}?password=${secret}`, { headers: { authorization: `Basic ${secret}`, cookie: `other=${secret}` } })
    t.notMatch(await response.text(), secret, path)
  }
  await fetch(`${service.url}/login`, { method: 'POST', body: JSON.stringify({ client_name: 'Harry', password: secret, x: secret }).slice(1), headers: { 'content-type': 'application/json' } })
  await fetch(`${service.url}/login`, { method: 'POST', body: secret, headers: { 'content-type': secret } })
  for (const target of [`http://bob:${secret}@127.0.0.1/login`, `HTTPS://${secret}@127.0.0.1/%zz`, `ws+x://b@b:${secret}@127.0.0.1`]) {
    await exchange(Number(new URL(service.url).port), `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
  }
  await service.end()
  for (const url of ['/login', 'http://127.0.0.1/login', 'HTTPS://127.0.0.1/%zz']) t.match(service.output(), `"url":"${url}"`)
  t.notMatch(service.output(), secret)
})
