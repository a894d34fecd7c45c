import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { test, type Test } from 'tap'
import type { GivenOptions } from '../plugins/config/options.js'
import { testClock, visitor } from '../plugins/testing/index.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { bag, type Bag } from './apps/bag.js'
import { messagesInto } from './apps/log-lines.js'
import { AS_PROGRAM } from './clients/accept.js'
import { Client, cookiesSetBy } from './clients/client.js'
import { build, buildHost, testKey } from './helper.js'
import { watchRevocations } from './stores/watched-revocations.js'
import { stop } from './stores/watched-store.js'

const COOKIE = { sessionStore: 'cookie:memory:' }

/** An application with sessions in cookies, and the routes that the tests need. */
async function app (t: Test, options: GivenOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { ...COOKIE, ...options })
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => { await request.login(request.params.name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.post<{ Params: { key: string }, Body: unknown }>('/set/:key', async (request) => { bag(request)[request.params.key] = request.body })
  fastify.post('/anew', async (request) => { await request.session.regenerate(['client_name', 'authenticatedAt', 'cart']) })
  fastify.post('/leave', async (request) => { delete request.session.client_name })
  fastify.post('/others', async (request) => fastify.hatcheck.session.endOthers(request))
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null, data: { ...bag(request) } }))
  return fastify
}

async function post (client: Client, url: string, body?: object): Promise<number> {
  return (await client.send({ method: 'POST', url, ...body !== undefined && { payload: body } })).statusCode
}

/** A browser that is logged in. */
async function loggedIn (fastify: FastifyInstance, name = 'Harry'): Promise<Client> {
  const client = new Client(fastify)
  await post(client, `/login/${name}`)
  return client
}

async function userOf (fastify: FastifyInstance, cookie: string): Promise<unknown> {
  const { statusCode, body } = await fastify.inject({ url: '/', headers: { cookie } })
  return statusCode === 200 ? (JSON.parse(body) as Bag)['user'] : statusCode
}

test('the walk-through works, and the cookie carries what the session holds', async (t) => {
  const fastify = await build(t, COOKIE)
  const harry = new Client(fastify)
  t.match((await harry.get('/')).body, 'You are not logged in')
  t.equal((await harry.login()).statusCode, 303)
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
  t.equal((await harry.put('/session/cart', ['apple'])).statusCode, 201)
  t.strictSame((await harry.get('/session/cart')).json(), ['apple'])
  t.match((await harry.get('/session')).json(), { user: { name: 'Harry' }, data: { cart: ['apple'] } })
  t.equal((await harry.get('/verify')).statusCode, 204)
  const copy = harry.cookie()
  t.notMatch(copy, /Harry|apple/)
  t.notMatch(Buffer.from(copy, 'base64').toString('latin1'), /Harry|apple/, 'encrypted')
  t.equal((await harry.get('/logout')).statusCode, 303)
  t.equal(harry.cookie(), '')
  for (const url of ['/verify', '/whoami', '/sessions']) t.equal((await harry.get(url, { ...AS_PROGRAM, cookie: copy })).statusCode, 401, url)
})

test('nothing is stored for a visitor without a session, and a request that changes nothing sets no cookie', async (t) => {
  const calls: string[] = []
  watchRevocations(t, (call) => { calls.push(call) })
  const fastify = await app(t)
  const client = new Client(fastify)
  t.equal((await client.get('/')).headers['set-cookie'], undefined)
  t.strictSame(calls, [])
  await post(client, '/set/cart', ['apple'])
  t.ok(!calls.includes('end'))
  const answer = await client.get('/')
  t.strictSame(answer.json(), { user: null, data: { cart: ['apple'] } })
  t.equal(answer.headers['set-cookie'], undefined)
  t.match(answer.headers, { vary: 'Cookie', 'cache-control': 'no-store' })
})

test('a logout is final for every copy of the cookie, whatever changed since the copy', async (t) => {
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  const copies = [harry.cookie()]
  for (const n of [1, 2]) {
    await post(harry, '/set/cart', [n])
    copies.push(harry.cookie())
  }
  t.equal(new Set(copies).size, 3)
  for (const copy of copies) t.equal(await userOf(fastify, copy), 'Harry', 'a copy is live as long as the session is')
  await post(harry, '/logout')
  for (const copy of copies) t.equal(await userOf(fastify, copy), null)
  t.equal((await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: copies.join('; ') } })).statusCode, 200, 'again')
})

test('a request that a logout overtakes brings nothing back', async (t) => {
  const fastify = await app(t)
  const pauses = { set: stop(), read: stop(), login: stop(), anew: stop() }
  fastify.post('/slow/set', async (request) => {
    bag(request)['cart'] = ['late']
    await pauses.set.here()
  })
  fastify.post('/slow/read', async (request) => {
    request.session.touch()
    await pauses.read.here()
  })
  fastify.post('/slow/login', async (request) => {
    await request.loadSession()
    await pauses.login.here()
    await request.login('Harry', { data: {} })
  })
  fastify.post('/slow/anew', async (request) => {
    await request.session.regenerate(['client_name'])
    await pauses.anew.here()
  })
  for (const [what, pause] of Object.entries(pauses)) {
    const harry = await loggedIn(fastify)
    const copy = harry.cookie()
    const slow = fastify.inject({ method: 'POST', url: `/slow/${what}`, headers: { cookie: copy } })
    await pause.reached
    t.equal((await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: copy } })).statusCode, 200)
    pause.go()
    const late = cookiesSetBy(await slow).find(({ name }) => name === 'hatcheck')
    // A login after the logout is a new session.
    t.equal(await userOf(fastify, `hatcheck=${late?.value ?? ''}`), what === 'login' ? 'Harry' : null, `after ${what}`)
    t.equal(await userOf(fastify, copy), null, `the copy, after ${what}`)
  }
})

test('of several renewals of one ID at once exactly one wins, and the old ID is dead', async (t) => {
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  await post(harry, '/set/cart', ['apple'])
  const copy = harry.cookie()
  const answers = await Promise.all(Array.from({ length: 10 }, () => fastify.inject({ method: 'POST', url: '/anew', headers: { cookie: copy } })))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, ...Array.from({ length: 9 }, () => 409)])
  t.equal(await userOf(fastify, copy), null)
  const [renewed] = answers.flatMap(cookiesSetBy)
  const next = `hatcheck=${renewed?.value}`
  t.match((await fastify.inject({ url: '/', headers: { cookie: next } })).json(), { user: 'Harry', data: { cart: ['apple'] } })
})

test('a logout by values ends the ID, so no copy of the cookie stays logged in', async (t) => {
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  await post(harry, '/set/cart', ['apple'])
  const copy = harry.cookie()
  t.equal(await post(harry, '/leave'), 200)
  t.match((await harry.get('/')).json(), { user: null, data: { cart: ['apple'] } })
  t.equal(await userOf(fastify, copy), null)
})

test('the end of all sessions of a user ends every copy, and spares the session that asked for it', async (t) => {
  const fastify = await app(t)
  const [phone, laptop, sally] = [await loggedIn(fastify), await loggedIn(fastify), await loggedIn(fastify, 'Sally')]
  const copies = [phone.cookie(), laptop.cookie()]
  t.equal(await post(laptop, '/others'), 200)
  t.strictSame(await Promise.all(copies.map((cookie) => userOf(fastify, cookie))), [null, 'Harry'])
  await post(laptop, '/set/cart', ['apple'])
  t.equal(await userOf(fastify, laptop.cookie()), 'Harry', 'also once it has changed')
  const tablet = await loggedIn(fastify)
  await post(tablet, '/others')
  t.strictSame(await Promise.all([copies[1] as string, laptop.cookie(), tablet.cookie()].map((cookie) => userOf(fastify, cookie))), [null, null, 'Harry'])
  t.equal(await fastify.sessions.revokeUser('Harry'), 0, 'how many is unknown')
  t.equal(await userOf(fastify, tablet.cookie()), null)
  t.equal(await userOf(fastify, sally.cookie()), 'Sally')
  t.equal(await userOf(fastify, (await loggedIn(fastify)).cookie()), 'Harry', 'a login after that is live')
})

test('a login that the end of all sessions overtakes is ended as well', async (t) => {
  const pause = stop()
  const fastify = await app(t)
  fastify.post('/slow', async (request) => {
    await request.login('Harry')
    await pause.here()
  })
  const slow = fastify.inject({ method: 'POST', url: '/slow' })
  await pause.reached
  await fastify.sessions.revokeUser('Harry')
  pause.go()
  const [cookie] = cookiesSetBy(await slow)
  t.equal(await userOf(fastify, `hatcheck=${cookie?.value}`), null)
})

test('a renewal that the end of all sessions overtakes is ended as well', async (t) => {
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  const asked = new Set<string>()
  let isRenewing = false
  watchRevocations(t, (call, key) => {
    if (!isRenewing || call !== 'lookUp') return
    asked.add(key)
    if (asked.size < 2) return
    // Between the question about the session and that about its successor.
    isRenewing = false
    fastify.sessions.revokeUser('Harry').catch(t.threw)
  })
  isRenewing = true
  const answer = await fastify.inject({ method: 'POST', url: '/anew', headers: { cookie: harry.cookie() } })
  t.equal(isRenewing, false, 'the end came in between')
  const [renewed] = cookiesSetBy(answer)
  t.equal(await userOf(fastify, harry.cookie()), null)
  t.equal(renewed === undefined ? null : await userOf(fastify, `hatcheck=${renewed.value}`), null)
})

test('messages that are taken by a slow request bring no ended session back to the browser', async (t) => {
  const pause = stop()
  const fastify = await app(t)
  fastify.post('/message', async (request) => { request.flash('info', 'saved') })
  fastify.get('/slow-messages', async (request) => {
    const flashes = await request.flashes()
    await pause.here()
    return flashes
  })
  const harry = await loggedIn(fastify)
  await post(harry, '/message')
  const slow = fastify.inject({ url: '/slow-messages', headers: { cookie: harry.cookie() } })
  await pause.reached
  await post(harry, '/logout')
  await post(harry, '/login/Harry')
  pause.go()
  const answer = await slow
  t.equal(answer.json<unknown[]>().length, 1)
  t.equal(answer.headers['set-cookie'], undefined)
})

test('a new password ends the sessions that the old one has opened', async (t) => {
  const fastify = await build(t, COOKIE)
  const [phone, laptop] = [new Client(fastify), new Client(fastify)]
  for (const client of [phone, laptop]) await client.login()
  const copy = laptop.cookie()
  const answer = await laptop.post('/password', { current_password: '12345678', new_password: 'another password' }, AS_PROGRAM)
  t.equal(answer.statusCode, 200, answer.body)
  t.equal((await phone.get('/whoami', AS_PROGRAM)).statusCode, 401)
  t.equal((await laptop.get('/whoami', { ...AS_PROGRAM, cookie: copy })).statusCode, 401)
  t.equal((await laptop.get('/whoami', AS_PROGRAM)).statusCode, 200)
  await fastify.accounts?.disable('Harry')
  t.equal((await laptop.get('/whoami', AS_PROGRAM)).statusCode, 401)
})

test('while the store of the ends does not answer, a request with a session is a 503 and keeps its cookie', async (t) => {
  let isDown = false
  watchRevocations(t, () => { if (isDown) throw new Error('connect ECONNREFUSED') })
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  const copy = harry.cookie()
  isDown = true
  const answer = await harry.get('/')
  t.match(answer, { statusCode: 503, headers: { 'retry-after': /\d/ } })
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal(await post(harry, '/login/Harry'), 503)
  t.equal((await fastify.inject('/')).statusCode, 200, 'a visitor without a cookie')
  t.equal((await fastify.inject({ url: '/', headers: { cookie: 'hatcheck=forged' } })).statusCode, 200)
  const logout = await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: copy } })
  t.match(logout, { statusCode: 503, headers: { 'set-cookie': /^hatcheck=;/ } })
  isDown = false
  t.equal(await userOf(fastify, copy), null, 'refused at once after a logout that was not confirmed')
})

test('both clocks are judged on the server, and activity is recorded now and then', async (t) => {
  const clock = testClock()
  const fastify = await app(t, { now: clock.now, sessionIdleTimeout: 100, sessionLifetime: 200 })
  const harry = await loggedIn(fastify)
  const first = harry.cookie()
  clock.advance({ seconds: 4 })
  t.equal((await harry.get('/')).headers['set-cookie'], undefined)
  clock.advance({ seconds: 56 })
  await harry.get('/')
  const touched = harry.cookie()
  t.not(touched, first)
  clock.advance({ seconds: 60 })
  t.equal(await userOf(fastify, first), null, 'idle')
  t.equal(await userOf(fastify, touched), 'Harry')
  await harry.get('/')
  clock.advance({ seconds: 79 })
  t.equal(await userOf(fastify, harry.cookie()), 'Harry')
  clock.advance({ seconds: 1 })
  t.equal(await userOf(fastify, harry.cookie()), null, 'the lifetime is over')
})

test('an end is remembered until no copy can be live, also by a process with shorter lifetimes', async (t) => {
  const clock = testClock()
  const fastify = await app(t, { now: clock.now, sessionLifetime: 1_000, sessionIdleTimeout: 1_000, permanentSessionLifetime: 5_000, permanentSessionIdleTimeout: 5_000 })
  const harry = await loggedIn(fastify)
  const copy = harry.cookie()
  await post(harry, '/logout')
  // The clock of another process may be behind, by a quarter of an hour at most.
  clock.advance({ seconds: 4_999 + 15 * 60 })
  t.equal(await fastify.sessions.store.sweep(5), 0)
  clock.advance({ seconds: -15 * 60 })
  t.equal(await userOf(fastify, copy), null)
  clock.advance({ seconds: 15 * 60 + 1 })
  t.equal(await fastify.sessions.store.sweep(5), 1)
  t.equal(await userOf(fastify, copy), null)
})

test('the end of all sessions of a user is remembered as long, even for the longest lifetimes', async (t) => {
  const clock = testClock()
  const seconds = 400 * 86_400
  const fastify = await app(t, { now: clock.now, sessionLifetime: seconds, sessionIdleTimeout: seconds, permanentSessionLifetime: seconds, permanentSessionIdleTimeout: seconds })
  const copy = (await loggedIn(fastify)).cookie()
  await fastify.sessions.revokeUser('Harry')
  clock.advance({ seconds: seconds - 1 + 15 * 60 })
  t.equal(await fastify.sessions.store.sweep(5), 0)
  clock.advance({ seconds: -15 * 60 })
  t.equal(await userOf(fastify, copy), null)
})

test('a session never lives longer than the lifetimes allowed at its beginning, so that no end is forgotten too early', async (t) => {
  const clock = testClock()
  const sessionStore = `cookie:lmdb:${t.testdir()}`
  const short = await app(t, { sessionStore, now: clock.now, sessionIdleTimeout: 3_600, sessionLifetime: 7_200, permanentSessionIdleTimeout: 3_600, permanentSessionLifetime: 7_200 })
  const long = await app(t, { sessionStore, now: clock.now, sessionIdleTimeout: 86_400, sessionLifetime: 864_000 })
  const harry = await loggedIn(short)
  clock.advance({ seconds: 3_000 })
  const continued = new Client(long)
  const answer = await continued.send({ method: 'POST', url: '/set/cart', payload: ['apple'], headers: { cookie: harry.cookie() } })
  t.equal(answer.statusCode, 200)
  t.equal(await userOf(long, continued.cookie()), 'Harry')
  clock.advance({ seconds: 4_199 })
  t.equal(await userOf(long, continued.cookie()), 'Harry')
  clock.advance({ seconds: 2 })
  t.equal(await userOf(long, continued.cookie()), null)
})

test('keys are replaced while it runs: the next response seals the cookie anew', async (t) => {
  const [oldKey, newKey] = [newSecret(), newSecret()]
  const fastify = await app(t, { secretKey: oldKey })
  const harry = await loggedIn(fastify)
  await post(harry, '/set/cart', ['apple'])
  const old = harry.cookie()
  fastify.sessions.setSecretKeys([newKey, oldKey])
  t.match((await harry.get('/')).json(), { user: 'Harry', data: { cart: ['apple'] } })
  t.not(harry.cookie(), old)
  fastify.sessions.setSecretKeys([newKey])
  t.equal(await userOf(fastify, old), null)
  t.equal(await userOf(fastify, harry.cookie()), 'Harry')
})

test('a cookie of one realm or name is worth nothing in another', async (t) => {
  const one = await app(t, { secretKey: testKey })
  const others = await Promise.all([{ realm: 'shop' }, { realm: 'hatcheck', sessionCookieName: 'sid' }].map((options) => app(t, { secretKey: testKey, ...options })))
  const { value } = cookiesSetBy(await one.inject({ method: 'POST', url: '/login/Harry' }))[0] ?? {}
  t.equal(await userOf(one, `hatcheck=${value}`), 'Harry')
  t.equal(await userOf(others[0] as FastifyInstance, `hatcheck=${value}`), null)
  t.equal(await userOf(others[1] as FastifyInstance, `sid=${value}`), null)
})

test('a session that no cookie can hold is refused, and the browser keeps the one that it has', async (t) => {
  const fastify = await app(t)
  const harry = await loggedIn(fastify)
  const noise = (length: number): { noise: string } => ({ noise: randomBytes(length / 2).toString('hex') })
  await post(harry, '/set/cart', noise(2_000))
  const before = harry.cookie()
  t.ok(before.length < 4_096)
  const answer = await harry.send({ method: 'POST', url: '/set/more', payload: noise(4_000) })
  t.match(answer.json(), { code: 'HATCHECK_SESSION_TOO_LARGE', message: /cookie/ })
  t.equal(answer.statusCode, 413)
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal(harry.cookie(), before)
  t.equal(await post(harry, '/set/more', { text: 'word '.repeat(2_000) }), 200, 'text that compresses well fits')
  const line = cookiesSetBy(await harry.send({ method: 'POST', url: '/set/less', payload: { a: 1 } }))
  t.ok((line[0]?.value.length ?? 0) < 4_096)
  t.match((await harry.get('/')).json(), { data: { more: { text: /^(word )+$/ } } })
})

test('a cookie of up to 4,096 bytes is set, and no longer one', async (t) => {
  const fastify = await app(t)
  const lengths: number[] = []
  let refused = 0
  for (let length = 3_400; length < 4_100; length += 8) {
    const answer = await fastify.inject({ method: 'POST', url: '/set/noise', payload: { noise: randomBytes(length).toString('base64').slice(0, length) } })
    const line = answer.headers['set-cookie']
    if (line === undefined) refused++
    else lengths.push(String(line).length)
  }
  const longest = Math.max(...lengths)
  // A cookie of another connection or of a permanent session has longer attributes, for which there is always room.
  t.ok(longest > 4_096 - 60 && longest <= 4_096, String(longest))
  t.ok(refused > 0)
})

test('a cookie whose name and attributes leave no room for a session is refused at the start', async (t) => {
  await t.rejects(app(t, { sessionCookiePath: `/${'a'.repeat(4_000)}` }), { code: 'HATCHECK_CONFIG', message: /^The name, the domain and the path of the session cookie leave -?\d+ of the 4,096 bytes/ })
})

test('users with long names are not mixed up with others', async (t) => {
  const long = 'x'.repeat(200)
  const other = `of ${createHash('sha256').update(long).digest('base64url')}`
  const fastify = await buildHost(t, { sessionStore: 'cookie:', dataDir: t.testdir() })
  const { cookieHeader } = await fastify.sessions.begin(other, { secure: false })
  await fastify.sessions.revokeUser(long)
  t.equal((await fastify.sessions.read(cookieHeader, { secure: false }))?.user?.name, other)
})

test('a call that needs a list of sessions is an error with a code', async (t) => {
  const fastify = await app(t)
  await loggedIn(fastify)
  for (const call of [() => fastify.sessions.ofUser('Harry'), () => fastify.sessions.revoke('Harry', 'a handle'), async () => fastify.sessions.store.count(), async () => fastify.sessions.store.read('key')] satisfies Array<() => Promise<unknown>>) {
    await t.rejects<unknown>(call(), { code: 'HATCHECK_SESSIONS_IN_COOKIES', statusCode: 501 })
  }
})

test('sessions begin and are read outside of requests, and a visitor can edit one', async (t) => {
  const fastify = await app(t)
  const { cookieHeader } = await fastify.sessions.begin('Harry', { secure: false, data: { cart: ['apple'] } as Bag })
  t.equal(await userOf(fastify, cookieHeader), 'Harry')
  t.match(await fastify.sessions.read(cookieHeader, { secure: false }), { user: { name: 'Harry' }, data: { cart: ['apple'] } })
  const sally = await visitor(fastify).login('Sally')
  await sally.edit((session) => { (session as Bag)['n'] = 1 })
  t.match((await sally.inject('/')).json(), { user: 'Sally', data: { n: 1 } })
  const copy = sally.cookieHeader()
  await sally.logout()
  t.equal(await userOf(fastify, copy), null)
})

test('without revocation the store is not asked, and the log says what is lost', async (t) => {
  watchRevocations(t, () => { t.fail('asked') })
  const fastify = await app(t, { sessionRevocation: 'none' })
  const harry = await loggedIn(fastify)
  const copy = harry.cookie()
  t.equal(await post(harry, '/logout'), 200)
  t.equal(harry.cookie(), '')
  t.equal(await userOf(fastify, copy), 'Harry', 'as the log says')
  await t.rejects(fastify.sessions.revokeUser('Harry'), { code: 'HATCHECK_REVOCATION_OFF', statusCode: 501 })
  await t.rejects(buildHost(t, { sessionStore: 'memory:', sessionRevocation: 'none' }).then((app) => app.ready()), { code: 'HATCHECK_CONFIG', message: /^sessionRevocation=none is for sessions in cookies only/ })
})

test('without revocation a logout fails once it can no longer remove the cookie', async (t) => {
  const fastify = await app(t, { sessionRevocation: 'none' })
  const seen: unknown[] = []
  const calls = {
    logout: (request: FastifyRequest) => request.logout(),
    destroy: (request: FastifyRequest) => request.session.destroy(),
    regenerate: (request: FastifyRequest) => request.session.regenerate()
  }
  fastify.post<{ Params: { call: keyof typeof calls, when: string } }>('/raw/:call/:when', async (request, reply) => {
    const { call, when } = request.params
    reply.hijack()
    if (when === 'late') reply.raw.writeHead(200)
    await calls[call](request).catch(({ code }: { code: string }) => { seen.push(code) })
    seen.push(request.user?.name ?? null)
    reply.raw.end()
  })
  for (const call of Object.keys(calls)) {
    const harry = await loggedIn(fastify)
    await post(harry, `/raw/${call}/late`)
    t.strictSame(seen.splice(0), ['HATCHECK_NO_COOKIE', 'Harry'], call)
    t.equal(await userOf(fastify, harry.cookie()), 'Harry')
    await post(harry, `/raw/${call}/early`)
    t.strictSame(seen.splice(0), [null])
    t.equal(harry.cookie(), '')
    await post(harry, `/raw/${call}/late`)
    t.strictSame(seen.splice(0), [null], 'a visitor without a session')
  }
})

test('without revocation a new password is stored, and ends no session', async (t) => {
  const fastify = await build(t, { ...COOKIE, sessionRevocation: 'none' })
  const [phone, laptop] = [new Client(fastify), new Client(fastify)]
  for (const client of [phone, laptop]) await client.login()
  t.strictSame((await laptop.post('/password', { current_password: '12345678', new_password: 'another password' }, AS_PROGRAM)).json(), { ended: 0 })
  t.equal((await phone.get('/whoami')).statusCode, 200)
  await fastify.accounts?.disable('Harry')
  t.equal((await phone.get('/whoami')).statusCode, 200)
  t.equal((await phone.login()).statusCode, 401)
})

test('"My sessions" shows this session, says why, and ends all others', async (t) => {
  const fastify = await build(t, COOKIE)
  const [phone, laptop] = [new Client(fastify), new Client(fastify)]
  for (const client of [phone, laptop]) await client.login()
  const page = await laptop.get('/sessions', { accept: 'text/html' })
  t.match(page.body, 'Your sessions are kept in your browsers, so only this one can be shown.')
  t.match(page.body, 'End all other sessions')
  const { sessions, total } = (await laptop.get('/sessions', AS_PROGRAM)).json<{ sessions: Bag[], total: unknown }>()
  t.match(sessions, [{ current: true, handle: /^[\w]{22}$/ }])
  t.equal(sessions.length, 1)
  t.equal(total, null)
  const other = await laptop.send({ method: 'DELETE', url: '/sessions/another', headers: AS_PROGRAM })
  t.match(other, { statusCode: 501, body: /in the cookies of the browsers/ })
  t.equal((await phone.get('/whoami')).statusCode, 200)
  t.strictSame((await laptop.send({ method: 'DELETE', url: '/sessions', headers: AS_PROGRAM })).json(), { ended: 0 })
  t.equal((await phone.get('/whoami')).statusCode, 401)
  t.equal((await laptop.get('/whoami')).statusCode, 200)
  t.equal((await laptop.send({ method: 'DELETE', url: `/sessions/${String(sessions[0]?.['handle'])}`, headers: AS_PROGRAM })).statusCode, 204)
  t.equal((await laptop.get('/whoami')).statusCode, 401)
})

test('a flash message is shown once, to requests one after another', async (t) => {
  const fastify = await app(t)
  fastify.post('/leave-message', async (request) => { request.flash('info', 'saved') })
  fastify.get('/messages', async (request) => request.flashes())
  const client = new Client(fastify)
  await post(client, '/leave-message')
  await post(client, '/leave-message')
  t.equal((await client.get('/messages')).json<unknown[]>().length, 2)
  t.strictSame((await client.get('/messages')).json(), [])
})

test('the log says at the start what is lost', async (t) => {
  for (const [sessionRevocation, count] of [['store', 7], ['none', 9]] as const) {
    const lines: string[] = []
    const fastify = await buildHost(t, { ...COOKIE, sessionRevocation }, messagesInto(lines, 'warn'))
    await fastify.ready()
    t.equal(lines.filter((line) => line.startsWith('The sessions are in the cookies of the browsers: ') || line.startsWith('hatcheck does not remember')).length, count)
  }
})

/** A browser with a session of express-session, and an application that continues it. */
async function withOldSession (t: Test, values: Bag): Promise<{ client: Client, ended: string[] }> {
  const ended: string[] = []
  const store = {
    get: (id: string, done: (error: unknown, session: object | null) => void) => { done(null, ended.includes(id) ? null : values) },
    destroy: (id: string, done: () => void) => { ended.push(id); done() }
  }
  const secret = newSecret()
  const user = ({ client_name: name }: { client_name?: string }): string | null => name ?? null
  const client = new Client(await app(t, { adopt: [{ cookie: 'connect.sid', secret, store, user }] as never }))
  client.cookies.set('connect.sid', encodeURIComponent(`s:an-id.${createHmac('sha256', secret).update('an-id').digest('base64').replace(/=+$/, '')}`))
  return { client, ended }
}

test('the old session of another library continues in a cookie', async (t) => {
  const { client, ended } = await withOldSession(t, { client_name: 'Harry', cart: ['apple'] })
  t.match((await client.get('/')).json(), { user: 'Harry', data: { cart: ['apple'] } })
  t.strictSame([...client.cookies.keys()], ['hatcheck'])
  t.match((await client.get('/')).json(), { user: 'Harry' })
  t.strictSame(ended, ['an-id'])
})

test('no old session comes back after the logout, even if its own store has it again', async (t) => {
  const { client, ended } = await withOldSession(t, { client_name: 'Harry' })
  const [old] = client.cookies
  await client.get('/')
  await post(client, '/logout')
  t.strictSame([...client.cookies], [])
  ended.length = 0
  client.cookies.set(...old as [string, string])
  t.match((await client.get('/')).json(), { user: null })
  t.strictSame(ended, ['an-id'], 'it is ended there once more')
})

test('an old session that no cookie can hold continues without its largest values', async (t) => {
  const { client } = await withOldSession(t, { client_name: 'Harry', cart: ['apple'], noise: randomBytes(4_000).toString('hex') })
  t.strictSame((await client.get('/')).json(), { user: 'Harry', data: { client_name: 'Harry', authenticatedAt: 0, cart: ['apple'] } })
})

test('a logout with a copy that has expired ends the newer ones as well', async (t) => {
  const clock = testClock()
  const fastify = await app(t, { now: clock.now, sessionIdleTimeout: 100, sessionLifetime: 1_000 })
  const harry = await loggedIn(fastify)
  const old = harry.cookie()
  clock.advance({ seconds: 60 })
  await harry.get('/')
  clock.advance({ seconds: 60 })
  t.strictSame(await Promise.all([old, harry.cookie()].map((cookie) => userOf(fastify, cookie))), [null, 'Harry'])
  await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: old } })
  t.equal(await userOf(fastify, harry.cookie()), null)
})
