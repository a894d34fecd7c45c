import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { hatcheckService } from '../app.js'
import { trustedProxies } from '../plugins/config/trusted-proxies.js'
import { Client, type Answer } from './clients/client.js'
import { exchange } from './clients/raw-client.js'
import { build, buildHost, newFastify, sessionCookieOf, testKey } from './helper.js'

/** Sends a request over a connection of its own. */
async function raw (fastify: FastifyInstance, lines: string[]): Promise<{ status: number, cookie: string | undefined, text: string }> {
  const { port } = fastify.server.address() as AddressInfo
  const { answers: [answer = { status: 0, head: '', body: '' }] } = await exchange(port, `${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`)
  return { status: answer.status, cookie: /^set-cookie: ((?:__Host-)?hatcheck=.*)$/mi.exec(answer.head)?.[1], text: answer.body }
}

const SIGNS = ['Forwarded: for=192.0.2.1', 'Via: 1.1 proxy', 'X-Forwarded-For: 192.0.2.1', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: app.example.com', 'X-Forwarded-Ssl: on', 'X-Real-IP: 192.0.2.1', 'X-Client-IP: 192.0.2.1',
  'X-Cluster-Client-IP: 192.0.2.1', 'True-Client-IP: 192.0.2.1', 'CF-Connecting-IP: 192.0.2.1', 'CF-Ray: 1', 'CF-Visitor: {"scheme":"https"}', 'CDN-Loop: cloudflare', 'Fastly-Client-IP: 192.0.2.1', 'X-Original-URI: /', 'X-Original-Host: a', 'X-Envoy-External-Address: 192.0.2.1',
  'X-Amzn-Trace-Id: Root=1', 'X-ARR-SSL: 2048', 'Front-End-Https: on', 'X-Scheme: https', 'X-ProxyUser-Ip: 192.0.2.1', 'Fly-Client-IP: 192.0.2.1', 'X-Azure-ClientIP: 192.0.2.1']

test('demo mode refuses headers that only proxies send, and answers those of browsers and programs', async (t) => {
  const fastify = await build(t)
  const url = await fastify.listen({ host: '127.0.0.1', port: 0 })
  const statusWith = async (name: string): Promise<number> => (await new Client(url).get('/', { [name]: '1' })).statusCode
  const ofProxies = ['X-Forward-For', 'X-Forward-Proto', 'Max-Forwards', 'X-Remote-User', 'Remote-User', 'Remote-Addr', 'X-WebAuth-User', 'X-Web-Auth-Email', 'X-Auth-Request-User', 'X-Auth-Request-Email', 'X-Authenticated-User',
    'X-SSL-Client-Cert', 'X-SSL-Client-Verify', 'SSL-Client-S-DN', 'X-TLS-Version', 'Client-Cert', 'X-Client-Cert', 'X-Visitor-IP', 'X-Peer-Addr', 'X-Peer-Address', 'X-IP', 'X-Client-Port', 'X-Client-Proto', 'X-Orig-Host', 'X-Orig-URI', 'CDN-RequestId', 'X-CDN-Pop',
    'X-ProxyContextPath', 'X-Proxied-By', 'X-Script-Name', 'X-Ingress-Path', 'X-WAF-Score', 'X-Upstream-Name', ...SIGNS.map((sign) => sign.split(':')[0] as string)]
  for (const name of ofProxies) t.equal(await statusWith(name), 403, name)
  const ofClients = ['Accept', 'Accept-Charset', 'Accept-Encoding', 'Accept-Language', 'User-Agent', 'Referer', 'Origin-Trial', 'DNT', 'Save-Data', 'Priority', 'Purpose', 'Upgrade-Insecure-Requests', 'X-Requested-With', 'Cache-Control', 'Pragma', 'Range', 'If-None-Match', 'TE', 'From',
    'Sec-Fetch-Site', 'Sec-Fetch-Mode', 'Sec-Fetch-Dest', 'Sec-Fetch-User', 'Sec-GPC', 'Sec-Purpose', 'Sec-CH-UA', 'Sec-CH-UA-Platform', 'Sec-CH-Prefers-Color-Scheme', 'Sec-CH-Viewport-Width', 'Sec-WebSocket-Protocol', 'Device-Memory', 'Downlink', 'ECT', 'RTT', 'DPR', 'Viewport-Width', 'HTTP2-Settings',
    'Service-Worker', 'Service-Worker-Navigation-Preload', 'Available-Dictionary', 'Attribution-Reporting-Eligible', 'Ping-From', 'Last-Event-ID', 'X-Moz', 'X-Purpose', 'X-Client-Data', 'X-Client-Version', 'X-Client-Name', 'X-Ms-Client-Request-Id',
    'Authorization', 'X-Auth-Token', 'X-Auth-User', 'X-Api-Key', 'X-CSRF-Token', 'X-XSRF-Token', 'X-HTTP-Method-Override', 'X-Request-ID', 'X-Correlation-ID', 'Traceparent', 'Tracestate', 'Baggage', 'Sentry-Trace', 'Idempotency-Key', 'HX-Request', 'HX-Current-URL', 'Turbo-Frame', 'X-Inertia', 'X-PJAX', 'X-User-Id', 'X-User-Agent', 'X-Zip', 'X-Email-Address']
  for (const name of ofClients) t.equal(await statusWith(name), 200, name)
})

test('a proxied request gets no cookie without Secure, whatever the Host header', async (t) => {
  const HOST = 'Host: 127.0.0.1:3000'
  for (const sessionCookieSecure of [undefined, 'auto'] as const) {
    const fastify = await buildHost(t, { sessionCookieSecure })
    fastify.get('/login', async (request) => { await request.login('Harry') })
    fastify.get('/visit', async (request) => { request.session.set('n' as never, 1 as never) })
    await fastify.listen({ host: '127.0.0.1', port: 0 })
    for (const path of ['/login', '/visit']) {
      const fine = await raw(fastify, [`GET ${path} HTTP/1.1`, HOST, 'User-Agent: x', 'Accept: */*', 'X-Requested-With: XMLHttpRequest', 'X-Request-Id: 1', 'X-Client-Version: 2'])
      t.equal(fine.status, 200, 'a developer at this machine')
      t.match(fine.cookie, /^hatcheck=/)
      for (const [first = '', ...rest] of [[`GET ${path} HTTP/1.0`, HOST], ...SIGNS.map((sign) => [`GET ${path} HTTP/1.1`, HOST, sign]), ...SIGNS.map((sign) => [`GET ${path} HTTP/1.1`, HOST, sign.toLowerCase()])]) {
        const { status, cookie, text } = await raw(fastify, [first, ...rest])
        t.equal(status, 400, `${String(sessionCookieSecure)}: ${first} ${rest.join(' ')}`)
        t.equal(cookie, undefined)
        t.match(text, /set trustProxy of Fastify.*sessionCookieSecure to false/)
        t.notMatch(text, /TRUST_PROXY|SESSION_COOKIE_SECURE/)
      }
    }
    for (const host of ['app.example.com', '192.168.1.20:3000']) {
      const { status, cookie } = await raw(fastify, ['GET /login HTTP/1.1', `Host: ${host}`])
      t.equal(status, sessionCookieSecure === undefined ? 400 : 200, host)
      t.match(cookie ?? '', sessionCookieSecure === undefined ? /^$/ : /^hatcheck=/)
    }
  }
})

test('a browser on a page of another host came through a proxy, even if the proxy leaves no other trace', async (t) => {
  const host = 'localhost:3000'
  const app = await buildHost(t)
  app.post('/login', async (request) => { await request.login('Harry') })
  const demo = await build(t)
  const statuses = async (headers: Record<string, string>): Promise<number[]> => [
    (await app.inject({ method: 'POST', url: '/login', headers: { host, ...headers } })).statusCode,
    (await new Client(demo).post('/login', { client_name: 'Harry', password: '12345678' }, { host, ...headers })).statusCode
  ]
  for (const origin of ['https://app.example.com', 'https://app.example.com:8443', 'http://192.168.1.20']) {
    t.strictSame(await statuses({ origin, 'sec-fetch-site': 'same-origin' }), [400, 403], origin)
  }
  for (const origin of ['http://localhost:3000', 'http://localhost:5173', 'https://127.0.0.1', 'http://[::1]:3000', 'http://app.localhost', 'null']) {
    t.strictSame(await statuses({ origin, 'sec-fetch-site': 'same-origin' }), [200, 303], origin)
  }
  t.strictSame(await statuses({ 'sec-fetch-site': 'same-origin' }), [200, 303], 'no origin')
  // The page of another host on this machine may call an application on it.
  t.equal((await statuses({ origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' }))[0], 200)
})

test('forwarding headers that the application itself adds to a request, as Next.js does, are no sign of a proxy', async (t) => {
  const fastify = await buildHost(t)
  fastify.get('/login', async (request) => {
    Object.assign(request.raw.headers, { 'x-forwarded-host': 'localhost:3000', 'x-forwarded-proto': 'http', 'x-forwarded-for': '127.0.0.1' })
    await request.login('Harry')
  })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const local = ['GET /login HTTP/1.1', 'Host: localhost:3000']
  const { status, cookie } = await raw(fastify, local)
  t.equal(status, 200)
  t.match(cookie, /^hatcheck=/)
  t.equal((await raw(fastify, [...local, 'X-Forwarded-For: 192.0.2.1'])).status, 400)
  t.match(sessionCookieOf(await fastify.inject('/login')), /^hatcheck=/)
})

test('an adapter that passes on headers without their lines, as some of serverless platforms do, hides no proxy', async (t) => {
  const fastify = await buildHost(t)
  fastify.get('/login', async (request) => {
    request.raw.rawHeaders = []
    await request.login('Harry')
  })
  t.equal((await fastify.inject({ url: '/login', headers: { 'x-forwarded-for': '192.0.2.1' } })).statusCode, 400)
})

test('a proxy that Fastify trusts decides whether the user\'s connection is https', async (t) => {
  const fastify = await buildHost(t, {}, { trustProxy: '127.0.0.1' })
  fastify.get('/login', async (request) => { await request.login('Harry') })
  const login = async (headers: Record<string, string>, request: InjectOptions = {}): Promise<LightMyRequestResponse> => await fastify.inject({ url: '/login', headers: { host: 'localhost:3000', ...headers }, ...request })
  for (const proto of ['https', 'HTTPS', 'wss', 'http, wss']) t.match(sessionCookieOf(await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': proto })), /^__Host-hatcheck=.*; Secure/, proto)
  t.match(sessionCookieOf(await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' })), /^hatcheck=/, 'http, for a developer with a proxy')
  t.equal((await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': 'app.example.com' })).statusCode, 400, 'http, for a site')
  for (const proto of ['HTTP', ' http ', 'ws', 'http, http']) t.match(sessionCookieOf(await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': proto })), /^hatcheck=/, proto)
  t.equal((await login({ 'x-forwarded-for': '192.0.2.1' })).statusCode, 400, 'a proxy that does not say')
  for (const proto of ['', ' ', ',', 'unknown', 'tcp', 'off', '80', 'httpx', 'http, https, http', 'https, http', 'wss, http', 'on']) {
    const refused = await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': proto })
    t.equal(refused.statusCode, 400, `a proxy that does not say http, or not only: "${proto}"`)
    t.equal(refused.headers['set-cookie'], undefined)
  }
  t.equal((await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' }, { remoteAddress: '192.0.2.7' })).statusCode, 400, 'a proxy that is not trusted')
  const filling = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`x-${i}`, 'x']))
  t.equal((await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http', ...filling })).statusCode, 400, 'Node may have dropped lines after these')
  for (const [name = '', value = ''] of ['Forwarded: for=192.0.2.1;proto=https', 'CF-Visitor: {"scheme":"https"}', 'CloudFront-Forwarded-Proto: https', 'X-Forwarded-Protocol: HTTPS', 'X-Forwarded-Scheme: https', 'X-Forwarded-Ssl: on', 'Front-End-Https: On', 'Front-End-Https: 1', 'X-Https: on', 'X-Scheme: https', 'X-Url-Scheme: wss'].map((line) => line.split(': '))) {
    const refused = await login({ 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http', [name]: value })
    t.equal(refused.statusCode, 400, `a proxy before it that says https: ${name}`)
    t.equal(refused.headers['set-cookie'], undefined)
  }
})

test('a header cannot name more trusted proxies than a real chain has', async (t) => {
  const isTrusted = trustedProxies(['10.0.0.0/8'])
  t.strictSame([0, 15, 16, 10_000].map((hop) => isTrusted('10.0.0.1', hop)), [true, true, false, false])
  t.equal(isTrusted('192.0.2.1', 0), false)
})

test('the request for a WebSocket has the session of its page, also if a proxy writes wss for https', async (t) => {
  for (const sessionCookieSecure of [undefined, 'auto', 'true'] as const) {
    const fastify = await buildHost(t, { sessionCookieSecure }, { trustProxy: '127.0.0.1' })
    fastify.get('/login', async (request) => { await request.login('Harry') })
    fastify.get('/live', async ({ user }) => user?.name ?? 'nobody')
    for (const host of ['localhost', 'app.example.com']) {
      const proxied = { host, 'x-forwarded-for': '192.0.2.1' }
      const [cookie] = String(sessionCookieOf(await fastify.inject({ url: '/login', headers: { ...proxied, 'x-forwarded-proto': 'https' } }))).split(';')
      for (const proto of ['https', 'wss']) t.equal((await fastify.inject({ url: '/live', headers: { ...proxied, cookie, 'x-forwarded-proto': proto } })).body, 'Harry', `${sessionCookieSecure}, ${host}, ${proto}`)
    }
  }
})

test('the service on loopback decides like an application, with its own words in the error', async (t) => {
  const { readEnvironment } = await import('../plugins/config/environment.js')
  for (const SESSION_COOKIE_SECURE of [undefined, 'auto']) {
    const { options, mode } = readEnvironment({ SECRET_KEY: testKey, SIGNUP: 'open', SESSION_STORE: 'memory:', SESSION_COOKIE_SECURE })
    const fastify = newFastify(t)
    await fastify.register(hatcheckService, { ...options, mode })
    const login = async (headers: Record<string, string>): Promise<Answer> => await new Client(fastify).post('/login', { client_name: 'Harry', password: 'correct horse battery' }, headers)
    t.match(sessionCookieOf(await login({ host: 'localhost:3000' })), /^hatcheck=/)
    for (const sign of SIGNS) {
      const [name = '', value = ''] = sign.split(': ')
      const refused = await login({ host: 'localhost:3000', [name]: value })
      t.equal(refused.statusCode, 400, sign)
      t.match(refused.json(), { code: 'HATCHECK_INSECURE_TRANSPORT', detail: /TRUST_PROXY.*SESSION_COOKIE_SECURE=false/ })
      t.equal(refused.headers['set-cookie'], undefined)
    }
  }
})
