import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap, { test, type Test } from 'tap'
import { Client, userOf } from './clients/client.js'
import { allFrom, openSocket, statusLines } from './clients/raw-client.js'
import { needs, testKey } from './helper.js'
import { checkout, fixture, preloading, startProgram } from './processes/child.js'
import { Curl, hatcheckProcess, startService, type CurlAnswer, type Service } from './processes/service.js'
import { until } from './time/loop-clock.js'

// Some fifty services are started here, one after another.
tap.setTimeout(600_000)

const curl = needs('curl')

const JSON_TYPE = ['-H', 'Content-Type: application/json']
const WANTS_JSON = ['-H', 'Accept: application/json']

/** The output of all services of this file, and the secrets that must not be in it. */
const running: Service[] = []
const secrets = new Set<string>(['12345678', 'another password', '87654321', 'a longer password of Sally'])

async function start (t: Test, folder: string, env: Record<string, string> = {}): Promise<Service> {
  const service = await startService(t, folder, { LOG_LEVEL: 'trace', ...env })
  running.push(service)
  return service
}

/** Remembers the tickets of a jar as secrets that no log may show. */
function noteTickets (jar: string): string[] {
  const tickets = [...readFileSync(jar, 'utf8').matchAll(/\t(?:__Host-)?hatcheck\t(\S+)$/gm)].map(([, ticket]) => ticket as string)
  for (const ticket of tickets) {
    secrets.add(ticket)
    for (const part of ticket.split('.')) secrets.add(part)
  }
  return tickets
}

test('after the logout, a copy of the cookie jar grants no access on any route', curl, async (t) => {
  const folder = t.testdir()
  const { url } = await start(t, folder)
  const harry = new Curl(folder, 'harry.jar')
  await harry.post(`${url}/login`, { client_name: 'Harry', password: '12345678' })
  const [ticket] = noteTickets(harry.jar)
  const jar = readFileSync(harry.jar)
  await harry.send(`${url}/logout`)
  t.equal(noteTickets(harry.jar).length, 0, 'the cookie is removed')

  for (const path of ['/', '/login', '/session', '/session/client_name', '/sessions', '/verify', '/logout']) {
    for (const accept of [[], WANTS_JSON]) {
      const thief = new Curl(folder, 'thief.jar')
      writeFileSync(thief.jar, jar)
      const answer = await thief.send(...accept, `${url}${path}`)
      t.notMatch(answer.body, 'Harry', `GET ${path}`)
      t.notMatch(Object.values(answer.headers).join(), 'Harry', `GET ${path}`)
      if (path === '/verify') t.not(answer.status, 204)
      if (path === '/login') t.equal(answer.status, 200, 'the form, not a redirect')
      t.notMatch(answer.headers['set-cookie'] ?? '', ticket as string, `GET ${path}`)
    }
  }
  const thief = new Curl(folder, 'thief.jar')
  writeFileSync(thief.jar, jar)
  t.match((await thief.send(`${url}/`)).body, 'You are not logged in')
})

test('an invalid request is refused with the matching status', curl, async (t) => {
  const folder = t.testdir()
  const { url } = await start(t, folder)
  const harry = new Curl(folder, 'harry.jar')
  await harry.post(`${url}/login`, { client_name: 'Harry', password: '12345678' })
  noteTickets(harry.jar)
  const other = new Curl(folder, 'other.jar')

  const wrong = await other.post(`${url}/login`, { client_name: 'Harry', password: 'another password' })
  t.equal(wrong.status, 401, 'a second login of Harry with another password')
  t.equal(wrong.headers['set-cookie'], undefined)
  t.equal((await other.send(...WANTS_JSON, ...JSON_TYPE, '-d', '{"client_name":"Harry","password":"87654321"}', `${url}/login`)).status, 401)
  t.equal((await other.post(`${url}/login`, { client_name: 'Harry', password: '' })).status, 400)
  t.equal((await other.send(...JSON_TYPE, '-d', '{"client_name":"Harry",', `${url}/login`)).status, 400, 'malformed JSON')
  t.equal((await other.send('-H', 'Content-Type: application/xml', '-d', '<name>Harry</name>', `${url}/login`)).status, 415)

  const unknown = await other.send(`${url}/no/such/page`)
  t.equal(unknown.status, 404)
  t.equal(unknown.headers['set-cookie'], undefined)
  t.match(await (await harry.send(`${url}/`)).body, 'Harry Your account is logged in.', 'and Harry is still logged in')
})

test('an address that cannot be decoded, or has too long a part, gets an ordinary error', curl, async (t) => {
  const folder = t.testdir()
  const { url } = await start(t, folder)
  const caller = new Curl(folder, 'caller.jar')
  for (const path of ['/%zz', '/%', '/%c3%28', '/%zz%3Cscript%3E']) {
    const answer = await caller.send('--path-as-is', `${url}${path}`)
    t.equal(answer.status, 400, path)
    t.match(answer.headers, { 'content-type': /^application\/problem\+json/, 'x-content-type-options': 'nosniff', 'content-security-policy': /default-src 'none'/ })
    const page = await caller.send('--path-as-is', '-H', 'Accept: text/html', `${url}${path}`)
    t.match(page.headers['content-type'], /^text\/html/)
    t.notMatch(page.body, '<script>')
  }
  const { status, body } = await caller.send(`${url}/session/${'x'.repeat(101)}?query`)
  t.match([status, JSON.parse(body)], [414, { detail: 'A part of this address is longer than 100 characters.' }])
})

test('a body of 2 MiB is refused with 413', curl, async (t) => {
  const folder = t.testdir({ 'large.txt': `client_name=Harry&password=${'x'.repeat(2 * 1024 * 1024)}` })
  const { url } = await start(t, folder)
  const harry = new Curl(folder, 'harry.jar')
  t.equal((await harry.send('--data-binary', '@large.txt', `${url}/login`)).status, 413)
  t.equal((await harry.send('--data-binary', '@large.txt', ...JSON_TYPE, `${url}/login`)).status, 413)
  t.equal((await harry.send('--data-binary', '@large.txt', '-H', 'Transfer-Encoding: chunked', `${url}/login`)).status, 413)
  t.equal((await harry.send(`${url}/`)).status, 200, 'and the service continues')
})

test('the password can come as pwd, the field name in the article', curl, async (t) => {
  const folder = t.testdir()
  const { url } = await start(t, folder)
  const harry = new Curl(folder, 'harry.jar')
  t.equal((await harry.post(`${url}/login`, { client_name: 'Harry', pwd: '12345678' })).status, 303)
  noteTickets(harry.jar)
  t.match((await harry.send(`${url}/`)).body, 'Harry Your account is logged in.')
  const other = new Curl(folder, 'other.jar')
  t.equal((await other.post(`${url}/login`, { client_name: 'Harry', pwd: 'another password' })).status, 401)
})

test('the first lines name the address, the store and the mode, and come soon', async (t) => {
  const folder = t.testdir()
  const demo = await start(t, folder)
  t.match(demo.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.match(demo.output(), `store: lmdb:${join(folder, 'data', 'lmdb')}`)
  t.match(demo.output(), 'mode: demo')
  t.comment(`the address was there after ${Math.round(demo.startedInMs)} ms`)
  t.ok(demo.startedInMs < 5_000)

  const service = await start(t, folder, { SECRET_KEY: testKey, SIGNUP: 'closed', SESSION_STORE: 'memory:' })
  t.match(service.output(), 'store: memory:')
  t.match(service.output(), 'mode: service; signup is closed')
  t.notMatch(service.output(), testKey)
})

test('the start loads no package that only some requests or stores need', async (t) => {
  const env = { NODE_OPTIONS: preloading(fixture('loaded-packages.js')), SESSION_STORE: 'memory:' }
  const loadedBy = ({ output }: Service): string[] => /loaded: (.*)/.exec(output())?.[1]?.split(' ') ?? []
  const documentation = ['@fastify/swagger', 'yaml']
  const others = ['ajv', '@node-rs/argon2', '@zxcvbn-ts/language-common', 'bowser', 'ioredis', 'lmdb', 'prom-client']

  const unused = await startService(t, t.testdir(), env)
  await unused.end()
  t.ok(loadedBy(unused).includes('fastify'))
  t.strictSame(loadedBy(unused).filter((name) => documentation.includes(name) || others.includes(name)), [])

  const used = await startService(t, t.testdir(), env)
  t.equal((await fetch(`${used.url}/openapi.json`)).status, 200)
  await used.end()
  t.strictSame(loadedBy(used).filter((name) => documentation.includes(name) || others.includes(name)), documentation)
})

test('users stay logged in after a kill -9 and a restart', curl, async (t) => {
  const folder = t.testdir()
  const first = await start(t, folder)
  const harry = new Curl(folder, 'harry.jar')
  await harry.post(`${first.url}/login`, { client_name: 'Harry', password: '12345678' })
  noteTickets(harry.jar)
  t.equal(await first.end('SIGKILL'), 'SIGKILL')
  const second = await start(t, folder)
  t.match((await harry.send(`${second.url}/`)).body, 'Harry Your account is logged in.')
  t.equal((await harry.post(`${second.url}/login`, { client_name: 'Harry', password: 'another password' })).status, 401, 'the account is there too')
})

test('after SIGTERM, requests under way are answered, and the exit code is 0', async (t) => {
  const folder = t.testdir()
  const service = await start(t, folder)
  // It is certainly under way, however fast the others are.
  const body = 'client_name=slow&password=12345678'
  const slow = openSocket(service.url)
  slow.write(`POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`)
  const logins = Array.from({ length: 16 }, async (_, index) => {
    const client = new Client(service.url)
    const { statusCode } = await client.login(`user ${index}`)
    for (const part of (client.cookies.get('hatcheck') ?? '').split('.')) secrets.add(part)
    return { statusCode, cookie: client.cookie() }
  })
  await until('the requests are under way', () => service.output().split('"incoming request"').length > logins.length + 1)
  const ending = service.end('SIGTERM')
  await until('it stops', () => service.output().includes('SIGTERM received'))
  slow.write(body.slice(-1))
  const [slowAnswer] = statusLines(await allFrom(slow))
  t.equal(slowAnswer, '303 See Other')
  const answers = await Promise.all(logins)
  t.same(answers.map(({ statusCode }) => statusCode), logins.map(() => 303))
  t.equal(await ending, 0)
  await t.rejects(fetch(service.url))

  const again = await start(t, folder)
  for (const [index, { cookie }] of answers.entries()) t.equal(await userOf(again.url, cookie), `user ${index}`)
  t.equal(await again.end('SIGINT'), 0)
})

test('the command line works on the data of the running service', curl, async (t) => {
  const folder = t.testdir()
  const env = { SECRET_KEY: testKey, SIGNUP: 'closed' }
  const cli = (args: string[], input?: string) => hatcheckProcess(folder, args, { env, ...input !== undefined && { input } })
  const { url } = await start(t, folder, env)
  const sally = new Curl(folder, 'sally.jar')
  const login = (password: string): Promise<CurlAnswer> => sally.post(`${url}/login`, { client_name: 'Sally', password })

  t.equal((await login('a longer password of Sally')).status, 401, 'a visitor cannot sign up where signup is closed')
  const added = await cli(['user', 'add', 'Sally'], 'a longer password of Sally\n')
  t.equal(added.code, 0, added.stderr)
  t.equal((await login('a longer password of Sally')).status, 303)
  noteTickets(sally.jar)
  t.match((await sally.send(`${url}/`)).body, 'Sally Your account is logged in.')
  t.match((await cli(['user', 'list'])).stdout, /^Sally\t/m)

  const changed = await cli(['user', 'passwd', 'Sally'], 'quite another password\n')
  t.equal(changed.code, 0, changed.stderr)
  secrets.add('quite another password')
  t.match((await sally.send(`${url}/`)).body, 'You are not logged in', 'a new password ends the session')
  t.equal((await login('a longer password of Sally')).status, 401)
  t.equal((await login('quite another password')).status, 303)
  noteTickets(sally.jar)

  t.equal((await cli(['user', 'disable', 'Sally'])).code, 0)
  t.match((await sally.send(`${url}/`)).body, 'You are not logged in', 'disabled: the session has ended at the next request')
  t.equal((await login('quite another password')).status, 401)
  t.match((await cli(['user', 'list'])).stdout, /^Sally\t.*disabled$/m)
  t.equal((await cli(['user', 'enable', 'Sally'])).code, 0)
  t.equal((await login('quite another password')).status, 303)
  noteTickets(sally.jar)
})

test('demo mode answers this machine only', curl, async (t) => {
  const folder = t.testdir()
  const { url } = await start(t, folder)
  const caller = new Curl(folder, 'caller.jar')
  const strange = [
    'Host: hatcheck.example.com', 'Host: 127.0.0.1.example.com', 'Host: localhost.example.com', 'Host: example.com:127', 'Host: 192.0.2.1', 'Host: 0.0.0.0', 'Host;',
    'X-Forwarded-For: 192.0.2.1', 'X-Forwarded-Host: localhost', 'X-Forwarded-Proto: https', 'X-Real-IP: 192.0.2.1', 'Forwarded: for=192.0.2.1', 'Via: 1.1 proxy'
  ]
  for (const header of strange) {
    for (const args of [[`${url}/`], [`${url}/login`], ['-d', 'client_name=Mallory&password=12345678', `${url}/login`], [`${url}/no/such/page`]]) {
      const answer = await caller.send('-H', header, ...WANTS_JSON, ...args)
      t.equal(answer.status, 403, `${header} → ${args.at(-1)?.slice(url.length)}`)
      t.equal(answer.headers['set-cookie'], undefined)
      if (header === strange[0]) {
        t.match(JSON.parse(answer.body), { code: 'HATCHECK_DEMO_MODE', detail: /demo mode.*SECRET_KEY.*SIGNUP.*TRUST_PROXY/ })
      }
    }
  }
  const { port } = new URL(url)
  for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, '127.0.0.2', '[::1]', `[::1]:${port}`, 'app.localhost:80']) {
    t.equal((await caller.send('-H', `Host: ${host}`, `${url}/`)).status, 200, host)
  }
})

test('the service starts where its packages are behind symbolic links, as pnpm lays them out', async (t) => {
  const folder = t.testdir()
  for (const name of ['package.json', 'dist']) cpSync(join(checkout, name), join(folder, name), { recursive: true })
  symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'))
  const { address, stop } = await startProgram(process.execPath, ['dist/server.js'], folder)
  t.equal((await new Client(address).get('/healthz')).statusCode, 200)
  t.equal(await stop(), 0)
})

test('the logs of all these services have no password, cookie or session ID', async (t) => {
  const log = running.map((service) => service.output()).join('')
  t.match(log, '"incoming request"')
  t.ok(secrets.size > 10)
  for (const secret of secrets) t.notOk(log.includes(secret), 'the secret is not in the log')
  t.notMatch(log, /\$argon2/)
  t.same(log.trimEnd().split('\n').filter((line) => !/^\{"level":.*\}$/.test(line)), [], 'every line is JSON')
})
