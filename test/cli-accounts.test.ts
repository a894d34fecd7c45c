import type { FastifyInstance } from 'fastify'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { Client } from './clients/client.js'
import { build, needs, testKey } from './helper.js'
import { compiled, hatcheckCli, hatcheckInTerminal, startService, type Ended } from './processes/service.js'
import { meddle } from './stores/command-data.js'

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
  t.match(await hatcheckCli(folder, ['user', 'disable', 'Sally'], { env: { ...closed, SESSION_COOKIE_NAME: 'shop' } }), { stdout: 'Sally can no longer log in; every session has ended.\n' })
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
  const fastify = await serviceOver(t, folder)
  t.equal((await new Client(fastify).login('Sally', ' spaces count, 密码 ')).statusCode, 303)
  t.equal((await new Client(fastify).login('Harry', 'a lone\rCR is a character')).statusCode, 303, 'to the last byte')
  t.equal((await new Client(fastify).login('Anne', 'so is a line separator\u2028 of Unicode')).statusCode, 303)
  t.equal((await new Client(fastify).login('Mary', 'at the end of the input\r')).statusCode, 303)
  t.equal((await new Client(fastify).login('Luna', 'saved by an editor')).statusCode, 303, 'a byte order mark belongs to the file')
})

test('a name that breaks the rules is refused', async (t) => {
  const folder = t.testdir()
  const add = (name: string): Promise<Ended> => hatcheckCli(folder, ['user', 'add', name], { env: closed, input: 'a long password of nobody\n' })
  t.same(await add('  '), { code: 1, stdout: '', stderr: 'hatcheck: The name is missing.\n' })
  t.same(await add('x'.repeat(65)), { code: 1, stdout: '', stderr: 'hatcheck: A name can have at most 64 characters.\n' })
  t.same(await add('a\u001b[31mb'), { code: 1, stdout: '', stderr: 'hatcheck: A name must not contain control characters, or invisible characters outside emoji.\n' })
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

  const fastify = await serviceOver(t, folder)
  t.equal((await new Client(fastify).login('Sally', 'a long password of Sally')).statusCode, 303)
})

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

/** A service in this process with the accounts of a folder: a process takes a second to start. */
function serviceOver (t: Test, folder: string): Promise<FastifyInstance> {
  return build(t, { mode: 'service', signup: 'closed', sessionStore: `lmdb:${join(folder, 'data/lmdb')}` })
}
