import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { loadDotEnv } from '../plugins/config/dot-env.js'
import { readEnvironment } from '../plugins/config/environment.js'
import { buildFrom } from './apps/configured.js'
import { exchange } from './clients/raw-client.js'
import { testKey } from './helper.js'
import { fixture, preloading } from './processes/child.js'
import { hatcheckProcess, runServer, startService } from './processes/service.js'
import { until } from './time/loop-clock.js'

const GOOD_ONE = '"npx hatcheck secret" prints a good one.'

test('an invalid environment variable stops the start, with its rule as the message', async (t) => {
  const rules: Array<[Record<string, string>, string]> = [
    ...['abc', '3.5', '1e3', '0x10', '0b1', '+80', '3_000', '3 000', '３０００', '-', '80,81', 'Infinity'].map((PORT): [Record<string, string>, string] =>
      [{ PORT }, `PORT must be an integer; got "${PORT}".`]),
    [{ PORT: '-1' }, 'PORT must be at least 0; got "-1".'],
    [{ PORT: '65536' }, 'PORT must be at most 65535; got "65536".'],
    [{ PORT: '9'.repeat(20) }, 'PORT must be at most 65535; got "99999999999999999999".'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent; got "loud".'],
    [{ REQUEST_LOG: 'no' }, 'REQUEST_LOG must be one of on, off; got "no".'],
    [{ AUDIT_LOG: 'info' }, 'AUDIT_LOG must be one of on, off; got "info".'],
    [{ TRUST_PROXY: 'true' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "true".'],
    [{ TRUST_PROXY: '1' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "1".'],
    [{ TRUST_PROXY: '10.0.0.7, proxy.example.com' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "proxy.example.com".'],
    ...['10.0.0.0/8/9', '10.0.0.0/', '10.0.0.0/255.0.0.0', '10.0.0.0/1e1', '10.1', '::1/129', '[::1]', 'Loopback', 'fe80::1%br-lan', 'fe80::1%eth0.100', 'fe80::%br-lan/64'].map((range): [Record<string, string>, string] =>
      [{ TRUST_PROXY: range }, `TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "${range}".`]),
    [{ TRUST_PROXY: '10.0.0.0/33' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "10.0.0.0/33".'],
    ...['0.0.0.0/0', '::/0', '0.0.0.0/00', '::ffff:0:0/0', '::ffff:0:0/96', '::ffff:10.0.0.7/96', '0.0.0.0/1,128.0.0.0/1', '0.0.0.0/1,10.0.0.0/8,128.0.0.0/1', '128.0.0.0/1, loopback, ::ffff:0.0.0.0/97', '192.0.0.0/2,10.0.0.0/1,128.0.0.0/2', '::/1,8000::/1', '::/2,4000::/2,8000::/2,c000::/2'].map((TRUST_PROXY): [Record<string, string>, string] =>
      [{ TRUST_PROXY }, 'TRUST_PROXY must not cover every address, or any client could forge its own: name the addresses of the proxies.']),
    ...['0.0.0.0', '::', '192.0.2.1', 'hatcheck.example.com', 'localhost.example.com'].map((HOST): [Record<string, string>, string] =>
      [{ HOST }, `HOST=${HOST} can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. ${GOOD_ONE}`]),
    ...['127.0.0.1:3000', 'localhost:3000', '[::1]:3000', 'http://127.0.0.1', '127.1', '127.0.0.256', '1', '/tmp/x.sock', 'bob@127.0.0.1', 'a b', '[127.0.0.1]'].map((HOST): [Record<string, string>, string] =>
      [{ HOST, SECRET_KEY: testKey }, `HOST must be an address or a host name, without a port; got "${HOST}".`]),
    [{ METRICS_PORT: '70000' }, 'METRICS_PORT must be at most 65535; got "70000".'],
    [{ WORKERS: '0' }, 'WORKERS must be at least 1; got "0".'],
    [{ WORKERS: '65' }, 'WORKERS must be at most 64; got "65".'],
    [{ WORKERS: 'auto' }, 'WORKERS must be an integer number of processes; got "auto".'],
    ...['memory:', 'cookie:memory:', 'flask:memory:'].map((SESSION_STORE): [Record<string, string>, string] =>
      [{ WORKERS: '2', SESSION_STORE }, 'WORKERS must be 1 with SESSION_STORE=memory:, or each process would have its own sessions.']),
    [{ METRICS_PORT: '3000' }, 'METRICS_PORT must be another port than PORT, so that users cannot read the metrics. Both are 3000.'],
    [{ HOST: '0.0.0.0', SECRET_KEY: '  ', SIGNUP: 'closed' }, `HOST=0.0.0.0 can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. ${GOOD_ONE}`]
  ]
  for (const [env, rule] of rules) t.throws(() => readEnvironment(env), { code: 'HATCHECK_CONFIG', message: rule })
})

test('an empty environment and one with every variable can be read', async (t) => {
  t.same(readEnvironment({}), { host: '127.0.0.1', port: 3000, workers: 1, logLevel: 'info', requestLog: true, auditLog: true, trustProxy: false, mode: 'demo', options: {} })
  for (const [HOST, host] of [['[::1]', '::1'], ['::1', '::1'], ['[::]', '::'], ['fe80::1%eth0', 'fe80::1%eth0'], ['localhost', 'localhost'], ['db_1.example', 'db_1.example'], ['bücher.example.', 'bücher.example.']]) t.equal(readEnvironment({ HOST, SECRET_KEY: testKey }).host, host)
  t.match(readEnvironment({ LOG_LEVEL: 'warn', REQUEST_LOG: 'off' }), { requestLog: false, auditLog: true })
  t.match(readEnvironment({ LOG_LEVEL: 'silent' }), { auditLog: false })
  t.match(readEnvironment({ LOG_LEVEL: 'silent', AUDIT_LOG: 'on' }), { auditLog: true })
  t.match(readEnvironment({ AUDIT_LOG: 'off' }), { auditLog: false })
  for (const env of [{ WORKERS: '64' }, { WORKERS: '1', SESSION_STORE: 'memory:' }]) t.equal(readEnvironment(env).workers, Number(env.WORKERS))
  t.match(readEnvironment({ PORT: '0', METRICS_PORT: '0' }), { port: 0, metricsPort: 0 }, 'any two')
  t.match(readEnvironment({ PORT: '0080', SESSION_LIFETIME: '7200' }), { port: 80 })
  t.same(readEnvironment({ HOST: '', PORT: ' ', SECRET_KEY: '' }), readEnvironment({}), 'an empty variable counts as not set')
  t.same(readEnvironment({ PREFIX: '/usr/local', ROUTES: 'login', LOGIN_PATH: '/sign-in', DECORATORS: 'none' }), readEnvironment({}), 'an option of the plugin is none of the service')
  t.match(readEnvironment({
    HOST: '0.0.0.0', PORT: '8080', LOG_LEVEL: 'warn', TRUST_PROXY: '10.0.0.7, fd00::/8,loopback', SECRET_KEY: ` ${testKey} `, SESSION_COOKIE_SAMESITE: 'Strict', PASSWORD_MIN_LENGTH: '20', SESSIONS_PER_USER: '5'
  }), {
    host: '0.0.0.0',
    port: 8080,
    logLevel: 'warn',
    trustProxy: ['10.0.0.7', 'fd00::/8', 'loopback'],
    mode: 'service',
    options: { secretKey: testKey, sessionCookieSecure: 'true', sessionCookieSamesite: 'Strict', passwordMinLength: '20', sessionsPerUser: '5' }
  })
})

test('the service says in one line what is wrong and ends with exit code 1', async (t) => {
  const folder = t.testdir({ file: 'not a folder', twice: `${testKey}\n${testKey}\n` })
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  const { port } = taken.address() as AddressInfo
  const cases: Array<[Record<string, string>, RegExp]> = [
    [{ SECRET_KEY: 'hunter2' }, /SECRET_KEY must be at least 32 bytes long, but is 7\. "npx hatcheck secret" prints a good one\./],
    [{ DATA_DIR: 'file/data' }, /The data folder cannot be written \(DATA_DIR, SESSION_STORE\): ENOTDIR.*/],
    [{ PORT: String(port) }, /HOST must be an address of this machine, and PORT a free port that this user can open: listen EADDRINUSE: address already in use 127\.0\.0\.1:\d+\./],
    [{ HOST: '203.0.113.5', SECRET_KEY: testKey }, /HOST must be an address of this machine, and PORT a free port that this user can open: listen EADDRNOTAVAIL: address not available 203\.0\.113\.5\./],
    [{ HOST: '203.0.113.5', METRICS_PORT: '0', SECRET_KEY: testKey }, /HOST must be an address of this machine, and METRICS_PORT a free port that this user can open: listen EADDRNOTAVAIL: address not available 203\.0\.113\.5\./],
    [{ HOST: 'nowhere.invalid', SECRET_KEY: testKey }, /HOST must be an address or a name of this machine: getaddrinfo E\w+ nowhere\.invalid\./],
    [{ SECRET_KEY_FILE: 'twice' }, /The keys in twice and SECRET_KEY_FALLBACKS must all be different\./],
    [{ SESSION_COOKIE_NAME: '__Host-x', SESSION_COOKIE_DOMAIN: 'example.com', SESSION_COOKIE_SECURE: 'true' }, /SESSION_COOKIE_NAME begins with __Host-, so SESSION_COOKIE_DOMAIN must not be set: browsers drop such a cookie\./]
  ]
  await Promise.all(cases.map(async ([env, rule]) => {
    const { code, stdout, stderr } = await runServer(folder, env)
    t.match(stderr, new RegExp(`^hatcheck: ${rule.source}\n$`))
    t.equal(code, 1)
    t.notMatch(stdout + stderr, 'hunter2')
    t.notMatch(stdout + stderr, /^\s+at /m, 'no stack')
    t.notMatch(stdout, 'listens at')
  }))
  // These are the same error, without a process of its own.
  const others: Array<[Record<string, string>, RegExp]> = [
    [{ SESSION_STORE: 'postgres://harry:hunter2@db' }, /^SESSION_STORE must be memory:, .*/],
    [{ SESSION_STORE: 'redis://:hunter2@' }, /^SESSION_STORE must be redis:\/\/\[user:password@\]host\[:port\]\[\/database\], with rediss for TLS\. .*/],
    [{ SESSION_LIFETIME: '60', SESSION_IDLE_TIMEOUT: '61' }, /^SESSION_IDLE_TIMEOUT must not be longer than SESSION_LIFETIME\.$/]
  ]
  for (const [env, rule] of others) {
    const error = await buildFrom(t, env).then(() => { throw new Error('it has started') }, (error: Error) => error)
    t.match(error, { code: 'HATCHECK_CONFIG', message: rule })
    t.notMatch(error.message, 'hunter2')
  }
})

test('the file .env is read, and the environment overrides it', async (t) => {
  const folder = t.testdir({ '.env': `PORT=1\nSESSION_STORE=memory:\nSECRET_KEY="${testKey}"\n# a comment\nSIGNUP=closed\n` })
  const service = await startService(t, folder, { SIGNUP: 'open' })
  t.not(new URL(service.url).port, '1')
  t.match(service.output(), 'store: memory:')
  t.match(service.output(), 'mode: service; signup is open')
  t.notOk(readdirSync(folder).includes('data'), 'memory: leaves nothing on the disk')
  t.match(await runServer(t.testdir({ '.env': 'SECRET_KEY=short\n' })), { code: 1, stderr: /^hatcheck: SECRET_KEY must be at least 32 bytes long, but is 5\./ })
})

test('the file .env can have a byte order mark, any line breaks, comments and values of several lines', async (t) => {
  const folder = t.testdir()
  const read = (content: string): Record<string, string> => {
    writeFileSync(join(folder, '.env'), content)
    const env = { SET: 'before' }
    loadDotEnv(env, join(folder, '.env'))
    return env
  }
  const A = { SET: 'before', A: '1' }
  for (const content of ['A=1', '\uFEFFA=1\n', 'export A=1', 'export\t A = 1 # one\n', 'A\t=\t1', 'A\t=\t"1"\t# one', 'A="1" # one', "A='1'\n", 'A=`1`', 'A=2\nA=1', 'SET=after\r\nA=1\r\n', '#\r \t\rA=1\r', ' \t\n\n  # B=2\n\t#\n  A=1', '__proto__=1\nA=1']) {
    t.match(read(content), A, JSON.stringify(content))
  }
  t.match(read('A=\t"1 # 2"\nB =\t\nC\t=3'), { A: '1 # 2', B: '', C: '3' })
  t.match(read('A="1\n# 2\nB: 3"\nC=4'), { A: '1\n# 2\nB: 3', C: '4' })
  t.match(read('A="1\nB=2\nC=\nD=a=b#c'), { A: '"1', B: '2', C: '', D: 'a=b' }, 'a quote that is not closed is a part of the value')
  t.same(read(''), { SET: 'before' })
})

test('a file .env that cannot be read as its author means it ends the start with one line', async (t) => {
  const rule = (line: number): string => `Line ${line} of .env must be NAME=value, a comment or blank, with nothing but a comment after a quoted value.`
  const flaws: Array<[content: string | Buffer, message: string]> = [
    ['SECRET_KEY: hunter2', rule(1)],
    ['PORT=0\r\n\r\nSECRET_KEY hunter2\r\nSIGNUP=closed', rule(3)],
    ['A="1\n2"\n=hunter2', rule(3)],
    ['SECRET KEY=hunter2', rule(1)],
    ['set SECRET_KEY=hunter2', rule(1)],
    ['# x\nSECRET_KEY="hunter2\nSIGNUP="closed"', rule(2)],
    [Buffer.from('# für\nPAGE_TITLE=für', 'latin1'), 'Line 2 of .env must be text in UTF-8, but has other bytes. Save the file as UTF-8.'],
    [Buffer.from('\uFEFFSECRET_KEY=hunter2', 'utf16le'), '.env must be text in UTF-8, but has NUL bytes, as UTF-16 has. Save it as UTF-8.'],
    [Buffer.from('SECRET_KEY=hunter2\n', 'utf16le').swap16(), '.env must be text in UTF-8, but has NUL bytes, as UTF-16 has. Save it as UTF-8.']
  ]
  const folder = t.testdir()
  const file = join(folder, '.env')
  for (const [content, message] of flaws) {
    writeFileSync(file, content)
    t.throws(() => { loadDotEnv({}, file) }, { code: 'HATCHECK_CONFIG', message })
  }
  t.strictSame(await runServer(folder), { code: 1, stdout: '', stderr: `hatcheck: ${flaws.at(-1)?.[1] ?? ''}\n` })
  unlinkSync(file)
  symlinkSync(join(folder, 'nowhere'), file)
  t.match(await runServer(folder), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: ENOENT[^\n]*\n$/ })
  t.match(await hatcheckProcess(folder, ['user', 'list']), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: ENOENT[^\n]*\n$/ })
  unlinkSync(file)
  mkdirSync(file)
  t.match(await runServer(folder), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: [^\n]* is not a regular file[^\n]*\n$/ })
})

test('a file of settings that is not a regular file, or is too large, ends the start with one line', async (t) => {
  const folder = t.testdir({ large: `${testKey}\n`.repeat(20_000), '.env': t.fixture('symlink', 'pipe') })
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const flaw = (variable: string, file: string): object =>
    ({ code: 1, stderr: `hatcheck: ${variable} cannot be read: ${file} is not a regular file of at most 1 MiB.\n` })
  t.match(await runServer(folder), flaw('.env', '.env'))
  unlinkSync(join(folder, '.env'))
  for (const variable of ['SECRET_KEY_FILE', 'SESSION_STORE_FILE']) {
    for (const file of ['pipe', 'large', '.']) t.match(await runServer(folder, { [variable]: file }), flaw(variable, file))
  }
})

test('an IPv6 address can be in brackets, as in a URL', async (t) => {
  const { url } = await startService(t, t.testdir(), { HOST: '[::1]', SESSION_STORE: 'memory:' })
  t.match(url, /^http:\/\/\[::1\]:\d+$/)
  t.equal((await fetch(url)).status, 200)
})

test('HOST=localhost is one address, and all limits and answers of the service hold there', async (t) => {
  const with2 = { HOST: 'localhost', LOCALHOST: '::1,127.0.0.1', NODE_OPTIONS: preloading(fixture('localhost.js')), SESSION_STORE: 'memory:' }
  const { url, output, end } = await startService(t, t.testdir(), { ...with2, METRICS_PORT: '0' })
  await until('it has started', () => output().includes('metrics at'))
  t.strictSame([...output().matchAll(/(?:listens|metrics) at http:\/\/([^"]+):\d+/g)].map(([, address]) => address), ['127.0.0.1', '127.0.0.1'])
  const { port } = new URL(url)
  await t.rejects(once(connect(Number(port), '::1'), 'connect'), { code: 'ECONNREFUSED' })
  t.strictSame((await exchange(Number(port), 'no request\r\n\r\n')).answers.map(({ body }) => JSON.parse(body).code), ['HATCHECK_BAD_REQUEST'])
  const taken = await runServer(t.testdir(), { ...with2, PORT: port })
  t.match([taken.code, taken.stderr], [1, 'EADDRINUSE'], 'a port that another program has there is an error')
  t.equal(await end(), 0)
  t.match(await startService(t, t.testdir(), { ...with2, LOCALHOST: '::1' }), { url: /^http:\/\/\[::1\]:/ }, 'without IPv4')
})

test('the URL of the store can come from a file', (t) => {
  const folder = t.testdir({ store: ' memory:\n', empty: '\n' })
  const file = (name: string): string => join(folder, name)
  t.equal(readEnvironment({ SESSION_STORE_FILE: file('store') }).options.sessionStore, 'memory:')
  for (const [env, message] of [
    [{ SESSION_STORE_FILE: file('store'), SESSION_STORE: 'lmdb:' }, /^SESSION_STORE and SESSION_STORE_FILE are both set: set one of them\.$/],
    [{ SESSION_STORE_FILE: file('store'), WORKERS: '2' }, /^WORKERS must be 1 with SESSION_STORE=memory:/],
    [{ SESSION_STORE_FILE: file('empty') }, /^SESSION_STORE_FILE must name a file with the URL of a store, but .*empty is empty\.$/],
    [{ SESSION_STORE_FILE: file('missing') }, /^SESSION_STORE_FILE cannot be read: ENOENT/]
  ] as const) t.throws(() => readEnvironment(env), { code: 'HATCHECK_CONFIG', message })
  t.end()
})
