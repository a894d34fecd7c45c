import { open, type Database, type RootDatabase } from 'lmdb'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'tap'
import { hashPassword } from '../../plugins/accounts/password.js'
import { DEFAULT_REALM, hashIn } from '../../plugins/common/realm.js'
import { parseRedisUrl } from '../../plugins/config/redis-url.js'
import type { Engine } from '../../plugins/storage/common/storage.js'
import { decodeFlat } from '../../plugins/storage/lmdb/msgpack.js'
import { openRedis } from '../../plugins/storage/redis/open.js'
import type { Account } from '../../plugins/store/accounts.js'
import { policies } from '../../plugins/store/attempt-policy.js'
import { recordOf, replacementOf } from '../../plugins/store/contract/index.js'
import { TOMBSTONE_MS } from '../../plugins/store/sessions.js'
import { logInto } from '../apps/log-lines.js'
import { Client } from '../clients/client.js'
import { build, needs } from '../helper.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { openLmdb } from '../stores/open-lmdb.js'

const START = recordOf().createdAt
const policy = policies.account
/** The session that is damaged. Its key and its fields are those of a login, which have a short form. */
const DAMAGED = hashIn(DEFAULT_REALM, 'damaged')
const LOGIN = { client_name: '"Harry"', authenticatedAt: String(START), 'hatcheck:client': '["curl","192.0.2.x"]', a: '1' }
/** Changes of a byte: its lowest bit, its highest, all, and the bit that makes a short list a long one. */
const FLIPS = [0x01, 0x80, 0xff, 0x4d]
/** A sweep without progress would never end. */
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
  storage: Engine
  clock: { time: number }
  lines: string[]
}

const logTo = (lines: string[]): object => ({ info () {}, warn (details: unknown, text?: string) { lines.push(text ?? String(details)) } })

/** A session, a tombstone, an account and a counter to damage, and some that must stay intact. */
async function fill ({ sessions, accounts, attempts }: Engine, passwordHash: string): Promise<void> {
  for (const key of [DAMAGED, 'other']) await sessions.create(key, recordOf({ user: 'Harry', fields: LOGIN }))
  for (const key of ['replaced', 'ended']) await sessions.create(key, recordOf({ user: 'Sally' }))
  await sessions.replace('replaced', 'successor', replacementOf())
  await sessions.remove('ended')
  for (const name of ['Harry', 'Sally']) await accounts.create(name.toLowerCase(), { name, passwordHash, createdAt: START, disabled: name === 'Harry' })
  for (const key of ['damaged', 'other']) for (let i = 0; i < 8; i++) await attempts.count(key, policy, START)
}

/** Uses everything, and returns the flaws in undamaged records. */
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
  const record = await sessions.read(DAMAGED)
  if (record !== null && (typeof record.permanent !== 'boolean' || Object.values(record.fields).some((text) => typeof text !== 'string'))) return 'a record that is none'
  await sessions.successor?.('replaced')
  await sessions.touch(DAMAGED, START + 1, record?.expiresAt ?? START + 1)
  const account = await unavailable(async () => await accounts.read('harry')) as Account | null | undefined
  if (account != null && account.name.toLowerCase() !== 'harry') return 'an account under another name'
  await unavailable(async () => await accounts.update('harry', { disabled: true }))
  const wait = await attempts.waitOf('damaged', policy, START)
  if (!(wait >= 0 && wait <= policy.longestMs)) return `a wait of ${wait}`
  for (const call of ['admit', 'count'] as const) await attempts[call]('damaged', policy, START)

  if (await sessions.read('other') === null) return 'the other session'
  if (!(await sessions.ofUser('Harry')).some(({ key }) => key === 'other')) return 'the other session in the list'
  if (await sessions.create('ended', recordOf())) return 'the tombstone'
  if ((await accounts.read('sally'))?.name !== 'Sally') return 'the other account'
  if (!(await accounts.list()).some(({ name }) => name === 'Sally')) return 'the other account in the list'
  if (await attempts.waitOf('other', policy, START) === 0) return 'the other counter'

  for (const time of [START + TOMBSTONE_MS, recordOf().expiresAt + TOMBSTONE_MS + 1]) {
    clock.time = time
    let slices = 0
    while (await sessions.sweep(1_000) > 0) if (++slices > MOST_SLICES) return 'a sweep of sessions without end'
    while (await attempts.sweep(time)) if (++slices > MOST_SLICES) return 'a sweep of counters without end'
  }
  return await sessions.read('other') === null ? null : 'the other session has not expired'
}

test('a length in a record that exceeds its bytes is never believed', (t) => {
  const whole = ['c0', '01', 'ff', 'cb427a3185c5000000', '90', '93c0c2c3', '91a161', '92a161d90162', '91da000161', '91db0000000161', 'dc0001a0', 'dd00000001a0', '94ccffcdffffceffffffffcfffffffffffffffff', '94d000d10000d200000000d30000000000000000', '91ca00000000']
  const broken = ['', '91', '92c0', '90c0', 'dcffff', 'ddffffffffc0', 'dc00', 'dd000000', '91dbffffffff61', '91daffff61', '91d9ff', '91d9', '91bf', '91cb00', 'c1', '80', '81a161c0', '9191c0', '91c40100', '91c70072', '91d47240', 'dfffffffff']
  for (const hex of whole) t.not(decodeFlat(Buffer.from(hex, 'hex')), undefined, hex)
  for (const hex of broken) t.equal(decodeFlat(Buffer.from(hex, 'hex')), undefined, hex)
  // lmdb reads every record into one buffer, and sets its length.
  t.equal(decodeFlat(Object.defineProperty(Buffer.from('91a161', 'hex'), 'length', { value: 2 })), undefined, 'bytes behind the record do not count')
  t.end()
})

const DATABASES = ['sessions', 'session tombstones', 'sessions by user', 'sessions by expiry', 'accounts', 'attempts'] as const

interface Raw {
  env: RootDatabase
  of: Record<typeof DATABASES[number], Database<Buffer, Buffer>>
}

/** A copy of the same files, read as bytes. */
function openRaw (folder: string): Raw {
  const env = open({ path: folder, maxDbs: 16, noSubdir: false })
  const of = Object.fromEntries(DATABASES.map((name) => [name, env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary', dupSort: name.includes(' by ') })]))
  return { env, of: of as Raw['of'] }
}

/** How many bytes an index has for the key of a session. */
const SHORT_KEY = 33

function shortKeyOf (key: string): Buffer {
  return Buffer.concat([Buffer.of(1), Buffer.from(key, 'base64url')])
}

test('LMDB: any changed or missing byte in a record or an index leaves all other records intact', async (t) => {
  const folder = fastFolder(t)
  const filled: Filled = { clock: { time: START }, lines: [], storage: null as unknown as Engine }
  filled.storage = openLmdb(folder, { now: () => filled.clock.time, maxBytes: 16_384, handleOf: (key) => `<${key}>` }, logTo(filled.lines) as never)
  t.teardown(() => filled.storage.close())
  await fill(filled.storage, await hashPassword('a long password'))
  const { env, of } = openRaw(folder)
  const sound = DATABASES.map((name) => ({ name, entries: [...of[name].getRange()].map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) })) }))

  const damagedEntries = sound.map(({ name, entries }) => {
    const found = entries.find(({ key, value }) => {
      if (name === 'session tombstones') return value.length > 9
      if (name.includes(' by ')) return value.length === SHORT_KEY
      return name !== 'sessions' || key.toString() === DAMAGED
    })
    return { title: name as string, name, entry: found as { key: Buffer, value: Buffer } }
  })
  const former = env.openDB<unknown, string>({ name: 'of format 1', encoding: 'msgpack' })
  await former.put(DAMAGED, [1, START, START, recordOf().expiresAt, false, 'Harry', ...Object.entries(LOGIN).flat()])
  damagedEntries.push(
    { title: 'a session of format 1', name: 'sessions', entry: { key: Buffer.from(DAMAGED), value: Buffer.from(former.getBinary(DAMAGED) as Buffer) } },
    { title: 'an entry of format 1', name: 'sessions by user', entry: { key: Buffer.from('Harry'), value: Buffer.from(DAMAGED) } }
  )
  for (const { title, name, entry } of damagedEntries) {
    await t.test(title, async (t) => {
      let count = 0
      filled.lines.length = 0
      const parts: Array<'key' | 'value'> = name.includes(' by ') ? ['key', 'value'] : ['value']
      for (const part of parts) {
        // Most of an account is its hash.
        for (const [what, bytes] of [...damages(entry[part])].filter((_, i) => name !== 'accounts' || i % 3 === 0)) {
          // LMDB takes no empty key, nor an empty value beside others of one key.
          if (bytes.length === 0 && name.includes(' by ')) continue
          await env.transaction(() => {
            for (const { name, entries } of sound) {
              of[name].clearSync()
              for (const { key, value } of entries) of[name].putSync(key, value)
            }
            of[name].removeSync(entry.key, entry.value)
            if (title === 'an entry of format 1') of[name].removeSync(entry.key, shortKeyOf(DAMAGED))
            const damaged = { ...entry, [part]: bytes }
            of[name].putSync(damaged.key, damaged.value)
          })
          const fault = await faultOf(filled).catch((error: unknown) => String((error as Error).stack))
          if (fault !== null) t.fail(`${part}, ${what}: ${fault}`)
          count++
        }
      }
      t.comment(`${count} times, ${filled.lines.length} lines`)
      const own = { sessions: `session <${DAMAGED}>`, 'session tombstones': 'tombstone <replaced>', accounts: 'account harry', attempts: 'counter of failed logins damaged' }[title]
      if (own !== undefined) t.match(filled.lines.filter((line) => line.startsWith(`the ${own} is damaged: `)), { length: 1 }, 'it is reported once')
      t.ok(filled.lines.length <= 8, filled.lines.join('\n'))
    })
  }
})

test('LMDB: any changed or missing byte in the format record is reported or harmless', async (t) => {
  const folder = fastFolder(t)
  const lines: string[] = []
  const openIt = (): Engine => openLmdb(folder, { now: () => START, maxBytes: 16_384 }, logTo(lines) as never)
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
    t.ok(lines.length <= 1 && lines.every((line) => /^the note of formats \S+ is damaged: it is replaced/.test(line)), lines.join('\n'))
    await storage.close()
  }
  t.ok(refused >= 3 && refused <= 3 * FLIPS.length, `another format is reported ${refused} times`)
})

test('Redis: a changed byte, a missing field or a wrong type leaves all other records intact', needs('redis-server'), async (t) => {
  const { url, client: raw } = await startRedis(t)
  const filled: Filled = { clock: { time: START }, lines: [], storage: null as unknown as Engine }
  filled.storage = await openRedis(parseRedisUrl(url, 'url'), { now: () => filled.clock.time, maxBytes: 16_384, longestLifeMs: 1e9, handleOf: (key) => `<${key}>` }, logTo(filled.lines) as never)
  t.teardown(() => filled.storage.close())
  await fill(filled.storage, await hashPassword('a long password'))
  const dumps = await Promise.all((await raw.keys('*')).map(async (key) => ({ key, dump: await raw.dumpBuffer(key) as Buffer })))

  const named = {
    [`hatcheck:session:${DAMAGED}`]: `session <${DAMAGED}>`,
    'hatcheck:session:replaced': null,
    'hatcheck:account:harry': 'account harry',
    'hatcheck:attempts:damaged': 'counter of failed logins damaged'
  }
  for (const [key, name] of Object.entries(named)) {
    await t.test(key, async (t) => {
      const fields = Object.entries(await raw.hgetall(key))
      const changes: Array<[what: string, change: () => Promise<unknown>]> = [
        ['text', () => raw.set(key, 'x')],
        ['list', () => raw.rpush(key, 'x')],
        ...fields.flatMap(([field, value]) => [...damages(Buffer.from(value))].filter((_, i) => i % 2 === 0).map(([what, bytes]): [string, () => Promise<unknown>] => [`${field}, ${what}`, () => raw.hset(key, field, bytes)]))
      ]
      filled.lines.length = 0
      for (const [what, change] of changes) {
        await raw.flushall()
        await Promise.all(dumps.map(({ key, dump }) => raw.restore(key, 0, dump)))
        if (['text', 'list'].includes(what)) await raw.del(key)
        await change()
        const fault = await faultOf(filled).catch((error: unknown) => String((error as Error).stack))
        // Redis expires keys by its own clock.
        if (fault !== null && fault !== 'the other session has not expired') t.fail(`${what}: ${fault}`)
      }
      t.comment(`${changes.length} times`)
      if (name !== null) t.match(filled.lines.filter((line) => line.startsWith(`the ${name} is damaged: `)), { length: 1 }, 'it is reported once')
      t.ok(filled.lines.length <= 2, filled.lines.join('\n'))
    })
  }

  await t.test('a damaged format record is reported or harmless', async (t) => {
    for (const damage of [() => raw.set('hatcheck:formats', 'x'), () => raw.hset('hatcheck:formats', 'sessions', 'x'), () => raw.hset('hatcheck:formats', 'accounts', '-1')]) {
      filled.lines.length = 0
      await raw.del('hatcheck:formats')
      await damage()
      const { close } = await openRedis(parseRedisUrl(url, 'url'), { now: () => START, maxBytes: 16_384, longestLifeMs: 1e9 }, logTo(filled.lines) as never)
      await close()
      t.strictSame({ ...await raw.hgetall('hatcheck:formats') }, { sessions: '1', accounts: '1', attempts: '1', revocations: '1' })
      t.match(filled.lines, [/^the note of formats \S+ is damaged: it is replaced/])
    }
  })
})

for (const engine of ['LMDB', 'Redis'] as const) {
  test(`${engine}: a service with a damaged session and a damaged account continues, and its log names both`, engine === 'Redis' ? needs('redis-server') : {}, async (t) => {
    const folder = t.testdir()
    const redis = engine === 'Redis' ? await startRedis(t) : null
    const lines: string[] = []
    const fastify = await build(t, { sessionStore: redis?.url ?? `lmdb:${folder}` }, logInto(lines, 'warn'))
    const [harry, sally] = [new Client(fastify), new Client(fastify)]
    await harry.login('Harry')
    await sally.login('Sally')
    const { sessions: [{ handle }] } = (await harry.get('/sessions', { accept: 'application/json' })).json<{ sessions: [{ handle: string }] }>()
    if (redis !== null) {
      for (const key of await redis.client.keys('hatcheck:session:*')) if (await redis.client.hget(key, 'user') === 'Harry') await redis.client.hset(key, 'seenAt', 'x')
      await redis.client.hdel('hatcheck:account:harry', 'passwordHash')
    } else {
      const { env, of } = openRaw(folder)
      t.teardown(() => env.close())
      const [harrys] = [...of.sessions.getRange()].filter(({ value }) => value.includes('Harry'))
      // A list of four billion.
      await of.sessions.put(Buffer.from(harrys?.key as Buffer), Buffer.from('ddffffffff01', 'hex'))
      const [account] = [...of.accounts.getRange()]
      await of.accounts.put(Buffer.from(account?.key as Buffer), Buffer.from('{"name":"Sally"'))
    }
    for (let times = 0; times < 2; times++) {
      t.match((await harry.get('/', { accept: 'application/json' })).json(), { user: null })
      t.equal((await new Client(fastify).login('Harry')).statusCode, 503)
    }
    t.match((await sally.get('/', { accept: 'application/json' })).json(), { user: { name: 'Sally' } })
    t.equal((await new Client(fastify).login('Sally')).statusCode, 303)
    const told = lines.filter((line) => line.includes('is damaged')).map((line) => JSON.parse(line) as { record: string, name: string, msg: string })
    t.match(told.map(({ record, name }) => [record, name]).sort(), [['account', 'harry'], ['session', handle]])
    const { cookieHeader } = harry
    const [, id = 'missing'] = /=([\w-]{43})\./.exec(cookieHeader) ?? []
    t.notOk(lines.join('').includes(id), 'no ticket is shown')
  })
}

test('an account with an unusable hash gets a 503, and other users log in', async (t) => {
  const folder = t.testdir()
  const fastify = await build(t, { sessionStore: `lmdb:${folder}` })
  for (const name of ['Harry', 'Sally']) await new Client(fastify).login(name)
  const { env, of } = openRaw(folder)
  t.teardown(() => env.close())
  const [harry] = [...of.accounts.getRange()].map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) }))
  const at = (harry?.value as Buffer).indexOf('$argon2id')
  for (const [offset, text] of [[1, 'b'], [12, 'x'], [14, 'x'], [40, '!'], [96, '!']] as const) {
    const damaged = Buffer.from(harry?.value as Buffer)
    damaged.write(text, at + offset)
    await of.accounts.put(harry?.key as Buffer, damaged)
    t.equal((await new Client(fastify).login('Harry')).statusCode, 503, `byte ${offset}`)
  }
  t.equal((await new Client(fastify).login('Sally')).statusCode, 303)
})

test('a process that is killed during a read does not make the files of another process grow', async (t) => {
  const folder = fastFolder(t)
  const { sessions, close } = openLmdb(folder, { now: () => START, maxBytes: 65_536 }, logTo([]) as never)
  t.teardown(close)
  await sessions.create('one', recordOf())
  // Opening a folder also looks for such processes.
  const { env } = openRaw(folder)
  t.teardown(() => env.close())
  const script = `
    import { open } from 'lmdb'
    const env = open({ path: process.argv[1], maxDbs: 16, noSubdir: false })
    env.useReadTransaction()
    env.openDB({ name: 'sessions', encoding: 'binary' }).get('one')
    console.log('reads')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const grownBy = async (): Promise<number> => {
    const before = (env.getStats() as { lastPageNumber: number }).lastPageNumber
    for (let i = 0; i < 50; i++) await sessions.patch('one', { set: { a: JSON.stringify(String(i).repeat(10_000)) }, remove: [], seenAt: START, expiresAt: START + 1 })
    return (env.getStats() as { lastPageNumber: number }).lastPageNumber - before
  }
  await sessions.sweep(5)
  const grown = await grownBy()
  t.ok(grown < 60, `${grown} pages`)
  t.notMatch(env.readerList(), new RegExp(`\\b${child.pid}\\b`))
})
