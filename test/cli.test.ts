import { open, type Database } from 'lmdb'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { Client, logIn, passwordOf, userOf } from './client.js'
import { fastFolder } from './fast-folder.js'
import { freePort } from './free-port.js'
import { needs, testKey } from './helper.js'
import { pageAt } from './pages.js'
import { startRedis } from './redis.js'
import { compiled, hatcheckCli, hatcheckInTerminal, hatcheckProcess, runServer, startService, type Ended } from './service.js'

const closed = { SECRET_KEY: testKey, SIGNUP: 'closed' }
const HINT = 'Try "hatcheck --help".\n'

test('user add reads one line, and does not wait for the end of the input', async (t) => {
  const child = spawn(process.execPath, [compiled('cli'), 'user', 'add', 'Harry'], { cwd: t.testdir(), stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.write('correct horse battery\n')
  t.same(await once(child, 'exit'), [0, null], 'the input is still open')
})

test('user add reads no more of a line than a password can have', async (t) => {
  const child = spawn(process.execPath, [compiled('cli'), 'user', 'add', 'Harry'], { cwd: t.testdir(), stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => {})
  child.stdin.write('x'.repeat(1_000_000))
  const [[error], ended] = await Promise.all([once(child.stderr, 'data'), once(child, 'exit')])
  t.same(ended, [1, null], 'the input is still open')
  t.equal(String(error), 'hatcheck: A password can have at most 1024 bytes.\n')
})

test('--help lists every command, --version prints the version', async (t) => {
  const folder = t.testdir()
  const helps = await Promise.all([['--help'], ['-h'], ['help'], ['user', 'add', '--help']].map((args) => hatcheckCli(folder, args)))
  for (const help of helps) {
    t.match(help, { code: 0, stderr: '' })
    for (const text of ['hatcheck secret', 'hatcheck user add NAME', 'hatcheck user passwd NAME', 'hatcheck user disable NAME', 'hatcheck user enable NAME', 'hatcheck user list', 'hatcheck sessions list [NAME]', 'hatcheck sessions revoke NAME HANDLE', 'hatcheck sessions revoke-all [NAME]', 'hatcheck backup FOLDER', 'hatcheck doctor', 'SECRET_KEY', 'DATA_DIR', 'SIGNUP']) {
      t.match(help.stdout, text)
    }
    t.notOk(help.stdout.split('\n').some((line) => line.length > 120), 'it fits a terminal')
  }
  const { version } = JSON.parse(pageAt('package.json')) as { version: string }
  for (const flag of ['-v', '--version']) t.same(await hatcheckCli(folder, [flag]), { code: 0, stdout: `${version}\n`, stderr: '' })
})

test('the program ends with the exit code of its command', async (t) => {
  const folder = t.testdir()
  const { stdout } = await hatcheckProcess(folder, ['secret'])
  t.match(stdout, /^[\w-]{43}\n$/)
  const added = await hatcheckProcess(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  t.same(added, { code: 0, stdout: 'Sally can log in now.\n', stderr: '' })
  t.match(await hatcheckProcess(folder, ['user', 'list'], { env: closed }), { code: 0, stdout: /^Sally\t/ })
  t.same(await hatcheckProcess(folder, ['user', 'lst'], { env: closed }), { code: 1, stdout: '', stderr: `hatcheck: unknown command: user lst\n${HINT}` })
})

test('secret prints a new key each time, and the service accepts it', async (t) => {
  const folder = t.testdir()
  const secrets = await Promise.all([1, 2, 3].map(async () => (await hatcheckCli(folder, ['secret'])).stdout))
  for (const secret of secrets) t.match(secret, /^[\w-]{43}\n$/)
  t.equal(new Set(secrets).size, 3)
  const service = await startService(t, folder, { SECRET_KEY: secrets[0]?.trim() ?? '', SESSION_STORE: 'memory:' })
  t.match(service.output(), 'mode: service')
})

test('hatcheck without a command starts the service, or says in one line why it cannot start', async (t) => {
  const folder = t.testdir()
  const service = await startService(t, folder, { SESSION_STORE: 'memory:' }, 'cli')
  t.equal((await fetch(service.url)).status, 200)
  t.equal(await service.end('SIGTERM'), 0)
  t.same(await hatcheckProcess(folder, ['serve'], { env: { PORT: 'abc' } }), { code: 1, stdout: '', stderr: 'hatcheck: PORT must be an integer; got "abc".\n' })
})

test('an invalid command line is answered with the error and a pointer to --help', async (t) => {
  const folder = t.testdir()
  const cases: Array<[string[], string | RegExp]> = [
    [['serv'], 'unknown command: serv'],
    [['user'], 'unknown command: user'],
    [['user', 'remove', 'Sally'], 'unknown command: user remove'],
    [['user', 'add'], 'missing argument: user add NAME'],
    [['user', 'passwd'], 'missing argument: user passwd NAME'],
    [['user', 'list', 'Sally'], 'unexpected argument: Sally'],
    [['user', 'disable', 'Sally', 'Miller'], 'unexpected argument: Miller'],
    [['user', 'add', 'Sally', 'hunter2'], /^user add takes only a name, .* The password is asked for, or read from standard input/],
    [['user', 'passwd', 'Sally', 'hunter2'], 'user passwd takes only a name'],
    [['user', 'ad', 'Sally', 'hunter2'], 'unknown command: user ad'],
    [['sessions'], 'unknown command: sessions'],
    [['sessions', 'revoke', 'Sally'], 'missing argument: sessions revoke NAME HANDLE'],
    [['sessions', 'revoke', 'Sally', 'x', 'y'], 'unexpected argument: y'],
    [['sessions', 'list', 'Sally', 'Miller'], 'unexpected argument: Miller'],
    [['secret', 'please'], 'unexpected argument: please'],
    [['serve', 'now'], 'unexpected argument: now'],
    [['doctor', 'data'], 'unexpected argument: data'],
    [['help', 'nonsense'], 'unexpected argument: nonsense'],
    [['--port', '80'], /^Unknown option '--port'/],
    [['user', 'add', '--password', 'hunter2'], /^Unknown option '--password'/]
  ]
  // A few at once: each needs a process of its own.
  while (cases.length > 0) await Promise.all(cases.splice(0, 4).map(check))

  async function check ([args, message]: [string[], string | RegExp]): Promise<void> {
    const { code, stdout, stderr } = await hatcheckCli(folder, args, { env: closed })
    t.equal(code, 1, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^hatcheck: /)
    t.ok(stderr.endsWith(`\n${HINT}`), stderr)
    t.match(stderr.slice('hatcheck: '.length), message)
    t.notMatch(stderr, 'hunter2', 'not the password')
    t.notMatch(stderr, /^\s+at /m, 'no stack')
  }
})

test('user add, passwd, disable, enable and list manage accounts', async (t) => {
  const folder = t.testdir()
  const user = (action: string, name?: string, input?: string): Promise<Ended> =>
    hatcheckCli(folder, ['user', action, ...name === undefined ? [] : [name]], { env: closed, ...input !== undefined && { input } })

  t.same(await user('add', 'Sally', 'a long password of Sally\n'), { code: 0, stdout: 'Sally can log in now.\n', stderr: '' })
  t.same(await user('add', 'Sally', 'a long password of Sally\n'), { code: 1, stdout: '', stderr: 'hatcheck: There is already an account Sally.\n' })
  t.same(await user('add', 'SALLY', 'another long password\n'), { code: 1, stdout: '', stderr: 'hatcheck: There is already an account SALLY.\n' })
  t.same(await user('add', 'Harry', 'a long password of Harry'), { code: 0, stdout: 'Harry can log in now.\n', stderr: '' }, 'without a line break at the end')

  const { stdout } = await user('list')
  t.match(stdout, /^Harry\t\d{4}-\d\d-\d\dT[\d:.]+Z\nSally\t\d{4}-\d\d-\d\dT[\d:.]+Z\n$/)
  t.notMatch(stdout, 'argon2')

  t.same(await user('passwd', 'sally', 'quite another password\n'), { code: 0, stdout: 'sally has a new password; every session has ended.\n', stderr: '' })
  t.same(await user('disable', 'Sally'), { code: 0, stdout: 'Sally can no longer log in; every session has ended.\n', stderr: '' })
  t.match((await user('list')).stdout, /^Sally\t\S+\tdisabled$/m)
  t.same(await user('enable', 'Sally'), { code: 0, stdout: 'Sally can log in again.\n', stderr: '' })
  t.notMatch((await user('list')).stdout, 'disabled')

  for (const action of ['passwd', 'disable', 'enable']) {
    t.same(await user(action, 'Nobody', 'a long password of nobody\n'), { code: 1, stdout: '', stderr: 'hatcheck: There is no account Nobody.\n' })
  }
  const { url } = await startService(t, folder, closed)
  t.equal((await new Client(url).login('Sally', 'quite another password')).statusCode, 303)
  t.equal((await new Client(url).login('Sally', 'a long password of Sally')).statusCode, 401)
  t.equal((await new Client(url).login('Harry', 'a long password of Harry')).statusCode, 303)
})

test('a password that breaks the rules is refused', async (t) => {
  const folder = t.testdir()
  const add = (input: string, env: Record<string, string> = closed, name = 'Sally'): Promise<Ended> => hatcheckCli(folder, ['user', 'add', name], { env, input })
  t.same(await add('only 14 of them\n'.slice(1)), { code: 1, stdout: '', stderr: 'hatcheck: A password must have at least 15 characters.\n' })
  t.same(await add('\n'), { code: 1, stdout: '', stderr: 'hatcheck: A password must have at least 15 characters.\n' })
  t.same(await add(`${'x'.repeat(1025)}\n`), { code: 1, stdout: '', stderr: 'hatcheck: A password can have at most 1024 bytes.\n' })
  t.same(await add(''), { code: 1, stdout: '', stderr: `hatcheck: a password is expected on standard input\n${HINT}` })
  t.same(await add('1234567\n', {}), { code: 1, stdout: '', stderr: 'hatcheck: A password must have at least 8 characters.\n' }, 'demo mode asks for less')
  t.same(await add('nineteen characters\n', { ...closed, PASSWORD_MIN_LENGTH: '20' }), { code: 1, stdout: '', stderr: 'hatcheck: A password must have at least 20 characters.\n' })
  t.match(await add('Sally Sally Sally\n'), { code: 1, stdout: '', stderr: /^hatcheck: This password is too easy to guess: [^\n]+\n$/ })
  t.same((await hatcheckCli(folder, ['user', 'list'], { env: closed })).stdout, '', 'no account was created')

  t.equal((await add(' spaces count, 密码 \r\nand the second line does not\n')).code, 0)
  const changed = await hatcheckCli(folder, ['user', 'passwd', 'Sally'], { env: closed, input: 'short\n' })
  t.match(await hatcheckCli(folder, ['user', 'passwd', 'Sally'], { env: closed, input: 'passwordpassword\n' }), { code: 1, stderr: /too easy to guess/ })
  t.match(changed, { code: 1, stderr: 'hatcheck: A password must have at least 15 characters.\n' })
  for (const [name, input] of [['Harry', 'a lone\rCR is a character\r\nnot this\n'], ['Anne', 'so is a line separator\u2028 of Unicode\n'], ['Mary', 'at the end of the input\r'], ['Luna', '\ufeffsaved by an editor\r\n']] as const) {
    t.match(await add(input, closed, name), { code: 0 })
  }
  const { url } = await startService(t, folder, closed)
  t.equal((await new Client(url).login('Sally', ' spaces count, 密码 ')).statusCode, 303)
  t.equal((await new Client(url).login('Harry', 'a lone\rCR is a character')).statusCode, 303, 'to the last byte')
  t.equal((await new Client(url).login('Anne', 'so is a line separator\u2028 of Unicode')).statusCode, 303)
  t.equal((await new Client(url).login('Mary', 'at the end of the input\r')).statusCode, 303)
  t.equal((await new Client(url).login('Luna', 'saved by an editor')).statusCode, 303, 'a byte order mark belongs to the file')
})

test('a name that breaks the rules is refused', async (t) => {
  const folder = t.testdir()
  const add = (name: string): Promise<Ended> => hatcheckCli(folder, ['user', 'add', name], { env: closed, input: 'a long password of nobody\n' })
  t.same(await add('  '), { code: 1, stdout: '', stderr: 'hatcheck: The name is missing.\n' })
  t.same(await add('x'.repeat(65)), { code: 1, stdout: '', stderr: 'hatcheck: A name can have at most 64 characters.\n' })
  t.same(await add('a\u001b[31mb'), { code: 1, stdout: '', stderr: 'hatcheck: A name must not contain control characters, or invisible characters outside emoji.\n' })
})

test('with the store "memory:" a command fails, because there is nothing on disk to work on', async (t) => {
  for (const args of [['user', 'list'], ['user', 'add', 'Sally']]) {
    t.same(await hatcheckCli(t.testdir(), args, { env: { ...closed, SESSION_STORE: 'memory:' }, input: 'a long password of Sally\n' }), {
      code: 1, stdout: '', stderr: 'hatcheck: SESSION_STORE is memory:, so the accounts exist in the running service only. Set SESSION_STORE to a store on disk or to Redis.\n'
    })
  }
  t.match(await hatcheckCli(t.testdir(), ['sessions', 'list'], { env: { ...closed, SESSION_STORE: 'memory:' } }), {
    code: 1, stderr: 'hatcheck: SESSION_STORE is memory:, so the sessions exist in the running service only. Set SESSION_STORE to a store on disk or to Redis.\n'
  })
})

test('settings are also read from .env', async (t) => {
  const folder = t.testdir({ '.env': `SECRET_KEY=${testKey}\nSESSION_STORE=lmdb:./elsewhere\nSIGNUP=closed\n` })
  t.equal((await hatcheckProcess(folder, ['user', 'add', 'Sally'], { input: 'a long password of Sally\n' })).code, 0)
  t.match((await hatcheckProcess(folder, ['user', 'list'], { env: { SESSION_STORE: 'lmdb:elsewhere' } })).stdout, /^Sally\t/)
  t.equal((await hatcheckProcess(folder, ['user', 'list'], { env: { SESSION_STORE: 'lmdb:' } })).stdout, '')
})

test('sessions list, revoke and revoke-all work while the service runs', async (t) => {
  const folder = t.testdir()
  // With the key that the service creates.
  const env = { SIGNUP: 'open' }
  const sessions = (...args: string[]): Promise<Ended> => hatcheckCli(folder, ['sessions', ...args], { env })
  const { url } = await startService(t, folder, env)
  const [one, two, three] = [await cookieOf(url, 'Harry'), await cookieOf(url, 'Harry'), await cookieOf(url, 'Sally')]
  const seen = await listed(url, one)

  const { stdout } = await sessions('list', 'harry')
  const all = await sessions('list')
  const rows = rowsOf(stdout)
  t.strictSame(rows.map(([handle]) => handle).sort(), seen.map(({ handle }) => handle).sort(), 'the handles of the page')
  for (const row of rows) t.match(row.slice(1), ['Harry', /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'Unknown browser', 'this machine'])
  t.strictSame(rowsOf(all.stdout).map(([, name]) => name), ['Harry', 'Harry', 'Sally'], 'of every account')

  const other = seen.find(({ current }) => !current)?.handle ?? ''
  t.same(await sessions('revoke', 'Sally', other), { code: 1, stdout: '', stderr: `hatcheck: Sally has no session ${other}.\n` })
  t.same(await sessions('revoke', 'harry', other), { code: 0, stdout: '1 session ended.\n', stderr: '' })
  t.strictSame([await userOf(url, one), await userOf(url, two), await userOf(url, three)], ['Harry', null, 'Sally'])
  t.same(await sessions('revoke-all', 'Harry'), { code: 0, stdout: '1 session ended.\n', stderr: '' })
  t.strictSame([await userOf(url, one), await userOf(url, three)], [null, 'Sally'])
  await cookieOf(url, 'Harry')
  t.same(await sessions('revoke-all'), { code: 0, stdout: '2 sessions ended.\n', stderr: '' })
  t.equal(await userOf(url, three), null)
})

test('sessions list, revoke and revoke-all work with Redis', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const env = { SIGNUP: 'open', SECRET_KEY: testKey, SESSION_STORE: (await startRedis(t)).url }
  const { url } = await startService(t, folder, env)
  const harry = await cookieOf(url, 'Harry')
  const [{ handle = '' } = {}] = await listed(url, harry)
  const { stdout } = await hatcheckCli(folder, ['sessions', 'list'], { env })
  t.strictSame(rowsOf(stdout).map((row) => row.slice(0, 2)), [[handle, 'Harry']])
  t.match(await hatcheckCli(folder, ['sessions', 'revoke', 'Harry', handle], { env }), { code: 0, stdout: '1 session ended.\n' })
  t.equal(await userOf(url, harry), null)
})

test('sessions list and revoke-all without a name work for every account but the one whose index is damaged', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const redis = await startRedis(t)
  const env = { SIGNUP: 'open', SECRET_KEY: testKey, SESSION_STORE: redis.url }
  const { url } = await startService(t, folder, env)
  const cookies: Record<string, string> = {}
  for (const name of ['Ann', 'Bob', 'Eve']) cookies[name] = await cookieOf(url, name)
  for (const index of await redis.client.keys('hatcheck:user:Bob*')) await redis.client.set(index, 'x')
  const failed = /^hatcheck: the index by user Bob.* is damaged: [^\n]+\nhatcheck: Bob: The session store cannot answer right now \(list\)\. The reason: WRONGTYPE [^\n]+\nhatcheck: The command failed for 1 of 3 accounts\.\n$/m
  const { code, stdout, stderr } = await hatcheckCli(folder, ['sessions', 'list'], { env })
  t.strictSame(rowsOf(stdout).map(([, name]) => name), ['Ann', 'Eve'])
  t.match({ code, stderr }, { code: 1, stderr: failed })
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env }), { code: 1, stdout: '2 sessions ended.\n', stderr: failed })
  for (const [name, user] of [['Ann', null], ['Bob', 'Bob'], ['Eve', null]] as const) t.equal(await userOf(url, cookies[name] as string), user)
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all', 'Bob'], { env }), { code: 1, stdout: '', stderr: /hatcheck: The session store cannot answer right now \(list\)\. The reason: WRONGTYPE [^\n]+\n$/ })
})

test('sessions revoke-all without a name ends no session if the sessions are in cookies and there is no account', async (t) => {
  const folder = t.testdir()
  const env = { SIGNUP: 'open', SECRET_KEY: testKey, SESSION_STORE: 'cookie:' }
  const { url } = await startService(t, folder, env)
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env }), { code: 0, stdout: '0 sessions ended.\n' })
  const harry = await cookieOf(url, 'Harry')
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env }), { code: 0, stdout: 'every session of Harry has ended.\n' })
  t.equal(await userOf(url, harry), null)
})

test('a command fails if its Redis cannot be reached, or is not the cluster that the URL says', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const single = await startRedis(t)
  for (const store of [`redis://127.0.0.1:${await freePort()}`, `redis+cluster://127.0.0.1:${await freePort()}`, single.url.replace('redis:', 'redis+cluster:')]) {
    for (const args of ['user list', 'sessions list', 'sessions revoke-all', 'doctor']) {
      const { code, stdout, stderr } = await hatcheckCli(folder, args.split(' '), { env: { SECRET_KEY: testKey, SESSION_STORE: store } })
      t.same({ code, stdout }, { code: 1, stdout: '' }, `${args} on ${store}`)
      t.match(stderr, /^hatcheck: The session store cannot answer right now \(\w+\)\. The reason: [^\n]+\n$/m)
    }
  }
})

test('a command says why Redis refuses it', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const { port } = await startRedis(t, { args: ['--requirepass', 'hunter2'], connection: { password: 'hunter2' } })
  for (const args of ['user list', 'sessions revoke-all', 'doctor']) {
    const { code, stdout, stderr } = await hatcheckCli(folder, args.split(' '), { env: { SECRET_KEY: testKey, SESSION_STORE: `redis://:hunter3@127.0.0.1:${port}` } })
    t.same({ code, stdout }, { code: 1, stdout: '' }, args)
    t.match(stderr, /^hatcheck: the Redis store cannot be reached; .*: WRONGPASS invalid username-password pair or user is disabled\.$/m)
    t.notMatch(stderr, 'hunter')
  }
})

test('a command says which right its Redis user lacks', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  await client.acl('SETUSER', 'app', 'on', '>secret', '~hatcheck:*', '+@read', '+@write', '+@scripting', '+info', '+ping', '-scan')
  const env = { SECRET_KEY: testKey, SESSION_STORE: url.replace('//', '//app:secret@') }
  t.match(await hatcheckCli(t.testdir(), ['user', 'list'], { env }), {
    code: 1,
    stderr: /^hatcheck: The session store cannot answer right now \(account\)\. The reason: NOPERM [^\n]*'scan' command\n$/m
  })
})

test('the command line creates no key, because another key would give other handles', async (t) => {
  const folder = t.testdir()
  await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  for (const args of [['list'], ['revoke', 'Harry', 'x']]) {
    const { code, stderr } = await hatcheckCli(folder, ['sessions', ...args], { env: { SIGNUP: 'open' } })
    t.equal(code, 1)
    t.match(stderr, /^hatcheck: .+secret\.key is missing: the service makes it at its first start\. Start it once, or set DATA_DIR, SECRET_KEY or SECRET_KEY_FILE\.\n$/)
  }
  t.notOk(existsSync(join(folder, 'data/secret.key')))
  t.same(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env: { SIGNUP: 'open' } }), { code: 0, stdout: '0 sessions ended.\n', stderr: '' }, 'revoke-all needs no key')
})

test('at a terminal the password is asked for twice and not shown', needs('script'), async (t) => {
  const folder = t.testdir()
  const added = await hatcheckInTerminal(folder, ['user', 'add', 'Sally'], closed, [['Password: ', 'a long password of Sally'], ['Again: ', 'a long password of Sally']])
  t.equal(added.code, 0)
  t.match(added.stdout, 'Sally can log in now.')
  t.notMatch(added.stdout, 'a long password of Sally')

  const pasted = await hatcheckInTerminal(folder, ['user', 'passwd', 'Sally'], closed, [['Password: ', 'a long password of Sally\ra long password of Sally']])
  t.match(pasted, { code: 0, stdout: 'Sally has a new password' }, 'two lines that are pasted are both answers')
  t.notMatch(pasted.stdout, 'a long password of Sally')
  const aborted = await hatcheckInTerminal(folder, ['user', 'passwd', 'Sally'], closed, [['Password: ', '\x03']])
  t.match(aborted, { code: 1, stdout: 'hatcheck: a password is expected' })

  const repeated = await hatcheckInTerminal(folder, ['user', 'passwd', 'Sally'], closed, [['Password: ', 'quite another password'], ['Again: ', '\x1b[A']])
  t.match(repeated, { code: 1, stdout: 'hatcheck: the two passwords differ' }, 'the arrow keys do not type the first answer again')

  const mistyped = await hatcheckInTerminal(folder, ['user', 'passwd', 'Sally'], closed, [['Password: ', 'quite another password'], ['Again: ', 'quite another pasword']])
  t.equal(mistyped.code, 1)
  t.match(mistyped.stdout, 'hatcheck: the two passwords differ')
  t.notMatch(mistyped.stdout, 'another')

  const { url } = await startService(t, folder, closed)
  t.equal((await new Client(url).login('Sally', 'a long password of Sally')).statusCode, 303)
})

test('a command names its store, and creates a store only for a new account', async (t) => {
  const folder = t.testdir()
  const run = (...args: string[]): Promise<Ended> => hatcheckCli(folder, args, { env: closed, input: 'a long password of Sally\n' })
  const missing = { code: 1, stdout: '', stderr: `hatcheck: There is no store in ${join(folder, 'data/lmdb')}: check DATA_DIR and SESSION_STORE.\n` }
  for (const args of [['user', 'list'], ['user', 'passwd', 'Sally'], ['user', 'disable', 'Sally'], ['user', 'enable', 'Sally'], ['sessions', 'list'], ['sessions', 'revoke', 'Sally', 'x'], ['sessions', 'revoke-all'], ['backup', join(folder, 'safe')], ['doctor']]) {
    t.same(await run(...args), missing, args.join(' '))
  }
  for (const [name, input] of [['', 'a long password of Sally\n'], ['Sally\u2800', 'a long password of Sally\n'], ['Sally', 'short\n'], ['Sally', ''], ['Sally', 'password1password1\n']] as const) {
    t.match(await hatcheckCli(folder, ['user', 'add', name], { env: closed, input }), { code: 1, stdout: '' }, JSON.stringify([name, input]))
  }
  t.strictSame(readdirSync(folder), [], 'nothing was created')
  t.equal((await run('user', 'add', 'Sally')).code, 0)
  const { stderr } = spawnSync(process.execPath, [compiled('cli'), 'user', 'list'], { cwd: folder, env: closed, encoding: 'utf8' })
  t.equal(stderr, `hatcheck: lmdb:${join(folder, 'data/lmdb')}\n`)
})

test('a command names the variables of a data folder that cannot be used', async (t) => {
  const folder = t.testdir({ file: 'not a folder' })
  for (const DATA_DIR of ['file', 'file/data', `/${'x'.repeat(300)}`]) {
    const { code, stderr } = await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: { DATA_DIR }, input: 'a long password of Sally\n' })
    t.equal(code, 1, DATA_DIR)
    t.match(stderr, /^hatcheck: The data folder cannot be written \(DATA_DIR, SESSION_STORE\): E\w+: [^\n]+\n$/)
  }
})

test('every command refuses an unknown store as the start does, without its password', async (t) => {
  const folder = t.testdir()
  for (const prefix of ['', 'cookie:']) {
    const env = { ...closed, SESSION_STORE: `${prefix}postgres://harry:hunter2@db` }
    const refused = { code: 1, stdout: '', stderr: 'hatcheck: SESSION_STORE must be memory:, lmdb:, lmdb:./some/folder, a Redis URL, or cookie: or flask: before one of these; got "postgres:…".\n' }
    for (const args of [['doctor'], ['backup', join(folder, 'safe')], ['user', 'list'], ['user', 'add', 'Sally'], ['sessions', 'list'], ['sessions', 'revoke-all']]) {
      t.same(await hatcheckCli(folder, args, { env, input: 'a long password of Sally\n' }), refused, args.join(' '))
    }
  }
  t.strictSame(readdirSync(folder), [])
})

test('a closed pipe ends the output of a list without an error', async (t) => {
  const folder = t.testdir()
  await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  for (const args of ['user list', '--help']) {
    const { stdout, stderr } = spawnSync('sh', ['-c', `(sleep 0.3; "${process.execPath}" "${compiled('cli')}" ${args}; echo "exit $?" >&2) | true`], { cwd: folder, env: { ...closed, PATH: process.env['PATH'] }, encoding: 'utf8' })
    t.equal(stdout, '')
    t.match(stderr, /(^|\n)exit 0\n$/)
    t.notMatch(stderr, /EPIPE|^\s+at /m)
  }
})

test('a command whose output is lost fails, and one whose messages are lost completes its work', { skip: !existsSync('/dev/full') && 'needs /dev/full' }, async (t) => {
  const folder = t.testdir()
  const sh = (command: string): { status: number | null, stderr: string } =>
    spawnSync('sh', ['-c', command.replace('hatcheck', `"${process.execPath}" "${compiled('cli')}"`)], { cwd: folder, env: { ...closed, PATH: process.env['PATH'] }, encoding: 'utf8' })
  await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  for (const args of ['secret', '--version', '--help', 'user list', 'user disable Sally', 'doctor']) {
    t.match(sh(`hatcheck ${args} > /dev/full`), { status: 1, stderr: /^hatcheck: The output cannot be written: ENOSPC: no space left on device, write\.$/m }, args)
  }
  t.match((await hatcheckCli(folder, ['user', 'list'], { env: closed })).stdout, /^Sally\t\S+\tdisabled$/m, 'the work is done')
  t.equal(sh('hatcheck user enable Sally 2> /dev/full').status, 0)
  t.notMatch((await hatcheckCli(folder, ['user', 'list'], { env: closed })).stdout, 'disabled')
  t.equal(sh('hatcheck backup safe 2> /dev/full').status, 0)
  t.strictSame(readdirSync(join(folder, 'safe')).filter((name) => name.includes('unfinished')), [])
  t.equal((await hatcheckCli(folder, ['doctor'], { env: { ...closed, DATA_DIR: 'safe' } })).code, 0)
  t.equal(sh('hatcheck user disable Nobody 2> /dev/full').status, 1)
})

/** Changes stored data without hatcheck. */
async function meddle (folder: string, name: string, change: (database: Database<Buffer, string>) => unknown, isIndex = false): Promise<void> {
  const env = open({ path: join(folder, 'data/lmdb'), maxDbs: 16, noSubdir: false })
  const database = env.openDB<Buffer, string>({ name, encoding: isIndex ? 'ordered-binary' : 'binary', dupSort: isIndex })
  await env.transaction(() => change(database))
  await env.close()
}

test('a damaged account is named and skipped, sets the exit code, and can be created anew', async (t) => {
  const folder = t.testdir()
  const run = (args: string[], name = 'Harry'): Promise<Ended> => hatcheckCli(folder, args, { env: closed, input: `a long password of ${name}\n` })
  for (const name of ['Harry', 'Sally']) await run(['user', 'add', name], name)
  await meddle(folder, 'accounts', (accounts) => { accounts.putSync('harry', Buffer.from('{"name":"Har')) })
  const stderr = 'hatcheck: the account harry is damaged: it cannot log in. "hatcheck user add" creates it again, with the name as the account had it.\n'
  t.match(await run(['user', 'list']), { code: 1, stdout: /^Sally\t[^\n]+\n$/, stderr })
  t.same(await run(['backup', join(folder, 'safe')]), { code: 1, stdout: '1 account backed up.\n', stderr })
  t.match(await run(['user', 'disable', 'Harry']), { code: 1, stdout: '', stderr: new RegExp(`^${stderr}`) })
  t.same(await run(['doctor']), { code: 1, stdout: 'The account harry is damaged. It cannot log in. "hatcheck user add" with its name creates it again; its key is "harry".\n', stderr: '' })
  t.match(await run(['user', 'add', 'Harry']), { stdout: 'Harry can log in now.\n' })
  t.match(await run(['doctor']), { code: 0, stdout: /is sound \(accounts: 2, sessions: 0, tombstones: 0, counters of failed logins: 0\)\.\n$/ })
})

test('doctor finds each flaw of a data folder while the service runs, one line each, and changes nothing', async (t) => {
  const folder = t.testdir()
  const env = { SIGNUP: 'open' }
  const doctor = (): Promise<Ended> => hatcheckCli(folder, ['doctor'], { env })
  const { url } = await startService(t, folder, env)
  const harry = await cookieOf(url, 'Harry')
  const [{ handle = '' } = {}] = await listed(url, harry)
  await cookieOf(url, 'Sally')
  await new Client(url).login('Sally', 'not the password')
  const sound = { code: 0, stdout: `lmdb:${join(folder, 'data/lmdb')} is sound (accounts: 2, sessions: 2, tombstones: 0, counters of failed logins: 3).\n`, stderr: '' }
  t.match((await doctor()), { ...sound, stdout: /is sound \(accounts: 2, sessions: 2, / })

  const findings: Array<[finding: RegExp, name: string, change: (database: Database<any, string>, keys: string[]) => unknown, isIndex?: boolean]> = [
    [new RegExp(`^The session ${handle} is damaged\\. It counts as missing`), 'sessions', (sessions) => {
      for (const { key, value } of sessions.getRange()) if (value.includes('Harry')) sessions.putSync(key, Buffer.from('ddffffffff', 'hex'))
    }],
    [/^The session \S+ of Sally is not in the index by user\. The end of all sessions of the user does not reach it/, 'sessions by user', (index) => {
      for (const { key, value } of index.getRange()) if (key === 'Sally') index.removeSync(key, value)
    }, true],
    [/^An entry of the index by user leads from Nobody to \S+, which is not a session of that user\. It is passed over\.$/, 'sessions by user', (index) => index.putSync('Nobody', 'x'), true],
    [/^An entry of the index by expiry leads to \S+, where nothing expires then\. It is passed over\.$/, 'sessions by expiry', (index) => index.putSync(5 as unknown as string, 'x'), true],
    [/^The tombstone \S+ is damaged\. Its session stays ended/, 'session tombstones', (tombstones) => tombstones.putSync('ended', Buffer.from('c1', 'hex'))],
    [/^The counter of failed logins address:x is damaged\. It counts as none/, 'attempts', (attempts) => attempts.putSync('address:x', Buffer.from('{"level":1e99}'))],
    [/^The password hash of Sally is damaged\. Nobody can log in with it\. Run "hatcheck user passwd Sally"\.$/, 'accounts', (accounts) => accounts.putSync('sally', Buffer.from((accounts.get('sally') as Buffer).toString().replace('$argon2id', '$argon2xx')))]
  ]
  const expected: RegExp[] = []
  for (const [finding, name, change, isIndex] of findings) {
    await meddle(folder, name, change as (database: Database<Buffer, string>) => unknown, isIndex)
    expected.push(finding)
    const before = readFileSync(join(folder, 'data/lmdb/data.mdb'))
    const { code, stdout, stderr } = await doctor()
    const lines = stdout.trimEnd().split('\n')
    t.same({ code, stderr }, { code: 1, stderr: '' })
    t.equal(lines.length, expected.length, stdout)
    for (const pattern of expected) t.ok(lines.some((line) => pattern.test(line)), String(pattern))
    t.ok(before.equals(readFileSync(join(folder, 'data/lmdb/data.mdb'))), 'nothing was written')
  }
})

test('doctor reports a folder that LMDB cannot read, and one that others can write to', async (t) => {
  const folder = t.testdir()
  const doctor = (): Promise<Ended> => hatcheckCli(folder, ['doctor'], { env: { SIGNUP: 'open' } })
  await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  const [data, key] = [join(folder, 'data/lmdb/data.mdb'), join(folder, 'data/secret.key')]
  writeFileSync(key, testKey, { mode: 0o600 })
  t.equal((await doctor()).code, 0)
  chmodSync(join(folder, 'data'), 0o777)
  chmodSync(key, 0o660)
  const rights = `${join(folder, 'data')} can be written by every user of this machine, who could then log in as any user. Run "chmod go-w ${join(folder, 'data')}".
${key} can be written by the group of its owner, who could then log in as any user. Run "chmod go-w ${key}".
`
  t.same(await doctor(), { code: 1, stdout: rights, stderr: '' })
  t.same((await hatcheckCli(folder, ['user', 'list'], { env: { SIGNUP: 'open' } })).stderr, rights.replace(/^/gm, 'hatcheck: ').slice(0, -'hatcheck: '.length), 'any command says so')
  writeFileSync(key, testKey)
  const { output } = await startService(t, folder)
  for (const line of rights.trimEnd().split('\n')) t.match(output(), JSON.stringify(line).slice(1, -1), 'and the service')
  chmodSync(join(folder, 'data'), 0o700)
  chmodSync(key, 0o600)

  const sound = readFileSync(data)
  cpSync(join(folder, 'data'), join(folder, 'copy'), { recursive: true })
  const copy = join(folder, 'copy/lmdb/data.mdb')
  let found = 0
  for (let at = 2 * 4_096; at < sound.length; at += 4_096) {
    const damaged = Buffer.from(sound)
    damaged.fill(0xff, at, at + 64)
    writeFileSync(copy, damaged)
    const { code, stdout } = await hatcheckCli(folder, ['doctor'], { env: { DATA_DIR: 'copy', SIGNUP: 'open' } })
    t.ok(code === 0 || (code === 1 && stdout.startsWith(copy)), `page ${at / 4_096}: ${code} ${stdout}`)
    if (code === 1) found++
  }
  t.ok(found > 1)
})

test('doctor looks at the SESSION_STORE_FILE of the environment that it is given', async (t) => {
  const folder = t.testdir({ url: `lmdb:${t.testdirName}/lmdb` })
  const url = join(folder, 'url')
  const env = { ...closed, SESSION_STORE_FILE: url }
  t.equal((await hatcheckCli(folder, ['user', 'add', 'Sally'], { env, input: 'a long password of Sally\n' })).code, 0)
  for (const [mode, findings] of [[0o644, 0], [0o646, 1]] as const) {
    chmodSync(url, mode)
    const { stdout } = await hatcheckCli(folder, ['doctor'], { env })
    t.equal(stdout.split(`${url} can be written by every user of this machine`).length - 1, findings, stdout)
  }
})

test('the service and doctor warn of keys that others can read, and of settings and folders that others can write', async (t) => {
  // Every user can reach the folders above, wherever the project is.
  const folder = fastFolder(t)
  chmodSync(folder, 0o755)
  for (const path of ['deep/own', 'deep/keys', 'deep/stores']) mkdirSync(join(folder, path), { recursive: true })
  const own = join(folder, 'deep/own')
  const env = { SECRET_KEY_FILE: '../keys/key', SESSION_STORE_FILE: '../stores/url', SIGNUP: 'open' }
  const [key, url, dotEnv] = [join(folder, 'deep/keys/key'), join(folder, 'deep/stores/url'), join(own, '.env')]
  writeFileSync(key, testKey.split('').reverse().join(''), { mode: 0o640 })
  writeFileSync(url, 'lmdb:../stores/lmdb', { mode: 0o644 })
  writeFileSync(dotEnv, '# SECRET_KEY=\nSECRET_KEY_FILE=../keys/key\n', { mode: 0o644 })
  for (const path of ['deep', 'deep/own', 'deep/keys', 'deep/stores']) chmodSync(join(folder, path), 0o755)
  const service = await startService(t, own, env)
  t.notMatch(service.output(), 'log in as any user', 'a key for the group is what the examples have')
  const doctor = async (): Promise<string[]> => (await hatcheckProcess(own, ['doctor'], { env })).stdout.split('\n').filter((line) => line.includes('any user'))
  t.strictSame(await doctor(), [])

  const written = (path: string, by = 'every user of this machine'): string => `${path} can be written by ${by}, who could then log in as any user. Run "chmod go-w ${path}".`
  const read = (path: string): string => `${path} can be read by every user of this machine, who could then log in as any user. Run "chmod o-r ${path}".`
  const faults: Array<[path: string, mode: number, faults: string[]]> = [
    [key, 0o644, [read(key)]],
    [url, 0o664, [written(url, 'the group of its owner')]],
    [dotEnv, 0o646, [written(dotEnv)]],
    [join(folder, 'deep/keys'), 0o777, [written(join(folder, 'deep/keys'))]],
    [join(folder, 'deep/keys'), 0o1777, []],
    [join(folder, 'deep/stores'), 0o757, [written(join(folder, 'deep/stores'))]],
    [own, 0o777, [written(own)]],
    [own, 0o775, []]
  ]
  for (const [path, mode, expected] of faults) {
    const before = statSync(path).mode
    chmodSync(path, mode)
    t.strictSame(await doctor(), expected, `${path} ${mode.toString(8)}`)
    chmodSync(path, before)
  }
  chmodSync(key, 0o644)
  writeFileSync(dotEnv, `SECRET_KEY_FALLBACKS="${testKey}"\nDATA_DIR=elsewhere`)
  chmodSync(join(folder, 'deep/stores'), 0o777)
  const warnings = [written(join(folder, 'deep/stores')), read(key), read(dotEnv)]
  t.strictSame((await doctor()).sort(), warnings.sort())
  await service.end()
  const { output } = await startService(t, own, env)
  for (const line of warnings) t.match(output(), JSON.stringify(line).slice(1, -1))
  chmodSync(join(folder, 'deep'), 0o750)
  t.strictSame(await doctor(), [written(join(folder, 'deep/stores'))], 'a closed folder above keeps readers out')
})

test('doctor reports a key with which the service could not start', async (t) => {
  const folder = t.testdir()
  const doctor = (env: Record<string, string> = {}): Promise<Ended> => hatcheckCli(folder, ['doctor'], { env: { SIGNUP: 'open', ...env } })
  await hatcheckCli(folder, ['user', 'add', 'Sally'], { env: closed, input: 'a long password of Sally\n' })
  t.equal((await doctor()).code, 0, 'the next start makes the key')
  const key = join(folder, 'data/secret.key')
  const damaged = 'It is damaged: restore it from a backup, or delete it. Without it, the next start makes a new key, and every session ends.'
  const cases: Array<[make: () => void, finding: RegExp, env?: Record<string, string>]> = [
    [() => { mkdirSync(key, { mode: 0o700 }) }, new RegExp(`^${key} cannot be read: .*\\.\n$`)],
    [() => { writeFileSync(key, '', { mode: 0o600 }) }, new RegExp(`^${key} must be at least 32 bytes long, but is 0\\. ${damaged}\n$`)],
    [() => { symlinkSync('gone', key) }, new RegExp(`^${key} cannot be read: ENOENT: .*\\.\n$`)],
    [() => {}, /^SECRET_KEY_FILE cannot be read: ENOENT: .*\.\n$/, { SECRET_KEY_FILE: join(folder, 'gone') }],
    [() => {}, /^SECRET_KEY must be at least 32 bytes long, but is 5\. .*\n$/, { SECRET_KEY: 'short' }]
  ]
  for (const [make, stdout, env] of cases) {
    make()
    t.match(await doctor(env), { code: 1, stdout, stderr: '' })
    t.match(await runServer(folder, { ...env, SIGNUP: 'open' }), { code: 1, stderr: stdout.source.startsWith('^SECRET') ? /^hatcheck: SECRET_KEY/ : `hatcheck: ${key}` }, 'and the service does not start')
    rmSync(key, { recursive: true, force: true })
  }
})

test('doctor reports the state of Redis, and that the memory store has nothing to check', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const { url: store, client } = await startRedis(t)
  const env = { SIGNUP: 'open', SECRET_KEY: testKey, SESSION_STORE: store }
  const doctor = (): Promise<Ended> => hatcheckCli(folder, ['doctor'], { env })
  const { url } = await startService(t, folder, env)
  const harry = await cookieOf(url, 'Harry')
  const [{ handle = '' } = {}] = await listed(url, harry)
  const sound = { code: 0, stdout: new RegExp(`^${store} is sound \\(accounts: 1, sessions: 1, `) }
  t.match(await doctor(), sound)
  const [session = ''] = await client.keys('hatcheck:session:*')
  const key = session.slice('hatcheck:session:'.length)
  await client.zadd('hatcheck:user:Harry', 5, 'ended')
  t.match(await doctor(), sound, 'an entry of a session that has ended')
  await client.zadd('hatcheck:user:Harry', 5, 'x'.repeat(257), '-inf', key)
  await client.zadd('hatcheck:user:Sally', 5, key)
  t.same((await doctor()).stdout.trimEnd().split('\n').sort(), [
    'An entry of the index by user leads from Sally to ' + handle + ', which is not a session of that user. It is passed over.',
    ...Array(2).fill('An entry of the index by user of Harry is damaged. It is passed over.')
  ])
  await client.del('hatcheck:user:Sally')
  await client.del('hatcheck:user:Harry')
  t.match(await doctor(), { code: 1, stdout: new RegExp(`^The session ${handle} of Harry is not in the index by user\\. [^\n]+\n$`) })
  await client.hset(session, 'seenAt', 'x')
  await client.hset('hatcheck:account:harry', 'passwordHash', 'x')
  await client.set('hatcheck:attempts:x', 'x')
  await client.set('hatcheck:user:Sally', 'x')
  const { code, stdout } = await doctor()
  t.equal(code, 1)
  t.match(stdout.trimEnd().split('\n').sort(), [/^The counter of failed logins x is damaged\./, /^The index by user of Sally is damaged: /, /^The password hash of Harry is damaged\./, new RegExp(`^The session ${handle} is damaged\\.`)])
  t.match(await hatcheckCli(folder, ['doctor'], { env: { ...env, SESSION_STORE: 'memory:' } }), { code: 1, stderr: 'hatcheck: SESSION_STORE is memory:, so the records exist in the running service only. Set SESSION_STORE to a store on disk or to Redis.\n' })
})

/** The fields of each line of a list. */
function rowsOf (text: string): string[][] {
  return text.split('\n').filter((line) => line !== '').map((line) => line.split('\t'))
}

function cookieOf (url: string, name: string): Promise<string> {
  return logIn(url, name, passwordOf(name))
}

async function listed (url: string, cookie: string): Promise<Array<{ handle: string, current: boolean }>> {
  const answer = await new Client(url).get('/sessions', { cookie, accept: 'application/json' })
  return answer.json<{ sessions: Array<{ handle: string, current: boolean }> }>().sessions
}
