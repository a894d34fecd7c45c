import { cpSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { Client, logIn, passwordOf, userOf } from '../clients/client.js'
import { keyOf, testKey } from '../helper.js'
import { freePort } from '../processes/free-port.js'
import { hatcheckProcess, startService } from '../processes/service.js'
import { mountSmallDisk, needsMounting } from '../programs/small-disk.js'
import { openLmdb } from '../stores/open-lmdb.js'
import { until } from '../time/loop-clock.js'

const env = { SECRET_KEY: testKey, SIGNUP: 'open' }

test('a backup during writes has every account from before it, and restores to accounts without sessions', async (t) => {
  const folder = t.testdir()
  const { url, end } = await startService(t, folder, env)
  const before = ['Harry', 'Sally', 'ÅSA']
  const cookies = await Promise.all(before.map((name) => logIn(url, name, passwordOf(name))))
  t.ok(cookies.every((cookie) => cookie !== ''))
  t.equal((await new Client(url).put('/session/cart', 'a pear for the backup', { cookie: cookies[0] ?? '' })).statusCode, 201)

  // Sessions begin, change and end, and accounts are created, during the whole backup.
  const done = new AbortController()
  let written = 0
  const writers = [0, 1, 2, 3].map(async (writer) => {
    for (let i = 0; !done.signal.aborted; i++) {
      const name = `writer ${writer} of ${i}`
      const client = new Client(url)
      await client.login(name, passwordOf(name))
      await client.post('/logout')
      written++
    }
  })
  await until('there are writes', () => written > 4)
  const atStart = written
  const backup = await hatcheckProcess(folder, ['backup', 'safe/monday'], { env })
  done.abort()
  await Promise.all(writers)
  t.match(backup, { code: 0, stderr: '' })
  const [, counted] = /^(\d+) accounts backed up\.\n$/.exec(backup.stdout) ?? []
  t.ok(written > atStart, 'the store was written to during the backup')
  t.ok(Number(counted) >= before.length + atStart && Number(counted) <= before.length + written + 4, `${counted} accounts`)

  const place = join(folder, 'safe/monday')
  t.strictSame(readdirSync(place), ['lmdb'], 'the secret key is not in it')
  t.strictSame(['', 'lmdb', 'lmdb/data.mdb', 'lmdb/lock.mdb'].map((path) => statSync(join(place, path)).mode & 0o777), [0o700, 0o700, 0o600, 0o600])
  const bytes = readFileSync(join(place, 'lmdb/data.mdb'))
  t.ok(bytes.includes('Harry'), 'the accounts are')
  for (const cookie of cookies) t.notOk(bytes.includes(keyOf(cookie)), 'no session is, not even as leftover bytes')
  t.notOk(bytes.includes('a pear for the backup'))

  t.equal(await userOf(url, cookies[0] ?? ''), 'Harry', 'the service continues')
  t.equal(await end('SIGTERM'), 0)
  cpSync(place, join(folder, 'restored'), { recursive: true })
  const restored = await startService(t, folder, { ...env, SIGNUP: 'closed', DATA_DIR: 'restored' })
  for (const cookie of cookies) t.equal(await userOf(restored.url, cookie), null, 'an earlier cookie grants no access, although its signature is right')
  for (const name of before) {
    const cookie = await logIn(restored.url, name, passwordOf(name))
    t.equal(await userOf(restored.url, cookie), name, `${name} can log in`)
  }
  t.equal(await logIn(restored.url, 'Nobody', passwordOf('Nobody')), '')
})

test('a backup that cannot be made says why, and leaves existing files unchanged', async (t) => {
  const folder = t.testdir()
  const backup = (more: Record<string, string> = {}) => hatcheckProcess(folder, ['backup', 'safe'], { env: { ...env, ...more } })
  const [noFolder, nothing, redis] = await Promise.all([
    hatcheckProcess(folder, ['backup'], { env }), backup(), backup({ SESSION_STORE: `redis://127.0.0.1:${await freePort()}` })
  ])
  t.same(noFolder, { code: 1, stdout: '', stderr: 'hatcheck: missing argument: backup FOLDER\nTry "hatcheck --help".\n' })
  t.same(nothing, { code: 1, stdout: '', stderr: `hatcheck: There is no store in ${join(folder, 'data/lmdb')}: check DATA_DIR and SESSION_STORE.\n` })
  t.same(redis, { code: 1, stdout: '', stderr: 'hatcheck: SESSION_STORE is Redis; "backup" copies LMDB only. Use the backups of Redis.\n' })
  t.strictSame(readdirSync(folder), [], 'no folder was created')

  await addAccounts(folder, 1)
  t.same(await backup(), { code: 0, stdout: '1 account backed up.\n', stderr: '' })
  const written = readFileSync(join(folder, 'safe/lmdb/data.mdb'))
  t.same(await backup(), { code: 1, stdout: '', stderr: `hatcheck: ${join(folder, 'safe')} is not empty: a backup takes a folder of its own.\n` })
  t.ok(readFileSync(join(folder, 'safe/lmdb/data.mdb')).equals(written))
})

test('a backup that does not fit on its disk fails, and leaves no file that looks like a backup', needsMounting(), async (t) => {
  const folder = t.testdir()
  await addAccounts(folder, 10_000)
  const disk = mountSmallDisk(t, 2)
  const place = join(disk.folder, 'backup')
  const backup = () => hatcheckProcess(folder, ['backup', place], { env })
  t.match(await backup(), { code: 1, stdout: '', stderr: /^hatcheck: The backup could not be written to \S+\/backup\. The reason: [^\n]+: [^\n]+\n$/m }, 'while it is written')
  t.strictSame(readdirSync(place), [])
  disk.fill()
  t.same(await backup(), { code: 1, stdout: '', stderr: `hatcheck: ${place} has no space left.\n` })
  t.strictSame(readdirSync(place), [])
})

/** Without a process and without a hash for each. */
async function addAccounts (folder: string, count: number): Promise<void> {
  const { accounts, close } = openLmdb(join(folder, 'data/lmdb'), { now: Date.now, maxBytes: 16_384 }, { info () {}, warn () {} })
  await Promise.all(Array.from({ length: count }, (_, i) =>
    accounts.create(`user ${i}`, { name: `User ${i}`, passwordHash: 'x'.repeat(97), createdAt: 0, disabled: false })))
  await close()
}
