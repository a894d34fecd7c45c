import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { userOf } from './clients/client.js'
import { needs, testKey } from './helper.js'
import { hatcheckCli, startService, type Ended } from './processes/service.js'
import { startRedis } from './programs/redis.js'
import { cookieOf, listed } from './stores/command-data.js'

const closed = { SECRET_KEY: testKey, SIGNUP: 'closed' }

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
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env }), { code: 0, stdout: '0 sessions ended.\n', stderr: /^hatcheck: this store has no accounts\. For the users of .+, run sessions revoke-all NAME\.$/m })
  const harry = await cookieOf(url, 'Harry')
  t.match(await hatcheckCli(folder, ['sessions', 'revoke-all'], { env }), { code: 0, stdout: 'every session of Harry has ended.\n' })
  t.equal(await userOf(url, harry), null)
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

/** The fields of each line of a list. */
function rowsOf (text: string): string[][] {
  return text.split('\n').filter((line) => line !== '').map((line) => line.split('\t'))
}
