import { mock } from 'node:test'
import { test, type Test } from 'tap'
import type { ServiceOptions } from '../app.js'
import { Client } from './client.js'
import { build } from './helper.js'
import { breakable, eventually, openStore } from './watched-store.js'

interface Line { level: number, msg: string, code?: string, failures?: number, err?: { code: string, stack: string } }

async function service (t: Test, options: Partial<ServiceOptions> = {}) {
  const lines: Line[] = []
  const fastify = await build(t, options, { logger: { level: 'warn', stream: { write (line: string) { lines.push(JSON.parse(line) as Line) } } } })
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
    await eventually(t, 'its end is emitted', () => told(lines).length === 2)
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
  await eventually(t, 'the end of the outage is logged', () => told(lines).length === 2)
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
