import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import type { SessionEvents } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { parsedLogInto } from './apps/log-lines.js'
import { Client, cookiesSetBy } from './clients/client.js'
import { buildHost, needs, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'
import { blocksOf } from './pages/walk.js'
import { run } from './processes/child.js'
import { startRedis } from './programs/redis.js'
import { breakable, kinds, openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { HOUR } from './time/units.js'

const USERS = ['Harry', 'harry', 'Ηarry', 'a\nb', 'a; b', ' ', '__proto__']
const NO_USERS = ['', '\ud800', 'Harry\0hatcheck', undefined, null, 1, {}]

/** An application that shows what a request sees of its session. */
async function start (t: Test, options: GivenOptions = {}, server = {}): Promise<FastifyInstance> {
  const app = await buildHost(t, options, server)
  app.get('/', async ({ user, session }) => ({ user: user?.name ?? null, permanent: session.permanent, cart: session.get('cart' as never) ?? null }))
  app.post('/login/:name', async (request) => {
    await request.login((request.params as { name: string }).name, { data: { cart: ['pear'] } as object })
    return 'in'
  })
  app.post('/set', async ({ session }) => { session.set('cart' as never, ['nut'] as never) })
  app.post('/logout', async (request) => { await request.logout() })
  return app
}

async function seenBy (app: FastifyInstance, cookie: string, headers = {}): Promise<unknown> {
  return (await app.inject({ url: '/', headers: { cookie, ...headers } })).json()
}

for (const kind of [...kinds, 'redis:'] as const) {
  test(`a session that begins outside of a request is one of the user's own, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const app = await start(t, { sessionStore: kind === 'redis:' ? (await startRedis(t)).url : openStore(t, kind) })
    const heard: unknown[] = []
    for (const event of ['created', 'renewed', 'destroyed', 'revoked'] as const) {
      app.sessions.on(event, ({ handle, user }: SessionEvents[typeof event], request: FastifyRequest | null) => { heard.push([event, handle, user, request === null]) })
    }
    const before = Date.now()
    const { handle, cookieHeader } = await app.sessions.begin('Harry', { data: { cart: ['apple'] } as object, secure: false })
    t.strictSame(heard.splice(0), [['created', handle, 'Harry', true]])
    t.strictSame(await seenBy(app, cookieHeader), { user: 'Harry', permanent: false, cart: ['apple'] })

    const read = await app.sessions.read(cookieHeader, { secure: false })
    t.match(read, { user: { name: 'Harry' }, data: { cart: ['apple'] }, permanent: false, handle })
    t.strictSame(Object.keys(read ?? {}), ['user', 'data', 'permanent', 'expiresAt', 'handle'])
    t.strictSame(read?.data, { cart: ['apple'] }, 'without the identity and hatcheck\'s own')
    t.ok(read !== null && read.expiresAt >= before + HOUR && read.expiresAt <= Date.now() + HOUR)
    t.match((await app.sessions.ofUser('Harry')).map(({ handle, client, address }) => ({ handle, client, address })), [{ handle, client: 'Unknown browser', address: 'unknown' }])

    t.equal(await app.sessions.revoke('Harry', handle), true)
    t.strictSame(heard.splice(0), [['revoked', handle, 'Harry', true]])
    t.equal(await app.sessions.read(cookieHeader, { secure: false }), null)
    t.strictSame(await seenBy(app, cookieHeader), { user: null, permanent: false, cart: null })
  })
}

test('a session begins for the names that request.login takes, and for no other', async (t) => {
  const app = await start(t)
  for (const name of USERS) t.equal((await app.sessions.read((await app.sessions.begin(name)).cookieHeader))?.user?.name, name)
  for (const name of NO_USERS) {
    await t.rejects(app.sessions.begin(name as string), { code: 'HATCHECK_USER_NAME', message: /^app\.sessions\.begin needs the name of a user: a non-empty, well-formed string; got / })
  }
})

test('app.sessions refuses a name that is not text, so that no call seems to succeed and ends nothing', async (t) => {
  const app = await start(t)
  await app.sessions.begin('Harry')
  for (const name of [undefined, null, 1, { name: 'Harry' }, ['Harry']] as unknown as string[]) {
    for (const [method, call] of [['ofUser', () => app.sessions.ofUser(name)], ['revoke', () => app.sessions.revoke(name, 'handle')], ['revokeUser', () => app.sessions.revokeUser(name)]] as const) {
      await t.rejects<unknown>(call(), { code: 'HATCHECK_USER_NAME', message: new RegExp(`^app\\.sessions\\.${method} needs the name of a user`) })
    }
  }
  t.equal(await app.sessions.revokeUser(''), 0)
  t.equal(await app.sessions.revokeUser('Harry'), 1)
})

test('the values of a session that begins have the rules of request.login', async (t) => {
  const app = await start(t, { sessionMaxBytes: 1_000 })
  for (const [data, code] of [[{ get: 1 }, 'HATCHECK_SESSION_KEY'], [{ n: NaN }, 'HATCHECK_SESSION_VALUE'], [new Map(), 'HATCHECK_SESSION_VALUE'], [{ text: 'x'.repeat(1_000) }, 'HATCHECK_SESSION_TOO_LARGE']] as const) {
    await t.rejects(app.sessions.begin('Harry', { data: data as object }), { code })
  }
  t.strictSame(await app.sessions.ofUser('Harry'), [], 'nothing is stored')
})

test('sessions that begin outside of a request count for sessionsPerUser', async (t) => {
  const app = await start(t, { sessionsPerUser: 2 })
  const revoked: unknown[] = []
  app.sessions.on('revoked', ({ handle }) => { revoked.push(handle) })
  const begun = []
  for (let i = 0; i < 4; i++) begun.push(await app.sessions.begin('Harry'))
  t.strictSame(revoked, begun.slice(0, 2).map(({ handle }) => handle))
  t.equal((await app.sessions.ofUser('Harry')).length, 2)
})

test('app.sessions.begin fails and leaves no session if the store fails', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'), false)
  const app = await start(t, { sessionStore: store })
  const { cookieHeader } = await app.sessions.begin('Sally')
  down('create', 'read')
  await t.rejects(app.sessions.begin('Harry'), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
  await t.rejects(app.sessions.read(cookieHeader), { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'an outage is no logout')
  t.equal(await app.sessions.read('hatcheck=nothing; __Host-hatcheck=nothing'), null, 'an invalid cookie does not ask the store')
  up()
  t.strictSame(await app.sessions.ofUser('Harry'), [])
  t.equal((await app.sessions.read(cookieHeader))?.user?.name, 'Sally')
})

test('the cookie of a session that begins is the one that request.login would set', async (t) => {
  for (const [options, permanent] of [[{}, false], [{}, true], [{ sessionCookieSecure: 'auto' }, true], [{ sessionCookieSecure: true, sessionCookieSamesite: 'none', sessionCookiePartitioned: true }, false], [{ sessionCookieDomain: 'example.com' }, false], [{ sessionCookieName: 'sid', realm: 'mine', sessionCookiePath: '/shop' }, true]] as Array<[GivenOptions, boolean]>) {
    const app = await buildHost(t, { now: () => 1e12, ...options }, { trustProxy: true })
    app.post('/login', async (request) => { await request.login('Harry', { permanent }) })
    const response = await app.inject({ method: 'POST', url: '/login', headers: { host: 'www.example.com', 'x-forwarded-proto': 'https' } })
    const [line = ''] = [response.headers['set-cookie'] ?? ''].flat()
    const { cookie: { name, value, attributes }, cookieHeader, setCookieHeader } = await app.sessions.begin('Harry', { permanent })
    const withoutTicket = (text: string): string => text.replace(/=[\w-]{43}\.[\w-]{43}/, '=ticket')
    t.equal(withoutTicket(setCookieHeader), withoutTicket(line))
    t.equal(cookieHeader, `${name}=${value}`)
    t.equal(setCookieHeader.startsWith(`${cookieHeader};`), true)
    t.equal(attributes.maxAge, permanent ? 2_592_000 : undefined)
  }
})

test('the browser of a session that begins uses https, unless told otherwise', async (t) => {
  for (const [sessionCookieSecure, secure, name] of [
    [undefined, undefined, '__Host-hatcheck'], [undefined, true, '__Host-hatcheck'], [undefined, false, 'hatcheck'],
    ['auto', undefined, '__Host-hatcheck'], ['auto', false, 'hatcheck'],
    [true, undefined, '__Host-hatcheck'], [false, undefined, 'hatcheck'], [false, true, 'hatcheck']
  ] as const) {
    const app = await start(t, { sessionCookieSecure })
    const { cookie, cookieHeader } = await app.sessions.begin('Harry', { secure })
    t.match(cookie, { name, attributes: { secure: name === '__Host-hatcheck', httpOnly: true } })
    t.equal((await app.sessions.read(cookieHeader, { secure }))?.user?.name, 'Harry')
  }
  const app = await start(t, { sessionCookieSecure: true })
  await t.rejects(app.sessions.begin('Harry', { secure: false }), { code: 'HATCHECK_INSECURE_TRANSPORT' })
  t.strictSame(await app.sessions.ofUser('Harry'), [])
})

test('read finds the session among all cookies of its name, as a request does', async (t) => {
  const app = await start(t)
  const { cookieHeader } = await app.sessions.begin('Harry', { secure: false })
  const ended = await app.sessions.begin('Harry', { secure: false })
  await app.sessions.revoke('Harry', ended.handle)
  const ticket = cookieHeader.slice('hatcheck='.length)
  const many = (cookie: string, count: number): string => Array.from({ length: count }, (_, i) => `${cookie.slice(0, -3)}${i}aa`).join('; ')
  for (const header of [
    cookieHeader, ` ${cookieHeader} `, `a=b;${cookieHeader};c`, `hatcheck= ${ticket}`, `hatcheck=x; ${cookieHeader}`, `${cookieHeader}; hatcheck=`, `${ended.cookieHeader}; ${cookieHeader}`,
    `${many(cookieHeader, 20)}; ${cookieHeader}`, '', 'x', ';', '=', 'hatcheck', 'hatcheck=', `hatcheck="${ticket}"`, `hatcheck=${ticket.slice(1)}`, `Hatcheck=${ticket}`, `xhatcheck=${ticket}`, `hatcheck=${ticket}x`,
    `hatcheck=${encodeURIComponent(ticket)}`, `${cookieHeader}; ${many(cookieHeader, 20)}`, ended.cookieHeader, 'hatcheck=\ud800', '\0', 'hatcheck=%'
  ]) {
    const { user } = await seenBy(app, header) as { user: string | null }
    t.equal((await app.sessions.read(header, { secure: false }))?.user?.name ?? null, user, header)
  }
  t.equal((await app.sessions.read(cookieHeader, { secure: false }))?.user?.name, 'Harry')
  for (const nothing of [undefined, null, 1, {}, []]) t.equal(await app.sessions.read(nothing as never).catch(() => null), null)
})

test('a cookie that another origin can plant does not count for a browser on https', async (t) => {
  const app = await start(t)
  const mallory = await app.sessions.begin('Mallory', { secure: false })
  t.equal(await app.sessions.read(mallory.cookieHeader), null)
  const harry = await app.sessions.begin('Harry')
  t.equal((await app.sessions.read(`${mallory.cookieHeader}; ${harry.cookieHeader}`))?.user?.name, 'Harry')
  const upgrade = (headers: IncomingMessage['headers'], socket: object | null = null): { headers: IncomingMessage['headers'], socket: object | null } => ({ headers, socket })
  for (const [host, socket, name] of [['shop.example', null, 'Harry'], ['shop.example:3000', {}, 'Harry'], ['localhost:3000', null, 'Mallory'], ['[::1]', {}, 'Mallory'], ['localhost', { encrypted: true }, 'Harry'], [undefined, null, 'Harry']] as const) {
    const read = await app.sessions.read(upgrade({ cookie: `${mallory.cookieHeader}; ${harry.cookieHeader}`, ...host !== undefined && { host } }, socket))
    t.equal(read?.user?.name, name, String(host))
  }
  t.equal((await app.sessions.read(upgrade({ host: 'localhost', cookie: harry.cookieHeader }), { secure: true }))?.user?.name, 'Harry', 'an option decides')
  t.equal(await app.sessions.read(upgrade({ host: 'localhost' })), null)
})

test('read shows what the store has, records no activity, and changes nothing', async (t) => {
  let time = 1e12
  const calls: string[] = []
  const app = await start(t, { now: () => time, sessionStore: watched(openStore(t, 'memory:', { now: () => time }), (call) => { calls.push(call) }) })
  const { cookieHeader } = await app.sessions.begin('Harry', { permanent: true, data: { cart: [] } as object, secure: false })
  t.match(await app.sessions.read(cookieHeader, { secure: false }), { user: { name: 'Harry', authenticatedAt: 1e12 }, permanent: true, expiresAt: 1e12 + 14 * 24 * HOUR })
  await app.inject({ method: 'POST', url: '/set', headers: { cookie: cookieHeader } })
  const read = await app.sessions.read(cookieHeader, { secure: false })
  t.strictSame(read?.data, { cart: ['nut'] })
  Object.assign(read?.data ?? {}, { cart: 'mine' })
  calls.length = 0
  time += 13 * 24 * HOUR
  t.strictSame((await app.sessions.read(cookieHeader, { secure: false }))?.data, { cart: ['nut'] })
  time += 24 * HOUR
  t.equal(await app.sessions.read(cookieHeader, { secure: false }), null, 'reading is no activity')
  t.strictSame(calls, ['read', 'read'])
})

test('read shows an anonymous session, and one whose end is not stored yet as ended', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const app = await start(t, { sessionStore: store })
  const visitor = new Client(app)
  await visitor.post('/set', {}, { 'content-type': 'text/plain' })
  t.match(await app.sessions.read(visitor.cookieHeader, { secure: false }), { user: null, data: { cart: ['nut'] } })
  const { cookieHeader } = await app.sessions.begin('Harry', { secure: false })
  down('remove', 'replace', 'patch')
  t.equal((await app.inject({ method: 'POST', url: '/logout', headers: { cookie: cookieHeader } })).json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  t.equal(await app.sessions.read(cookieHeader, { secure: false }), null)
  up()
})

test('read knows the tickets of every secret key, and of its own realm only', async (t) => {
  const sessionStore = openStore(t, 'memory:')
  const app = await start(t, { sessionStore })
  const { cookieHeader } = await app.sessions.begin('Harry')
  app.sessions.setSecretKeys([`a new ${testKey}`, testKey])
  t.equal((await app.sessions.read(cookieHeader))?.user?.name, 'Harry')
  app.sessions.setSecretKeys([`a new ${testKey}`])
  t.equal(await app.sessions.read(cookieHeader), null)
  const other = await start(t, { sessionStore, realm: 'other' })
  t.equal(await other.sessions.read(cookieHeader), null)
})

test('a server beside Fastify reads the session of its clients, and gives a browser one', async (t) => {
  const app = await start(t)
  const server = createServer((incoming, response) => {
    if (incoming.url === '/magic') {
      app.sessions.begin('Harry', { secure: false }).then(({ setCookieHeader }) => { response.setHeader('set-cookie', setCookieHeader).end('in') }, (error: unknown) => { response.destroy(error as Error) })
    } else {
      app.sessions.read(incoming).then((session) => { response.end(session?.user?.name ?? 'nobody') }, (error: unknown) => { response.destroy(error as Error) })
    }
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const harry = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.equal((await harry.get('/')).body, 'nobody')
  t.strictSame(cookiesSetBy(await harry.get('/magic')).map(({ name }) => name), ['hatcheck'])
  t.equal((await harry.get('/')).body, 'Harry')
  t.strictSame(await seenBy(app, harry.cookieHeader), { user: 'Harry', permanent: false, cart: null })
})

test('the servers beside Fastify that docs/session.md shows begin and read sessions', async (t) => {
  const page = pageAt('docs/session.md')
  const blocks = blocksOf(page.slice(page.indexOf('## Sessions outside of a request'), page.indexOf('## Events')), 'js')
  t.equal(blocks.length, 2)
  const folder = t.testdir({
    'example.mjs': [
      "import Fastify from 'fastify'",
      "import hatcheck from 'hatcheck'",
      "import { once } from 'node:events'",
      "import { WebSocket } from 'ws'",
      'const app = Fastify()',
      `await app.register(hatcheck, { secretKey: ${JSON.stringify(testKey)}, sessionStore: 'memory:' })`,
      "const userOfLink = async (url) => { if (url === '/?wrong') throw new Error('wrong'); return 'Harry' }",
      ...blocks.map((block) => block.replace(/\b300[12]\b/, '0')),
      // eslint-disable-next-line no-template-curly-in-string
      'const link = await fetch(`http://127.0.0.1:${links.address().port}`, { redirect: "manual" })',
      "const cookies = [link.headers.get('set-cookie').split(';')[0], 'x=y']",
      'for (const cookie of cookies) {',
      // eslint-disable-next-line no-template-curly-in-string
      '  const client = new WebSocket(`ws://127.0.0.1:${sockets.address().port}`, { headers: { cookie, host: "shop.example" } })',
      "  const [said] = await Promise.race([once(client, 'message'), once(client, 'close')])",
      '  console.log(String(said))',
      // An invalid frame.
      "  client.on('error', () => {})._socket?.write(Buffer.alloc(10, 255))",
      '}',
      // eslint-disable-next-line no-template-curly-in-string
      'console.log((await fetch(`http://127.0.0.1:${links.address().port}/?wrong`, { redirect: "manual" })).status)',
      'process.exit()'
    ].join('\n')
  })
  t.same(await run(process.execPath, ['example.mjs'], folder), { code: 0, stdout: 'Harry has apple\n4401\n503\n', stderr: '' })
})

test('a failed call of app.sessions that is not awaited is logged and does not end the process', async (t) => {
  const log: Array<{ err?: { code: string }, msg: string }> = []
  const rejections: unknown[] = []
  const note = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => { process.off('unhandledRejection', note) })
  const { store, down } = breakable(openStore(t, 'memory:'))
  const app = await buildHost(t, { sessionStore: store }, parsedLogInto(log, 'error'))
  const { sessions } = app
  const wrong = undefined as never
  const calls: Array<() => Promise<unknown>> = [() => sessions.begin(wrong), () => sessions.ofUser(wrong), () => sessions.revokeUser(wrong), () => sessions.revoke(wrong, 'handle'), () => sessions.read({} as never)]
  for (const call of calls) {
    call()
    await t.rejects(call(), { code: /HATCHECK_(USER_NAME|UNSUPPORTED)/ })
    t.equal(await call().catch(({ code }: { code: string }) => code.startsWith('HATCHECK_')), true)
    const late = call()
    await Promise.resolve()
    await t.rejects(late, 'somebody awaits it a moment later')
  }
  down('create')
  sessions.begin('Harry')
  await until('the failure of the last call is in the log', () => log.some(({ err }) => err?.code === 'HATCHECK_STORE_UNAVAILABLE'))
  t.strictSame(rejections, [])
  t.strictSame(log.map(({ err, msg }) => [err?.code, msg]), [...['USER_NAME', 'USER_NAME', 'USER_NAME', 'USER_NAME', 'UNSUPPORTED', 'STORE_UNAVAILABLE']
    .map((code) => [`HATCHECK_${code}`, 'a call of app.sessions failed, and nobody awaits it'])])
  for (const { err } of log) t.notMatch(JSON.stringify(err), 'await request.authenticate')
})
