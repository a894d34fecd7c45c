import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions, type HTTPMethods, type InjectOptions, type LightMyRequestResponse } from 'fastify'
import { once } from 'node:events'
import { METHODS, maxHeaderSize } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { hatcheck, hatcheckService, type ServiceOptions } from '../app.js'
import { checksOf } from './checks/checks.js'
import { AS_PROGRAM } from './clients/accept.js'
import { Client, logIn, userOf } from './clients/client.js'
import { exchange } from './clients/raw-client.js'
import { build, newFastify, sessionCookieOf, testKey, turn } from './helper.js'
import { breakable, openStore } from './stores/watched-store.js'

/** Every address, and the methods that it takes. */
const TAKES: Record<string, string> = {
  '/': 'GET, HEAD, OPTIONS',
  '/healthz': 'GET, HEAD, OPTIONS',
  '/login': 'GET, HEAD, OPTIONS, POST',
  '/logout': 'GET, HEAD, OPTIONS, POST',
  '/metrics': 'GET, HEAD, OPTIONS',
  '/openapi.json': 'GET, HEAD, OPTIONS',
  '/password': 'GET, HEAD, OPTIONS, POST',
  '/readyz': 'GET, HEAD, OPTIONS',
  '/session': 'GET, HEAD, OPTIONS',
  '/session/:key': 'DELETE, GET, HEAD, OPTIONS, PUT',
  '/sessions': 'DELETE, GET, HEAD, OPTIONS, POST',
  '/sessions/:handle': 'DELETE, OPTIONS',
  '/verify': 'every method',
  '/whoami': 'GET, HEAD, OPTIONS'
}

/** Answers every method alike, without the headers that protect pages: test/verify.test.ts covers its 204. */
const FOR_PROXIES = '/verify'

/** For Prometheus on this machine only: test/metrics.test.ts covers who gets a 404. */
const FOR_THIS_MACHINE = '/metrics'

/** Every method that node parses; CONNECT never becomes a request. */
const ALL_METHODS = METHODS.filter((method) => method !== 'CONNECT')

const CALLERS = {
  browser: { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' },
  program: { accept: 'application/json' },
  curl: { accept: '*/*' },
  'a caller that says nothing': {}
}

/** Methods that some route takes, and PATCH, which none does. For all others the answer is that to PATCH. */
const KNOWN_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const JSON_TYPE = { 'content-type': 'application/json' }
/** Satisfies the rules with and without accounts. */
const PASSWORD = 'correct horse battery'
const GOOD = `client_name=Harry&password=${PASSWORD.replaceAll(' ', '+')}`

/** The ways to reach hatcheck, in which its answers may differ. */
const PLACES = {
  'over http': { mode: 'service', proxy: {}, isHttps: false },
  'behind a proxy that is trusted, over https': { mode: 'service', proxy: { 'x-forwarded-proto': 'https' }, isHttps: true },
  'in demo mode': { mode: 'demo', proxy: {}, isHttps: false }
} as const

for (const [place, { mode, proxy, isHttps }] of Object.entries(PLACES)) {
  test(`every method of every address has the documented answer, ${place}`, async (t) => {
    // With its own accounts, since there is no password page otherwise.
    const { fastify, paths } = await serve(t, { mode, authenticate: undefined, signup: 'open' }, isHttps ? { trustProxy: true } : {})
    t.strictSame(paths, Object.keys(TAKES), 'the table has every address')
    const wrong: string[] = []
    let seen = 0
    let cookie = await logIn(fastify, 'Harry', PASSWORD, proxy)
    for (const path of paths) {
      const allow = TAKES[path] ?? ''
      for (const method of ALL_METHODS) {
        const isTaken = allow.split(', ').includes(method)
        const callers = KNOWN_METHODS.includes(method) ? CALLERS : { browser: CALLERS.browser, program: CALLERS.program }
        for (const [caller, accept] of Object.entries(callers)) {
          for (const headers of [{ ...proxy, ...accept }, { ...proxy, ...accept, cookie }]) {
            const response = await inject(fastify, method, path, { headers })
            const what = `${method} ${path} for ${caller}, ${'cookie' in headers ? 'logged in' : 'anonymous'}: ${response.statusCode}`
            seen++
            const isForPrograms = (path === FOR_PROXIES && response.statusCode === 204) || (path === FOR_THIS_MACHINE && response.statusCode === 200)
            if (!isForPrograms) wrong.push(...flaws(response, method, isHttps).map((flaw) => `${what}: ${flaw}`))
            if (path === FOR_PROXIES) {
              if (response.statusCode !== ('cookie' in headers ? 204 : 401)) wrong.push(what)
              continue
            }
            if (path === FOR_THIS_MACHINE && isHttps) {
              if (response.statusCode !== 404) wrong.push(what)
              continue
            }
            if (isTaken === (response.statusCode === 405)) wrong.push(what)
            if (!isTaken || method === 'OPTIONS') {
              if (response.headers.allow !== allow) wrong.push(`${what}: Allow is ${response.headers.allow}`)
              if (response.headers['set-cookie'] !== undefined) wrong.push(`${what}: a cookie`)
            }
            if (method === 'OPTIONS' && (response.statusCode !== 204 || response.body !== '')) wrong.push(what)
            if (!isTaken && method !== 'HEAD' && !response.body.includes(caller === 'browser' ? '<h1>Method Not Allowed' : 'HATCHECK_METHOD_NOT_ALLOWED')) wrong.push(`${what}: ${response.body}`)
          }
        }
        const ends = path === '/logout' && (method === 'POST' || method === 'GET')
        if ((await userOf(fastify, cookie, proxy) === null) !== ends) wrong.push(`${method} ${path}: the session is ${ends ? 'still' : 'no longer'} there`)
        if (ends) cookie = await logIn(fastify, 'Harry', PASSWORD, proxy)
      }
    }
    t.strictSame(wrong.slice(0, 10), [], `${seen} answers`)
  })

  test(`every status has the same headers, ${place}`, async (t) => {
    const { store, down, up } = breakable(openStore(t, 'memory:'))
    // The clock stands still: the wait of the throttled login must not end on a busy machine.
    const time = Date.now()
    const { fastify } = await serve(t, { mode, sessionStore: store, authenticate, now: () => time }, isHttps ? { trustProxy: true } : {})
    const cookie = await logIn(fastify, 'Harry', PASSWORD, proxy)
    await fastify.inject({ method: 'PUT', url: '/session/kept', payload: '0', headers: { ...proxy, ...JSON_TYPE, cookie } })
    const put = (payload: string, headers: Record<string, string> = JSON_TYPE, key = 'cart'): InjectOptions => ({ method: 'PUT', url: `/session/${key}`, payload, headers })
    const post = (payload: string, headers: Record<string, string> = FORM): InjectOptions => ({ method: 'POST', url: '/login', payload, headers })
    for (let i = 0; i < 6; i++) await fastify.inject({ ...post('client_name=Ron&password=wrong'), headers: { ...proxy, ...FORM } })
    const cases: Array<[status: number, request: InjectOptions, isBroken?: boolean]> = [
      [200, { url: '/' }],
      [200, { url: '/login' }],
      [200, { url: '/healthz' }],
      [200, { url: '/readyz' }],
      [200, { url: '/session', headers: { cookie } }],
      [200, { url: '/whoami', headers: { cookie } }],
      [401, { url: '/whoami' }],
      [400, { url: '/login', headers: { host: 'a b' } }],
      [400, { url: '/verify', headers: { host: 'a/b' } }],
      [400, { url: '/no', headers: { host: 'a@b' } }],
      [400, { method: 'PATCH', url: '/login', headers: { host: '[::1' } }],
      ...[':80', 'a:65536', 'a:99999999', '[::1]:65536'].map((host): [number, InjectOptions] => [400, { url: '/login', headers: { host } }]),
      [201, put('1')],
      [204, put('1', { ...JSON_TYPE, cookie }, 'kept')],
      [400, put('{')],
      [403, put('"Sally"', JSON_TYPE, 'client_name')],
      [404, { method: 'DELETE', url: '/session/nothing' }],
      [413, put('x'.repeat(50_000))],
      [415, put('<a/>', { 'content-type': 'application/xml' })],
      [503, { url: '/readyz' }, true],
      [503, put('1', { ...JSON_TYPE, cookie }), true],
      [200, { url: '/logout', headers: { 'sec-purpose': 'prefetch' } }],
      [303, { url: '/login', headers: { cookie } }],
      [303, post(GOOD)],
      [303, { method: 'POST', url: '/logout' }],
      [303, { url: '/logout', headers: { cookie: 'hatcheck=nonsense', 'sec-fetch-site': 'same-origin' } }],
      [400, post('{', JSON_TYPE)],
      [400, post('password=12345678')],
      [400, post('client_name=Harry')],
      // A path that cannot be decoded is refused before Fastify asks the proxy for the scheme.
      ...isHttps ? [] : [[400, { url: '/%zz' }]] as Array<[number, InjectOptions]>,
      [400, { url: '/verify?group=admins' }],
      [401, post('client_name=Harry&password=wrong')],
      [401, { url: '/verify' }],
      [403, { url: '/verify?user=Sally', headers: { cookie } }],
      [403, post(GOOD, { ...FORM, 'sec-fetch-site': 'cross-site' })],
      [403, { method: 'POST', url: '/logout', headers: { origin: 'http://evil.example' } }],
      [404, { url: '/no/such/page' }],
      [404, { method: 'POST', url: '/no/such/page', payload: '<a/>', headers: { 'content-type': 'application/xml' } }],
      [404, { method: 'PROPFIND' as HTTPMethods, url: '/no/such/page' }],
      [405, { method: 'DELETE', url: '/login' }],
      [405, { method: 'PUT', url: '/', payload: '{', headers: JSON_TYPE }],
      [405, { method: 'PATCH', url: '/logout', payload: 'x'.repeat(20_000), headers: { 'content-type': 'nonsense' } }],
      [413, post('x'.repeat(20_000))],
      [415, post('<a/>', { 'content-type': 'application/xml' })],
      [429, post('client_name=Ron&password=wrong')],
      [500, post('client_name=Harry&password=fails+inside')],
      [503, { url: '/', headers: { cookie } }, true],
      [503, post(GOOD), true],
      [503, { url: '/verify', headers: { cookie } }, true],
      [503, { method: 'POST', url: '/logout', headers: { cookie } }, true],
      ...mode === 'demo' ? [[403, { url: '/', headers: { host: 'example.com' } }], [403, { url: '/no', headers: { host: 'example.com' } }], [403, { method: 'OPTIONS', url: '/', headers: { host: 'example.com' } }]] as Array<[number, InjectOptions]> : []
    ]
    const wrong: string[] = []
    for (const [status, request, isBroken = false] of cases) {
      for (const [caller, accept] of Object.entries(CALLERS)) {
        if (isBroken) down()
        const response = await fastify.inject({ ...request, headers: { ...proxy, ...accept, ...request.headers } })
        up()
        const what = `${request.method ?? 'GET'} ${String(request.url)} for ${caller}: ${response.statusCode}`
        // A program gets the outcome itself where a browser gets a redirect.
        const isAsExpected = response.statusCode === status || (status === 303 && caller === 'program' && response.statusCode === 200) ||
          (caller === 'program' && 'sec-purpose' in (request.headers ?? {}) && response.statusCode === 403)
        if (!isAsExpected) wrong.push(`${what}, not ${status} ${response.body}`)
        wrong.push(...flaws(response, request.method ?? 'GET', isHttps).map((flaw) => `${what}: ${flaw}`))
      }
    }
    t.strictSame(wrong.slice(0, 10), [], `${cases.length} requests of ${Object.keys(CALLERS).length} callers`)
  })
}

test('the application answers its own routes beside hatcheck\'s pages, and all other addresses', async (t) => {
  for (const prefix of ['', '/auth', '/deep/a.b', '/of/:tenant']) {
    const fastify = Fastify() as unknown as FastifyInstance
    fastify.delete('/early', async () => 'the host')
    fastify.delete(`${prefix}/logout`, async () => 'the host, before')
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, prefix, authenticate })
    t.teardown(() => fastify.close())
    fastify.post(`${prefix}/`, async () => 'the host')
    fastify.delete(`${prefix}/login`, async () => 'the host')
    fastify.put(`${prefix}/login/more`, async () => 'the host')
    fastify.delete(`${prefix}/:id`, async () => 'the host, by a parameter')
    fastify.patch(`${prefix}/:id(^\\d+$)`, async () => 'the host, by a pattern')
    fastify.setNotFoundHandler((_request, reply) => reply.code(404).send('the host has nothing'))
    const answer = async (method: string, path: string): Promise<string> => (await inject(fastify, method, `${prefix.replace(':tenant', 'acme')}${path}`)).body
    t.equal(await answer('POST', '/'), 'the host')
    t.equal(await answer('DELETE', '/login'), 'the host')
    t.equal(await answer('DELETE', '/logout'), 'the host, before')
    t.equal(await answer('PUT', '/login/more'), 'the host')
    t.equal(await answer('DELETE', '/other'), 'the host, by a parameter')
    t.equal(await answer('PATCH', '/5'), 'the host, by a pattern')
    for (const [method, path] of [['POST', '/login/more'], ['PUT', '/logins'], ['PUT', '/log'], ['GET', '/no'], ['PUT', '/login/'], ['PUT', '/login'], ['OPTIONS', '/logout'], ['TRACE', '/login'], ['PUT', '/']] as const) {
      t.equal(await answer(method, path), 'the host has nothing', `${method} ${path}`)
    }
  }
})

test('Vary keeps the value that a hook of the application set, and names nothing twice', async (t) => {
  for (const order of ['before', 'after']) {
    const fastify = Fastify() as unknown as FastifyInstance
    const addHook = (): unknown => fastify.addHook('onRequest', async (_request, reply) => { reply.header('vary', [reply.getHeader('vary') ?? [], 'Origin'].flat().join(', ')) })
    if (order === 'before') addHook()
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate })
    if (order === 'after') addHook()
    t.teardown(() => fastify.close())
    const vary = order === 'before' ? 'Origin, Accept, Accept-Language, Cookie' : 'Accept, Accept-Language, Cookie, Origin'
    for (const [method, url] of [['GET', '/login'], ['GET', '/logout'], ['POST', '/login']] as const) {
      t.equal((await fastify.inject({ method, url })).headers.vary, vary, `${method} ${url}, with the hook ${order} hatcheck`)
    }
  }
})

test('a login is a form or a JSON object with the matching type, and nothing else is a login', async (t) => {
  let asked = 0
  const { fastify } = await serve(t, { mode: 'service', authenticate: (name) => { asked++; return { name } } })
  const json = JSON.stringify({ client_name: 'Harry', password: PASSWORD })
  const parts = '--x\r\nContent-Disposition: form-data; name="client_name"\r\n\r\nHarry\r\n--x\r\nContent-Disposition: form-data; name="password"\r\n\r\ncorrect horse battery\r\n--x--\r\n'
  const types: Array<[type: string | undefined, isJson: boolean, isForm: boolean]> = [
    ['application/json', true, false], ['application/json; charset=utf-8', true, false], ['APPLICATION/JSON', true, false], ['Application/Json;Charset="UTF-8"', true, false],
    ['application/json ', true, false], ['application/json ; charset=utf-8', true, false], ['application/json\u00a0', true, false],
    ['application/x-www-form-urlencoded', false, true], ['application/x-www-form-urlencoded; charset=utf-8', false, true], ['Application/X-WWW-Form-Urlencoded', false, true],
    [undefined, false, false], ['', false, false], [' ', false, false], ['text/plain', false, false], ['text/plain; charset=utf-8', false, false], ['text/plain;application/json', false, false], ['text/plain, application/json', false, false],
    ['application/json\ta', false, false], ['application/json a', false, false], ['application/jsona', false, false], ['application/json/x', false, false], ['application/json,text/plain', false, false],
    ['application/ json', false, false], ['application /json', false, false], ['application/x-json', false, false], ['text/json', false, false], ['json', false, false], ['application', false, false], ['application/', false, false],
    ['/json', false, false], ['*/*', false, false], ['application/*', false, false], ['application/problem+json', false, false], ['application/ld+json', false, false], ['text/html', false, false], ['application/xml', false, false],
    ['application/octet-stream', false, false], ['application/csp-report', false, false], ['application/x-www-form-urlencoded-x', false, false], ['application/x-www-form-urlencoded\tx', false, false],
    ['multipart/form-data; boundary=x', false, false], ['multipart/form-data', false, false], ['\u00e4pplication/json', false, false], [';application/json', false, false]
  ]
  const wrong: string[] = []
  for (const [type, isJson, isForm] of types) {
    for (const [payload, isLogin] of [[json, isJson], [GOOD, isForm], [parts, false]] as const) {
      asked = 0
      const response = await fastify.inject({ method: 'POST', url: '/login', payload, headers: type === undefined ? {} : { 'content-type': type } })
      const what = `${JSON.stringify(type)} with ${payload.slice(0, 12)}: ${response.statusCode}, asked ${asked} times`
      if (isLogin ? response.statusCode !== 303 || asked !== 1 : ![400, 415].includes(response.statusCode) || asked !== 0) wrong.push(what)
      if (!isLogin && response.headers['set-cookie'] !== undefined) wrong.push(`${what}: a cookie`)
    }
  }
  t.strictSame(wrong, [], `${types.length} types`)
})

test('an empty body is no body, whatever its type and coding', async (t) => {
  // As Go, aiohttp, sendBeacon, and clients with default headers send them.
  const types = ['', 'application/json', 'application/x-www-form-urlencoded', 'application/octet-stream', 'text/plain;charset=UTF-8', 'multipart/form-data; boundary=x']
  const named: Array<Record<string, string>> = [
    ...types.map((type) => ({ 'content-type': type, 'content-length': '0' })), { 'content-encoding': 'gzip', 'content-length': '0' },
    { 'content-type': 'application/json' }, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
  ]
  const harry = new Client(await build(t))
  for (const headers of named) {
    const send = async (method: string, url: string): Promise<[number, object]> => {
      const { statusCode, body } = await harry.send({ method, url, headers: { ...AS_PROGRAM, ...headers } })
      return [statusCode, JSON.parse(body)]
    }
    const what = JSON.stringify(headers)
    await harry.login()
    t.match(await send('DELETE', '/sessions'), [200, { ended: 0 }], what)
    t.match(await send('PUT', '/session/cart'), [400, { code: 'HATCHECK_SESSION_VALUE' }], what)
    t.match(await send('DELETE', '/session/cart'), [404, { code: 'HATCHECK_NO_SUCH_KEY' }], what)
    t.match(await send('POST', '/login'), [400, { code: 'HATCHECK_PASSWORD' }], what)
    t.match(await send('POST', '/logout'), [200, { user: null }], what)
    t.equal(harry.cookie(), '', what)
  }
})

test('an empty body over HTTP/2, which names no length, is no body either', async (t) => {
  const fastify = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(hatcheck, { routes: true, secretKey: testKey, sessionStore: 'memory:', authenticate: (name) => ({ name }) })
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(`http://127.0.0.1:${(fastify.server.address() as AddressInfo).port}`)
  t.teardown(() => { client.destroy() })
  const statusOf = async (body?: string): Promise<unknown> => {
    const stream = client.request({ ':method': 'POST', ':path': '/logout', 'content-type': 'application/octet-stream' }, { endStream: body === undefined })
    stream.end(body)
    const [{ ':status': status }] = await once(stream, 'response') as [Record<string, unknown>]
    return status
  }
  t.equal(await statusOf(), 303)
  t.equal(await statusOf('x'), 415, 'with a body')
})

test('the pages read JSON and forms, and no other body, beside parsers of an application for its own routes', async (t) => {
  const [json, form, upload] = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']
  const cases = [[json, json], [/^application\/(?:\w+\+)?json/, 'application/ld+json'], [form, form], [/^image/, 'image/png'], ['*', 'image/png'], ['multipart/form-data', upload]] as const
  for (const [type, ofTheApplication] of cases) {
    const app = newFastify(t)
    if (type === json) app.removeContentTypeParser(json)
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (_request: FastifyRequest, bytes: Buffer) => bytes)
    await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['login'], authenticate: (name) => ({ name }) })
    app.post('/signed', async ({ body }) => ({ isBytes: Buffer.isBuffer(body) }))
    const post = async (url: string, type: string, payload: string): Promise<LightMyRequestResponse> =>
      await app.inject({ method: 'POST', url, headers: { ...AS_PROGRAM, 'content-type': type }, payload })
    for (const [sent, payload] of [[json, JSON.stringify({ client_name: 'Harry', password: PASSWORD })], [form, `client_name=Harry&password=${PASSWORD}`]] as const) {
      t.match((await post('/login', sent, payload)).json(), { user: { name: 'Harry' } }, `${String(type)}: ${sent}`)
    }
    for (const other of [upload, 'image/png', 'application/ld+json', 'text/plain']) {
      t.equal((await post('/login', other, 'x'.repeat(20_000))).statusCode, 415, `${String(type)}: ${other}`)
    }
    t.same((await post('/signed', ofTheApplication, 'x')).json(), { isBytes: true }, String(type))
  }
})

test('a client that is not the trusted proxy cannot influence what hatcheck believes about the connection', async (t) => {
  const options: ServiceOptions = { mode: 'service', sessionCookieSecure: 'auto', authenticate }
  const spoofed = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-port': '443',
    'x-forwarded-prefix': '//evil.example',
    'x-forwarded-ssl': 'on',
    'x-real-ip': '127.0.0.1',
    forwarded: 'for=127.0.0.1;proto=https;host=evil.example',
    x_forwarded_proto: 'https',
    x_forwarded_host: 'evil.example',
    'x-original-url': '/logout',
    'x-rewrite-url': '/logout',
    'x-http-method-override': 'POST',
    'front-end-https': 'on',
    'x-url-scheme': 'https'
  }
  const doubled = { ...spoofed, 'x-forwarded-proto': 'https, https', 'x-forwarded-host': 'evil.example, evil.example' }
  for (const [trust, trustProxy] of [['no proxy', false], ['another proxy', ['10.0.0.7']], ['a range', ['10.0.0.0/8', 'fc00::/7']]] as const) {
    const ips: string[] = []
    const { fastify } = await serve(t, { ...options, sessionCookieSecure: 'false', authenticate: (name, _password, { ip }) => { ips.push(ip); return { name } } }, { trustProxy: trustProxy as string[] | false })
    for (const headers of [spoofed, doubled]) {
      const send = (request: InjectOptions): Promise<LightMyRequestResponse> => fastify.inject({ ...request, remoteAddress: '203.0.113.9', headers: { host: 'sso.example', ...headers, ...request.headers } })
      const login = await send({ method: 'POST', url: '/login', payload: GOOD, headers: FORM })
      t.equal(login.headers.location, '/', trust)
      t.match(sessionCookieOf(login), /^hatcheck=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/, 'the cookie is that of http')
      t.equal(login.headers['strict-transport-security'], undefined)
      const [cookie = ''] = String(sessionCookieOf(login)).split(';')
      const home = await send({ url: '/', headers: { cookie } })
      t.match(home.body, 'Harry Your account is logged in.', 'a GET stays a GET of that address')
      t.notMatch(home.body + JSON.stringify(home.headers), 'evil.example')
      for (const origin of ['https://evil.example', 'http://evil.example']) t.equal((await send({ method: 'POST', url: '/logout', headers: { cookie, origin } })).statusCode, 403, 'and no other host is accepted as this one')
      t.equal((await send({ method: 'POST', url: '/logout', headers: { cookie, origin: 'http://sso.example' } })).statusCode, 303)
    }
    t.strictSame(ips, ['203.0.113.9', '203.0.113.9'])
  }
  const { fastify } = await serve(t, options, { trustProxy: ['10.0.0.0/8'] })
  const proxied = { remoteAddress: '10.0.0.7', headers: { host: 'inside', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'sso.example', ...FORM } }
  const login = await fastify.inject({ method: 'POST', url: '/login', payload: GOOD, ...proxied })
  t.match(sessionCookieOf(login), /^__Host-hatcheck=.*; Secure/, 'the trusted proxy can')
  t.match(login.headers['strict-transport-security'], 'max-age=31536000')
  for (const [origin, status] of [['https://sso.example', 303], ['http://sso.example', 403], ['https://inside', 403]] as const) {
    t.equal((await fastify.inject({ method: 'POST', url: '/logout', ...proxied, headers: { ...proxied.headers, origin } })).statusCode, status, origin)
  }
  for (const sessionCookieSecure of ['true', 'auto'] as const) {
    const { fastify: demanding } = await serve(t, { mode: 'service', sessionCookieSecure, authenticate })
    const refused = await demanding.inject({ method: 'POST', url: '/login', payload: GOOD, remoteAddress: '203.0.113.9', headers: { ...FORM, ...spoofed } })
    t.equal(refused.statusCode, 400, 'a cookie that may have to be Secure is not sent over http')
    t.equal(refused.json().code, 'HATCHECK_INSECURE_TRANSPORT')
  }
})

test('an invalid request ends its connection, begins no session and affects no other client', async (t) => {
  const { fastify } = await serve(t, { mode: 'service', authenticate })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const login = (headers: string, body = GOOD): string => `POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n${headers}\r\n\r\n${body}`
  const length = `Content-Length: ${GOOD.length}`
  const chunked = 'Transfer-Encoding: chunked'
  const chunk = `${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n`
  const bad: Record<string, string> = {
    'a chunk whose size is no number': login(chunked, `zz\r\n${GOOD}\r\n0\r\n\r\n`),
    'a chunk whose size is too large for a number': login(chunked, `fffffffffffffffff\r\n${GOOD}\r\n0\r\n\r\n`),
    'a chunk that is longer than it says': login(chunked, `5\r\n${GOOD}\r\n0\r\n\r\n`),
    'two lengths that differ': login(`${length}\r\nContent-Length: 5`),
    'two lengths that are the same': login(`${length}\r\n${length}`),
    'a list of lengths': login(`Content-Length: ${GOOD.length}, ${GOOD.length}`),
    'a length below zero': login('Content-Length: -5'),
    'a length with a sign': login(`Content-Length: +${GOOD.length}`),
    'a length that is no number': login('Content-Length: 0x20'),
    'a length beside chunks': login(`${length}\r\n${chunked}`, chunk),
    'chunks beside a length': login(`${chunked}\r\n${length}`, chunk),
    'an encoding after chunked': login('Transfer-Encoding: chunked, identity', chunk),
    'an unknown transfer coding': login('Transfer-Encoding: xchunked', chunk),
    'a bare carriage return': login(`X-A: b\rX-C: d\r\n${length}`),
    'a header without a colon': login(`nonsense\r\n${length}`),
    'a space before the colon': login(`X-A : b\r\n${length}`),
    'a space before the colon of the length': login(`Content-Length : ${GOOD.length}`),
    'a NUL in a header': login(`X-A: b\0c\r\n${length}`),
    'a NUL in the name of a header': login(`X\0A: b\r\n${length}`),
    'a control in a cookie': login(`Cookie: hatcheck=\x01\r\n${length}`),
    'a space in the name of a header': login(`X A: b\r\n${length}`),
    'a NUL in the address': 'GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'a space in the address': 'GET / / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'no host': 'GET / HTTP/1.1\r\n\r\n',
    'an unknown method': 'NONSENSE / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'a method in lower case': 'get / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'an unknown version': 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n',
    'another protocol': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  }
  const large = { 'a header that is too large': login(`X-A: ${'b'.repeat(maxHeaderSize)}\r\n${length}`), 'too many headers': login(`${'X-A: b\r\n'.repeat(maxHeaderSize / 3)}${length}`) }
  for (const [what, bytes] of Object.entries({ ...bad, ...large })) {
    const { answers, isClosed } = await exchange(port, bytes)
    t.equal(answers[0]?.status, what in large ? 431 : 400, what)
    t.ok(isClosed, 'and the connection is closed')
    for (const { head } of answers) t.notMatch(head, /set-cookie|303/i)
  }
  for (const bytes of [login(length), login(chunked, chunk)]) t.match(await exchange(port, bytes.replace('Host:', 'Connection: close\r\nHost:')), { answers: [{ status: 303 }] }, 'the same request without the flaw is a login')
  t.equal(await fastify.sessions.store.count(), 2, 'the only ones')
})

test('a body with an unknown coding is refused, and is never taken for a plain one', async (t) => {
  const { fastify } = await serve(t, { mode: 'service', authenticate })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const post = async (headers: string, path = '/login', body = GOOD): ReturnType<typeof exchange> => await exchange(port,
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n${headers}\r\n\r\n${body}`)
  const [length, chunk] = [`Content-Length: ${GOOD.length}`, `${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n`]
  for (const coding of ['gzip', 'GZIP', 'br', 'identity, gzip', 'x']) {
    t.match(await post(`Content-Encoding: ${coding}\r\nConnection: close\r\n${length}`), { answers: [{ status: 415, head: /^accept-encoding: identity\r$/mi, body: '"code":"HATCHECK_CONTENT_CODING"' }] }, coding)
  }
  for (const coding of ['gzip, chunked', 'identity, chunked', 'gzip\r\nTransfer-Encoding: chunked']) {
    for (const path of ['/login', '/verify', '/nowhere']) {
      const { answers, isClosed } = await post(`Transfer-Encoding: ${coding}`, path, chunk)
      t.match(answers, [{ status: 400, body: '"code":"HATCHECK_TRANSFER_CODING"' }], `${coding} at ${path}`)
      t.ok(isClosed)
    }
  }
  t.equal(await fastify.sessions.store.count(), 0)
  for (const coding of ['', 'identity', 'Identity']) t.match(await post(`Content-Encoding: ${coding}\r\nConnection: close\r\n${length}`), { answers: [{ status: 303 }] }, coding)
  t.match(await post('Transfer-Encoding: Chunked\r\nConnection: close', '/login', chunk), { answers: [{ status: 303 }] })
  t.match(await post(`Content-Encoding: gzip\r\nConnection: close\r\n${length}`, '/verify'), { answers: [{ status: 401 }] }, 'the body belongs to another request')
})

/** The service and the paths of its router. */
async function serve (t: Test, options: ServiceOptions, server: FastifyServerOptions = {}): Promise<{ fastify: FastifyInstance, paths: string[] }> {
  const paths = new Set<string>()
  const fastify = Fastify({
    ...server,
    frameworkErrors: (error, request, reply) => { fastify.hatcheck.http.handleError(error, request as never, reply as never) }
  }) as unknown as FastifyInstance
  fastify.addHook('onRoute', ({ url }) => { paths.add(url) })
  checksOf(t).watch(fastify)
  await fastify.register(hatcheckService, { sessionStore: 'memory:', secretKey: testKey, sessionCookieSecure: 'auto', authenticate, ...options })
  t.teardown(() => fastify.close())
  await fastify.ready()
  return { fastify, paths: [...paths].sort() }
}

/** Skips the hashing, so that there can be many logins. */
function authenticate (name: string, password: string): { name: string } | null {
  if (password === 'fails inside') throw new Error('inside')
  return password === PASSWORD ? { name } : null
}

async function inject (fastify: FastifyInstance, method: string, url: string, options: InjectOptions = {}): Promise<LightMyRequestResponse> {
  await turn()
  return await fastify.inject({ ...options, method: method as HTTPMethods, url })
}

/** The flaws in the headers of an answer, whatever its status. */
function flaws ({ headers, body, statusCode }: LightMyRequestResponse, method: string, isHttps: boolean): string[] {
  const found: string[] = []
  const expect = (holds: boolean, flaw: string): void => { if (!holds) found.push(flaw) }
  const policy = String(headers['content-security-policy']).split(';').map((part) => part.trim())
  for (const directive of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) expect(policy.includes(directive), `no ${directive}`)
  expect(!/unsafe|\*|https?:/.test(policy.join()), 'a policy that allows more')
  const exactly: Record<string, string | undefined> = {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
    vary: 'Accept, Accept-Language, Cookie',
    'strict-transport-security': isHttps ? 'max-age=31536000; includeSubDomains' : undefined,
    server: undefined,
    'x-powered-by': undefined,
    'access-control-allow-origin': undefined,
    'access-control-allow-methods': undefined,
    'access-control-allow-headers': undefined,
    'access-control-allow-credentials': undefined
  }
  for (const [name, value] of Object.entries(exactly)) expect(headers[name] === value, `${name}: ${String(headers[name])}`)
  const type = headers['content-type']
  if (body !== '') expect(/^(?:text\/html|application\/(?:problem\+)?json); charset=utf-8$/.test(String(type)), `content-type: ${String(type)}`)
  if (statusCode === 204) expect(type === undefined && headers['content-length'] === undefined, 'a 204 that says what its body is')
  if (method === 'HEAD') expect(body === '', 'a HEAD with a body')
  if (statusCode === 405) expect(headers.allow !== undefined, 'no Allow')
  if (statusCode === 503) expect(headers['retry-after'] !== undefined, 'no Retry-After')
  expect(!/fastify|node\.js|v?\d+\.\d+\.\d+/i.test(JSON.stringify({ ...headers, 'content-security-policy': '', 'set-cookie': '' })), 'a version')
  expect(!/ at .*\.[jt]s:\d/.test(body), 'a stack')
  return found
}
