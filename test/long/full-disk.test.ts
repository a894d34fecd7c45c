import { join } from 'node:path'
import tap, { test, type Test } from 'tap'
import { LmdbWriter } from '../../plugins/storage/lmdb/writer.js'
import { AS_PROGRAM } from '../clients/accept.js'
import { Client, logIn, userOf, type Answer } from '../clients/client.js'
import { keyOf } from '../helper.js'
import { startService, type Service } from '../processes/service.js'
import { mountSmallDisk, needsMounting } from '../programs/small-disk.js'
import { openLmdb } from '../stores/open-lmdb.js'
import { loopTime, until } from '../time/loop-clock.js'
import { audit, openForAudit } from '../torture/audit.js'

tap.setTimeout(120_000)

const PASSWORD = 'a password for tests'
/** A full disk must fail at once and not cause a wait. */
const AT_ONCE_MS = 4_000

test('on a full disk LMDB reads, refuses writes, reports an unstored logout, and recovers on its own', needsMounting(), async (t) => {
  const disk = mountSmallDisk(t, 4)
  const service = await startService(t, disk.folder)
  const { url } = service
  const lmdb = join(disk.folder, 'data/lmdb')
  const visitors: string[] = []
  for (let number = 0; number < 8; number++) visitors.push(await logIn(url, `visitor ${number}`, PASSWORD))

  // An open read transaction keeps LMDB from reusing old pages, so that every write needs a new one.
  const outside = openForAudit(lmdb)
  const reading = outside.useReadTransaction()
  disk.fill()
  await untilRefused(() => tryToLogIn(url, 'visitor 0'))

  await t.test('reads continue', async (t) => {
    for (const [number, cookie] of visitors.entries()) t.equal(await userOf(url, cookie), `visitor ${number}`)
    t.equal((await new Client(url).get('/login')).statusCode, 200)
  })

  await t.test('a login is a 503 with Retry-After and no cookie', async (t) => {
    for (const name of ['visitor 1', 'a new name']) {
      const begun = loopTime()
      const response = await tryToLogIn(url, name)
      t.ok(loopTime() - begun < AT_ONCE_MS)
      t.equal(response.statusCode, 503)
      t.match(response.headers['retry-after'], /^\d+$/)
      t.equal(response.headers['set-cookie'], undefined)
      t.match(response.json(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    }
    t.equal(await userOf(url, visitors[1] as string), 'visitor 1', 'and no user is logged out')
  })

  await t.test('many simultaneous logins are refused as well', async (t) => {
    const responses = await Promise.all(Array.from({ length: 8 }, () => tryToLogIn(url, 'visitor 1')))
    t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([503]))
  })

  const refused: string[] = []
  await t.test('a logout is a 503 that says it is not stored, and this process refuses the ticket', async (t) => {
    for (const cookie of visitors.slice(2, 5)) {
      const response = await new Client(url).post('/logout', {}, { cookie, ...AS_PROGRAM })
      t.equal(response.statusCode, 503)
      t.match(response.headers['retry-after'], /^\d+$/)
      t.match(response.headers['set-cookie'], [/^hatcheck=; Max-Age=0/])
      t.match(response.json(), { code: 'HATCHECK_LOGOUT_UNCONFIRMED', detail: /not confirmed/ })
      t.equal(await userOf(url, cookie), null)
      refused.push(cookie)
    }
  })

  await t.test('with free space again, the service recovers without a restart and stores the logouts', async (t) => {
    reading.done()
    disk.free()
    await until('a login succeeds', async () => (await tryToLogIn(url, 'visitor 6')).statusCode === 303)
    await until('the logouts are stored', () => refused.every((cookie) => !audit(outside, lmdb).records.has(keyOf(cookie))))
    t.same(audit(outside, lmdb).faults, [])
    t.equal((await new Client(url).post('/logout', {}, { cookie: visitors[5] as string })).statusCode, 303)
    t.equal(await userOf(url, visitors[0] as string), 'visitor 0')
    t.match(service.output(), 'the end of a session is stored now')
  })

  await t.test('on a disk that is full again, the service still stops in time with exit code 0', async (t) => {
    const reading = outside.useReadTransaction()
    disk.fill()
    await untilRefused(() => tryToLogIn(url, 'visitor 0'))
    const begun = loopTime()
    t.equal(await service.end('SIGTERM'), 0)
    t.ok(loopTime() - begun < AT_ONCE_MS)
    t.match(service.output(), 'No space left on device', 'the log has the reason')
    t.notMatch(service.output(), /unhandled|uncaught/i)
    reading.done()
  })

  await outside.close()

  await t.test('another process finds the data intact, also while the disk is full', async (t) => {
    const again = await startService(t, disk.folder)
    await assertAll(t, again)
    disk.free()
    await until('a login succeeds', async () => (await tryToLogIn(again.url, 'visitor 7')).statusCode === 303)
    await assertAll(t, again)
    t.equal(await again.end(), 0)
    const outside = openForAudit(lmdb)
    const found = audit(outside, lmdb)
    await outside.close()
    t.same(found.faults, [])

    const storage = openLmdb(lmdb, { now: Date.now, maxBytes: 16_384 }, { info () {}, warn (...args: unknown[]) { t.fail(args.join(' ')) } })
    for (const key of found.records.keys()) t.not(await storage.sessions.read(key), null)
    await storage.close()
  })

  async function assertAll (t: Test, { url }: Service): Promise<void> {
    for (const number of [0, 1, 6, 7]) t.equal(await userOf(url, visitors[number] as string), `visitor ${number}`)
    for (const number of [2, 3, 4, 5]) t.equal(await userOf(url, visitors[number] as string), null, `visitor ${number} is logged out`)
  }
})

function tryToLogIn (url: string, name: string): Promise<Answer> {
  return new Client(url).login(name, PASSWORD)
}

/** Free space within the file is used up first. */
async function untilRefused (write: () => Promise<Answer>): Promise<void> {
  await until('the disk is full', async () => (await write()).statusCode === 503)
}

test('a write that LMDB never answers fails at its deadline', async (t) => {
  const never = new Promise<never>(() => {})
  const stuck = { on () {}, transaction: () => never, flushed: never, committed: never }
  await t.rejects(new LmdbWriter(stuck as never, 50).write('create', true, () => {}), {
    code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503, headers: { 'retry-after': '1' }, cause: { message: 'not written within 50 ms' }
  })
  const unflushed = { ...stuck, transaction: async (run: () => void) => { run() } }
  const writer = new LmdbWriter(unflushed as never, 50)
  t.equal(await writer.write('patch', false, () => 'written'), 'written')
  await t.rejects(writer.write('create', true, () => {}), { cause: { message: 'not written within 50 ms' } })
  await t.rejects(writer.flush(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
})
