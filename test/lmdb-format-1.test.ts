import { open } from 'lmdb'
import { test, type Test } from 'tap'
import { DEFAULT_REALM, hashIn, keyPrefix } from '../plugins/common/realm.js'
import { changesOf, recordOf, replacementOf } from '../plugins/store/contract/index.js'
import type { SessionRecord } from '../plugins/store/sessions.js'
import { TOMBSTONE_MS } from '../plugins/store/sessions.js'
import { hatcheckProcess, type Ended } from './processes/service.js'
import { fastFolder } from './stores/fast-folder.js'
import { openLmdb } from './stores/open-lmdb.js'
import { HOUR } from './time/units.js'

const START = recordOf().createdAt
const keyOf = (name: string): string => hashIn(DEFAULT_REALM, name)
const login = (user: string): Partial<SessionRecord> => ({ user, fields: { client_name: JSON.stringify(user), authenticatedAt: String(START), 'hatcheck:client': '["curl","192.0.2.x"]', cart: '[1]' } })

const RECORDS: Record<string, SessionRecord> = {
  [keyOf('one')]: recordOf({ ...login('Harry'), expiresAt: START + 1 }),
  [keyOf('two')]: recordOf({ ...login('Harry'), createdAt: START + 1 }),
  [keyOf('three')]: recordOf({ ...login('Harry'), createdAt: START + 2, permanent: true, expiresAt: START + 90 * 24 * HOUR }),
  [`${keyPrefix('realm')}${keyOf('four')}`]: recordOf(login('Harry\0realm')),
  [keyOf('anonymous')]: recordOf()
}
const [ONE, TWO, THREE, FOUR, ANONYMOUS] = Object.keys(RECORDS) as [string, string, string, string, string]
/** What "hatcheck doctor" answers if it finds nothing. */
const SOUND = { code: 0, stderr: '' }
const [ENDED, NEXT] = [keyOf('ended'), keyOf('next')]

/** Writes a folder as hatcheck did when sessions had format 1. */
async function writeFormat1 (folder: string): Promise<void> {
  const env = open({ path: folder, maxDbs: 16, noSubdir: false })
  const sessions = env.openDB<unknown, string>({ name: 'sessions', encoding: 'msgpack' })
  const tombstones = env.openDB<unknown, string>({ name: 'session tombstones', encoding: 'msgpack' })
  const byUser = env.openDB<string, string>({ name: 'sessions by user', dupSort: true, encoding: 'ordered-binary' })
  const byExpiry = env.openDB<string, number>({ name: 'sessions by expiry', dupSort: true, encoding: 'ordered-binary' })
  await env.transaction(() => {
    env.put('hatcheck formats', { sessions: 1, accounts: 1, attempts: 1, revocations: 1 })
    for (const [key, { createdAt, seenAt, expiresAt, permanent, user, fields }] of Object.entries(RECORDS)) {
      sessions.put(key, [1, createdAt, seenAt, expiresAt, permanent, user, ...Object.entries(fields).flat()])
      byExpiry.put(expiresAt, key)
      if (user !== null) byUser.put(user, key)
    }
    tombstones.put(ENDED, [START + TOMBSTONE_MS, NEXT])
    byExpiry.put(START + TOMBSTONE_MS, ENDED)
  })
  await env.close()
}

async function openedFormat1 (t: Test) {
  const folder = fastFolder(t)
  await writeFormat1(folder)
  const clock = { time: START }
  const lines: string[] = []
  const storage = openLmdb(folder, { now: () => clock.time, maxBytes: 65_536 }, { info () {}, warn (details: unknown, text?: string) { lines.push(text ?? String(details)) } })
  t.teardown(() => storage.close())
  const raw = open({ path: folder, maxDbs: 16, noSubdir: false })
  t.teardown(() => raw.close())
  const entriesIn = (name: string): number => {
    raw.resetReadTxn()
    return (raw.openDB({ name, encoding: 'binary', dupSort: name.includes(' by ') }).getStats() as { entryCount: number }).entryCount
  }
  const examine = async (): Promise<Ended> => await hatcheckProcess(folder, ['doctor'], { env: { SESSION_STORE: `lmdb:${folder}` } })
  return { sessions: storage.sessions, clock, lines, raw, entriesIn, examine }
}

test('sessions of format 1 are read and listed, and the folder then has the new format', async (t) => {
  const { sessions, lines, raw, examine } = await openedFormat1(t)
  for (const [key, record] of Object.entries(RECORDS)) t.strictSame(await sessions.read(key), record)
  t.strictSame((await sessions.ofUser('Harry')).map(({ key }) => key), [ONE, TWO, THREE])
  t.strictSame((await sessions.ofUser('Harry\0realm')).map(({ key }) => key), [FOUR])
  t.equal(await sessions.successor(ENDED), NEXT)
  t.equal(await sessions.create(ENDED, recordOf()), false)
  t.match(await examine(), SOUND)
  raw.resetReadTxn()
  t.match(raw.get('hatcheck formats'), { sessions: 2 }, 'an older version refuses it')
  t.strictSame(lines, [])
})

test('a session of format 1 is changed, renewed and ended, and each index has it once', async (t) => {
  const { sessions, clock, entriesIn, examine } = await openedFormat1(t)
  const before = ['sessions by user', 'sessions by expiry'].map(entriesIn)
  t.equal(await sessions.touch(TWO, START + 5, START + 2 * HOUR), true)
  t.equal(await sessions.patch(THREE, changesOf({ set: { cart: '[2]' }, seenAt: START + 5, expiresAt: START + 6 })), true)
  t.equal(await sessions.patch(ANONYMOUS, changesOf({ set: { cart: '[3]' } })), true)
  t.strictSame(['sessions by user', 'sessions by expiry'].map(entriesIn), before)
  t.strictSame(await sessions.read(TWO), { ...RECORDS[TWO], seenAt: START + 5, expiresAt: START + 2 * HOUR })
  t.equal((await sessions.read(THREE))?.fields['cart'], '[2]')
  t.strictSame((await sessions.ofUser('Harry')).map(({ key }) => key), [ONE, TWO, THREE])
  t.match(await examine(), SOUND)

  t.match(await sessions.replace(TWO, NEXT, replacementOf({ expiresAt: START + 2 * HOUR })), { outcome: 'replaced' })
  t.equal((await sessions.remove(FOUR))?.user, 'Harry\0realm')
  t.strictSame((await sessions.ofUser('Harry')).map(({ key }) => key), [ONE, NEXT, THREE])
  t.strictSame(await sessions.ofUser('Harry\0realm'), [])
  t.match(await examine(), SOUND)

  const ended: string[] = []
  t.equal(await sessions.removeOfUser('Harry', ONE, (key) => { ended.push(key) }), 2)
  t.strictSame(ended.sort(), [NEXT, THREE].sort())
  t.strictSame((await sessions.ofUser('Harry')).map(({ key }) => key), [ONE])
  t.match(await examine(), SOUND)

  clock.time = START + 3 * HOUR
  while (await sessions.sweep(5) > 0);
  for (const name of ['sessions', 'session tombstones', 'sessions by user', 'sessions by expiry']) t.equal(entriesIn(name), 0, name)
})

test('a sweep drops what has expired of format 1', async (t) => {
  const { sessions, clock, entriesIn, examine } = await openedFormat1(t)
  clock.time = START + 2 * HOUR
  const expired: unknown[] = []
  let dropped = 0
  for (let last = 1; last > 0; dropped += last) last = await sessions.sweep(5, (key, user) => { expired.push([key, user]) })
  t.equal(dropped, 5)
  t.strictSame(expired.sort(), [[ONE, 'Harry'], [TWO, 'Harry'], [FOUR, 'Harry\0realm'], [ANONYMOUS, null]].sort())
  t.equal(sessions.count(), 1)
  for (const [name, entries] of [['sessions by user', 1], ['sessions by expiry', 1], ['session tombstones', 0]] as const) t.equal(entriesIn(name), entries, name)
  t.match(await examine(), SOUND)
})

test('what a login stores is read as it was, whatever its values are', async (t) => {
  const { sessions } = openLmdb(fastFolder(t), { now: () => START, maxBytes: 65_536 }, { info () {}, warn () {} })
  const texts = ['"Harry"', '"Harry\\u0020"', 'null', String(START), `${START}.0`, '0', '""']
  const names = ['client_name', 'authenticatedAt', 'hatcheck:client', '0', '1', 'null']
  for (const [i, record] of [recordOf(login('Harry')), recordOf(login('"\\ é\0realm')), recordOf(login('')), recordOf({ fields: {} }),
    recordOf({ createdAt: START + 0.25, seenAt: START - HOUR, expiresAt: START * 1.5 })].entries()) {
    await sessions.create(`key ${i}`, record)
    if (record.expiresAt > START) t.strictSame(await sessions.read(`key ${i}`), record)
  }
  for (const user of ['Harry', null]) {
    for (const text of texts) {
      const record = recordOf({ user, fields: Object.fromEntries(names.map((name) => [name, text])) })
      await sessions.create(`${user} ${text}`, record)
      t.strictSame(await sessions.read(`${user} ${text}`), record)
    }
  }
})

test('a login takes less than 120 bytes besides its keys, and an index less than the text of a key', async (t) => {
  const folder = fastFolder(t)
  const { sessions } = openLmdb(folder, { now: () => START, maxBytes: 65_536 }, { info () {}, warn () {} })
  await sessions.create(TWO, RECORDS[TWO] as SessionRecord)
  await sessions.create(FOUR, RECORDS[FOUR] as SessionRecord)
  await sessions.create('a key of another kind', recordOf({ user: 'Sally' }))
  const raw = open({ path: folder, maxDbs: 16, noSubdir: false })
  t.teardown(() => raw.close())
  t.ok((raw.openDB({ name: 'sessions', encoding: 'binary' }).getBinary(TWO)?.length as number) < 120)
  const byUser = raw.openDB<Buffer, string>({ name: 'sessions by user', encoding: 'binary', dupSort: true })
  t.strictSame([...byUser.getRange()].map(({ value }) => value.length), [33, 45, 21])
  t.strictSame([(await sessions.ofUser('Harry'))[0]?.key, (await sessions.ofUser('Harry\0realm'))[0]?.key, (await sessions.ofUser('Sally'))[0]?.key], [TWO, FOUR, 'a key of another kind'])
})
