import type { FastifyInstance, HTTPMethods, InjectOptions, LightMyRequestResponse } from 'fastify'
import { METHODS } from 'node:http'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { visitor } from '../plugins/testing/index.js'
import { namesOf } from '../routes/verify/names.js'
import { logInto, parsedLogInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { build, buildHost, needs, testKey, turn } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, kinds, openStore, watched } from './stores/watched-store.js'

type Asking = Omit<InjectOptions, 'query'> & { query?: string }
type ServiceOptions = HatcheckOptions & { mode?: 'service' | 'demo' }

/** The address of a trusted proxy. */
const PROXY = '10.0.0.7'
const PASSWORD = 'pass phrase 1'
const trusting = { trustProxy: ['10.0.0.0/8'] }
/** Headers that Caddy and Traefik send for a browser that navigates to a page. */
const navigation = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-method': 'GET',
  'x-forwarded-uri': '/reports/7?page=2&sort=name'
}
/** Headers that a client may send to pass for another user. */
const claims = { 'remote-user': 'Admin', remote_user: 'Admin', 'remote-session': 'x', 'x-forwarded-user': 'Admin', authorization: 'Basic QWRtaW46' }

test('a logged-in user gets a 204 by any method, any other visitor a 401, and no cache keeps the answer', async (t) => {
  const fastify = await service(t)
  const cookie = await login(fastify, 'Harry')
  const methods = METHODS.filter((method) => method !== 'CONNECT')
  const around: Record<string, Asking> = {
    nothing: {},
    'another site': { headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', referer: 'https://evil.example/' } },
    'a health check': { headers: { 'user-agent': 'kube-probe/1.30', 'x-health-check': '1' } },
    'an upgrade': { headers: { connection: 'upgrade, Cookie, X-Forwarded-Uri', upgrade: 'websocket' } },
    'a preflight': { headers: { origin: 'https://evil.example', 'access-control-request-method': 'GET' } },
    'another method by a header': { headers: { 'x-http-method-override': 'OPTIONS', 'x-forwarded-method': 'OPTIONS', 'x-original-method': 'OPTIONS' } },
    'claims to be somebody': { headers: claims },
    'invalid JSON': { headers: { 'content-type': 'application/json' }, payload: '{' },
    'an unknown content type': { headers: { 'content-type': 'nonsense' }, payload: '<a/>' },
    'a body without a type': { payload: 'x' },
    'a form': { headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: 'user=Admin' }
  }
  const wrong: string[] = []
  for (const method of methods) {
    for (const [what, { headers, payload }] of Object.entries(around)) {
      for (const [status, more] of [[204, { cookie }], [401, {}], [401, { cookie: 'hatcheck=nonsense' }]] as const) {
        const response = await ask(fastify, { method: method as HTTPMethods, headers: { ...headers, ...more }, ...payload !== undefined && { payload } })
        const expected = { status, user: status === 204 ? 'Harry' : '', cookie: undefined, caching: 'no-store' }
        const { 'remote-user': user, 'set-cookie': cookie, 'cache-control': caching } = response.headers
        const found = { status: response.statusCode, user, cookie, caching }
        if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push(`${method} with ${what}: ${JSON.stringify(found)}`)
      }
    }
  }
  t.strictSame(wrong.slice(0, 10), [], `${methods.length} methods`)
  t.equal(await fastify.sessions.store.count(), 1, 'no request began a session')
})

test('an unread body does not affect the next request on the connection', async (t) => {
  const fastify = await service(t)
  const cookie = await login(fastify, 'Harry')
  const url = await fastify.listen({ host: '127.0.0.1', port: 0 })
  // The last bodies are larger than what Fastify reads.
  for (const length of [0, 1, 1_000, 100_000, 1_000_000, 2_000_000, 4_000_000]) {
    const { status } = await fetch(`${url}/verify`, { method: 'PUT', headers: { cookie, 'content-type': 'a/b' }, body: 'x'.repeat(length) })
    t.equal(status, 204)
    t.equal((await fetch(`${url}/verify`)).status, 401)
  }
})

test('a 204 names the user, and has no headers that a proxy does not need', async (t) => {
  const fastify = await service(t)
  const harry = await visitor(fastify).login('Harry')
  const response = await harry.inject({ url: '/verify', headers: { accept: 'text/html', ...claims } })
  const handle = (await fastify.sessions.ofUser('Harry'))[0]?.handle
  const { date: _date, connection: _connection, ...headers } = response.headers
  t.strictSame({ status: response.statusCode, body: response.body, headers }, {
    status: 204,
    body: '',
    headers: { 'remote-user': 'Harry', 'remote-session': handle, 'cache-control': 'no-store', vary: 'Cookie' }
  })
})

test('a name is percent-encoded outside visible ASCII, and decodes to the same name', async (t) => {
  const fastify = await buildHost(t, { routes: true, authenticate: () => null })
  fastify.post('/enter', async (request) => { await request.login((request.body as { name: string }).name) })
  const names = {
    Harry: 'Harry',
    'harry@example.com': 'harry@example.com',
    'a,b;c="d"': 'a,b;c="d"',
    '~!$&\'()*+-./:<>?@[\\]^_`{|}#': '~!$&\'()*+-./:<>?@[\\]^_`{|}#',
    'Harry Potter': 'Harry%20Potter',
    Jürgen: 'J%C3%BCrgen',
    山田: '%E5%B1%B1%E7%94%B0',
    '👩‍💻': '%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB',
    '100%': '100%25',
    '%41dmin': '%2541dmin',
    'a\r\nRemote-User: Admin': 'a%0D%0ARemote-User:%20Admin',
    '\0\x7f\u0085\u2028': '%00%7F%C2%85%E2%80%A8',
    ' ': '%20'
  }
  for (const [name, header] of Object.entries(names)) {
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: '/enter', payload: { name } })
    const { statusCode, headers } = await client.get('/verify')
    t.equal(statusCode, 204)
    t.equal(headers['remote-user'], header)
    t.equal(decodeURIComponent(String(headers['remote-user'])), name)
  }
})

test('only listed users are admitted, and an invalid list admits no user', async (t) => {
  const fastify = await service(t)
  const cookies = { Harry: await login(fastify, 'Harry'), Jürgen: await login(fastify, 'Jürgen'), 'Smith, J+n': await login(fastify, 'Smith, J+n'), STRASSE: await login(fastify, 'STRASSE') }
  const lists: Record<string, { pass: Array<keyof typeof cookies> } | 400> = {
    '': { pass: ['Harry', 'Jürgen', 'Smith, J+n', 'STRASSE'] },
    '?': { pass: ['Harry', 'Jürgen', 'Smith, J+n', 'STRASSE'] },
    '?user=Harry': { pass: ['Harry'] },
    '?user=hARRY': { pass: ['Harry'] },
    '?user=Sally,Harry,Tom': { pass: ['Harry'] },
    '?user=,,Harry,': { pass: ['Harry'] },
    '?user=J%C3%BCrgen,stra%C3%9Fe': { pass: ['Jürgen', 'STRASSE'] },
    '?user=Ju%CC%88rgen': { pass: ['Jürgen'] },
    '?user=Smith%2C%20J%2Bn': { pass: ['Smith, J+n'] },
    '?user=': { pass: [] },
    '?user=,': { pass: [] },
    '?user=%20': { pass: [] },
    '?user=Harr': { pass: [] },
    '?user=Harry2,Harry%00,%20Harry': { pass: [] },
    '?user=*': { pass: [] },
    '?user=Smith,J+n': 400,
    '?user=Harry&user=Sally': 400,
    '?user=Harry&x=1': 400,
    '?user[]=Harry': 400,
    '?user': 400,
    '?User=Sally': 400,
    '?users=Sally': 400,
    '?group=admins': 400,
    '?&': 400,
    '?user=%zz': 400,
    '?user=%C3': 400
  }
  for (const [query, expected] of Object.entries(lists)) {
    for (const [name, cookie] of Object.entries(cookies)) {
      // Twice, since a list is cached.
      for (let i = 0; i < 2; i++) {
        const { statusCode, headers } = await ask(fastify, { query, headers: { cookie, ...claims } })
        const passes = expected !== 400 && expected.pass.includes(name as keyof typeof cookies)
        t.equal(statusCode, expected === 400 ? 400 : passes ? 204 : 403, `${name} by ${query}`)
        t.equal(headers['remote-user'] === '', !passes)
      }
    }
    t.equal((await ask(fastify, { query })).statusCode, expected === 400 ? 400 : 401, `nobody by ${query}`)
  }
  // Raw bytes of UTF-8: how node reads an address that contains them.
  for (const query of ['user=J\u00c3\u00bcrgen', 'user=Harry Potter', 'user=Harry\t']) t.throws(() => namesOf(query), { code: 'HATCHECK_VERIFY_QUERY', statusCode: 400 })
})

test('for an application with its own users, a list matches names exactly', async (t) => {
  const fastify = await service(t, { authenticate: (name) => ({ name }) })
  const cookie = await login(fastify, 'harry')
  t.equal((await ask(fastify, { query: '?user=harry', headers: { cookie } })).statusCode, 204)
  t.equal((await ask(fastify, { query: '?user=Harry', headers: { cookie } })).statusCode, 403)
})

test('the audit log has a refusal of a user who is not listed, and none of a visitor', async (t) => {
  const lines: Array<Record<string, unknown>> = []
  const fastify = await build(t, { mode: 'service', signup: 'open', passwordMinLength: 8 }, parsedLogInto(lines, 'info'))
  const cookie = await login(fastify, 'Harry')
  lines.length = 0
  for (const headers of [{ cookie }, {}]) await ask(fastify, { query: '?user=Sally', headers })
  const events = lines.filter(({ event }) => event !== undefined)
  t.match(events, [{ event: 'authz_fail', user: 'Harry', reason: 'not_allowed', session: /^[\w-]{22}$/, level: 40 }])
  t.equal(events.length, 1)
})

test('a gateway that asks /whoami for every request fills no log', async (t) => {
  const lines: unknown[] = []
  const fastify = await build(t, { authenticate: (name) => ({ name }) }, logInto(lines, 'info'))
  const cookie = await login(fastify, 'Harry')
  lines.length = 0
  for (const headers of [{ cookie }, {}]) t.equal((await fastify.inject({ url: '/whoami', headers })).statusCode, 'cookie' in headers ? 200 : 401)
  t.strictSame(lines, [])
})

test('the log says once a minute why a proxy gets a bare 401 for a browser', async (t) => {
  const cases: Record<string, { options: Asking, says: RegExp | null }> = {
    'a trusted proxy': { options: { headers: navigation }, says: null },
    'a program without a proxy': { options: {}, says: null },
    'a proxy that is not trusted': { options: { headers: navigation, remoteAddress: '192.0.2.7' }, says: /^192\.0\.2\.7 sends X-Forwarded-For and is not trusted.* TRUST_PROXY/ },
    'a proxy that does not say for whom': { options: { headers: without('x-forwarded-for') }, says: /^10\.0\.0\.7 sends X-Forwarded-Uri without X-Forwarded-For.* TRUST_PROXY/ },
    'a proxy that does not say by which method': { options: { headers: without('x-forwarded-method') }, says: /^10\.0\.0\.7 sends X-Forwarded-Uri without X-Forwarded-Method/ },
    'neither trusted nor saying for whom': { options: { headers: without('x-forwarded-for'), remoteAddress: '192.0.2.7' }, says: /^192\.0\.2\.7 sends X-Forwarded-Uri without X-Forwarded-For.* TRUST_PROXY/ }
  }
  for (const [who, { options, says }] of Object.entries(cases)) {
    const lines: Array<{ msg: string, level: number }> = []
    const clock = { time: Date.UTC(2026, 0, 31, 12) }
    const fastify = await build(t, { mode: 'service', sessionCookieSecure: 'auto', authenticate: (name) => ({ name }), now: () => clock.time }, { ...trusting, ...parsedLogInto(lines, 'warn') })
    const ask10 = async (): Promise<void> => { for (let i = 0; i < 10; i++) await ask(fastify, { remoteAddress: PROXY, ...options }) }
    await ask10()
    t.match(lines, says === null ? [] : [{ msg: says, level: 40 }], who)
    t.equal(lines.length, says === null ? 0 : 1)
    clock.time += 60_000
    await ask10()
    t.equal(lines.length, says === null ? 0 : 2, 'a minute later it says so again')
  }
})

test('admitted users and visitors are not logged, and an invalid query is logged with its user', async (t) => {
  const lines: Array<Record<string, unknown>> = []
  const { store, down } = breakable(openStore(t, 'memory:'))
  const options: Partial<ServiceOptions> = { mode: 'service', sessionStore: store, authenticate: (name) => ({ name }) }
  const fastify = await build(t, options, parsedLogInto(lines, 'info'))
  const cookie = await login(fastify, 'Harry')
  // The warning about an untrusted proxy is logged once a minute.
  await ask(fastify, { headers: { ...navigation } })
  lines.length = 0
  for (const headers of [{ cookie }, {}, { ...navigation }]) await ask(fastify, { headers })
  t.strictSame(lines, [])
  t.equal((await ask(fastify, { query: '?usr=Harry', headers: { cookie } })).statusCode, 400)
  t.match(lines, [{ level: 40, msg: 'request refused', user: 'Harry', address: '127.0.0.1', err: { code: 'HATCHECK_VERIFY_QUERY' }, req: { url: '/verify' } }])
  t.equal(lines.length, 1)
  lines.length = 0
  down()
  for (let times = 0; times < 3; times++) t.equal((await ask(fastify, { headers: { cookie } })).statusCode, 503)
  t.match(lines, [{ level: 50, err: { code: 'HATCHECK_STORE_UNAVAILABLE' } }])
  t.equal(lines.length, 1, 'once')
  lines.length = 0
  t.equal((await ask(fastify, { headers: { cookie, 'transfer-encoding': 'gzip' } })).statusCode, 400)
  t.match(lines, [{ level: 40, user: null, err: { code: 'HATCHECK_TRANSFER_CODING' } }], 'nobody knows the user')
})

test('a visitor\'s browser is redirected to the login page and back, if a trusted proxy sends the address', async (t) => {
  const fastify = await service(t, {}, trusting)
  const asProxy = { remoteAddress: PROXY }
  const response = await ask(fastify, { ...asProxy, headers: navigation })
  t.equal(response.statusCode, 303)
  t.equal(response.headers.location, '/login?next=%2Freports%2F7%3Fpage%3D2%26sort%3Dname')
  t.match(response.headers, { 'remote-user': '', 'cache-control': 'no-store', vary: /Cookie/ })
  t.match((await fastify.inject(String(response.headers.location))).body, 'value="/reports/7?page&#61;2&#38;sort&#61;name"')

  const cookie = await login(fastify, 'Harry')
  t.equal((await ask(fastify, { ...asProxy, headers: { ...navigation, cookie } })).statusCode, 204)
  t.equal((await ask(fastify, { ...asProxy, query: '?user=Sally', headers: { ...navigation, cookie } })).statusCode, 403, 'a second login would not help')

  const others: Record<string, Asking> = {
    'a client that is no proxy': { headers: navigation, remoteAddress: '203.0.113.9' },
    'a proxy that does not say for whom': { headers: without('x-forwarded-for') },
    'a proxy that does not say where': { headers: without('x-forwarded-uri') },
    'a proxy that does not say by which method': { headers: without('x-forwarded-method') },
    'a program': { headers: { ...navigation, accept: 'application/json' } },
    'one that would rather have JSON': { headers: { ...navigation, accept: 'application/json, text/html;q=0.5' } },
    curl: { headers: { ...navigation, accept: '*/*' } },
    'an image': { headers: { ...navigation, accept: 'image/avif,image/webp,*/*;q=0.8' } },
    'a script that says so': { headers: { ...navigation, 'x-requested-with': 'XMLHttpRequest' } },
    'a script that fetches a page': { headers: { ...navigation, 'sec-fetch-mode': 'cors' } },
    'a form': { headers: { ...navigation, 'x-forwarded-method': 'POST' } },
    'a preflight': { headers: { ...navigation, 'x-forwarded-method': 'OPTIONS' } },
    'the login page itself, which would lead to itself again and again': { headers: { ...navigation, 'x-forwarded-uri': '/login?next=%2Freports' } }
  }
  for (const [who, options] of Object.entries(others)) {
    const { statusCode, headers } = await ask(fastify, { ...asProxy, ...options })
    t.equal(statusCode, 401, who)
    t.equal(headers.location, undefined)
  }
  const untrusting = await service(t)
  t.equal((await ask(untrusting, { ...asProxy, headers: navigation })).statusCode, 401, 'no proxy is trusted')
})

test('an invalid address from a proxy leads to the start page, and never elsewhere', async (t) => {
  const fastify = await service(t, { allowedOrigins: 'https://app.example.com' }, trusting)
  const start = ['', '//evil.example', '///evil.example', '/\\evil.example', '\\\\evil.example', 'https://evil.example/', 'http://user:pw@evil.example/',
    'https://app.example.com/', 'javascript:alert(1)', 'x', '?a', '*', '/a\0b', '/a\x01', '/a\tb', '/.//evil.example', '/..//evil.example', '/%2e%2e//evil.example',
    `/${'x'.repeat(8_192)}`, ' /a', '/a\x7f']
  for (const uri of start) {
    const { statusCode, headers } = await ask(fastify, { remoteAddress: PROXY, headers: { ...navigation, 'x-forwarded-uri': uri } })
    // An empty header counts as present.
    t.equal(statusCode, 303, uri)
    t.equal(headers.location, '/login?next=%2F', uri)
  }
  // Node reads the bytes of a header as Latin-1; those of an address are mostly UTF-8.
  const kept = { '/a/../b': '/b', '/%2e%2e/b': '/b', '/a;x?b#c': '/a;x?b#c', '/a//b': '/a//b', '/a%00b': '/a%00b', '/logout': '/logout', '/caf\xc3\xa9': '/caf%C3%A9', '/caf\xe9': '/caf%C3%A9' }
  for (const [uri, next] of Object.entries(kept)) {
    const { headers } = await ask(fastify, { remoteAddress: PROXY, headers: { ...navigation, 'x-forwarded-uri': uri } })
    t.equal(headers.location, `/login?next=${encodeURIComponent(next)}`, uri)
  }
  const cookie = await login(fastify, 'Harry')
  for (const uri of start) {
    const headers = { ...navigation, 'x-forwarded-uri': uri, 'x-original-url': uri, 'x-forwarded-prefix': uri }
    t.equal((await ask(fastify, { remoteAddress: PROXY, headers: { ...headers, cookie } })).statusCode, 204, 'the headers decide nothing')
    t.not((await ask(fastify, { remoteAddress: PROXY, headers })).statusCode, 204)
  }
})

for (const kind of kinds) {
  test(`a thousand answers in one window take one read each and one write, in ${kind}`, async (t) => {
    let time = Date.now()
    const now = (): number => time
    const calls: Record<string, number> = {}
    const store = watched(openStore(t, kind, { now }), (call) => { calls[call] = (calls[call] ?? 0) + 1 })
    const fastify = await service(t, { sessionStore: store, authenticate: (name) => ({ name }), now })
    const cookie = await login(fastify, 'Harry')
    const many = async (): Promise<void> => {
      for (const name of Object.keys(calls)) delete calls[name]
      for (let i = 0; i < 1_000; i++) {
        await turn()
        const { statusCode } = await ask(fastify, { headers: { cookie } })
        if (statusCode !== 204) t.fail(`${statusCode}`)
      }
    }
    await many()
    t.strictSame(calls, { read: 1_000 })
    time += 3_600_000 / 20 + 1
    await many()
    t.strictSame(calls, { read: 1_000, touch: 1 })
    for (let i = 0; i < 20; i++) {
      time += 3_000_000
      const { statusCode } = await ask(fastify, { headers: { cookie } })
      // No answer waits for its write, but writes run in order.
      await store.remove('another')
      t.equal(statusCode, 204, 'each request is activity')
    }
    time += 3_600_001
    t.equal((await ask(fastify, { headers: { cookie } })).statusCode, 401, 'without activity the session ends')
  })
}

test('a thousand answers in one window take one Redis command each', needs('redis-server'), async (t) => {
  const redis = await startRedis(t)
  const fastify = await service(t, { sessionStore: redis.url, authenticate: (name) => ({ name }) })
  const cookie = await login(fastify, 'Harry')
  const before = await redis.commandCalls()
  const statuses: number[] = []
  for (let i = 0; i < 100; i++) statuses.push(...await Promise.all(Array.from({ length: 10 }, async () => (await ask(fastify, { headers: { cookie } })).statusCode)))
  const after = await redis.commandCalls()
  t.strictSame([...new Set(statuses)], [204])
  const used = Object.fromEntries([...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)])
    .filter(([name, count]) => count !== 0 && !['info', 'ping'].includes(String(name))))
  t.strictSame(used, { hgetall: 1_000 })
})

for (const sync of [true, false]) {
  test(`a failing store is a 503 for every request with a cookie, and recovers with the store, ${sync ? 'at once' : 'with a promise'}`, async (t) => {
    const { store, down, up } = breakable(openStore(t, 'memory:'), sync)
    const fastify = await service(t, { sessionStore: store, authenticate: (name) => ({ name }) }, trusting)
    const cookie = await login(fastify, 'Harry')
    down()
    for (const [query, headers] of [['', { cookie }], ['?user=Harry', { cookie }], ['', { ...navigation, cookie }], ['', { ...claims, cookie }]] as const) {
      const response = await ask(fastify, { query, remoteAddress: PROXY, headers })
      t.equal(response.statusCode, 503)
      t.match(response.headers, { 'retry-after': '1', 'remote-user': '', 'remote-session': '', 'cache-control': 'no-store' })
      t.equal(response.headers['set-cookie'], undefined, 'the cookie is unchanged')
    }
    t.equal((await ask(fastify)).statusCode, 401, 'a request without a cookie is answered without the store')
    up()
    t.equal((await ask(fastify, { headers: { cookie } })).statusCode, 204)
    down('touch')
    t.equal((await ask(fastify, { headers: { cookie } })).statusCode, 204, 'activity that cannot be recorded refuses no user')
  })
}

test('a cookie signed with a former key is signed anew once, and a current one is left alone', async (t) => {
  const fastify = await service(t)
  const harry = await visitor(fastify).login('Harry')
  const old = harry.cookieHeader()
  fastify.sessions.setSecretKeys([testKey.replace('tests', 'later'), testKey])
  t.match((await harry.inject('/verify')).headers['set-cookie'], /^hatcheck=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)
  t.not(harry.cookieHeader(), old)
  const { statusCode, headers } = await harry.inject('/verify')
  t.equal(statusCode, 204)
  t.equal(headers['set-cookie'], undefined)
  fastify.sessions.setSecretKeys([testKey.replace('tests', 'later')])
  t.equal((await harry.inject('/verify')).statusCode, 204)
  t.equal((await ask(fastify, { headers: { cookie: old } })).statusCode, 401)
})

test('an answer has one Set-Cookie at most: first the current cookie, later the removals of former ones', async (t) => {
  const store = openStore(t, 'memory:')
  const options: ServiceOptions = { sessionStore: store, authenticate: (name) => ({ name }) }
  const harry = await login(await service(t, options), 'Harry')
  const ticket = harry.replace('hatcheck=', '')
  const fastify = await service(t, { ...options, sessionCookieName: 'third', formerCookieNames: 'hatcheck, second', realm: 'hatcheck' })
  const url = await fastify.listen({ host: '127.0.0.1', port: 0 })
  const later = testKey.replace('tests', 'later')
  const linesAfter = async (client: Client, path = '/verify', headers: Record<string, string> = {}): Promise<string[]> => [(await client.get(path, headers)).headers['set-cookie'] ?? []].flat()
  const browser = (): Client => {
    const client = new Client(url)
    for (const name of ['hatcheck', 'second']) client.cookies.set(name, ticket)
    return client
  }

  const asked = browser()
  t.strictSame(await linesAfter(asked), [`third=${ticket}; Path=/; HttpOnly; SameSite=Lax`])
  for (const name of ['hatcheck', 'second']) t.match(await linesAfter(asked), new RegExp(`^${name}=; Max-Age=0; Path=/; Expires=[^;]+; HttpOnly; SameSite=Lax$`))
  t.strictSame(await linesAfter(asked), [])
  t.strictSame([...asked.cookies], [['third', ticket]])

  const visiting = browser()
  await linesAfter(visiting)
  t.equal((await linesAfter(visiting, '/', { accept: 'text/html' })).length, 2, 'a page of hatcheck removes the former cookies together')
  t.strictSame([...visiting.cookies], [['third', ticket]])

  const visitor = new Client(url)
  for (const name of ['hatcheck', 'second', 'third']) visitor.cookies.set(name, 'nonsense')
  t.strictSame(await linesAfter(visitor), [], 'without a session nothing replaces a former cookie')

  const resigned = browser()
  await linesAfter(resigned)
  fastify.sessions.setSecretKeys([later, testKey])
  t.match(await linesAfter(resigned), [/^third=[^;]+; Path=/])
  t.not(resigned.cookies.get('third'), ticket)
  t.match(await linesAfter(resigned), [/^hatcheck=; Max-Age=0/])

  await resigned.post('/logout')
  t.strictSame([...resigned.cookies], [], 'a logout removes every cookie')
  t.strictSame(await linesAfter(browser()), [])
})

test('the next answer sees the end of a session', async (t) => {
  const fastify = await service(t)
  const status = async (cookie: string): Promise<number> => (await ask(fastify, { headers: { cookie } })).statusCode
  const harry = await visitor(fastify).login('Harry')
  const cookie = harry.cookieHeader()
  t.equal(await status(cookie), 204)
  t.equal(await status(`hatcheck=planted; ${cookie}`), 204, 'beside a planted cookie')
  await harry.inject('/logout')
  t.equal(await status(cookie), 401)
  await fastify.accounts?.add('Sally', PASSWORD)
  const sally = await login(fastify, 'Sally')
  t.equal(await status(sally), 204)
  await fastify.accounts?.disable('Sally')
  t.equal(await status(sally), 401)
  const anonymous = await buildHost(t, { routes: true, authenticate: () => null })
  anonymous.post('/set', async ({ session }) => { (session as unknown as Record<string, unknown>)['client_name'] = 'Admin' })
  const nobody = new Client(anonymous)
  await nobody.send({ method: 'POST', url: '/set' })
  t.not(nobody.cookieHeader, '')
  t.equal((await nobody.get('/verify')).statusCode, 401, 'a session alone is no login')
})

test('demo mode answers this machine, and a proxy gets an error that names the settings', async (t) => {
  const fastify = await build(t)
  const cookie = await login(fastify, 'Harry')
  t.equal((await ask(fastify, { headers: { cookie } })).statusCode, 204)
  for (const method of ['GET', 'POST', 'OPTIONS', 'TRACE'] as const) {
    for (const headers of [navigation, { host: 'app.example.com' }]) {
      const response = await ask(fastify, { method, headers: { ...headers, accept: '*/*', cookie } })
      t.equal(response.statusCode, 403)
      t.equal(response.headers['remote-user'], '')
      if (method === 'GET') t.match(response.json(), { code: 'HATCHECK_DEMO_MODE', detail: /set SECRET_KEY and SIGNUP, and TRUST_PROXY/ })
    }
  }
})

test('an application has /verify with the pages, under their prefix, and not without them', async (t) => {
  const without = await buildHost(t)
  t.equal((await ask(without)).statusCode, 404)
  const fastify = await buildHost(t, { routes: true, prefix: '/auth', authenticate: (name) => ({ name }) }, trusting)
  t.equal((await ask(fastify)).statusCode, 404)
  const { headers } = await fastify.inject({ url: '/auth/verify', remoteAddress: PROXY, headers: navigation })
  t.match(headers.location, /^\/auth\/login\?next=%2Freports/)
  const harry = await visitor(fastify).login('Harry')
  for (const method of ['GET', 'DELETE', 'OPTIONS'] as const) t.equal((await harry.inject({ method, url: '/auth/verify' })).headers['remote-user'], 'Harry')
  for (const url of ['/auth/verify/', '/auth/verify/x', '/auth//verify', '/auth/verify;user=Harry', '/auth/VERIFY']) t.equal((await harry.inject(url)).statusCode, 404, url)
})

async function service (t: Test, options: ServiceOptions = {}, server: Parameters<typeof build>[2] = {}): Promise<FastifyInstance> {
  const accounts = options.authenticate === undefined ? { signup: 'open', passwordMinLength: 8 } : {}
  return await build(t, { mode: 'service', sessionCookieSecure: 'auto', ...accounts, ...options }, server)
}

function without (header: keyof typeof navigation): Record<string, string> {
  return Object.fromEntries(Object.entries(navigation).filter(([name]) => name !== header))
}

async function login (fastify: FastifyInstance, name: string): Promise<string> {
  return (await visitor(fastify).login(name)).cookieHeader()
}

async function ask (fastify: FastifyInstance, { query = '', ...options }: Asking = {}): Promise<LightMyRequestResponse> {
  return await fastify.inject({ ...options, url: `/verify${query}` })
}
