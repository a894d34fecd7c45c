import type { FastifyInstance } from 'fastify'
import { mock } from 'node:test'
import { test, type Test } from 'tap'
import type { SessionEvents } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { appOnPort } from './apps/app-on-port.js'
import type { Bag } from './apps/bag.js'
import { logInto } from './apps/log-lines.js'
import { Client, type Answer } from './clients/client.js'
import { build, buildHost, handleOf, needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { START } from './time/units.js'

const NAMES = ['created', 'renewed', 'destroyed', 'expired', 'revoked'] as const

interface Told { event: keyof SessionEvents, user: string | null, handle: string, previous?: string }

/** Returns the events since its last call. */
function listen (fastify: FastifyInstance): () => Told[] {
  const told: Told[] = []
  for (const event of NAMES) fastify.sessions.on(event, (details) => { told.push({ event, ...details }) })
  return () => told.splice(0)
}

async function host (t: Test, options: HatcheckOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options)
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => { await request.login(request.params.name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.post('/set', async (request) => { Object.assign(request.session, { a: 1 }) })
  fastify.post('/empty', async (request) => { await request.session.regenerate() })
  fastify.post('/new-id', async (request) => { await request.session.regenerate(['a']) })
  fastify.post('/new-id-of-user', async (request) => { await request.session.regenerate(['client_name', 'authenticatedAt']) })
  fastify.post('/anew', async (request) => {
    await request.session.destroy()
    Object.assign(request.session, { a: 2 })
  })
  fastify.get('/', async (request) => request.user?.name ?? null)
  return fastify
}

function post (client: Client, url: string): Promise<Answer> {
  return client.send({ method: 'POST', url })
}

async function promises (t: Test, options: HatcheckOptions): Promise<void> {
  const fastify = await host(t, options)
  const told = listen(fastify)
  const client = new Client(fastify)

  await client.get('/')
  t.strictSame(told(), [], 'nothing has begun')

  await post(client, '/set')
  const anonymous = handleOf(client.cookie())
  t.strictSame(told(), [{ event: 'created', handle: anonymous, user: null }])
  await client.get('/')
  await post(client, '/set')
  t.strictSame(told(), [], 'reading and writing emit no event')

  await post(client, '/login/Harry')
  const harry = handleOf(client.cookie())
  t.not(harry, anonymous)
  t.strictSame(told(), [{ event: 'renewed', handle: harry, previous: anonymous, user: 'Harry' }])

  await post(client, '/new-id-of-user')
  const again = handleOf(client.cookie())
  t.strictSame(told(), [{ event: 'renewed', handle: again, previous: harry, user: 'Harry' }])

  await post(client, '/set')
  await post(client, '/new-id')
  const renewed = handleOf(client.cookie())
  t.strictSame(told(), [
    { event: 'destroyed', handle: again, user: 'Harry' },
    { event: 'created', handle: renewed, user: null }
  ], 'without its user it is another session')

  await post(client, '/empty')
  t.strictSame(told(), [{ event: 'destroyed', handle: renewed, user: null }])

  await post(client, '/login/Harry')
  const [{ handle: first = '' } = {}] = told()
  await post(client, '/login/Sally')
  t.strictSame(told(), [
    { event: 'destroyed', handle: first, user: 'Harry' },
    { event: 'created', handle: handleOf(client.cookie()), user: 'Sally' }
  ], 'a login as another user begins another session')

  const sally = handleOf(client.cookie())
  const copy = client.cookieHeader
  await post(client, '/logout')
  t.strictSame(told(), [{ event: 'destroyed', handle: sally, user: 'Sally' }])
  await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: copy } })
  t.strictSame(told(), [], 'once')

  await post(client, '/set')
  const before = handleOf(client.cookie())
  told()
  await post(client, '/anew')
  t.strictSame(told(), [{ event: 'destroyed', handle: before, user: null }, { event: 'created', handle: handleOf(client.cookie()), user: null }])

  const others = [new Client(fastify), new Client(fastify)]
  for (const other of others) await post(other, '/login/Harry')
  told()
  t.equal((await Promise.all([fastify.sessions.revokeUser('Harry'), fastify.sessions.revokeUser('Harry')])).reduce((a, b) => a + b), 2)
  t.strictSame(told().sort(byHandle), others.map((other): Told => ({ event: 'revoked', handle: handleOf(other.cookie()), user: 'Harry' })).sort(byHandle), 'each once')

  await post(client, '/login/Harry')
  told()
  const twice = client.cookieHeader
  await Promise.all([1, 2, 3].map(() => fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: twice } })))
  t.equal(told().length, 1, 'of three logouts at once, one has ended it')
}

function byHandle (a: Told, b: Told): number {
  return a.handle < b.handle ? -1 : 1
}

test('session events are emitted, with the memory store', async (t) => { await promises(t, {}) })

test('session events are emitted, with LMDB', async (t) => { await promises(t, { sessionStore: openStore(t, 'lmdb:') }) })

test('session events are emitted, with Redis', needs('redis-server'), async (t) => {
  await promises(t, { sessionStore: (await startRedis(t)).url })
})

test('a sweep emits an event for each expired session', async (t) => {
  for (const kind of ['memory:', 'lmdb:'] as const) {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => { mock.timers.reset() })
    const clock = { time: START }
    const fastify = await host(t, { sessionStore: openStore(t, kind, { now: () => clock.time }), now: () => clock.time })
    const told = listen(fastify)
    const [harry, sally] = [new Client(fastify), new Client(fastify)]
    await post(harry, '/login/Harry')
    clock.time += 1_800_000
    await post(sally, '/login/Sally')
    const expired = handleOf(harry.cookie())
    told()
    clock.time += 1_800_001
    mock.timers.tick(60_000)
    mock.timers.reset()
    const events: Told[] = []
    await until(`${kind} tells`, () => {
      events.push(...told())
      return events.length > 0
    })
    t.equal((await harry.get('/')).statusCode, 200)
    t.equal((await sally.get('/')).body, 'Sally')
    t.strictSame([...events, ...told()], [{ event: 'expired', handle: expired, user: 'Harry' }])
  }
})

test('a new password and a disabled account emit "revoked" for each session', async (t) => {
  const fastify = await build(t)
  const told = listen(fastify)
  const client = new Client(fastify)
  await client.post('/login', { client_name: 'Harry', password: '12345678' })
  told()
  await fastify.accounts?.setPassword('Harry', '87654321')
  t.match(told(), [{ event: 'revoked', user: 'Harry' }])
  await client.post('/login', { client_name: 'Harry', password: '87654321' })
  told()
  await fastify.accounts?.disable('harry')
  t.match(told(), [{ event: 'revoked', user: 'Harry' }])
})

test('an end that could not be stored is emitted when it is stored later', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const fastify = await host(t, { sessionStore: store })
  const told = listen(fastify)
  const client = new Client(fastify)
  await post(client, '/login/Harry')
  const ended = handleOf(client.cookie())
  told()
  down()
  t.equal((await post(client, '/logout')).statusCode, 503)
  t.strictSame(told(), [])
  up()
  const events: Told[] = []
  await until('the event is emitted', () => {
    events.push(...told())
    return events.length > 0
  })
  t.strictSame(events, [{ event: 'destroyed', handle: ended, user: 'Harry' }])
})

test('a failed renewal emits no event', async (t) => {
  const { store, down } = breakable(openStore(t, 'memory:'))
  const fastify = await host(t, { sessionStore: store })
  const told = listen(fastify)
  const client = new Client(fastify)
  await post(client, '/set')
  const old = handleOf(client.cookie())
  told()
  down('replace')
  t.equal((await post(client, '/login/Harry')).statusCode, 503)
  t.strictSame(told(), [], 'the session is unchanged')
  t.equal(handleOf(client.cookie()), old)
})

test('a failing listener does not fail the request, and a removed one is not called', async (t) => {
  const lines: string[] = []
  const fastify = await buildHost(t, {}, logInto(lines, 'error'))
  fastify.post('/login', async (request) => { await request.login('Harry') })
  let calls = 0
  const fail = (): void => {
    calls++
    throw new Error('the listener fails')
  }
  fastify.sessions.on('created', fail)
  t.equal((await fastify.inject({ method: 'POST', url: '/login' })).statusCode, 200)
  t.match(lines.join(''), /a listener of \\"created\\" failed/)
  fastify.sessions.off('created', fail)
  await fastify.inject({ method: 'POST', url: '/login' })
  t.equal(calls, 1)
})

test('events contain no ID, ticket or store key', async (t) => {
  const fastify = await host(t)
  const told = listen(fastify)
  const client = new Client(fastify)
  await post(client, '/login/Harry')
  const [name = '', value = ''] = client.cookieHeader.split('=')
  const [id = ''] = value.split('.')
  const text = JSON.stringify(told())
  for (const secret of [id, value, storeKey(id)]) t.notMatch(text, secret)
  t.equal((await fastify.inject({ url: '/', headers: { cookie: `${name}=${handleOf(client.cookie())}` } })).body, 'null')
})

test('a listener for an event that does not exist is refused, with the list of those that do', async (t) => {
  const { sessions } = await host(t)
  for (const event of ['logout', 'error', 'Created', '', undefined, 'toString']) {
    t.throws(() => { sessions.on(event as never, () => {}) }, { code: 'HATCHECK_UNSUPPORTED', message: /created, renewed, destroyed, expired, revoked\.$/ }, String(event))
  }
})

test('every listener is called, even if another one fails', async (t) => {
  const unreadable = (): Error => {
    const error = new Error('on purpose')
    return Object.defineProperty(error, 'response', { enumerable: true, get () { throw error } })
  }
  const kinds: Record<string, (event: Bag) => unknown> = {
    'throws an error': () => { throw new Error('on purpose') },
    // eslint-disable-next-line no-throw-literal -- a listener can throw anything
    'throws no error': () => { throw null },
    rejects: async () => { throw new Error('on purpose') },
    'returns a thenable that rejects': () => ({ then: (_resolve: unknown, reject: (error: Error) => void) => { reject(new Error('on purpose')) } }),
    'returns a thenable that throws': () => ({ then () { throw new Error('on purpose') } }),
    'returns what fails to be looked at': () => Object.defineProperty({}, 'then', { get () { throw new Error('on purpose') } }),
    'throws what the log cannot read': () => { throw unreadable() },
    'rejects with what the log cannot read': async () => { throw unreadable() },
    'changes the event': (event: Bag) => { Object.assign(event, { user: 'mallory', handle: 'x' }) },
    'never settles': () => new Promise(() => {})
  }
  for (const [what, listener] of Object.entries(kinds)) {
    const h = await appOnPort(t, () => {})
    const { sessions } = h.fastify
    const told: string[] = []
    for (const event of ['created', 'renewed', 'destroyed', 'revoked'] as const) {
      const removesItself = (): void => {
        told.push(`${event} once`)
        sessions.off(event, removesItself)
      }
      sessions.on(event, removesItself)
      sessions.on(event, listener as () => void)
      sessions.on(event, listener as () => void)
      sessions.on(event, ({ user }) => { told.push(`${event} ${user}`) })
    }
    h.fastify.log.level = 'error'
    const { cookie } = await h.ask('/in/ann')
    const again = await h.ask('/in/ann', cookie)
    t.equal((await h.ask('/out', again.cookie)).status, 200)
    await h.ask('/in/bob')
    await sessions.revokeUser('bob')
    const failures = (): number => h.log.filter(({ msg }) => / failed$/.test(msg as string)).length
    const expected = /^(?:never settles|changes)/.test(what) ? 0 : 10
    await until('the failures are in the log', () => failures() >= expected)
    t.strictSame(told, ['created once', 'created ann', 'renewed once', 'renewed ann', 'destroyed once', 'destroyed ann', 'created bob', 'revoked once', 'revoked bob'], `a listener that ${what}`)
    t.equal(failures(), expected)
  }
})
