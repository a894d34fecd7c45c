import type { FastifyRequest } from 'fastify'
import { mock } from 'node:test'
import { test, type Test } from 'tap'
import type { ServiceOptions } from '../app.js'
import { DeadlineError } from '../plugins/common/deadline.js'
import type { Bag } from './apps/bag.js'
import { dataOf, HandlerApp, login, logout, type Handler } from './apps/handler-app.js'
import { parsedLogInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { build } from './helper.js'
import { breakable, openStore, watched, type StoreCall } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { START } from './time/units.js'

interface Line { level: number, msg: string, code?: string, failures?: number, err?: { code: string, stack: string } }

async function service (t: Test, options: Partial<ServiceOptions> = {}) {
  const lines: Line[] = []
  const fastify = await build(t, options, parsedLogInto(lines, 'warn'))
  return { fastify, lines, client: new Client(fastify) }
}

/** The log lines without security events. */
function told (lines: Line[]): Line[] {
  return lines.filter((line) => !('event' in line))
}

test('an outage of the store is logged as one error, and its end as one line with the number of failures', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { lines, client } = await service(t, { mode: 'service', authenticate: (name) => ({ name }), sessionStore: store })
  await client.login()
  for (const outage of ['first', 'second']) {
    lines.length = 0
    down()
    for (let times = 0; times < 20; times++) t.equal((await client.get(times % 2 === 0 ? '/session' : '/readyz')).statusCode, 503)
    t.match(told(lines), [{ level: 50, err: { code: 'HATCHECK_STORE_UNAVAILABLE' }, msg: /^The session store cannot answer right now/ }], outage)
    t.equal(told(lines).length, 1)
    mock.timers.tick(1_000)
    await new Promise((resolve) => { setTimeout(resolve, 1_100) })
    t.equal(told(lines).length, 1, 'the outage continues')
    up()
    mock.timers.tick(1_000)
    await until('its end is emitted', () => told(lines).length === 2)
    t.match(told(lines)[1], { level: 40, code: 'HATCHECK_STORE_UNAVAILABLE', failures: 20, msg: 'the session store answers again' })
  }
})

test('a ping that takes longer than a second is waited for, and ends no later outage', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const pings: Array<() => void> = []
  const slow: typeof store = { ...store, ping: () => new Promise((resolve, reject) => { pings.push(() => { Promise.resolve().then(() => store.ping()).then(resolve, reject) }) }) }
  const { lines, client } = await service(t, { mode: 'service', authenticate: (name) => ({ name }), sessionStore: slow })
  await client.login()
  lines.length = 0
  down()
  t.equal((await client.get('/session')).statusCode, 503)
  for (let second = 0; second < 5; second++) mock.timers.tick(1_000)
  t.equal(pings.length, 1, 'one at a time')
  pings.shift()?.()
  await new Promise((resolve) => { setTimeout(resolve, 1_100) })
  up()
  mock.timers.tick(1_000)
  pings.shift()?.()
  await until('the end of the outage is logged', () => told(lines).length === 2)
  down()
  t.equal((await client.get('/session')).statusCode, 503)
  for (const answer of pings.splice(0)) answer()
  await new Promise((resolve) => { setImmediate(resolve) })
  t.match(told(lines).map(({ msg }) => msg), [/^The session store cannot answer/, 'the session store answers again', /^The session store cannot answer/])
})

test('if the store can be read but not written, the outage ends a minute after the last failure', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { lines, client, fastify } = await service(t, { mode: 'service', authenticate: (name) => ({ name }), sessionStore: store })
  await client.login()
  down('replace', 'remove', 'create', 'touch')
  for (let times = 0; times < 3; times++) t.equal((await client.login()).statusCode, 503)
  t.equal((await client.post('/logout')).statusCode, 503)
  up()
  mock.timers.tick(5_000)
  await new Promise((resolve) => { setTimeout(resolve, 1_100) })
  mock.timers.tick(5_000)
  await new Promise((resolve) => { setImmediate(resolve) })
  const outage = (): Line[] => told(lines).filter(({ code, err }) => (code ?? err?.code) === 'HATCHECK_STORE_UNAVAILABLE')
  t.match(outage(), [{ level: 50 }])
  t.equal(outage().length, 1, 'not over yet')
  await fastify.close()
  t.match(outage()[1], { failures: 4, msg: 'the process ends while requests still fail with this code' })
})

test('a login that fails because of the store can be tried again on the same page, and leads on to the same page', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { client } = await service(t, { mode: 'service', authenticate: (name) => ({ name }), sessionStore: store })
  const login = async (): ReturnType<Client['post']> =>
    await client.post('/login', { client_name: 'Harry', password: 'alohomora!', permanent: 'on', next: '/reports?page=2' }, { accept: 'text/html' })
  for (const calls of [['create', 'replace'], []] as const) {
    down(...calls)
    const { statusCode, headers, body } = await login()
    t.equal(statusCode, 503)
    t.match(headers, { 'retry-after': /^\d+$/ })
    for (const part of ['<form method="post" action="/login">', 'value="/reports?page&#61;2"', 'value="Harry"', 'checked', 'The session store cannot answer']) t.match(body, part)
    t.notMatch(body, 'alohomora!')
    up()
  }
  t.equal((await login()).headers.location, '/reports?page=2')
})

test('too many simultaneous logins are logged as one warning without a stack', async (t) => {
  const { lines, fastify } = await service(t, { mode: 'service', signup: 'closed' })
  const statuses = await Promise.all(Array.from({ length: 100 }, async (_, i) => (await new Client(fastify).post('/login', { client_name: `nobody ${i}`, password: '12345678' }, { accept: i % 2 === 0 ? 'text/html' : 'application/json' })).statusCode))
  const busy = statuses.filter((status) => status === 503).length
  t.ok(busy > 10, `${busy} of 100 are refused`)
  t.match(told(lines), [{ level: 40, code: 'HATCHECK_BUSY' }])
  t.equal(told(lines).length, 1)
  t.notMatch(JSON.stringify(lines), 'stack')
})

/** What a request does whose store does not answer, and the calls that it makes until its response. */
const SILENT: Array<[what: string, handler: Handler, silent: readonly StoreCall[], calls: readonly StoreCall[], code: string]> = [
  ['the session cannot be read', (session) => session['a'], ['read'], ['read'], 'STORE_UNAVAILABLE'],
  ['save', (session) => save(session), ['patch'], ['read', 'patch'], 'STORE_UNAVAILABLE'],
  ['save, and the handler goes on', (session) => save(session).catch(() => {}), ['patch'], ['read', 'patch'], 'STORE_UNAVAILABLE'],
  ['regenerate, and the handler goes on', (session) => renew(session).catch(() => {}), ['replace', 'patch', 'create'], ['read', 'replace'], 'STORE_UNAVAILABLE'],
  ['a login, and the handler goes on', (session, request) => {
    session['a'] = 2
    return request.login('Ron').catch(() => {})
  }, ['replace', 'create', 'patch'], ['read', 'replace'], 'STORE_UNAVAILABLE'],
  ['a logout', logout, ['remove'], ['read', 'remove'], 'LOGOUT_UNCONFIRMED'],
  ['a new ID, then a call that fails', async (session) => {
    await session.regenerate(['client_name'])
    await save(session).catch(() => {})
  }, ['patch'], ['read', 'replace', 'patch'], 'STORE_UNAVAILABLE']
]

function save (session: Parameters<Handler>[0]): Promise<void> {
  session['a'] = 2
  return session.save() as Promise<void>
}

function renew (session: Parameters<Handler>[0]): Promise<void> {
  session['a'] = 2
  return session.regenerate(['client_name']) as Promise<void>
}

/** An application whose store does not answer these calls in time. */
async function silentApp (t: Test, { sync = true, now = (): number => START } = {}) {
  let silent: readonly StoreCall[] = []
  let pending: readonly StoreCall[] = []
  const calls: StoreCall[] = []
  const store = watched(openStore(t, 'memory:'), (call) => {
    calls.push(call)
    if (silent.includes(call)) throw new DeadlineError('no answer within 5000 ms')
    if (pending.includes(call)) return new Promise(() => {})
  }, sync)
  const app = await HandlerApp.start(t, { sessionStore: store, now, authenticate: (name) => ({ name }), routes: ['login', 'logout'] })
  return { app, calls, silence (...names: StoreCall[]) { silent = names }, block (...names: StoreCall[]) { pending = names } }
}

for (const sync of [true, false]) {
  test(`a request waits once for a store that does not answer in time (${sync ? 'synchronous' : 'asynchronous'} reads)`, async (t) => {
    for (const [what, handler, silent, expected, code] of SILENT) {
      const { app, calls, silence } = await silentApp(t, { sync })
      const visitor = app.visitor()
      await visitor.run(login)
      calls.length = 0
      silence(...silent)
      const { response } = await visitor.run(handler)
      t.equal(response.statusCode, 503, what)
      t.equal(response.json().code, `HATCHECK_${code}`, what)
      t.same(calls.filter((call) => call !== 'touch'), expected, what)
    }
  })
}

test('a login does not hash, and waits for nothing else, if its session cannot be read', async (t) => {
  const { app, calls, silence } = await silentApp(t)
  const visitor = app.visitor()
  await visitor.run(login)
  calls.length = 0
  silence('read')
  const { statusCode } = await visitor.post('/login', { client_name: 'Harry', password: 'alohomora!' })
  t.equal(statusCode, 503)
  t.same(calls, ['read'])
})

test('a logout whose session cannot be read refuses the session, begins its end, and does not wait for it', async (t) => {
  const { app, calls, silence, block } = await silentApp(t)
  const visitor = app.visitor()
  await visitor.run(login)
  const { cookieHeader: cookie } = visitor
  calls.length = 0
  silence('read')
  block('remove')
  const response = await visitor.post('/logout', {}, { accept: 'application/json' })
  t.equal(response.statusCode, 503)
  t.equal(response.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  t.same(calls, ['read', 'remove'])
  silence()
  t.equal((await app.visitor().run((_session, request) => request.user, { cookie })).value, null, 'refused')
  block()
})

test('a logout by a cookie beside that of the session waits once as well', async (t) => {
  const { app, calls, silence } = await silentApp(t)
  const [one, other] = [app.visitor(), app.visitor()]
  await one.run(login)
  await other.run(login)
  calls.length = 0
  const both = { cookie: `${one.cookieHeader}; ${other.cookieHeader}` }
  const { response } = await app.visitor().run(async (session, request) => {
    t.ok(session)
    silence('read', 'remove')
    await request.logout()
  }, both)
  t.equal(response.statusCode, 503)
  t.same(calls.sort(), ['read', 'read', 'remove'])
  for (const visitor of [one, other]) {
    silence()
    t.equal((await visitor.run((_session, request) => request.user)).value, null, 'refused')
  }
})

test('the response stores what a call could not, at once, if the store has failed without a wait', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const app = await HandlerApp.start(t, { sessionStore: store, now: () => START })
  const visitor = app.visitor()
  await visitor.run(login)
  const { response } = await visitor.run(async (session) => {
    down()
    await save(session).catch(() => {})
    up()
  })
  t.equal(response.statusCode, 200)
  t.equal((await visitor.run((session) => session['a'])).value, 2)
})

test('the response of a request that goes on stores what a call could not, a second later', async (t) => {
  let time = START
  const { app, silence } = await silentApp(t, { now: () => time })
  const visitor = app.visitor()
  await visitor.run(login)
  const { response } = await visitor.run(async (session) => {
    silence('patch')
    await save(session).catch(() => {})
    silence()
    time += 1_000
  })
  t.equal(response.statusCode, 200)
  t.equal((await visitor.run((session) => session['a'])).value, 2)
})

test('a store that has answered the request again is asked again at once', async (t) => {
  const recoveries: Record<string, (request: FastifyRequest, silence: (...names: StoreCall[]) => void) => Promise<void>> = {
    async 'a call that is made again' (request, silence) {
      silence('patch')
      await save(request.session).catch(() => {})
      silence()
      await request.session.save()
    },
    async 'a session that is loaded again' (request, silence) {
      silence('read')
      await request.loadSession().catch(() => {})
      silence()
      await request.loadSession()
    }
  }
  const ends: Record<string, [act: (request: FastifyRequest) => unknown, then: Bag]> = {
    'the response stores': [({ session }) => { (session as Bag)['b'] = 3 }, { client_name: 'Harry', b: 3 }],
    'a logout is confirmed': [(request) => request.logout(), { client_name: undefined }]
  }
  for (const [what, recover] of Object.entries(recoveries)) {
    for (const [end, [act, then]] of Object.entries(ends)) {
      const { app, silence } = await silentApp(t)
      app.fastify.get('/again', async (request) => {
        await recover(request, silence)
        await act(request)
      })
      const visitor = app.visitor()
      await visitor.run(login)
      t.equal((await visitor.get('/again')).statusCode, 200, `${what}, ${end}`)
      t.match((await visitor.run(dataOf)).value, then, `${what}, ${end}`)
    }
  }
})
