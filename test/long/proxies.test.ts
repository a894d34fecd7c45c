import type { FastifyInstance } from 'fastify'
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { newSecret } from '../../plugins/tickets/secrets.js'
import { Client } from '../clients/client.js'
import { allFrom, openSocket } from '../clients/raw-client.js'
import { buildHost, needs } from '../helper.js'
import { assertShown, blocksOf, stepsOf } from '../pages/walk.js'
import { checkout } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { compiled, startService, type Service } from '../processes/service.js'
import { startNginx } from '../programs/nginx.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { until } from '../time/loop-clock.js'

/** The proxies, and the program that each needs. */
const PROXIES = ['nginx', 'caddy', 'haproxy'] as const
type Proxy = typeof PROXIES[number]

/** The answer of the application, which nothing else sends. */
const REACHED = 'Hello '
/** Spellings of hatcheck's own paths. */
const OWN = /^\/+(?:login|logout|password|sessions|a\/\.\.\/login)|evil/
const NODE = `"${process.execPath}"`

for (const proxy of PROXIES) {
  const both = needs(proxy, 'python3', 'curl', 'redis-server')

  test(`${proxy} protects an application with forward auth`, both, async (t) => {
    const { folder, run, walk, port, url, login, app, hatcheck, restart, startFor, startBefore } = await start(t, proxy)

    await t.test('the commands of the README have the output that it shows', async (t) => {
      t.equal(walk.length, 6)
      for (const step of walk) assertShown(t, await run(step.command), step)
    })

    await t.test('the application gets the name of the logged-in user, whatever a client claims', async (t) => {
      const harry = await login('Harry Pötter')
      const claims = ['Remote-User', 'remote-user', 'REMOTE-USER', 'Remote_User', 'remote_user', 'REMOTE_USER', 'rEMOTE_uSER', 'Remote-Session', 'Remote_Session', 'Remote-Name', 'Remote-Email', 'Remote-Groups', 'Remote_Groups', 'Remote.User', 'remote.user', 'Remote~User']
        .map((name) => `${name}: Admin`)
      const attempts = [
        ...claims.map((claim) => [claim]),
        ['Remote-User: Admin', 'Remote-User: Harry'],
        ['Remote-User:'],
        claims,
        // A proxy that removes what these name would hide the user from the application.
        [...claims, 'Connection: close, Remote-Session'],
        ['Connection: close, Remote-User, Remote_User', 'Remote-User: Admin', 'Remote_User: Admin'],
        ['Connection: remote-user', 'Connection: close, Cookie, Remote-Session'],
        ['X-Forwarded-For: 127.0.0.1, 10.0.0.1', 'X-Forwarded-Uri: //evil.example', 'X-Forwarded-Method: OPTIONS', 'X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: https', 'Forwarded: for=1'],
        ['X-Original-URL: /login', 'X-Rewrite-URL: /login', 'X-Forwarded-User: Admin', 'Authorization: Basic QWRtaW46']
      ]
      for (const attempt of attempts) {
        const { status, body } = await send(port, 'GET', '/', [...attempt, `Cookie: ${harry}`])
        t.equal(status, 200, attempt.join(', '))
        t.match(body, '<h1>Hello Harry Pötter</h1>')
        t.notMatch(body, 'Admin')
        const told = /<pre>.*?\n(.*)<\/pre>/s.exec(body)?.[1]?.split('\n') ?? []
        t.match(told.sort(), [/^Remote-Session: [\w-]{22}$/i, /^Remote-User: Harry%20P%C3%B6tter$/i])
      }

      const before = app.output().length
      for (const attempt of [...attempts, ['Cookie: hatcheck=nonsense'], ['Cookie: a'], [`Cookie: x${harry}`], [`Cookie: ${harry}x`]]) {
        const { status, body } = await send(port, 'GET', '/', attempt)
        t.equal(status, 401, attempt.join(', '))
        t.notMatch(body, REACHED)
      }
      t.equal(app.output().length, before, 'the application got none of the other requests')
    })

    await t.test('the application gets no header of a client that it could take for one of the proxy', async (t) => {
      const seen: Array<Pick<IncomingMessage, 'rawHeaders' | 'rawTrailers'>> = []
      const application = createServer((request, response) => {
        request.resume().on('end', () => {
          seen.push(request)
          response.end()
        })
      })
      application.listen(0, '127.0.0.1')
      await once(application, 'listening')
      t.teardown(() => { application.close() })
      const port = await startBefore((application.address() as AddressInfo).port)
      const cookie = `Cookie: ${await login('Harry')}`
      // PHP, WSGI and CGI cannot tell these from X-Forwarded-For.
      const aliases = ['X_Forwarded_For', 'x.forwarded.for', 'X-Forwarded_For', 'X-Forwarded.For', 'Remote.User', 'HTTP_X'].map((name) => `${name}: Admin`)
      t.equal((await send(port, 'GET', '/', [cookie, ...aliases])).status, 200)
      t.strictSame(seen.pop()?.rawHeaders.filter((_, i, all) => all[i + 1] === 'Admin'), [])

      if (proxy === 'haproxy' && haproxyVersion() < 3.2) return
      // Some servers add the trailers to the header.
      t.equal((await send(port, 'POST', '/', [cookie, 'Transfer-Encoding: chunked'], '1\r\na\r\n0\r\nRemote-User: Admin\r\n\r\n')).status, 200)
      t.strictSame(seen.pop()?.rawTrailers, [])
    })

    if (proxy === 'nginx') {
      await t.test('a request without the header Host, as over HTTP/3, has the host that nginx knows', async (t) => {
        const cookie = `Cookie: ${await login('Harry')}`
        for (const [path, lines, answer] of [['/', [cookie], /^HTTP\/1\.1 200 .*<h1>Hello Harry<\/h1>/s], ['/', ['Accept: text/html'], /^HTTP\/1\.1 303 /], ['/login', [], /^HTTP\/1\.1 200 /]] as const) {
          const socket = openSocket(`http://127.0.0.1:${port}`)
          socket.write([`GET http://localhost${path} HTTP/1.0`, ...lines, '', ''].join('\r\n'))
          t.match(Buffer.from(await allFrom(socket), 'latin1').toString(), answer, path)
        }
      })
    }

    await t.test('no method and no spelling of a path bypasses forward auth', async (t) => {
      const harry = await login('Harry')
      const paths = ['/', '//', '///a', '/a//b', '/%2e%2e/', '/..%2f', '/../a', '/a/../b', '/;x', '/a;x=/login', '/%2f', '/a%00b', '/a%0ab', '/a?/login', '/a%3flogin', '/a#/login', '/LOGIN/x', '/loginx', '/login.html', '/xlogin',
        '/login/../a', '/login/..%2fa', '/login/%2e%2e/a', '/login%2f..%2fa', '/login;/../a', '/login/..;/a', '/login/%2e%2e%2fa', '/login\\..\\a', '/login/./../a', '/login%00/../a', '//login/../a', '/sessions/../a', '/sessions/%2e%2e/a', '/sessions/../../a', '/a/../login',
        '/verify', '/verify?user=', '/hatcheck/verify', '/static/style.css', '/favicon.ico', '/.well-known/x', '/robots.txt', '/healthz', '/%6cogin/%2e%2e/a', `http://localhost:${port}/a`, 'http://evil.example/login', `http://localhost:${port}/login/../a`]
      const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'get', 'X']
      const before = app.output().length
      const open: string[] = []
      for (const path of paths) {
        await Promise.all(methods.map(async (method) => {
          for (const headers of [['Accept: text/html'], ['Origin: https://evil.example', 'Access-Control-Request-Method: GET', 'User-Agent: ELB-HealthChecker/2.0']]) {
            const { body, status } = await send(port, method, path, headers)
            if (body.includes(REACHED) || (status < 300 && !OWN.test(path))) open.push(`${method} ${path}: ${status}`)
          }
        }))
      }
      t.strictSame(open, [], `${paths.length} paths by ${methods.length} methods`)
      t.equal(app.output().length, before, 'the application got none of them')
      for (const path of ['/', '//a', '/a;x=1', '/a%20b', '/x/%2e%2e/b', '/a?next=/login&b']) {
        for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
          const { status, body } = await send(port, method, path, [`Cookie: ${harry}`])
          t.equal(status, 200, `${method} ${path}`)
          t.match(body, `<h1>Hello Harry</h1>\n<pre>${method} /`)
        }
      }
      const { head } = await send(port, 'GET', '/reports?a=1&b=2', ['Accept: text/html', 'X-Forwarded-Uri: //evil.example', 'X-Forwarded-Prefix: //evil.example', 'X-Forwarded-Host: evil.example'])
      t.match(head, /^location: \/login\?next=%2Freports%3Fa%3D1%26b%3D2\r$/im)
      for (const [what, headers, method] of [['a script', ['Accept: */*', 'X-Requested-With: XMLHttpRequest'], 'GET'], ['a program', ['Accept: application/json'], 'GET'], ['a fetch', ['Accept: text/html', 'Sec-Fetch-Mode: cors'], 'GET'], ['a form', ['Accept: text/html'], 'POST']] as const) {
        t.equal((await send(port, method, '/', headers)).status, 401, what)
      }
    })

    await t.test('of two hundred simultaneous requests, each gets its own user, and the cookie signed with the new key', async (t) => {
      const users = await Promise.all(Array.from({ length: 200 }, async (_, i) => ({ name: `user${i}`, cookie: await login(`user${i}`) })))
      const ask = async (cookie: string): Promise<{ name: string | undefined, renewed: string[] }> => {
        // Caddy refuses a request whose user it has lost under load: see its example.
        let answer
        for (let tries = 0; tries < 5 && (answer === undefined || answer.statusCode === 503); tries++) answer = await new Client(url).get('/', { cookie })
        const { body = '', headers = {} } = answer ?? {}
        return { name: /<h1>Hello (.*)<\/h1>/.exec(body)?.[1], renewed: [headers['set-cookie'] ?? []].flat() }
      }
      const wrong: string[] = []
      for (let round = 0; round < 3; round++) {
        await Promise.all(users.map(async ({ name, cookie }) => {
          const seen = await ask(cookie)
          if (seen.name !== name || seen.renewed.length > 0) wrong.push(`${name}: ${JSON.stringify(seen)}`)
        }))
      }
      t.strictSame(wrong, [])

      const keys = join(folder, 'data/secret.key')
      writeFileSync(keys, `${newSecret()}\n${readFileSync(keys, 'utf8')}`)
      hatcheck.child.kill('SIGHUP')
      const [{ name = '', cookie = '' } = {}] = users
      let seen = await ask(cookie)
      await until('a cookie is signed anew', async () => (seen = await ask(cookie)).renewed.length > 0)
      t.match(seen, { name, renewed: [/^hatcheck=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/] })
      t.equal(seen.renewed.length, 1)
      t.strictSame(await ask(String(seen.renewed[0]).split(';')[0] ?? ''), { name, renewed: [] })
    })

    await t.test('only the listed users are admitted, if the configuration has a list', async (t) => {
      const forSome = await startFor('sally,J%C3%BCrgen')
      for (const [name, status] of [['Sally', 200], ['Jürgen', 200], ['Harry', 403]] as const) {
        const { statusCode, body } = await new Client(forSome).get('/?user=Harry', { cookie: await login(name) })
        t.equal(statusCode, status, name)
        t.equal(body.includes(REACHED), status === 200)
      }
      t.equal((await new Client(forSome).get('/')).statusCode, 401)
    })

    await t.test('a browser whose cookie has a former name gets the current one, and loses the former one after that', async (t) => {
      const browser = new Client(url)
      const [name = '', ticket = ''] = (await login('Harry')).split('=')
      browser.cookies.set(name, ticket)
      await hatcheck.end()
      const renamed = await restart({ SESSION_COOKIE_NAME: 'renamed', FORMER_COOKIE_NAMES: name, REALM: 'hatcheck' })
      for (const cookies of [[name, 'renamed'], ['renamed'], ['renamed']]) {
        t.match((await browser.get('/')).body, '<h1>Hello Harry</h1>')
        t.strictSame([...browser.cookies.keys()], cookies)
      }
      await renamed.end()
    })

    await t.test('while hatcheck or its store is down, no request reaches the application', async (t) => {
      await hatcheck.end('SIGKILL')
      const redis = await startRedis(t)
      const onRedis = await restart({ SESSION_STORE: redis.url })
      const cookie = await login('Harry', redis.url)
      const ask = async (path: string, headers: Record<string, string> = {}): Promise<{ status: number, reached: boolean, cookies: string[] }> => {
        const answer = await new Client(url).get(path, { cookie, ...headers })
        return { status: answer.statusCode, reached: answer.body.includes(REACHED), cookies: [answer.headers['set-cookie'] ?? []].flat() }
      }
      t.match(await ask('/'), { status: 200, reached: true })
      const before = app.output().length
      await redis.stop()
      for (const headers of [{}, { accept: 'text/html' }, { 'remote-user': 'Harry' }]) t.strictSame(await ask('/', headers), { status: 503, reached: false, cookies: [] }, 'the store is down')
      await redis.start()
      let again = ''
      await until('requests are admitted again', async () => {
        // A Redis without persistence has lost the session.
        again = await login('Harry', redis.url)
        return again !== '' && (await ask('/', { cookie: again })).status === 200
      })
      const opened = app.output().length
      t.ok(opened > before)
      await onRedis.end('SIGKILL')
      for (const path of ['/', '/a', '/login']) {
        const { status, reached } = await ask(path, { cookie: again })
        t.ok([502, 503].includes(status), `hatcheck is down: ${status}`)
        t.notOk(reached)
      }
      t.equal(app.output().length, opened, 'the application got no request')
      await restart({ SESSION_STORE: redis.url })
      await until('requests are admitted again', async () => (await ask('/', { cookie: again })).status === 200)
    })
  })
}

test('the application of the examples ends a connection with a body that it cannot read, so that nothing of it counts as a request', needs('python3'), async (t) => {
  const port = await freePort()
  const app = spawn('python3', [join(checkout, 'examples/app.py'), String(port)], { stdio: 'ignore' })
  t.teardown(() => app.kill())
  await until('it listens', () => isOpen(port))
  const socket = openSocket(`http://127.0.0.1:${port}`)
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const answers = await allFrom(socket)
  t.match(answers, /^HTTP\/1\.1 200 /)
  t.match(answers, /^Connection: close\r$/m, 'a proxy uses the connection for no other request')
  t.match(answers, /<\/form>\n$/, 'there is one answer')
})

const twoServers = needs('nginx', 'redis-server')

test('nginx: with two services on one Redis either can stop without a failed request', twoServers, async (t) => {
  const [folder, redis, port, ports] = [fastFolder(t), await startRedis(t), await freePort(), [await freePort(), await freePort()] as const]
  const app = createServer((request, response) => { response.end(REACHED + String(request.headers['remote-user'])) })
  // Longer than nginx keeps a connection to the application.
  app.keepAliveTimeout = 72_000
  app.listen(0, '127.0.0.1')
  await once(app, 'listening')
  t.teardown(() => { app.close() })
  const env = { SESSION_STORE: redis.url, SECRET_KEY: newSecret(), SIGNUP: 'open', TRUST_PROXY: '127.0.0.1', LOG_LEVEL: 'info' }
  const startAt = (index: 0 | 1): Promise<Service> => startService(t, folder, { ...env, PORT: String(ports[index]) })
  const [first, second] = [await startAt(0), await startAt(1)]
  const conf = readFileSync(join(checkout, 'examples/nginx/hatcheck.conf'), 'utf8')
    .replace('# server 127.0.0.1:3002', 'server 127.0.0.1:3002')
    .replace(':3000 ', `:${ports[0]} `)
    .replace(':3002 ', `:${ports[1]} `)
    .replace(':3001;', `:${(app.address() as AddressInfo).port};`)
    .replace(':8080;', `:${port};`)
  // Below the level alert, nginx logs each request that it retries at the other service.
  await startNginx(t, { http: `error_log stderr alert;\n${conf}`, server: '' })
  const url = `http://localhost:${port}`
  const failures: string[] = []
  let requests = 0
  const ask = async (path: string, cookie: string, form?: Record<string, string>): Promise<{ cookie: string, body: string }> => {
    requests++
    const client = new Client(url)
    try {
      const { statusCode, body } = await (form === undefined ? client.get(path, { cookie }) : client.post(path, form, { cookie }))
      if (statusCode >= 400) failures.push(`${path}: ${statusCode} ${body}`)
      return { cookie: client.cookie(), body }
    } catch (error) {
      failures.push(`${path}: ${String(error)}`)
      return { cookie: '', body: '' }
    }
  }
  const login = async (name: string): Promise<string> => (await ask('/login', '', { client_name: name, password: 'correct horse battery' })).cookie

  const harry = await login('Harry')
  for (const { url } of [first, second]) t.equal((await new Client(url).get('/verify', { cookie: harry })).statusCode, 204, 'a login at one service is known at the other')

  const over = new AbortController()
  const visitors = Array.from({ length: 6 }, async (_, i) => {
    const name = `visitor${i}`
    while (!over.signal.aborted) {
      const cookie = await login(name)
      if (cookie === '') return
      for (let n = 0; n < 10; n++) {
        const { body } = await ask('/', cookie)
        if (body !== REACHED + name) failures.push(`${name} is taken for somebody else: ${body}`)
        await pause(5)
      }
      await ask('/logout', cookie, {})
    }
  })
  t.teardown(() => { over.abort() })
  const serves = async (service: Service): Promise<void> => {
    const before = service.output().length
    await until('it serves', () => service.output().length > before + 10_000)
  }
  await serves(first)
  t.equal(await first.end('SIGTERM'), 0)
  t.strictSame(failures.splice(0), [], `${requests} requests, during which one was stopped`)
  const third = await startAt(0)
  await serves(third)
  requests = 0
  t.equal(await second.end('SIGKILL'), 'SIGKILL')
  await serves(third)
  over.abort()
  await Promise.all(visitors)
  t.strictSame(failures, [], `${requests} requests, during which one was killed`)
  t.equal((await ask('/', harry)).body, `${REACHED}Harry`)
  t.equal(await third.end(), 0)
})

interface Program {
  child: ChildProcess
  output: () => string
  end: (signal?: NodeJS.Signals) => Promise<void>
}

/** An example in a copy of its files with other ports, started by the commands of its README. */
async function start (t: Test, proxy: Proxy) {
  const folder = t.testdir()
  const ports: Record<string, number> = { 3000: await freePort(), 3001: await freePort(), 8080: await freePort() }
  const moved = (text: string): string => text.replaceAll(/(?<=[ :])(?:3000|3001|8080)\b/g, (port) => String(ports[port]))
  cpSync(join(checkout, 'examples'), join(folder, 'examples'), { recursive: true })
  for (const file of readdirSync(join(folder, 'examples', proxy))) {
    const path = join(folder, 'examples', proxy, file)
    writeFileSync(path, moved(readFileSync(path, 'utf8')))
  }
  const readme = readFileSync(join(folder, 'examples', proxy, 'README.md'), 'utf8')
  const [installation = '', hatcheckLine = '', appLine = '', proxyLine = '', walk = '', ...rest] = blocksOf(readme, 'sh')
  if (rest.length > 0 || !installation.startsWith('npm ci\n')) throw new Error('the README has other blocks of commands')
  const environment = { PATH: process.env['PATH'], HOME: join(folder, 'home'), PORT: String(ports[3000]), no_proxy: '*' }
  const here = (command: string): string => command
    .replaceAll('npm ci', '')
    .replaceAll('npx hatcheck', `${NODE} "${compiled('cli')}"`)
    .replace('npm start', `exec ${NODE} "${compiled('server')}"`)
    .replace(/examples\/app\.py\n/, `examples/app.py ${ports[3001]}\n`)
    .replace(/^(?=python3|nginx|caddy|haproxy)/m, 'exec ')

  const run = (command: string): Promise<string> => new Promise((resolve) => {
    execFile('bash', ['--norc', '-c', here(command)], { cwd: folder, env: environment, timeout: 30_000 }, (_error, stdout, stderr) => { resolve(stdout + stderr) })
  })
  const launch = async (command: string, port = 0, env: Record<string, string> = {}): Promise<Program> => {
    // Each Caddy has its own admin address, so that `caddy reload` reaches the right one.
    env = { ADMIN: `localhost:${await freePort()}`, ...env }
    const child = spawn('bash', ['--norc', '-c', here(command)], { cwd: folder, env: { ...environment, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'close')
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
    const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
      child.kill(signal)
      await ended
    }
    t.teardown(() => end())
    await until(`${command} listens`, async () => {
      if (child.exitCode !== null) throw new Error(`${command} ended:\n${output}`)
      return await isOpen(port)
    })
    return { child, output: () => output, end }
  }
  t.match(await run(installation), 'harry can log in now.')
  const restart = (env: Record<string, string> = {}): Promise<Program> => launch(hatcheckLine, ports[3000], env)
  const [hatcheck, app] = await Promise.all([restart(), launch(appLine, ports[3001])])
  await launch(proxyLine, ports[8080])
  /** Starts the same proxy with a changed configuration. Returns its port. */
  const startCopy = async (what: string, change: (text: string) => string): Promise<number> => {
    const port = await freePort()
    const copy = `examples/${proxy}-${what}`
    cpSync(join(folder, 'examples', proxy), join(folder, copy), { recursive: true, filter: (path) => !/temp_|\.pid$/.test(path) })
    for (const file of ['hatcheck.conf', 'Caddyfile', 'haproxy.cfg'].map((name) => join(folder, copy, name)).filter(existsSync)) {
      writeFileSync(file, change(readFileSync(file, 'utf8').replaceAll(`:${ports[8080]}`, `:${port}`)))
    }
    await launch(proxyLine.replace(`examples/${proxy}`, copy), port)
    return port
  }
  /** Makes the changes that the comments describe for a list of users. Returns its address. */
  const startFor = async (names: string): Promise<string> => {
    const rule = /^(\s*(?:proxy_pass http:\/\/hatcheck|uri|http-request lua\.ask_hatcheck)\s?\/verify)(?:\?$|(?=[; ]))/m
    return `http://localhost:${await startCopy('for-some', (text) => text.replace(rule, `$1?user=${names}`))}`
  }
  /** Puts the proxy before another application. Returns its port. */
  const startBefore = (app: number): Promise<number> => startCopy('before-another', (text) => text.replaceAll(`:${ports[3001]}`, `:${app}`))
  const port = ports[8080] as number
  // A second process on the same store and key, since password hashing is slow.
  const hosts = new Map<string, FastifyInstance>()
  const login = async (name: string, sessionStore = 'lmdb:'): Promise<string> => {
    let host = hosts.get(sessionStore)
    if (host === undefined) {
      host = await buildHost(t, { secretKey: undefined, secretKeyFile: join(folder, 'data/secret.key'), dataDir: join(folder, 'data'), sessionStore }, { logger: false })
      host.post('/login', async (request) => { await request.login((request.body as { name: string }).name) })
      hosts.set(sessionStore, host)
    }
    const client = new Client(host)
    await client.send({ method: 'POST', url: '/login', payload: { name } })
    return client.cookieHeader
  }
  return { folder, port, url: `http://localhost:${port}`, walk: stepsOf(walk), run, login, hatcheck, app, restart, startFor, startBefore }
}

/** Returns the version as a number, such as 3.2. */
function haproxyVersion (): number {
  return Number(/version (\d+\.\d)/.exec(execFileSync('haproxy', ['-v'], { encoding: 'utf8' }))?.[1])
}

async function isOpen (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    return await new Promise<boolean>((resolve) => socket.once('connect', () => { resolve(true) }).once('error', () => { resolve(false) }))
  } finally {
    socket.destroy()
  }
}

/** Sends one request exactly as given, with lines that no HTTP client would send, and reads the answer up to the end of the connection. */
async function send (port: number, method: string, path: string, headers: readonly string[], body = ''): Promise<{ status: number, head: string, body: string }> {
  const closing = headers.some((line) => line.startsWith('Connection:')) ? [] : ['Connection: close']
  const socket = openSocket(`http://127.0.0.1:${port}`)
  const length = body === '' ? ['Content-Length: 0'] : []
  socket.write([`${method} ${path} HTTP/1.1`, `Host: localhost:${port}`, ...length, ...closing, ...headers, '', body].join('\r\n'))
  const text = Buffer.from(await allFrom(socket), 'latin1').toString()
  const end = text.indexOf('\r\n\r\n')
  return { status: Number(text.slice(9, 12)), head: text.slice(0, end + 2), body: text.slice(end + 4) }
}
