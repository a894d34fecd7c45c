import type { Redis } from 'ioredis'
import { open, type Database, type RootDatabase } from 'lmdb'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { Account, AccountStore } from '../plugins/accounts/store.js'
import { hashPassword } from '../plugins/accounts/password.js'
import { recordOf, replacementOf } from '../plugins/session/store-contract.js'
import { TOMBSTONE_MS } from '../plugins/session/store.js'
import { openLmdb } from '../plugins/storage/lmdb.js'
import { isFlatMsgpack } from '../plugins/storage/msgpack.js'
import { openRedis } from '../plugins/storage/redis.js'
import { parseRedisUrl } from '../plugins/storage/redis-url.js'
import type { Storage } from '../plugins/storage/storage.js'
import { policies } from '../plugins/throttle/policy.js'
import { fastFolder } from './fast-folder.js'
import { Client, build, needs } from './helper.js'
import { startRedis } from './redis.js'

const START = recordOf().createdAt
const policy = policies.account
/** What a byte is changed by: its lowest bit, its highest, all, and the bit that makes a short list a long one. */
const FLIPS = [0x01, 0x80, 0xff, 0x4d]
/** A sweep that makes no progress would never end. */
const MOST_SLICES = 20

/** The same bytes with one changed, each in several ways, and cut off at each length. */
function * damages (sound: Buffer): Generator<[what: string, bytes: Buffer]> {
  for (let at = 0; at < sound.length; at++) {
    for (const flip of FLIPS) {
      const changed = Buffer.from(sound)
      changed[at] = (changed[at] as number) ^ flip
      yield [`byte ${at} ^ ${flip}`, changed]
    }
  }
  for (let length = 0; length < sound.length; length++) yield [`cut to ${length}`, sound.subarray(0, length)]
}

interface Filled {
  storage: Storage
  clock: { time: number }
  lines: string[]
}

const logTo = (lines: string[]): object => ({ info () {}, warn (details: unknown, text?: string) { lines.push(text ?? String(details)) } })

/** A session, a tombstone, an account and a counter that will be damaged, and some that must not suffer from it. */
async function fill ({ sessions, accounts, attempts }: Storage, passwordHash: string): Promise<void> {
  for (const key of ['damaged', 'other']) await sessions.create(key, recordOf({ user: 'Harry' }))
  for (const key of ['replaced', 'ended']) await sessions.create(key, recordOf({ user: 'Sally' }))
  await sessions.replace('replaced', 'successor', replacementOf())
  await sessions.remove('ended')
  for (const name of ['Harry', 'Sally']) await accounts?.create(name.toLowerCase(), { name, passwordHash, createdAt: START, disabled: name === 'Harry' })
  for (const key of ['damaged', 'other']) for (let i = 0; i < 8; i++) await attempts.count(key, policy, START)
}

/** Uses everything, and answers what is wrong about what was not damaged. */
async function faultOf ({ storage: { sessions, accounts, attempts }, clock }: Filled): Promise<string | null> {
  clock.time = START
  const unavailable = async (work: () => unknown): Promise<unknown> => {
    try {
      return await work()
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'HATCHECK_STORE_UNAVAILABLE') throw error
    }
  }
  const record = await sessions.read('damaged')
  if (record !== null && (typeof record.permanent !== 'boolean' || Object.values(record.fields).some((text) => typeof text !== 'string'))) return 'a record that is none'
  await sessions.successor?.('replaced')
  await sessions.touch('damaged', START + 1, record?.expiresAt ?? START + 1)
  const account = await unavailable(async () => await accounts?.read('harry')) as Account | null | undefined
  if (account != null && account.name.toLowerCase() !== 'harry') return 'an account under another name'
  await unavailable(async () => await accounts?.update('harry', { disabled: true }))
  const wait = await attempts.waitOf('damaged', policy, START)
  if (!(wait >= 0 && wait <= policy.longestMs)) return `a wait of ${wait}`
  for (const call of ['admit', 'count'] as const) await attempts[call]('damaged', policy, START)

  if (await sessions.read('other') === null) return 'the other session'
  if (!(await sessions.ofUser('Harry')).some(({ key }) => key === 'other')) return 'the other session in the list'
  if (await sessions.create('ended', recordOf())) return 'the tombstone'
  if ((await (accounts as AccountStore).read('sally'))?.name !== 'Sally') return 'the other account'
  if (!(await (accounts as AccountStore).list()).some(({ name }) => name === 'Sally')) return 'the other account in the list'
  if (await attempts.waitOf('other', policy, START) === 0) return 'the other counter'

  for (const time of [START + TOMBSTONE_MS, recordOf().expiresAt + TOMBSTONE_MS + 1]) {
    clock.time = time
    let slices = 0
    while (await sessions.sweep(1_000) > 0) if (++slices > MOST_SLICES) return 'a sweep of sessions without end'
    while (await attempts.sweep(time)) if (++slices > MOST_SLICES) return 'a sweep of counters without end'
  }
  return await sessions.read('other') === null ? null : 'the other session has not expired'
}

test('a length in a record that is beyond its bytes is never believed', (t) => {
  const whole = ['c0', '01', 'ff', 'cb427a3185c5000000', '90', '93c0c2c3', '91a161', '92a161d90162', '91da000161', '91db0000000161', 'dc0001a0', 'dd00000001a0', '94ccffcdffffceffffffffcfffffffffffffffff', '94d000d10000d200000000d30000000000000000', '91ca00000000']
  const broken = ['', '91', '92c0', '90c0', 'dcffff', 'ddffffffffc0', 'dc00', 'dd000000', '91dbffffffff61', '91daffff61', '91d9ff', '91d9', '91bf', '91cb00', 'c1', '80', '81a161c0', '9191c0', '91c40100', '91c70072', '91d47240', 'dfffffffff']
  for (const hex of whole) t.ok(isFlatMsgpack(Buffer.from(hex, 'hex')), hex)
  for (const hex of broken) t.notOk(isFlatMsgpack(Buffer.from(hex, 'hex')), hex)
  t.notOk(isFlatMsgpack(Buffer.from('91a161', 'hex'), 2), 'what lies behind the record does not count')
  t.end()
})

const DATABASES = ['sessions', 'session tombstones', 'sessions by user', 'sessions by expiry', 'accounts', 'attempts'] as const

interface Raw {
  env: RootDatabase
  of: Record<typeof DATABASES[number], Database<Buffer, Buffer>>
}

/** The same files once more, as bytes. */
function openRaw (folder: string): Raw {
  const env = open({ path: folder, maxDbs: 16, noSubdir: false })
  const of = Object.fromEntries(DATABASES.map((name) => [name, env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary', dupSort: name.includes(' by ') })]))
  return { env, of: of as Raw['of'] }
}

test('LMDB: with any one byte of a record or an index entry changed, or cut off, the others are as they were', async (t) => {
  const folder = fastFolder(t)
  const filled: Filled = { clock: { time: START }, lines: [], storage: null as unknown as Storage }
  filled.storage = openLmdb(folder, { now: () => filled.clock.time, maxBytes: 16_384, handleOf: (key) => `<${key}>` }, logTo(filled.lines) as never)
  t.teardown(() => filled.storage.close())
  await fill(filled.storage, await hashPassword('a long password'))
  const { env, of } = openRaw(folder)
  const sound = DATABASES.map((name) => ({ name, entries: [...of[name].getRange()].map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) })) }))

  const damagedEntries = sound.flatMap(({ name, entries }) => {
    const [first] = name === 'session tombstones' ? entries.filter(({ value }) => value.length > 9) : entries
    return [{ name, entry: first as { key: Buffer, value: Buffer } }]
  })
  t.equal(damagedEntries.length, 6)
  for (const { name, entry } of damagedEntries) {
    await t.test(name, async (t) => {
      let count = 0
      filled.lines.length = 0
      const parts: Array<'key' | 'value'> = name.includes(' by ') ? ['key', 'value'] : ['value']
      for (const part of parts) {
        for (const [what, bytes] of damages(entry[part])) {
          // LMDB takes no empty key, nor an empty value beside others of one key.
          if (bytes.length === 0 && name.includes(' by ')) continue
          await env.transaction(() => {
            for (const { name, entries } of sound) {
              of[name].clearSync()
              for (const { key, value } of entries) of[name].putSync(key, value)
            }
            of[name].removeSync(entry.key, entry.value)
            const damaged = { ...entry, [part]: bytes }
            of[name].putSync(damaged.key, damaged.value)
          })
          const fault = await faultOf(filled).catch((error: unknown) => String((error as Error).stack))
          if (fault !== null) t.fail(`${part}, ${what}: ${fault}`)
          count++
        }
      }
      t.comment(`${count} times, ${filled.lines.length} lines`)
      const own = { sessions: 'session <damaged>', 'session tombstones': 'tombstone <replaced>', accounts: 'account harry', attempts: 'counter of failed logins damaged' }[name as string]
      if (own !== undefined) t.match(filled.lines.filter((line) => line.startsWith(`the ${own} is damaged: `)), { length: 1 }, 'it is named, once')
      t.ok(filled.lines.length <= 8, filled.lines.join('\n'))
    })
  }
})

test('LMDB: the note of the formats, with any one byte changed or cut off', async (t) => {
  const folder = fastFolder(t)
  const lines: string[] = []
  const openIt = (): Storage => openLmdb(folder, { now: () => START, maxBytes: 16_384 }, logTo(lines) as never)
  const { sessions, close } = openIt()
  await sessions.create('one', recordOf())
  await close()
  const raw = open({ path: folder, maxDbs: 16, noSubdir: false })
  t.teardown(() => raw.close())
  const notes = raw.openDB<Buffer, string>({ name: null as unknown as string, encoding: 'binary' })
  const sound = Buffer.from(raw.getBinary('hatcheck formats') as Buffer)
  let refused = 0
  for (const [what, bytes] of damages(sound)) {
    await notes.put('hatcheck formats', bytes)
    lines.length = 0
    let storage
    try {
      storage = openIt()
    } catch (error) {
      refused++
      t.match(error, { code: 'HATCHECK_CONFIG', message: / holds \w+ of format \d+, and this version/ }, what)
      continue
    }
    if (await storage.sessions.read('one') === null) t.fail(what)
    t.ok(lines.length <= 1 && lines.every((line) => /^the note of formats \S+ is damaged: it is written anew/.test(line)), lines.join('\n'))
    await storage.close()
  }
  t.ok(refused >= 3 && refused <= 3 * FLIPS.length, `${refused} times another format is told`)
})
