import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { needs, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'
import { freePort } from './processes/free-port.js'
import { compiled, hatcheckCli, hatcheckProcess, startService, type Ended } from './processes/service.js'
import { startRedis } from './programs/redis.js'

const closed = { SECRET_KEY: testKey, SIGNUP: 'closed' }
const HINT = 'Try "hatcheck --help".\n'

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
