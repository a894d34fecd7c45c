import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import hatcheck, { schemaFrom } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { hatcheckSession } from '../plugins/session/standalone.js'
import { CookieJar } from '../plugins/testing/cookie-jar.js'
import { testClock, visitor, type Span } from '../plugins/testing/index.js'
import { answersMayShowSecrets } from './checks/checks.js'
import { buildHost, needs, newFastify, testKey } from './helper.js'
import { startRedis } from './programs/redis.js'
import { inTwoSteps, kinds, openStore, watched } from './stores/watched-store.js'

interface Values { cart?: string[], n?: number }

/** The keys of the session are not declared here: a declaration would hold for every test. */
function editing (change: (session: Values) => unknown): (session: object) => unknown {
  return change
}

async function start (t: Test, options: GivenOptions = {}, server = {}): Promise<FastifyInstance> {
  const app = await buildHost(t, options, server)
  app.get('/', async ({ user, session }) => ({ user: user?.name ?? null, permanent: session.permanent, cart: session.get('cart' as never) ?? null }))
  app.post('/login', async (request) => { await request.login('Harry') })
  app.post('/logout', async (request) => { await request.logout() })
  app.post('/set', async ({ session, body }) => { session.update(body as object) })
  return app
}

for (const kind of [...kinds, 'two steps', 'asynchronous', 'redis:'] as const) {
  test(`a visitor logs in without a password, and handlers see the session, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const sessionStore = kind === 'redis:' ? (await startRedis(t)).url : kind === 'two steps' ? inTwoSteps(openStore(t, 'memory:')) : kind === 'asynchronous' ? watched(openStore(t, 'lmdb:'), () => {}, false) : openStore(t, kind)
    const app = await start(t, { sessionStore })
    const heard: unknown[] = []
    for (const event of ['created', 'renewed', 'destroyed', 'revoked'] as const) app.sessions.on(event, ({ user }) => { heard.push([event, user]) })

    const harry = visitor(app)
    t.equal(await harry.isLoggedIn(), false)
    t.equal(await harry.user(), null)
    t.strictSame(await harry.session(), {})
    t.equal(harry.cookieHeader(), '')
    t.equal(await harry.login('Harry', { cart: ['apple'] } as object), harry)
    t.strictSame(heard.splice(0), [['created', 'Harry']])
    t.equal(await harry.isLoggedIn(), true)
    t.equal((await harry.user())?.name, 'Harry')
    t.strictSame(await harry.session(), { cart: ['apple'] })
    t.strictSame((await harry.inject('/')).json(), { user: 'Harry', permanent: false, cart: ['apple'] })

    await harry.edit(editing((session) => { session.cart?.push('pear') }))
    t.strictSame((await harry.inject({ method: 'GET', url: '/' })).json().cart, ['apple', 'pear'])
    await harry.inject({ method: 'POST', url: '/set', payload: { cart: [], n: 1 } })
    t.strictSame(await harry.session(), { cart: [], n: 1 })
    await harry.edit(editing(async (session) => { delete session.cart }))
    t.strictSame(await harry.session(), { n: 1 })
    t.equal(await harry.isLoggedIn(), true)
    t.strictSame(heard.splice(0), [])

    const copy = harry.cookieHeader()
    await harry.logout()
    t.strictSame(heard.splice(0), [['destroyed', 'Harry']])
    t.equal(await harry.isLoggedIn(), false)
    t.equal(harry.cookieHeader(), '')
    t.equal((await app.inject({ url: '/', headers: { cookie: copy } })).json().user, null, 'the session has ended, and not only its cookie')
    await harry.logout()
  })

  test(`an anonymous visitor has values, and takes them along at a login, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const sessionStore = kind === 'redis:' ? (await startRedis(t)).url : kind === 'two steps' ? inTwoSteps(openStore(t, 'memory:')) : kind === 'asynchronous' ? watched(openStore(t, 'lmdb:'), () => {}, false) : openStore(t, kind)
    const app = await start(t, { sessionStore })
    const somebody = await visitor(app).edit(editing((session) => { session.cart = ['apple'] }))
    t.strictSame((await somebody.inject('/')).json(), { user: null, permanent: false, cart: ['apple'] })
    t.equal(await somebody.isLoggedIn(), false)
    const before = somebody.cookieHeader()
    await somebody.login('Harry', { n: 1 } as object, { permanent: true })
    t.strictSame(await somebody.session(), { cart: ['apple'], n: 1 })
    t.strictSame((await somebody.inject('/')).json(), { user: 'Harry', permanent: true, cart: ['apple'] })
    t.equal(await app.sessions.read(before, { secure: false }), null, 'under a new ID')
    await somebody.login('Sally')
    t.strictSame(await somebody.session(), {}, 'the values of another user stay behind')
    t.strictSame(await app.sessions.ofUser('Harry'), [])
  })
}

test('an edit that changes nothing stores nothing, and begins no session', async (t) => {
  const calls: string[] = []
  const app = await start(t, { sessionStore: watched(openStore(t, 'memory:'), (call) => { calls.push(call) }) })
  const somebody = await visitor(app).edit(() => {})
  t.equal(somebody.cookieHeader(), '')
  await somebody.edit(editing((session) => { session.n = 1 }))
  const cookie = somebody.cookieHeader()
  calls.length = 0
  await somebody.edit(editing((session) => { session.n = 1 }))
  t.strictSame(calls, ['read'])
  t.equal(somebody.cookieHeader(), cookie)
  await somebody.edit(editing((session) => { delete session.n }))
  t.strictSame(await somebody.session(), {})
})

test('an edit has the rules of a handler, and writes the changed keys only', async (t) => {
  const app = await start(t, { sessionMaxBytes: 1_000 })
  const harry = await visitor(app).login('Harry')
  for (const [key, value, code] of [['get', 1, 'HATCHECK_SESSION_KEY'], ['n', NaN, 'HATCHECK_SESSION_VALUE'], ['text', 'x'.repeat(1_000), 'HATCHECK_SESSION_TOO_LARGE']] as const) {
    await t.rejects(harry.edit((session) => { Object.assign(session, { [key]: value }) }), { code })
  }
  await t.rejects(harry.edit(() => { throw new Error('mine') }), { message: 'mine' })
  t.strictSame(await harry.session(), {})
  await harry.edit(editing(async (session) => {
    await harry.inject({ method: 'POST', url: '/set', payload: { n: 2 } })
    session.cart = ['apple']
  }))
  t.strictSame(await harry.session(), { n: 2, cart: ['apple'] })
  await harry.edit((session) => { Object.assign(session, { cart: undefined }) })
  t.strictSame(await harry.session(), { n: 2 })
  await t.rejects(harry.edit(editing(async (session) => {
    await app.sessions.revokeUser('Harry')
    session.n = 3
  })), { code: 'HATCHECK_SESSION_GONE' })
  const strict = await start(t, { anonymousSessions: false })
  await t.rejects(visitor(strict).edit(editing((session) => { session.n = 1 })), { code: 'HATCHECK_ANONYMOUS_SESSION' })
})

test('an edit sets what fits sessionSchema', async (t) => {
  const sessionSchema = schemaFrom((value) => {
    const { cart, n } = value as Values
    return [
      ...n === undefined || typeof n === 'number' ? [] : [{ path: '/n', message: 'not a number' }],
      ...cart !== undefined && n === 2 ? [{ path: '/cart', message: 'not with 2' }] : []
    ]
  })
  const harry = await visitor(await start(t, { sessionSchema })).login('Harry')
  await t.rejects(harry.edit((session) => { Object.assign(session, { n: 'two' }) }), { code: 'HATCHECK_SESSION_VALUE', message: /not a number/ })
  await harry.edit(editing((session) => { session.n = 2 }))
  await t.rejects(harry.edit(editing((session) => { session.cart = [] })), { code: 'HATCHECK_SESSION_VALUE', message: /not with 2/ })
  await harry.edit(editing((session) => { Object.assign(session, { n: 1, cart: [] }) }))
  await harry.edit(editing((session) => { session.n = 2 }))
  t.strictSame(await harry.session(), { n: 2 }, 'as in a handler, only the changed values are checked')
})

test('a visitor keeps the cookies that handlers set, as a browser does', async (t) => {
  const app = await start(t)
  answersMayShowSecrets(app, 'the routes show the cookies')
  app.get('/cookies', async ({ headers }) => headers.cookie ?? '')
  app.get('//cookies', async ({ headers }) => headers.cookie ?? '')
  app.get('/shop/cookies', async ({ headers }) => headers.cookie ?? '')
  app.get('/give/*', async (request, reply) => {
    const { line = [] } = request.query as { line?: string | string[] }
    return await reply.header('set-cookie', [line].flat()).send()
  })
  const harry = visitor(app)
  await harry.inject({ method: 'POST', url: '/login' })
  t.equal(await harry.isLoggedIn(), true, 'a login through the application')
  const session = harry.cookieHeader()
  t.match(session, /^hatcheck=[\w.-]+$/)
  await harry.inject({ url: '/give/it', query: { line: ['theme=dark', 'sid=1; Path=/shop', 'far=1; Domain=example.com', 'secret=1; Secure'] } })
  t.equal((await harry.inject('/cookies')).body, `${session}`)
  t.equal((await harry.inject('/give/cookies')).statusCode, 200)
  t.equal(harry.cookieHeader('/give/x'), `theme=dark; ${session}`)
  t.equal((await harry.inject('/shop/cookies')).body, `sid=1; ${session}`)
  t.equal((await harry.inject({ url: '/cookies', headers: { Cookie: 'mine=1' } })).body, 'mine=1')
  t.equal((await harry.inject({ url: '/cookies', headers: { host: 'other.example' } })).body, '')
  t.equal((await harry.inject({ url: '/cookies', authority: 'other.example' })).body, '')
  t.equal((await harry.inject('http://other.example/cookies')).body, '')
  t.equal((await harry.inject({ url: { pathname: '/cookies', hostname: 'other.example', protocol: 'http:' } })).body, '')
  t.equal((await harry.inject({ path: '/cookies' })).body, session)
  t.equal((await harry.inject('//cookies')).body, session, 'a path, and no other host')
  await harry.inject({ method: 'POST', url: '/logout' })
  t.equal(harry.cookieHeader(), '')
  t.equal(await harry.isLoggedIn(), false)
})

test('cookies are taken and sent by the rules of browsers', async (t) => {
  let time = 1e12
  const sent = (lines: Array<[line: string, from: string]>, to: string): string => {
    const jar = new CookieJar(() => time)
    for (const [line, from] of lines) jar.take(line, new URL(from))
    return jar.headerFor(new URL(to))
  }
  const HTTP = 'http://www.example.com/a/b'
  const HTTPS = 'https://www.example.com/a/b'
  for (const [line, from, to, expected] of [
    ['a=1', HTTP, 'http://www.example.com/a', 'a=1'],
    ['a=1', HTTP, 'http://www.example.com/a/c/d', 'a=1'],
    ['a=1', HTTP, 'http://www.example.com/', ''],
    ['a=1', HTTP, 'http://www.example.com/ab', ''],
    ['a=1; Path = / ; Secure', HTTPS, 'https://www.example.com/', 'a=1'],
    ['a=1; path=x', HTTP, 'http://www.example.com/a', 'a=1'],
    ['a=1; Path=/', HTTP, 'http://www.example.com:3000/', 'a=1'],
    ['a=1; Path=/', HTTP, 'http://example.com/', ''],
    ['a=1; Path=/', HTTP, 'http://x.www.example.com/', ''],
    ['a=1; Path=/; Domain=example.com', HTTP, 'http://example.com/', 'a=1'],
    ['a=1; Path=/; DOMAIN=.Example.com', HTTP, 'http://shop.example.com/', 'a=1'],
    ['a=1; Path=/; Domain=ample.com', HTTP, HTTP, ''],
    ['a=1; Path=/; Domain=x.www.example.com', HTTP, 'http://x.www.example.com/', ''],
    ['a=1; Path=/; Secure', HTTP, HTTPS, ''],
    ['a=1; Path=/; Secure', HTTPS, HTTPS, 'a=1'],
    ['a=1; Path=/; Secure', HTTPS, HTTP, ''],
    ['a=1; Path=/', HTTPS, HTTP, 'a=1'],
    ['__Host-a=1; Path=/; Secure', HTTPS, HTTPS, '__Host-a=1'],
    ['__Host-a=1; Path=/a; Secure', HTTPS, HTTPS, ''],
    ['__Host-a=1; Path=/', HTTPS, HTTPS, ''],
    ['__host-a=1; Path=/; Secure; Domain=www.example.com', HTTPS, HTTPS, ''],
    ['__Secure-a=1', HTTPS, HTTPS, ''],
    ['__Secure-a=1; Secure; Domain=example.com', HTTPS, HTTPS, '__Secure-a=1'],
    ['a=1; Max-Age=0', HTTP, HTTP, ''],
    ['a=1; Max-Age=-1', HTTP, HTTP, ''],
    ['a=1; Max-Age=x', HTTP, HTTP, 'a=1'],
    ['a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT', HTTP, HTTP, ''],
    ['a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=10', HTTP, HTTP, 'a=1'],
    ['a=1; Expires=never', HTTP, HTTP, 'a=1'],
    ['a=%20"b=c"; HttpOnly; SameSite=Lax', HTTP, HTTP, 'a=%20"b=c"'],
    ['a=', HTTP, HTTP, 'a='],
    ['=a', HTTP, HTTP, ''],
    ['ab', HTTP, HTTP, ''],
    ['', HTTP, HTTP, '']
  ] as const) t.equal(sent([[line, from]], to), expected, `${line} of ${from} for ${to}`)
  t.equal(sent([['a=1; Path=/', HTTP], ['b=2; Path=/', HTTP], ['c=3; Path=/a', HTTP], ['a=4; Path=/', HTTP]], HTTP), 'c=3; a=4; b=2', 'longer paths first, then the older cookie')
  t.equal(sent([['a=1; Path=/', HTTP], ['a=; Path=/; Max-Age=0', HTTP]], HTTP), '')
  t.equal(sent([['a=1; Path=/', HTTP], ['a=; Path=/a; Max-Age=0', HTTP]], HTTP), 'a=1')
  t.equal(sent([['a=1; Path=/', HTTP], ['a=2; Path=/; Domain=example.com', HTTP]], HTTP), 'a=1; a=2')
  t.equal(sent([['a=1; Path=/', HTTP], ['a=2; Path=/; Domain=www.example.com', HTTP]], HTTP), 'a=1; a=2', 'a cookie with a domain does not replace that of the host')
  const jar = new CookieJar(() => time)
  jar.take('a=1; Max-Age=10', new URL(HTTP))
  time += 9_999
  t.equal(jar.headerFor(new URL(HTTP)), 'a=1')
  time += 1
  t.equal(jar.headerFor(new URL(HTTP)), '')
})

test('sessions and cookies follow the clock of the test', async (t) => {
  const clock = testClock(new Date('2026-01-31T12:00:00Z'))
  t.equal(clock.now(), Date.UTC(2026, 0, 31, 12))
  const app = await start(t, { now: clock.now })
  const harry = await visitor(app).login('Harry')
  const sally = await visitor(app).login('Sally', {}, { permanent: true })
  clock.advance({ minutes: 59, seconds: 59, milliseconds: 999 })
  t.equal(await harry.isLoggedIn(), true)
  clock.advance({ milliseconds: 1 })
  t.equal(await harry.isLoggedIn(), false)
  t.equal((await harry.inject('/')).json().user, null)
  t.equal((await sally.inject('/')).json().user, 'Sally')
  clock.advance({ days: 13 })
  t.equal((await sally.inject('/')).json().user, 'Sally')
  clock.advance({ days: 13 })
  await sally.inject('/')
  clock.advance({ days: 4 })
  t.equal(sally.cookieHeader(), '', 'the browser has dropped the cookie')
  const now = testClock()
  t.ok(Math.abs(now.now() - Date.now()) < 60_000)
  now.advance({ seconds: -1 })
  t.ok(now.now() < Date.now())
  for (const span of [{}, { hour: 1 }, { hours: '1' }, { hours: NaN }, { hours: undefined }, 5, null]) t.throws(() => { clock.advance(span as Span) }, { code: 'HATCHECK_TESTING' }, String(span))
  for (const time of ['today', NaN, new Date(NaN)]) t.throws(() => testClock(time as number), { code: 'HATCHECK_TESTING' })
})

test('a visitor on https has the Secure cookie', async (t) => {
  const app = await start(t, { sessionCookieSecure: true }, { trustProxy: true })
  const harry = await visitor(app, { origin: 'https://shop.example' }).login('Harry')
  t.match(harry.cookieHeader(), /^__Host-hatcheck=/)
  t.equal((await harry.inject('/')).json().user, 'Harry')
  await harry.inject({ method: 'POST', url: '/logout' })
  t.equal(harry.cookieHeader(), '')
  t.equal((await harry.inject({ method: 'POST', url: '/login' })).statusCode, 200)
  t.equal(await harry.isLoggedIn(), true)
  t.equal(harry.cookieHeader('http://shop.example/'), '')
  const plain = visitor(app)
  await t.rejects(plain.login('Harry'), { code: 'HATCHECK_INSECURE_TRANSPORT' })
  await t.rejects(plain.edit(() => {}), { code: 'HATCHECK_INSECURE_TRANSPORT' })
  t.equal((await plain.inject('/')).json().user, null)
})

test('a visitor has the session of a cookie with a domain and a path', async (t) => {
  const app = await start(t, { sessionCookieDomain: 'example.com', sessionCookiePath: '/shop' })
  app.get('/shop', async ({ user }) => user?.name)
  const harry = await visitor(app, { origin: 'https://www.example.com' }).login('Harry')
  t.equal(harry.cookieHeader('https://example.com/shop').startsWith('__Secure-hatcheck='), true)
  t.equal((await harry.inject('/shop')).body, 'Harry')
  t.equal(await harry.isLoggedIn(), true)
  await t.rejects(visitor(app, { origin: 'https://example.org' }).login('Harry'), { code: 'HATCHECK_COOKIE_DOMAIN', message: /example\.org/ })
})

test('a visitor waits until the application is ready, and needs hatcheck in it', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const harry = visitor(app)
  app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' })
  app.get('/', async ({ user }) => user?.name)
  t.equal((await (await harry.login('Harry')).inject('/')).body, 'Harry')
  await t.rejects(visitor(Fastify()).login('Harry'), { code: 'HATCHECK_TESTING', message: /register it/ })
  for (const other of [Promise.resolve(app), { getHttpAdapter () {} }, undefined, null]) {
    t.throws(() => visitor(other as unknown as FastifyInstance), { code: 'HATCHECK_TESTING', message: /needs a Fastify instance/ })
  }
  const other = Fastify()
  other.decorate('sessions', {} as never)
  await t.rejects(visitor(other).login('Harry'), { code: 'HATCHECK_TESTING' }, 'the sessions are those of another plugin')
  for (const origin of ['', 'shop.example', 'ftp://shop.example']) t.throws(() => visitor(app, { origin }), { code: 'HATCHECK_TESTING' })
  await t.rejects(harry.login(''), { code: 'HATCHECK_USER_NAME', message: /^visitor\.login/ })
})

test('a visitor has a session of hatcheck/session', async (t) => {
  const app = newFastify(t)
  app.register(hatcheckSession, { secretKey: testKey, sessionStore: 'memory:' })
  app.get('/', async ({ session }) => ({ name: session.client_name ?? null, cart: session.get('cart' as never) }))
  const harry = await visitor(app).login('Harry', { cart: ['apple'] } as object)
  await harry.edit(editing((session) => { session.cart?.push('pear') }))
  t.strictSame((await harry.inject('/')).json(), { name: 'Harry', cart: ['apple', 'pear'] })
  const { cookieHeader } = await app.sessions.begin('Sally', { secure: false })
  t.equal((await app.sessions.read(cookieHeader, { secure: false }))?.user?.name, 'Sally')
  await harry.logout()
  t.equal((await harry.inject('/')).json().name, null)
})

test('each of two registrations in two scopes has its own visitors', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const scopes: FastifyInstance[] = []
  for (const realm of ['one', 'two']) {
    app.register(async (scope) => {
      await scope.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', realm, sessionCookieName: realm })
      scope.get(`/${realm}`, async ({ user }) => user?.name ?? 'nobody')
      scopes.push(scope)
    })
  }
  await app.ready()
  const [one, two] = scopes as [FastifyInstance, FastifyInstance]
  const harry = await visitor(one).login('Harry')
  t.equal((await harry.inject('/one')).body, 'Harry')
  t.equal((await harry.inject('/two')).body, 'nobody')
  t.equal((await (await visitor(two).login('Sally')).inject('/two')).body, 'Sally')
})

test('no password is hashed for a login of a visitor, and no account is made', async (t) => {
  const app = await buildHost(t, { routes: true })
  const harry = await visitor(app).login('Harry')
  t.equal(await harry.isLoggedIn(), true)
  t.equal((await harry.inject({ url: '/sessions', headers: { accept: 'application/json' } })).json().total, 1)
  await app.accounts?.add('Harry', 'a long enough password')
})
