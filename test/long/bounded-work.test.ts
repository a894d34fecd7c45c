import { randomBytes } from 'node:crypto'
import { test, type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { LONGEST_NAME } from '../../plugins/accounts/name.js'
import { credentialsOf } from '../../plugins/login/credentials.js'
import { fieldOf } from '../../plugins/login/fields.js'
import { AnonymousLimit } from '../../plugins/session/backend/anonymous-limit.js'
import type { CookieProfile } from '../../plugins/session/cookie/cookie-profile.js'
import { MAX_TICKETS, ticketReader, type TicketVerifier } from '../../plugins/session/cookie/ticket-reader.js'
import { createSealedCodec } from '../../plugins/storage/cookie/sealed.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { createTicketSigner, type TicketSigner } from '../../plugins/tickets/ticket.js'
import { Client, type Answer } from '../clients/client.js'
import { build, buildHost, gate, needs } from '../helper.js'
import { connect, startRedis } from '../programs/redis.js'
import { kinds, openStore, watched, type StoreCall } from '../stores/watched-store.js'
import { HOUR, START } from '../time/units.js'

/** As many as fit into a header of 16 KiB. */
const MANY = 160
const JSON_TYPE = { 'content-type': 'application/json' }

const forged = (): string => `${randomBytes(32).toString('base64url')}.${randomBytes(32).toString('base64url')}`
const cookies = (tickets: readonly string[]): string => tickets.map((ticket) => `hatcheck=${ticket}`).join('; ')

interface Host {
  fastify: FastifyInstance
  /** A ticket of a live session. */
  login (name?: string): Promise<string>
  /** A ticket of a session that has ended. */
  dead (): Promise<string>
  user (tickets: readonly string[]): Promise<string | null>
  /** The number of reads of each key since the last call. */
  calls (): Partial<Record<StoreCall, number>>
}

async function host (t: Test, store: SessionStore): Promise<Host> {
  let counts: Partial<Record<StoreCall, number>> = {}
  const counting = watched(store, (call) => { counts[call] = (counts[call] ?? 0) + 1 })
  const fastify = await buildHost(t, { sessionStore: counting })
  fastify.get('/', async ({ user }) => ({ user: user?.name ?? null }))
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => { await request.login(request.params.name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  const login = async (name = 'Harry'): Promise<string> => {
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: `/login/${name}` })
    return client.cookies.get('hatcheck') as string
  }
  return {
    fastify,
    login,
    async dead () {
      const ticket = await login('Nobody')
      await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: cookies([ticket]) } })
      return ticket
    },
    user: async (tickets) => (await fastify.inject({ url: '/', headers: { cookie: cookies(tickets) } })).json().user,
    calls () {
      const counted = counts
      counts = {}
      return counted
    }
  }
}

async function isBounded (t: Test, store: SessionStore): Promise<void> {
  const { fastify, login, dead, user, calls } = await host(t, store)
  const live = await login()
  const ended: string[] = []
  for (let i = 0; i < MANY; i++) ended.push(await dead())
  calls()
  t.equal(await user(ended), null)
  t.ok((calls().read ?? 0) <= MAX_TICKETS, 'a few are looked up')
  t.equal(await user([...ended, live]), 'Harry', 'the last ones: browsers send long paths first')
  t.equal(await user([live, ...ended.slice(0, MAX_TICKETS - 1)]), 'Harry')
  t.equal(await user([live, ...Array.from({ length: MANY }, () => ended[0] as string)]), 'Harry', 'a repeated ticket counts once')
  t.equal(await user([live, ...Array.from({ length: MANY }, (_, i) => `no ticket ${i}`)]), 'Harry', 'text that does not have the form of a ticket does not count')
  calls()

  t.equal(await user([live, ...ended]), null, 'the ticket beyond the limit is never accepted')
  await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: cookies([live, ...ended]) } })
  const { read = 0, remove = 0, ...others } = calls()
  t.ok(read <= 3 * MAX_TICKETS && remove <= MAX_TICKETS, `${read} reads and ${remove} removals for a logout`)
  t.strictSame(others, {})
  t.equal(await user([live]), 'Harry', 'and its session is not ended')

  const several = await Promise.all(Array.from({ length: MAX_TICKETS }, () => login()))
  await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: cookies([...ended, ...several]) } })
  for (const ticket of several) t.equal(await user([ticket]), null, 'a logout ends the sessions of all tickets that are read')
}

for (const kind of kinds) {
  test(`a header full of tickets of ended sessions costs a few reads, on ${kind}`, async (t) => { await isBounded(t, openStore(t, kind)) })
}

test('a header full of tickets of ended sessions costs a few reads, on Redis', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  await isBounded(t, new RedisStore(await connect(t, url), { now: Date.now, maxBytes: 16_384, onCorrupt () {}, deadlineMs: 5_000 }))
})

test('the tickets of a request are looked up in one round trip', async (t) => {
  const inner = openStore(t, 'memory:')
  const [all, answer] = [gate(), gate()]
  let asked = 0
  let isHeld = false
  const store = watched(inner, async (call) => {
    if (!isHeld || call !== 'read') return
    if (++asked === MAX_TICKETS) all.open()
    await answer.passed
  }, false)
  const { login, dead, user } = await host(t, store)
  const tickets: string[] = []
  for (let i = 1; i < MAX_TICKETS; i++) tickets.push(await dead())
  tickets.push(await login())
  isHeld = true
  const answered = user(tickets)
  // No read has been answered yet.
  await all.passed
  t.equal(asked, MAX_TICKETS)
  answer.open()
  t.equal(await answered, 'Harry')
})

test('a ticket that cannot be looked up is an error only if no earlier ticket has a live session', async (t) => {
  const inner = openStore(t, 'memory:')
  const broken = new Set<unknown>()
  const { fastify, login, user } = await host(t, watched(inner, (call, key) => { if (call === 'read' && broken.has(key)) throw new Error('connect ENOENT') }, false))
  const tickets = [await login('Harry'), await login('Sally')]
  const keyOf = (name: string): string => (inner.ofUser(name) as Array<{ key: string }>)[0]?.key as string
  broken.add(keyOf('Sally'))
  t.equal(await user(tickets), 'Harry')
  broken.add(keyOf('Harry'))
  t.equal((await fastify.inject({ url: '/', headers: { cookie: cookies(tickets) } })).statusCode, 503)
})

test('a header full of forged tickets costs a few MACs', async (t) => {
  const signer = createTicketSigner([randomBytes(32)])
  let verified = 0
  const counting: TicketSigner = { ...signer, verify (value) { verified++; return signer.verify(value) } }
  const read = ticketReader(() => counting, () => ({ name: 'hatcheck' } as CookieProfile), [])
  const ticketsOf = (cookie: string): number => read({ headers: { cookie }, raw: {} } as never).length
  t.equal(ticketsOf(cookies(Array.from({ length: MANY }, forged))), 0)
  t.ok(verified <= MAX_TICKETS, `${verified} of ${MANY}`)
  t.equal(ticketsOf(cookies(Array.from({ length: MANY }, () => signer.sign(signer.newId())))), MAX_TICKETS)
})

test('a connection keeps no large session that a short cookie carries', async (t) => {
  const codec = createSealedCodec([randomBytes(32)], 'hatcheck', 16_384)
  const times = { createdAt: 0, seenAt: 0, expiresAt: 0 }
  for (const [bytes, isKept] of [[3_000, true], [10_000, false]] as const) {
    let verified = 0
    const record = recordOf({ ...times, fields: { a: JSON.stringify('a'.repeat(bytes)) } })
    const value = codec.seal({ id: 'id', endsAt: 0, epoch: 0, record }, 'hatcheck')
    const verifier: TicketVerifier = {
      isLike: () => true,
      verify (text, name) {
        verified++
        return { id: 'id', key: 'key', stale: false, touchedAt: 0, carried: codec.open(text, name) }
      }
    }
    const read = ticketReader(() => verifier, () => ({ name: 'hatcheck' } as CookieProfile), [])
    const request = { headers: { cookie: `hatcheck=${value}` }, raw: { socket: {} } }
    for (let turn = 0; turn < 3; turn++) t.match(read(request as never), [{ carried: { record } }])
    t.equal(verified, isKept ? 1 : 3, `${bytes} bytes`)
  }
})

for (const kind of kinds) {
  test(`the event loop stays responsive while many sessions of a user are listed and ended, on ${kind}`, async (t) => {
    const store = openStore(t, kind)
    const times = { createdAt: Date.now(), seenAt: Date.now(), expiresAt: Date.now() + HOUR }
    const COUNT = 3_000
    await Promise.all(Array.from({ length: COUNT }, (_, i) => store.create(`key${i}`, recordOf({ ...times, user: 'Harry' }))))
    let turns = 0
    const counting = setInterval(() => { turns++ })
    t.equal((await store.ofUser('Harry')).length, COUNT)
    // A session that begins meanwhile may be ended, but never survives while others must end.
    const told = new Set<string>()
    turns = 0
    const removing = Promise.resolve(store.removeOfUser('Harry', 'key7', (key) => { told.add(key) }))
    const moved = await Promise.all([1, 2, 3].map((i) => store.replace(`key${COUNT - i}`, `moved${i}`, { keep: 'all', set: {}, remove: [], ...times })))
    const count = await removing
    clearInterval(counting)
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['key7'])
    t.equal(count, told.size)
    t.equal(count, COUNT - 1, `${moved.filter(({ outcome }) => outcome === 'replaced').length} had moved`)
    if (kind === 'lmdb:') t.ok(turns > 5, `${turns} turns`)
  })
}

test('"My sessions" shows the newest sessions and the total number', async (t) => {
  const store = openStore(t, 'memory:')
  const fastify = await build(t, { sessionStore: store, authenticate: (name) => ({ name }), sessionsPerUser: 10_000 })
  const harry = new Client(fastify)
  await harry.login()
  const now = Date.now()
  for (let i = 0; i < 1_000; i++) await store.create(`key${i}`, recordOf({ createdAt: now, seenAt: now + i, expiresAt: now + HOUR, user: 'Harry' }))
  const { sessions, total } = (await harry.get('/sessions', { accept: 'application/json' })).json()
  t.equal(total, 1_001)
  t.equal(sessions.length, 250)
  t.equal(sessions[0].current, true)
  t.equal(Date.parse(sessions[1].lastSeenAt), now + 999)
  const page = (await harry.get('/sessions', { accept: 'text/html' })).body
  t.equal(page.split('<li>').length - 1, 250)
  t.match(page, 'Showing the 250 most recently used of your 1001 sessions.')
  t.equal((await harry.send({ method: 'DELETE', url: '/sessions' })).json().ended, 1_000)
  t.equal((await harry.get('/sessions', { accept: 'application/json' })).json().total, 1)
})

const put = (client: Client, headers: Record<string, string> = {}, remoteAddress = '192.0.2.1'): Promise<Answer> =>
  client.send({ method: 'PUT', url: '/session/cart', payload: '["pear"]', headers: { ...JSON_TYPE, ...headers }, remoteAddress })

test('the anonymous sessions of a network are limited per minute, and logins do not count', async (t) => {
  const clock = { time: START }
  const store = openStore(t, 'memory:', { now: () => clock.time })
  const fastify = await build(t, { sessionStore: store, authenticate: (name) => ({ name }), anonymousSessionsPerMinute: 3, now: () => clock.time }, { logger: false })
  const first = new Client(fastify)
  t.equal((await put(first)).statusCode, 201)
  for (const address of ['192.0.2.77', '192.0.2.255']) t.equal((await put(new Client(fastify), {}, address)).statusCode, 201, address)
  clock.time += 20_000
  const refused = await put(new Client(fastify), {}, '192.0.2.9')
  t.match(refused, { statusCode: 429, headers: { 'retry-after': '40' } })
  t.match(refused.json(), { code: 'HATCHECK_TOO_MANY_SESSIONS', detail: 'Too many anonymous sessions have begun in your network. Log in, or try again in 40 seconds.' })
  t.equal(refused.headers['set-cookie'], undefined)
  t.equal(await store.count(), 3)
  t.equal((await put(first)).statusCode, 204, 'a session that has begun continues')
  const harry = new Client(fastify)
  t.equal((await harry.login('Harry', 'correct horse battery staple')).statusCode, 303, 'a login does not count')
  t.equal((await put(harry)).statusCode, 201)

  t.equal((await put(new Client(fastify), {}, '192.0.3.1')).statusCode, 201, 'another network')
  for (const address of ['2001:db8:1:100::1', '2001:db8:1:1ff::2', '2001:db8:1:17f::3']) t.equal((await put(new Client(fastify), {}, address)).statusCode, 201, address)
  t.equal((await put(new Client(fastify), {}, '2001:db8:1:1aa::4')).statusCode, 429, 'a /56 counts as one network')
  t.equal((await put(new Client(fastify), {}, '2001:db8:1:200::1')).statusCode, 201)
  clock.time += 40_000
  t.equal((await put(new Client(fastify))).statusCode, 201, 'after a minute')
  for (const status of [201, 201, 429]) t.equal((await put(new Client(fastify))).statusCode, status)
  clock.time -= 10 * HOUR
  t.equal((await put(new Client(fastify))).statusCode, 201, 'a clock that is set back keeps nobody out')
})

test('counting anonymous sessions takes a bounded amount of memory', async (t) => {
  const limit = new AnonymousLimit(2, () => START)
  let refused = 0
  for (let i = 0; i < 100_000; i++) {
    try {
      limit.count({ ip: `${i >> 16}.${(i >> 8) & 255}.${i & 255}.1`, raw: { socket: {} } } as never)
    } catch (error) {
      t.equal((error as { code?: string }).code, 'HATCHECK_TOO_MANY_SESSIONS')
      if (++refused === 10) break
    }
    if (refused === 0 && i > 10_001) return t.fail('networks beyond 10,000 share a count')
  }
  t.equal(refused, 10)
})

test('a visitor who comes back when told to is admitted', (t) => {
  let time = START
  const limit = new AnonymousLimit(1, () => time)
  const count = (): void => { limit.count({ ip: '192.0.2.1', raw: { socket: {} } } as never) }
  count()
  time += 59_400
  t.throws(count, { code: 'HATCHECK_TOO_MANY_SESSIONS', headers: { 'retry-after': '1' } })
  time += 1_000
  t.doesNotThrow(count)
  t.end()
})

test('an application limits anonymous sessions only if it sets the option', async (t) => {
  const app = async (options: object): Promise<(times: number) => Promise<number[]>> => {
    const fastify = await buildHost(t, options, { logger: false })
    fastify.get('/', async (request) => { Object.assign(request.session, { cart: ['pear'] }) })
    return async (times) => {
      const statuses = []
      for (let i = 0; i < times; i++) statuses.push((await fastify.inject('/')).statusCode)
      return statuses
    }
  }
  t.ok((await (await app({}))(310)).every((status) => status === 200))
  t.strictSame(await (await app({ anonymousSessionsPerMinute: 2 }))(3), [200, 200, 429])
})

for (const kind of kinds) {
  test(`anonymous sessions can be forbidden, on ${kind}`, async (t) => {
    const store = openStore(t, kind)
    const fastify = await buildHost(t, { sessionStore: store, anonymousSessions: 'false' })
    fastify.get('/set', async (request) => { Object.assign(request.session, { cart: ['pear'] }) })
    fastify.get('/save', async (request) => {
      Object.assign(request.session, { cart: ['pear'] })
      await request.session.save()
    })
    fastify.get('/flash', async (request) => { request.flash('info', 'hello') })
    fastify.get('/unset', async (request) => {
      Object.assign(request.session, { cart: ['pear'] })
      request.session.clear()
    })
    fastify.get('/login', async (request) => {
      Object.assign(request.session, { cart: ['pear'] })
      await request.login('Harry')
    })
    fastify.get('/cart', async ({ session }) => ({ ...session }))
    fastify.get('/out', async (request) => { request.session.pop('client_name') })
    fastify.get('/out-and-set', async (request) => {
      request.session.pop('client_name')
      Object.assign(request.session, { farewell: 'bye' })
    })
    fastify.get('/regenerate', async (request) => {
      Object.assign(request.session, { farewell: 'bye' })
      await request.session.regenerate(['farewell'])
    })
    const visitor = new Client(fastify)
    for (const url of ['/set', '/save', '/flash']) {
      const response = await visitor.get(url)
      t.equal(response.statusCode, 401, url)
      t.match(response.json(), { code: 'HATCHECK_ANONYMOUS_SESSION', message: /anonymousSessions is false/ })
      t.equal(visitor.cookies.size, 0)
    }
    t.equal((await visitor.get('/unset')).statusCode, 200)
    t.equal(await store.count(), 0)
    t.equal((await visitor.get('/login')).statusCode, 200, 'with a login')
    t.match((await visitor.get('/cart')).json(), { client_name: 'Harry', cart: ['pear'] }, 'values that were set before are kept')
    t.equal((await visitor.get('/set')).statusCode, 200, 'and after it')
    for (const url of ['/out-and-set', '/regenerate']) t.equal((await visitor.get(url)).statusCode, 401, url)
    t.match((await visitor.get('/cart')).json(), { client_name: 'Harry' }, 'nothing has changed')
    t.equal((await visitor.get('/out')).statusCode, 200)
    t.equal(visitor.cookies.size, 0, 'a logout ends the session, however it is made')
    t.strictSame((await visitor.get('/cart')).json(), {})
    t.equal((await visitor.get('/flash')).statusCode, 401)
    t.equal(await store.count(), 0)
  })
}

test('anonymous sessions can be forbidden in the service', async (t) => {
  const fastify = await build(t, { anonymousSessions: 'false' })
  const client = new Client(fastify)
  const refused = await put(client)
  t.equal(refused.statusCode, 401)
  t.equal(refused.json().code, 'HATCHECK_ANONYMOUS_SESSION')
  await client.login()
  t.equal((await put(client)).statusCode, 201)
})

test('only the known fields of a form are read, however many it has', (t) => {
  const looked = new Set<PropertyKey>()
  const look = <T>(key: PropertyKey, answer: T): T => {
    looked.add(key)
    return answer
  }
  const form = new Proxy({ client_name: 'Harry', password: 'correct horse', a: 'b' }, {
    ownKeys () { throw new Error('every field is looked at') },
    get: (target, key, receiver) => look(key, Reflect.get(target, key, receiver)),
    getOwnPropertyDescriptor: (target, key) => look(key, Reflect.getOwnPropertyDescriptor(target, key))
  })
  t.same(credentialsOf(form, LONGEST_NAME), { name: 'Harry', password: 'correct horse', permanent: false })
  t.equal(fieldOf(form, 'next'), undefined)
  t.strictSame([...looked].sort(), ['client_name', 'next', 'password', 'permanent', 'pwd'])
  for (const inherited of ['toString', '__proto__', 'constructor']) t.equal(fieldOf({}, inherited), undefined)
  for (const body of [null, undefined, 5, 'client_name=Harry', []]) t.equal(fieldOf(body, 'client_name'), undefined)
  t.end()
})
