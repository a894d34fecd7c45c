import type { FastifyInstance } from 'fastify'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { Client } from '../clients/client.js'
import { openSocket } from '../clients/raw-client.js'
import { build, needs } from '../helper.js'
import { blocksOf } from '../pages/walk.js'
import { checkout, endWith } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { startNginx } from '../programs/nginx.js'
import { until } from '../time/loop-clock.js'

const UPLOAD_BYTES = 150 * 1_048_576
const PASSWORD = 'pass phrase 1'
/** The headers that the site itself sends with each answer. */
const SITE_HEADER = ['x-site-policy', 'strict'] as const
/** More than 2,048 characters, and each slash takes three in an address. */
const LONG_PATH = `/reports/${'a/'.repeat(1_500)}`

const forwardAuth = readFileSync(join(checkout, 'docs/forward-auth.md'), 'utf8')
const [map = '', pass = ''] = blocksOf(forwardAuth, 'nginx')
const [matcher = ''] = blocksOf(forwardAuth, 'caddyfile')
const [acl = '', rule = ''] = (blocksOf(forwardAuth, 'haproxy')[0] ?? '').split('\n')

/** Changes the examples as docs/forward-auth.md says. */
const lettingPreflightsPass = {
  nginx: (text) => map + text.replace('location = /hatcheck/verify {', `$&\n${pass}`),
  caddy: (text) => text.replace(/^\s*forward_auth /m, (line) => `${matcher}${line}@asked `),
  haproxy: (text) => text.replace(/^ {2}http-request lua\.ask_hatcheck .*$/m, `${acl}\n${rule}`)
} satisfies Record<string, (text: string) => string>

for (const proxy of ['nginx', 'caddy', 'haproxy'] as const) {
  test(`${proxy}: the example passes WebSockets, large uploads and the headers of the site`, { ...needs(proxy), timeout: 120_000 }, async (t) => {
    const asked: string[] = []
    const app = await startApp(t, asked)
    const hatcheck: FastifyInstance = await build(t, { mode: 'service', sessionCookieSecure: 'auto', signup: 'open', passwordMinLength: 8 }, {
      trustProxy: '127.0.0.1',
      clientErrorHandler: (error, socket) => { hatcheck.hatcheck.http.answerParserError(error, socket as Socket) }
    })
    await hatcheck.listen({ host: '127.0.0.1', port: 0 })
    const cookie = await login(hatcheck)
    const url = await start(t, proxy, { app, hatcheck: (hatcheck.server.address() as AddressInfo).port })
    const port = Number(new URL(url).port)

    for (const headers of [['Origin: http://localhost'], ['Accept: text/html']]) {
      const { status, body } = await upgrade(port, [...headers, `Cookie: ${cookie}`])
      t.equal(status, 101, 'a logged-in user')
      t.match(body, 'echo: hello')
    }
    for (const headers of [[], ['Cookie: hatcheck=nonsense'], ['Remote-User: Admin']]) t.equal((await upgrade(port, headers)).status, 401, 'a visitor')
    // After an upgrade to another protocol, a client sends the application unchecked requests with any Remote-User.
    for (const to of ['h2c', 'websocket, h2c', 'h2c, websocket', 'h2c\r\nUpgrade: websocket', 'websocket\r\nUpgrade: h2c', 'TLS/1.0', 'websocket/2', 'xwebsocket']) {
      await upgrade(port, [`Cookie: ${cookie}`], to)
    }
    t.strictSame(asked.filter((protocol) => protocol.toLowerCase() !== 'websocket'), [], 'only a WebSocket upgrade')
    t.ok(asked.length >= 2)

    const body = Buffer.alloc(UPLOAD_BYTES, 'x')
    const uploaded = await fetch(`${url}/upload`, { method: 'POST', headers: { cookie }, body })
    t.equal(uploaded.status, 200)
    t.equal(await uploaded.text(), `POST ${UPLOAD_BYTES}`)
    // The answer can come before the whole upload was sent.
    const refused = await fetch(`${url}/upload`, { method: 'POST', body: Buffer.alloc(3_000_000), redirect: 'manual' }).then(({ status }) => status, () => 401)
    t.equal(refused, 401, 'an upload does not bypass the login')

    const oversized = await new Client(url).get('/', { cookie: `${cookie}; a=${'x'.repeat(20_000)}` })
    t.equal(oversized.statusCode, 431, 'too many cookies')
    t.notMatch(oversized, { headers: { 'retry-after': String } })

    for (const [what, path, headers, status] of [
      ['the application', '/', { cookie }, 200],
      ['a stranger', '/', {}, 401],
      ['a browser', '/', { accept: 'text/html' }, 303],
      ['the login page', '/login', { accept: 'text/html' }, 200]
    ] as const) {
      const response = await new Client(url).get(path, headers)
      t.equal(response.statusCode, status, what)
      t.equal(response.headers[SITE_HEADER[0]], SITE_HEADER[1], what)
    }

    const browser = new Client(url)
    const navigation = { accept: 'text/html' }
    const location = String((await browser.get(LONG_PATH, navigation)).headers.location)
    t.equal(location, `/login?next=${encodeURIComponent(LONG_PATH)}`, 'a long path to return to')
    t.match((await browser.get(location, navigation)).body, `value="${LONG_PATH}"`)

    await browser.post('/logout', {}, { cookie, ...navigation })
    const notice = browser.cookie('hatcheck-notice')
    const led = await new Client(url).get('/', navigation)
    t.match((await browser.get(String(led.headers.location), { cookie: notice, ...navigation })).body, 'You are logged out.', 'on the page after a logout')
  })
}

for (const proxy of ['nginx', 'caddy', 'haproxy'] as const) {
  test(`${proxy}: with the lines of docs/forward-auth.md, CORS preflights reach the application without a login, and nothing else does`, { ...needs(proxy), timeout: 120_000 }, async (t) => {
    const asked: string[] = []
    const app = await startApp(t, asked)
    const hatcheck = await build(t, { mode: 'service', sessionCookieSecure: 'auto', signup: 'open', passwordMinLength: 8 }, { trustProxy: '127.0.0.1' })
    await hatcheck.listen({ host: '127.0.0.1', port: 0 })
    const url = await start(t, proxy, { app, hatcheck: (hatcheck.server.address() as AddressInfo).port }, lettingPreflightsPass[proxy])

    const preflight = { origin: 'https://wiki.example.com', 'access-control-request-method': 'PUT' }
    const send = async (method: 'OPTIONS' | 'GET' | 'POST', path: string, headers: Record<string, string>) => await new Client(url).send({ method, url: path, headers })
    for (const headers of [{}, { 'remote-user': 'Admin' }, { cookie: 'hatcheck=nonsense' }]) {
      const answer = await send('OPTIONS', '/reports?a=1', { ...preflight, ...headers })
      t.match(answer, { statusCode: 200, body: 'OPTIONS 0', headers: { 'x-names': '' } }, 'a preflight')
    }
    const cookie = await login(hatcheck)
    t.match(await send('GET', '/', { cookie, ...preflight }), { statusCode: 200, headers: { 'x-names': /^Harry,[\w-]{22}$/ } }, 'a user')
    for (const [method, headers] of [['GET', preflight], ['POST', preflight], ['OPTIONS', {}], ['OPTIONS', { origin: preflight.origin }]] as const) {
      t.equal((await send(method, '/', headers)).statusCode, 401, `${method} ${Object.keys(headers).join()}`)
    }
    t.equal((await send('OPTIONS', '/login', preflight)).headers.allow, 'GET, HEAD, OPTIONS, POST', 'the pages stay those of hatcheck')
    await upgrade(Number(new URL(url).port), ['Access-Control-Request-Method: PUT'], 'h2c', 'OPTIONS')
    t.strictSame(asked, [], 'no upgrade')
  })

  test(`${proxy}: while hatcheck hangs, its pages are an error`, { ...needs(proxy), timeout: 120_000 }, async (t) => {
    const hanging = createServer(() => {})
    let limits = 0
    const inOneSecond = (): string => {
      limits++
      return '1s'
    }
    hanging.listen(0, '127.0.0.1')
    await once(hanging, 'listening')
    t.teardown(() => {
      hanging.closeAllConnections()
      hanging.close()
    })
    const url = await start(t, proxy, { app: await startApp(t), hatcheck: (hanging.address() as AddressInfo).port }, (text) => text.replace(/\b30s\b/, inOneSecond))
    t.equal(limits, 1, 'the example has a limit')
    const answer = await new Client(url).get('/login')
    t.ok([502, 503, 504].includes(answer.statusCode), String(answer.statusCode))
  })
}

test('caddy reload works with the example', needs('caddy'), async (t) => {
  const env = { PATH: process.env['PATH'], HOME: t.testdir(), ADMIN: `localhost:${await freePort()}`, SITE: `http://localhost:${await freePort()}` }
  await startCaddy(t, readFileSync(join(checkout, 'examples/caddy/Caddyfile'), 'utf8'), env)
  const child = spawn('caddy', ['reload', '--config', join(checkout, 'examples/caddy/Caddyfile')], { env, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
})

async function startApp (t: Test, asked: string[] = []): Promise<number> {
  const app = createServer((request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => { bytes += chunk.length }).on('end', () => { response.setHeader('x-names', Object.keys(request.headers).filter((name) => name.startsWith('remote')).sort().reverse().map((name) => request.headers[name]).join()).end(`${request.method} ${bytes}`) })
  })
  app.on('upgrade', (request, socket) => {
    asked.push(String(request.headers.upgrade))
    if (String(request.headers.upgrade).toLowerCase() !== 'websocket') {
      socket.end('HTTP/1.1 500 No\r\nConnection: close\r\n\r\n')
      return
    }
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    socket.once('data', (data) => { socket.end(`echo: ${String(data)}`) }).on('error', () => {})
  })
  app.listen(0, '127.0.0.1')
  await once(app, 'listening')
  t.teardown(() => {
    app.closeAllConnections()
    app.close()
  })
  return (app.address() as AddressInfo).port
}

/** An example with these changes, other addresses and a header of the site. */
async function start (t: Test, proxy: 'nginx' | 'caddy' | 'haproxy', { app, hatcheck }: { app: number, hatcheck: number }, change = (text: string) => text): Promise<string> {
  const port = await freePort()
  if (proxy === 'nginx') {
    const conf = change(readFileSync(join(checkout, 'examples/nginx/hatcheck.conf'), 'utf8'))
      .replace(':3000 ', `:${hatcheck} `).replace(':3001;', `:${app};`).replace(':8080;', `:${port};\nadd_header ${SITE_HEADER.join(' ')} always;`)
    await startNginx(t, { http: conf, server: '' })
  } else if (proxy === 'haproxy') {
    await startHaproxy(t, { app, hatcheck, port }, change)
  } else {
    const file = change(readFileSync(join(checkout, 'examples/caddy/Caddyfile'), 'utf8')).replace(/^(\{\$SITE.*)$/m, `$1\n\theader ${SITE_HEADER.join(' ')}`)
    await startCaddy(t, file, { SITE: `http://localhost:${port}`, APP: `127.0.0.1:${app}`, HATCHECK: `127.0.0.1:${hatcheck}`, ADMIN: `localhost:${await freePort()}` })
  }
  return `http://localhost:${port}`
}

async function startHaproxy (t: Test, ports: { app: number, hatcheck: number, port: number }, change: (text: string) => string): Promise<void> {
  const folder = t.testdir()
  const moved = (name: string): string => change(readFileSync(join(checkout, 'examples/haproxy', name), 'utf8'))
    .replaceAll(':3000', `:${ports.hatcheck}`).replaceAll(':3001', `:${ports.app}`)
    .replace(':8080', `:${ports.port}\n  http-after-response set-header ${SITE_HEADER.join(' ')}`)
    .replace('examples/haproxy', folder)
  for (const name of ['haproxy.cfg', 'hatcheck.lua']) writeFileSync(join(folder, name), moved(name))
  const child = spawn('haproxy', ['-q', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'ignore', 'inherit'] })
  endWith(t, child)
  await until('HAProxy serves', async () => {
    if (child.exitCode !== null) throw new Error('HAProxy ended')
    return await new Client(`http://localhost:${ports.port}`).get('/login').then(() => true, () => false)
  })
}

async function startCaddy (t: Test, file: string, env: Record<string, string | undefined>): Promise<void> {
  const child = spawn('caddy', ['run', '--adapter', 'caddyfile', '--config', '-'], { env: { PATH: process.env['PATH'], HOME: t.testdir(), ...env }, stdio: ['pipe', 'ignore', 'pipe'] })
  endWith(t, child)
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { output += text })
  child.stdin.end(file)
  await until('Caddy serves', () => {
    if (child.exitCode !== null) throw new Error(output)
    return output.includes('serving initial configuration')
  })
}

async function login (fastify: FastifyInstance): Promise<string> {
  const client = new Client(fastify)
  await client.login('Harry', PASSWORD)
  return client.cookieHeader
}

/** Asks for an upgrade, and sends hello over the new protocol. */
async function upgrade (port: number, headers: readonly string[], to = 'websocket', method = 'GET'): Promise<{ status: number, body: string }> {
  const socket = openSocket(`http://127.0.0.1:${port}`)
  let text = ''
  let greeted = false
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (!text.includes('\r\n\r\n') || greeted) return
    greeted = true
    if (text.startsWith('HTTP/1.1 101')) socket.write('hello')
    else socket.end()
  })
  socket.write([`${method} /socket HTTP/1.1`, `Host: localhost:${port}`, 'Connection: Upgrade', `Upgrade: ${to}`, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', ...headers, '', ''].join('\r\n'))
  await once(socket, 'close')
  return { status: Number(text.slice(9, 12)), body: text.slice(text.indexOf('\r\n\r\n') + 4) }
}
