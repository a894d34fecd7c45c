import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import type { UserSession } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { clientText } from '../plugins/session/model/client-text.js'
import { storedClient } from '../plugins/session/model/client.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client, type Answer } from './clients/client.js'
import { build, buildHost, needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore, stop, watched } from './stores/watched-store.js'
import { MINUTE } from './time/units.js'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const SAFARI = 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'

type Listed = { handle: string, createdAt: string, lastSeenAt: string, expiresAt: string, permanent: boolean, client: string, address: string, current: boolean }

/** A service whose clock is `clock`. */
async function start (t: Test, options: HatcheckOptions = {}): Promise<{ fastify: FastifyInstance, clock: { time: number } }> {
  const clock = { time: Date.UTC(2026, 0, 31, 12, 0, 7) }
  return { fastify: await build(t, { now: () => clock.time, ...options }), clock }
}

async function loggedIn (fastify: FastifyInstance, { name = 'Harry', userAgent = FIREFOX, permanent = false, ip = '192.0.2.77' } = {}): Promise<Client> {
  const client = new Client(fastify)
  const response = await client.send({
    method: 'POST',
    url: '/login',
    headers: { 'user-agent': userAgent },
    remoteAddress: ip,
    payload: { client_name: name, password: '12345678', permanent }
  })
  if (response.statusCode !== 303) throw new Error(response.body)
  return client
}

async function listOf (client: Client): Promise<Listed[]> {
  return (await client.get('/sessions', AS_PROGRAM)).json<{ sessions: Listed[] }>().sessions
}

async function handleOf (client: Client): Promise<string> {
  return (await listOf(client)).find(({ current }) => current)?.handle ?? ''
}

async function isIn (client: Client): Promise<boolean> {
  return (await client.get('/', AS_PROGRAM)).json().user !== null
}

function end (client: Client, handle: string, headers: Record<string, string> = AS_PROGRAM): Promise<Answer> {
  return client.send({ method: 'DELETE', url: `/sessions/${encodeURIComponent(handle)}`, headers })
}

function endOthers (client: Client): Promise<Answer> {
  return client.send({ method: 'DELETE', url: '/sessions', headers: AS_PROGRAM })
}

async function promises (t: Test, sessionStore: HatcheckOptions['sessionStore']): Promise<void> {
  const { fastify, clock } = await start(t, { sessionStore })
  const told: unknown[] = []
  fastify.sessions.on('revoked', ({ handle, user }) => { told.push([handle, user]) })
  const laptop = await loggedIn(fastify)
  clock.time += MINUTE
  const phone = await loggedIn(fastify, { userAgent: SAFARI, ip: '2001:db8:1:2::3', permanent: true })
  clock.time += MINUTE
  const tool = await loggedIn(fastify, { userAgent: 'curl/8.5.0', ip: '127.0.0.1' })
  const sally = await loggedIn(fastify, { name: 'Sally' })

  const listed = await listOf(laptop)
  t.strictSame(listed.map(({ handle, ...rest }) => rest), [
    { createdAt: '2026-01-31T12:00:07.000Z', lastSeenAt: '2026-01-31T12:02:07.000Z', expiresAt: '2026-01-31T13:00:07.000Z', permanent: false, client: 'Firefox on Linux', address: '192.0.2.x', current: true },
    { createdAt: '2026-01-31T12:02:07.000Z', lastSeenAt: '2026-01-31T12:02:07.000Z', expiresAt: '2026-01-31T13:02:07.000Z', permanent: false, client: 'curl', address: 'this machine', current: false },
    { createdAt: '2026-01-31T12:01:07.000Z', lastSeenAt: '2026-01-31T12:01:07.000Z', expiresAt: '2026-02-14T12:01:07.000Z', permanent: true, client: 'Safari on iOS', address: '2001:db8:1::x', current: false }
  ], 'this session, then the newest activity first, and no extra field')
  t.equal(new Set(listed.map(({ handle }) => handle)).size, 3)
  t.strictSame((await fastify.sessions.ofUser('Harry')).map(({ client }) => client), ['curl', 'Safari on iOS', 'Firefox on Linux'])
  t.strictSame(await fastify.sessions.ofUser('Nobody'), [])

  for (const foreign of [await handleOf(sally), 'x'.repeat(22)]) {
    const response = await end(laptop, foreign)
    t.equal(response.statusCode, 404)
    t.strictSame(response.json(), {
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      code: 'HATCHECK_NO_SUCH_SESSION',
      detail: 'You have no session with this handle. It may have ended, or a new login has changed its handle.'
    }, 'the same answer for another user\'s handle as for an unknown one')
    t.equal(await fastify.sessions.revoke('Harry', foreign), false)
  }
  t.ok(await isIn(sally))
  t.strictSame(told, [])

  const phones = await handleOf(phone)
  const ended = await end(laptop, phones)
  t.equal(ended.statusCode, 204)
  t.equal(ended.body, '')
  t.notOk(await isIn(phone))
  t.ok(await isIn(tool))
  t.strictSame(told.splice(0), [[phones, 'Harry']])
  t.equal((await end(laptop, phones)).statusCode, 404, 'once')

  const tools = await handleOf(tool)
  t.equal(await fastify.sessions.revoke('Harry', tools), true)
  t.equal(await fastify.sessions.revoke('Harry', tools), false)
  t.notOk(await isIn(tool))
  t.strictSame(told.splice(0), [[tools, 'Harry']])

  const [one, two] = [await loggedIn(fastify), await loggedIn(fastify)]
  const others = await endOthers(laptop)
  t.equal(others.statusCode, 200)
  t.strictSame(others.json(), { ended: 2 })
  for (const client of [one, two]) t.notOk(await isIn(client))
  t.ok(await isIn(laptop))
  t.ok(await isIn(sally))
  t.equal(told.length, 2)
  t.strictSame((await endOthers(laptop)).json(), { ended: 0 })

  const own = await end(laptop, await handleOf(laptop))
  t.equal(own.statusCode, 204)
  t.match(own.headers['set-cookie'], /^hatcheck=; Max-Age=0/, 'the user\'s own session is a logout')
  t.notOk(await isIn(laptop))
  t.strictSame(await fastify.sessions.ofUser('Harry'), [])
  t.equal((await fastify.sessions.ofUser('Sally')).length, 1)
}

test('users list and end their sessions, with the memory store', async (t) => { await promises(t, 'memory:') })

test('users list and end their sessions, with LMDB', async (t) => { await promises(t, `lmdb:${t.testdir()}`) })

test('users list and end their sessions, with Redis', needs('redis-server'), async (t) => { await promises(t, (await startRedis(t)).url) })

test('a visitor sees no sessions and ends none', async (t) => {
  const { fastify } = await start(t)
  const harry = await loggedIn(fastify)
  const handle = await handleOf(harry)
  const nobody = new Client(fastify)
  const led = await nobody.get('/sessions', AS_BROWSER)
  t.equal(led.statusCode, 303)
  t.equal(led.headers.location, '/login?next=%2Fsessions')
  for (const response of [await nobody.get('/sessions', AS_PROGRAM), await nobody.get('/sessions'), await end(nobody, handle), await endOthers(nobody), await nobody.post('/sessions', { handle }), await nobody.post('/sessions', { others: '1' }, AS_BROWSER)]) {
    t.equal(response.statusCode, 401)
  }
  t.ok(await isIn(harry))
})

test('another site cannot end a session', async (t) => {
  const { fastify } = await start(t)
  const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
  const handle = await handleOf(other)
  for (const foreign of [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: 'https://evil.example' }] as Array<Record<string, string>>) {
    for (const response of [await end(harry, handle, foreign), await harry.send({ method: 'DELETE', url: '/sessions', headers: foreign }), await harry.post('/sessions', { others: '1' }, foreign)]) {
      t.match(response, { statusCode: 403, body: 'HATCHECK_CROSS_ORIGIN' })
    }
  }
  t.ok(await isIn(other))
})

test('an unknown handle is a 404, whatever its form', async (t) => {
  const { fastify } = await start(t)
  const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
  const handle = await handleOf(other)
  const [, value = ''] = other.cookieHeader.split('=')
  const [id = ''] = value.split('.')
  const wrong = ['', ' ', '.', '..', '*', '%', '\0', '__proto__', 'constructor', 'null', 'undefined', '0', handle.slice(1), `${handle}x`, ` ${handle}`, handle.toUpperCase(), id, value, '\u{1f3a9}', '../../sessions', 'x'.repeat(100), '<script>', "' OR 1=1 --"]
  for (const text of wrong) {
    // A path that leads up addresses another page, and a path with a ticket would end up in the log.
    if (text !== id && text !== value) t.equal((await end(harry, text)).statusCode, text === '..' ? 405 : 404, `DELETE ${text.slice(0, 40)}`)
    const posted = await harry.post('/sessions', { handle: text }, AS_PROGRAM)
    t.equal(posted.statusCode, 404, `POST ${text.slice(0, 40)}`)
    t.equal(posted.json().code, 'HATCHECK_NO_SUCH_SESSION')
  }
  for (const url of ['/sessions/%', '/sessions/%zz', '/sessions/%ff', `/sessions/${'x'.repeat(5_000)}`]) t.match((await harry.send({ method: 'DELETE', url })).statusCode, /^4(?:00|04|14)$/)
  t.ok(await isIn(other))
})

test('unknown fields change nothing, and a request must name exactly what to end', async (t) => {
  const { fastify } = await start(t)
  const [harry, other, sally] = [await loggedIn(fastify), await loggedIn(fastify), await loggedIn(fastify, { name: 'Sally' })]
  const handle = await handleOf(sally)
  const more = { user: 'Sally', userId: 'Sally', name: 'Sally', role: 'admin', createdAt: 0, authenticatedAt: 9e15, current: true }
  t.equal((await harry.send({ method: 'DELETE', url: `/sessions/${handle}?user=Sally`, headers: AS_PROGRAM, payload: more })).statusCode, 404)
  t.equal((await harry.send({ method: 'POST', url: '/sessions', headers: AS_PROGRAM, payload: { ...more, handle } })).statusCode, 409, 'known: the user who is expected to be logged in')
  t.equal((await harry.send({ method: 'POST', url: '/sessions', headers: AS_PROGRAM, payload: { ...more, user: 'Harry', handle } })).statusCode, 404)
  t.strictSame((await harry.send({ method: 'DELETE', url: '/sessions', headers: AS_PROGRAM, payload: more })).json(), { ended: 1 })
  t.notOk(await isIn(other))
  t.ok(await isIn(sally))

  const own = await handleOf(harry)
  for (const payload of [{}, [], 'others=1', { others: '0' }, { others: false }, { handle: own, others: '1' }, { handle: [own] }, { handle: 1 }, { handle: null }, { others: ['1'] }]) {
    const response = await harry.send({ method: 'POST', url: '/sessions', headers: AS_PROGRAM, payload: payload as object })
    t.ok([400, 415].includes(response.statusCode), JSON.stringify(payload))
  }
  t.match((await harry.post('/sessions')).json(), { status: 400, code: 'HATCHECK_WHICH_SESSION', detail: 'Send either handle, the handle of the session to end, or others=1 to end all other sessions.' })
  t.ok(await isIn(harry))
})

test('"My sessions" has a working button for each session and for all others', async (t) => {
  const { fastify } = await start(t)
  const harry = await loggedIn(fastify)
  const phone = await loggedIn(fastify, { userAgent: SAFARI, permanent: true })
  const tool = await loggedIn(fastify, { userAgent: 'curl/8.5.0' })
  const page = await harry.get('/sessions', AS_BROWSER)
  t.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  t.equal(page.headers['cache-control'], 'no-store')
  const items = page.body.split('<li>').slice(1)
  t.equal(items.length, 3)
  t.match(items[0], /<h2>Firefox on Linux <span class="tag">this one<\/span><\/h2>/)
  t.match(items[0], '<button class="quiet" formaction="/logout">Log out</button>')
  t.notMatch(items[0], 'End this session')
  t.match(items[0], '<time datetime="2026-01-31T12:00:07.000Z">31 Jan 2026 12:00 UTC</time>')
  for (const other of items.slice(1)) t.match(other, /<button class="quiet" name="handle" value="[\w-]{22}" aria-describedby="session-[\w-]{22}">End this session<\/button>/)
  t.match(page.body, '<h2>Safari on iOS</h2>')
  t.match(page.body, 'Stays signed in')
  t.match(page.body, '&#34;last seen&#34; can be up to 3 minutes out of date, or 17 hours for sessions that stay signed in')
  t.match(page.body, '<button name="others" value="1">End all other sessions</button>')

  const handle = await handleOf(phone)
  const ended = await harry.post('/sessions', { handle }, AS_BROWSER)
  t.equal(ended.statusCode, 303)
  t.equal(ended.headers.location, '/sessions')
  t.notOk(await isIn(phone))
  t.ok(await isIn(tool))
  t.match((await harry.get('/sessions', AS_BROWSER)).body, 'The session has ended.')
  const missing = await harry.post('/sessions', { handle }, AS_BROWSER)
  t.match(missing, { statusCode: 404, body: 'You have no session with this handle.' })
  t.match(missing.body, '<a class="button" href="/sessions">Back to my sessions</a>')

  const all = await harry.post('/sessions', { others: '1' }, AS_BROWSER)
  t.equal(all.headers.location, '/sessions')
  t.notOk(await isIn(tool))
  const alone = (await harry.get('/sessions', AS_BROWSER)).body
  t.match(alone, 'All other sessions have ended.')
  t.notMatch(alone, 'End all other sessions')
  t.strictSame((await harry.post('/sessions', { others: '1' }, AS_PROGRAM)).json(), { ended: 0 })

  const out = await harry.post('/sessions', { handle: await handleOf(harry) }, AS_BROWSER)
  t.equal(out.headers.location, '/')
  t.match((await harry.get('/', AS_BROWSER)).body, 'You are logged out.')
})

test('the home page links to "My sessions", even under a prefix', async (t) => {
  const { fastify } = await start(t)
  const body = (await (await loggedIn(fastify)).get('/', AS_BROWSER)).body
  t.match(body, '<a href="/sessions">My sessions</a>')
  t.match(body, '<a href="/password">Change your password</a>')
  t.notMatch((await new Client(fastify).get('/', AS_BROWSER)).body, '/sessions')

  const host = await buildHost(t, { routes: true, prefix: '/auth', authenticate: (name, password) => password === '12345678' ? { name } : null })
  const harry = new Client(host)
  t.match((await harry.get('/auth/sessions', AS_BROWSER)).headers, { location: '/auth/login?next=%2Fauth%2Fsessions' })
  await harry.post('/auth/login', { client_name: 'Harry', password: '12345678' })
  const home = (await harry.get('/auth/', AS_BROWSER)).body
  t.match(home, '<a href="/auth/sessions">My sessions</a>')
  t.notMatch(home, 'password', 'the application keeps the passwords')
  const page = (await harry.get('/auth/sessions', AS_BROWSER)).body
  t.match(page, 'action="/auth/sessions"')
  t.match(page, 'formaction="/auth/logout"')
  t.equal((await harry.post('/auth/sessions', { others: '1' }, AS_BROWSER)).headers.location, '/auth/sessions')
})

test('10 minutes after the login, ending other sessions needs the password', async (t) => {
  const { fastify, clock } = await start(t)
  const harry = await loggedIn(fastify)
  const other = await loggedIn(fastify)
  const handle = await handleOf(other)

  clock.time += 10 * MINUTE - 1_000
  t.equal((await end(harry, 'none')).statusCode, 404, 'a second before')
  clock.time += 1_000
  t.equal((await end(harry, 'none')).statusCode, 404, 'to the millisecond')
  clock.time += 1_000
  for (const response of [await end(harry, handle), await end(harry, 'none'), await endOthers(harry), await harry.post('/sessions', { handle }), await harry.post('/sessions', { others: '1', password: '' }, AS_PROGRAM)]) {
    t.equal(response.statusCode, 401)
    t.match(response.json(), { code: 'HATCHECK_REAUTHENTICATE', detail: /more than 10 minutes ago\. Log in again, or send the password too/ })
    t.notOk(response.headers['set-cookie'])
  }
  t.equal((await harry.get('/sessions', AS_PROGRAM)).statusCode, 200, 'reading never needs it')
  t.ok(await isIn(other))

  const wrong = await harry.post('/sessions', { handle, password: '87654321' }, AS_PROGRAM)
  t.match(wrong.json(), { status: 401, code: 'HATCHECK_WRONG_CREDENTIALS', detail: 'The password is wrong.' })
  t.match((await harry.send({ method: 'POST', url: '/sessions', headers: AS_PROGRAM, payload: { handle, password: ['12345678'] } })).json(), { status: 400, code: 'HATCHECK_CREDENTIALS' })
  t.match((await harry.post('/sessions', { handle, password: 'x'.repeat(1_025) }, AS_PROGRAM)).json(), { status: 400, code: 'HATCHECK_PASSWORD' })
  t.ok(await isIn(other))

  const before = harry.cookieHeader
  t.strictSame((await harry.post('/sessions', { handle, password: '12345678' }, AS_PROGRAM)).json(), { ended: 1 })
  t.notOk(await isIn(other))
  t.not(harry.cookieHeader, before)
  t.equal((await fastify.inject({ url: '/', headers: { cookie: before, ...AS_PROGRAM } })).json().user, null, 'the old id is dead')
  t.match((await harry.get('/', AS_PROGRAM)).json(), { user: { name: 'Harry', authenticatedAt: new Date(clock.time).toISOString() } })
  t.strictSame((await endOthers(harry)).json(), { ended: 0 }, 'the login is a new one')

  clock.time += 10 * MINUTE + 1_000
  t.equal((await end(harry, await handleOf(harry))).statusCode, 204, 'ending the current session never needs it')
})

test('the page asks for the password and keeps the chosen session in the form', async (t) => {
  const { fastify, clock } = await start(t)
  const harry = await loggedIn(fastify, { permanent: true })
  const [phone, tool] = [await loggedIn(fastify, { permanent: true }), await loggedIn(fastify, { permanent: true })]
  const handle = await handleOf(phone)
  clock.time += 11 * MINUTE

  const asked = await harry.post('/sessions', { handle }, AS_BROWSER)
  t.equal(asked.statusCode, 401)
  t.match(asked.body, `<input type="hidden" name="handle" value="${handle}">`)
  t.match(asked.body, /<input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password" autofocus>/)
  t.notMatch(asked.body, 'role="alert"', 'no error is shown yet')
  const wrong = await harry.post('/sessions', { handle, password: 'not the one' }, AS_BROWSER)
  t.equal(wrong.statusCode, 401)
  t.match(wrong.body, 'The password is wrong.')
  t.match(wrong.body, 'aria-invalid="true" aria-describedby="notice"')
  t.match(wrong.body, `<input type="hidden" name="handle" value="${handle}">`)
  t.notMatch(wrong.body, 'not the one')
  t.ok(await isIn(phone))

  const right = await harry.post('/sessions', { handle, password: '12345678' }, AS_BROWSER)
  t.equal(right.headers.location, '/sessions')
  t.match(String(right.headers['set-cookie']), /hatcheck=[^;]+; Max-Age=2592000/, 'it stays signed in')
  t.notOk(await isIn(phone))

  clock.time += 11 * MINUTE
  t.match((await harry.post('/sessions', { others: '1' }, AS_BROWSER)).body, '<input type="hidden" name="others" value="1">')
  await harry.post('/sessions', { others: '1', password: '12345678' }, AS_BROWSER)
  t.notOk(await isIn(tool))
  t.match((await harry.post('/sessions', { handle: '"><script>' }, AS_BROWSER)).statusCode, 404)
  clock.time += 11 * MINUTE
  t.notMatch((await harry.post('/sessions', { handle: '"><script>' }, AS_BROWSER)).body, '<script')
})

test('neither writing authenticatedAt nor a clock that is set back makes a login newer', async (t) => {
  const { fastify, clock } = await start(t)
  await fastify.close()
  const host = await buildHost(t, { routes: ['home', 'login', 'logout', 'sessions'], authenticate: (name) => ({ name }), now: () => clock.time })
  host.post('/forge', async (request) => { request.session.authenticatedAt = clock.time })
  const harry = await loggedIn(host)
  clock.time += 11 * MINUTE
  t.equal((await harry.send({ method: 'POST', url: '/forge' })).statusCode, 200)
  t.match((await harry.get('/', AS_PROGRAM)).json(), { user: { authenticatedAt: new Date(clock.time).toISOString() } }, 'the value has changed')
  t.equal((await endOthers(harry)).statusCode, 401)
  await loggedIn(host)
  clock.time -= 60 * MINUTE
  t.equal((await endOthers(harry)).statusCode, 401)
})

test('authenticate returning another user than the one logged in ends no session', async (t) => {
  const clock = { time: Date.UTC(2026, 0, 31, 12) }
  const names = { answer: 'Harry' }
  const host = await buildHost(t, { routes: ['home', 'login', 'logout', 'sessions'], authenticate: () => ({ name: names.answer }), now: () => clock.time })
  const [harry, other] = [await loggedIn(host), await loggedIn(host)]
  clock.time += 11 * MINUTE
  names.answer = 'Sally'
  t.equal((await harry.post('/sessions', { others: '1', password: '12345678' }, AS_PROGRAM)).statusCode, 401)
  t.ok(await isIn(other))
  t.match((await harry.get('/', AS_PROGRAM)).json(), { user: { name: 'Harry' } })
  names.answer = 'Harry'
  t.strictSame((await harry.post('/sessions', { others: '1', password: '12345678' }, AS_PROGRAM)).json(), { ended: 1 })
})

test('an account that is disabled during its password check is logged out', async (t) => {
  for (const headers of [AS_PROGRAM, AS_BROWSER]) {
    const clock = { time: Date.UTC(2026, 0, 31, 12) }
    const { here, reached, go } = stop()
    let armed = false
    const store = watched(openStore(t, 'memory:', { now: () => clock.time }), (call) => armed && call === 'replace' ? here() : undefined, false)
    const accounts = { held: true }
    const host = await buildHost(t, { routes: ['home', 'login', 'logout', 'sessions'], authenticate: (name) => ({ name }), sessionStore: store, now: () => clock.time })
    host.hatcheck.login.isStillValid = async () => accounts.held
    const [harry, other] = [await loggedIn(host), await loggedIn(host)]
    clock.time += 11 * MINUTE
    armed = true
    const asked = harry.post('/sessions', { others: '1', password: '12345678' }, headers)
    await reached
    accounts.held = false
    armed = false
    go()
    const { statusCode, body } = await asked
    t.equal(statusCode, 401)
    t.match(body, 'The password is wrong.')
    t.notOk(await isIn(harry))
    t.ok(await isIn(other))
  }
})

test('a failing store is a 503, and no answer claims that a session has ended', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const fastify = await buildHost(t, { routes: ['home', 'login', 'logout', 'sessions'], authenticate: (name) => ({ name }), sessionStore: store })
  const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
  const handle = await handleOf(other)
  for (const call of ['ofUser', 'remove'] as const) {
    down(call)
    const response = await end(harry, handle)
    t.equal(response.statusCode, 503, call)
    t.equal(response.json().code, 'HATCHECK_STORE_UNAVAILABLE')
    up()
  }
  down('removeOfUser')
  t.equal((await endOthers(harry)).statusCode, 503)
  up()
  t.ok(await isIn(other))
})

test('the login details of a session are hidden from handlers and do not count as changes', async (t) => {
  const calls: string[] = []
  const store = watched(openStore(t, 'memory:'), (call) => { calls.push(call) })
  const host = await buildHost(t, { sessionStore: store })
  host.post('/in', async (request) => { await request.login('Harry') })
  host.post('/new-id', async (request) => { await request.session.regenerate(['client_name', 'authenticatedAt']) })
  host.post('/new-id-of-nobody', async (request) => {
    Object.assign(request.session, { a: 1 })
    await request.session.regenerate(['a'])
  })
  host.post('/forget', async (request) => {
    Object.assign(request.session, { a: 1 })
    request.session.pop('client_name')
  })
  host.post('/set', async (request) => { Object.assign(request.session, { a: 1 }) })
  host.post('/in-and-clear', async (request) => {
    await request.login('Harry')
    request.session.clear()
  })
  host.get('/look', async ({ session }) => ({
    keys: session.keys(), own: Object.keys(session), get: session.get('hatcheck:client' as never), has: 'hatcheck:client' in session, modified: session.isModified()
  }))
  const post = (client: Client, url: string): Promise<Answer> => client.send({ method: 'POST', url, headers: { 'user-agent': FIREFOX } })
  const clients = async (): Promise<string[]> => (await host.sessions.ofUser('Harry')).map(({ client }) => client)
  const stored = async (): Promise<string[]> => (await store.ofUser('Harry')).flatMap(({ record }) => Object.keys(record.fields))

  const harry = new Client(host)
  await post(harry, '/in')
  t.strictSame(await stored(), ['client_name', 'authenticatedAt', 'hatcheck:client'])
  calls.length = 0
  t.strictSame((await harry.get('/look')).json(), { keys: ['client_name', 'authenticatedAt'], own: ['client_name', 'authenticatedAt'], has: false, modified: false })
  t.strictSame(calls, ['read'])
  await post(harry, '/set')
  t.strictSame(await clients(), ['Firefox on Linux'], 'a change keeps them')
  await post(harry, '/new-id')
  t.strictSame(await clients(), ['Firefox on Linux'], 'a new ID keeps them')
  await harry.send({ method: 'POST', url: '/in', headers: { 'user-agent': SAFARI } })
  t.strictSame(await clients(), ['Safari on iOS'], 'a login writes them anew')

  for (const url of ['/forget', '/new-id-of-nobody']) {
    const visitor = new Client(host)
    await post(visitor, '/in')
    await post(visitor, url)
    const id = visitor.cookieHeader.replace(/^.*=/, '').split('.')[0] as string
    const fields = Object.keys((await store.read(storeKey(id)))?.fields ?? {})
    t.ok(fields.includes('a'), url)
    t.notOk(fields.includes('hatcheck:client'), `${url}: gone with the user`)
  }
  const nobody = new Client(host)
  await post(nobody, '/in-and-clear')
  t.equal(nobody.cookies.size, 0, 'they alone make no session')
  await post(harry, '/in-and-clear')
  t.strictSame(await stored(), [])
})

test('a session without readable login details is listed with an unknown browser and address', async (t) => {
  const { fastify, clock } = await start(t)
  const { store } = fastify.sessions
  const record = { createdAt: clock.time, seenAt: clock.time, expiresAt: clock.time + 1_000_000, permanent: false, user: 'Harry' }
  await store.create('old', { ...record, fields: { client_name: '"Harry"' } })
  for (const [i, text] of ['no json', '42', '{}', '"x"', 'null'].entries()) await store.create(`broken ${i}`, { ...record, fields: { 'hatcheck:client': text } })
  const sessions: UserSession[] = await fastify.sessions.ofUser('Harry')
  t.equal(sessions.length, 6)
  for (const session of sessions) t.match(session, { client: 'Unknown browser', address: 'unknown' })
})

test('a session that is over by the current configuration is not listed', async (t) => {
  const clock = { time: Date.UTC(2026, 0, 31, 12) }
  const fastify = await build(t, { now: () => clock.time, sessionIdleTimeout: 60, sessionLifetime: 3_600 })
  await fastify.sessions.store.create('old', { createdAt: clock.time, seenAt: clock.time, expiresAt: clock.time + 1_000_000, permanent: false, user: 'Harry', fields: {} })
  t.match(await fastify.sessions.ofUser('Harry'), [{ expiresAt: clock.time + 60_000 }])
  clock.time += 60_000
  t.strictSame(await fastify.sessions.ofUser('Harry'), [])
})

test('a device is described in a few safe words', (t) => {
  const agents: Array<[string | undefined, string]> = [
    [FIREFOX, 'Firefox on Linux'],
    [SAFARI, 'Safari on iOS'],
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36', 'Chrome on Windows'],
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0', 'Microsoft Edge on Windows'],
    ['Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36', 'Chrome on Android'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15', 'Safari on macOS'],
    ['curl/8.5.0', 'curl'],
    ['CURL/8.5.0 <script>', 'curl'],
    [undefined, 'Unknown browser'],
    ['', 'Unknown browser'],
    ['node', 'Unknown browser'],
    ['lightMyRequest', 'Unknown browser'],
    ['<script>alert(1)</script>/1.0 (x)', 'Unknown browser'],
    ['Your password has expired, call 555-0100/1.0 (x)', 'Unknown browser'],
    ['\u202e/1 (\0)', 'Unknown browser'],
    ['('.repeat(100_000), 'Unknown browser'],
    [`${'x/'.repeat(50_000)} (`, 'Unknown browser']
  ]
  for (const [agent, words] of agents) t.equal(storedClient({ 'hatcheck:client': clientText(agent, '192.0.2.1') }).client, words)
  const addresses: Array<[string | undefined, string]> = [
    ['192.0.2.77', '192.0.2.x'],
    ['::ffff:192.0.2.77', '192.0.2.x'],
    ['127.0.0.1', 'this machine'],
    ['127.1.2.3', 'this machine'],
    ['::1', 'this machine'],
    ['::ffff:127.0.0.1', 'this machine'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::x'],
    ['2001:0DB8:0001::6', '2001:db8:1::x'],
    ['2001:db8::6', '2001:db8:0::x'],
    ['64:ff9b::192.0.2.77', '192.0.2.x'],
    ['fe80::1%eth0', 'fe80:0:0::x'],
    ['::', '0:0:0::x'],
    [undefined, 'unknown'],
    ['', 'unknown'],
    ['unix', 'unknown'],
    ['192.0.2.77:1234', '192.0.2.x'],
    ['<script>', 'unknown']
  ]
  for (const [ip, words] of addresses) t.equal(storedClient({ 'hatcheck:client': clientText('curl/8', ip) }).address, words, ip ?? 'none')
  t.end()
})

test('every stored value is escaped on the page', async (t) => {
  const { fastify, clock } = await start(t)
  const harry = await loggedIn(fastify, { userAgent: '<script>alert(1)</script>/1.0 (x)' })
  await fastify.sessions.store.create('odd', {
    createdAt: clock.time,
    seenAt: clock.time,
    expiresAt: clock.time + 1_000_000,
    permanent: false,
    user: 'Harry',
    fields: { 'hatcheck:client': '["<script>alert(1)</script>", "<b>"]' }
  })
  const { body } = await harry.get('/sessions', AS_BROWSER)
  t.notMatch(body, '<script')
  t.notMatch(body, '<b>')
  t.match(body, '&#60;script&#62;')
})

test('two hundred sessions fit on one page and in one list', async (t) => {
  const { fastify, clock } = await start(t, { sessionStore: `lmdb:${t.testdir()}` })
  const harry = await loggedIn(fastify)
  const { store } = fastify.sessions
  await Promise.all(Array.from({ length: 199 }, (_, i) => store.create(`key ${i}`, {
    createdAt: clock.time - i, seenAt: clock.time - i, expiresAt: clock.time + 1_000_000, permanent: false, user: 'Harry', fields: {}
  })))
  t.equal((await listOf(harry)).length, 200)
  t.equal((await harry.get('/sessions', AS_BROWSER)).body.split('<li>').length - 1, 200)
  t.strictSame((await endOthers(harry)).json(), { ended: 199 })
})
