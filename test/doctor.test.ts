import type { Database } from 'lmdb'
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { Client } from './clients/client.js'
import { needs, testKey } from './helper.js'
import { hatcheckCli, hatcheckProcess, runServer, startService, type Ended } from './processes/service.js'
import { startRedis } from './programs/redis.js'
import { cookieOf, listed, meddle } from './stores/command-data.js'
import { fastFolder } from './stores/fast-folder.js'

const closed = { SECRET_KEY: testKey, SIGNUP: 'closed' }

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
    [/^A realm is damaged\. A new password may not end/, 'realms of accounts', (realms) => realms.putSync(5 as unknown as string, Buffer.from('1'))],
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
  for (const path of ['deep/own', 'deep/keys', 'deep/stores', 'deep/linked']) mkdirSync(join(folder, path), { recursive: true })
  const own = join(folder, 'deep/own')
  const env = { SECRET_KEY_FILE: '../keys/key', SESSION_STORE_FILE: '../stores/url', SIGNUP: 'open' }
  const [key, url, dotEnv] = [join(folder, 'deep/keys/key'), join(folder, 'deep/stores/url'), join(own, '.env')]
  writeFileSync(key, testKey.split('').reverse().join(''), { mode: 0o640 })
  symlinkSync('../linked/url', url)
  writeFileSync(url, 'lmdb:../stores/lmdb', { mode: 0o644 })
  writeFileSync(dotEnv, '# SECRET_KEY=\nSECRET_KEY_FILE=../keys/key\n', { mode: 0o644 })
  for (const path of ['deep', 'deep/own', 'deep/keys', 'deep/stores', 'deep/linked']) chmodSync(join(folder, path), 0o755)
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
    [join(folder, 'deep/linked'), 0o777, [written(join(folder, 'deep/linked'))]],
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

test('every command warns of a password of the store that every user can read', async (t) => {
  const folder = fastFolder(t)
  chmodSync(folder, 0o755)
  const [file, dotEnv] = [join(folder, 'url'), join(folder, '.env')]
  const warnings = async (): Promise<string[]> => {
    const { stderr } = await hatcheckProcess(folder, ['user', 'list'], { env: closed })
    return stderr.split('\n').filter((line) => line.includes('can be read by every user of this machine')).map((line) => line.split(' ')[1] ?? '')
  }
  const settings: Array<[url: string, dotEnv: string, expected: string[]]> = [
    ['redis://hatcheck:password@127.0.0.1:1', 'SESSION_STORE_FILE=url', [file]],
    ['cookie:rediss+cluster://hatcheck:password@127.0.0.1:1', 'SESSION_STORE_FILE=url', [file]],
    ['redis://127.0.0.1:1', '# redis://hatcheck:password@127.0.0.1:1\nSESSION_STORE_FILE=url', []],
    ['redis://hatcheck:password@127.0.0.1:1', 'export SESSION_STORE="redis+unix://hatcheck:password@/no/socket"', [dotEnv]]
  ]
  for (const [url, text, expected] of settings) {
    writeFileSync(file, url, { mode: 0o644 })
    writeFileSync(dotEnv, `${text}\n`, { mode: 0o644 })
    t.strictSame(await warnings(), expected, `${url} ${text}`)
    for (const path of [file, dotEnv]) chmodSync(path, 0o640)
    t.strictSame(await warnings(), [])
    for (const path of [file, dotEnv]) rmSync(path)
  }
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
  await client.set('hatcheck:realms', 'x')
  const { code, stdout } = await doctor()
  t.equal(code, 1)
  t.match(stdout.trimEnd().split('\n').sort(), [/^The counter of failed logins x is damaged\./, /^The index by user of Sally is damaged: /, /^The note of realms is damaged\./, /^The password hash of Harry is damaged\./, new RegExp(`^The session ${handle} is damaged\\.`)])
  t.match(await hatcheckCli(folder, ['doctor'], { env: { ...env, SESSION_STORE: 'memory:' } }), { code: 1, stderr: 'hatcheck: SESSION_STORE is memory:, so the records exist in the running service only. Set SESSION_STORE to a store on disk or to Redis.\n' })
})
