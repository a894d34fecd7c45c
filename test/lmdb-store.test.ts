import { open, type RootDatabase } from 'lmdb'
import { chmodSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { hashPassword } from '../plugins/accounts/password.js'
import { LmdbStore } from '../plugins/storage/lmdb/sessions.js'
import { LmdbWriter } from '../plugins/storage/lmdb/writer.js'
import { changesOf, recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { Client } from './clients/client.js'
import { buildHost } from './helper.js'
import { startReplacingProcess } from './processes/replacing-process.js'
import { startStoreProcess, writeTogether } from './processes/store-process.js'
import { fastFolder } from './stores/fast-folder.js'
import { openLmdb } from './stores/open-lmdb.js'
import { openStore } from './stores/watched-store.js'

interface Raw {
  env: RootDatabase
  store: LmdbStore
  corrupt: string[]
  /** Stores bytes without encoding. */
  put (key: string, bytes: Buffer): Promise<void>
  bytes (key: string): Buffer
  close (): Promise<void>
}

function openRaw (folder: string, now = (): number => recordOf().createdAt): Raw {
  const env = open({ path: folder, maxDbs: 16, noSubdir: false })
  const corrupt: string[] = []
  const store = new LmdbStore(env, { now, maxBytes: 4_096, onCorrupt: (key) => { corrupt.push(key) } })
  const raw = env.openDB({ name: 'sessions', encoding: 'binary' })
  return {
    env,
    store,
    corrupt,
    async put (key, bytes) { await raw.put(key, bytes) },
    bytes: (key) => Buffer.from(raw.get(key) as Buffer),
    async close () {
      await store.close()
      await env.close()
    }
  }
}

test('LMDB returns the stored state, however often it was read before', async (t) => {
  const raw = openRaw(t.testdir())
  t.teardown(() => raw.close())
  const short = recordOf({ fields: { a: '"short"' } })
  const long = recordOf({ fields: { a: JSON.stringify('long'.repeat(500)) } })
  const bytes: Record<string, Buffer> = { corrupt: Buffer.from('c1c1c1', 'hex') }
  for (const [name, record] of Object.entries({ short, long, 'as long as short': recordOf({ fields: { a: '"other"' } }) })) {
    await raw.store.create(name, record)
    bytes[name] = raw.bytes(name)
  }
  t.equal(bytes['as long as short']?.length, bytes['short']?.length)
  for (const name of ['short', 'as long as short', 'short', 'long', 'short', 'corrupt', 'short', 'as long as short', 'long']) {
    await raw.put('one', bytes[name] as Buffer)
    for (const time of ['first', 'second']) t.strictSame(raw.store.read('one'), name === 'corrupt' ? null : raw.store.read(name), `${name}, ${time} time`)
  }
})

/** Counts the writes whose answer waits for a flush to disk, from now on. */
function durableWrites (t: Test): string[] {
  const writes: string[] = []
  const { write } = LmdbWriter.prototype
  t.teardown(() => { LmdbWriter.prototype.write = write })
  LmdbWriter.prototype.write = function <T> (doing: string, durable: boolean, action: () => T) {
    if (durable) writes.push(doing)
    return write.call(this, doing, durable, action) as Promise<T>
  }
  return writes
}

test('on LMDB, whatever ends sessions or changes an account waits for a flush', async (t) => {
  const { sessions, accounts, openRevocations, close } = openLmdb(fastFolder(t), { now: Date.now, maxBytes: 4_096 }, { info () {}, warn () {} })
  t.teardown(close)
  const revocations = openRevocations()
  const flushed = durableWrites(t)
  const waits = async (what: string, call: () => unknown): Promise<void> => {
    flushed.length = 0
    await call()
    // The end of many sessions has slices, each with a flush.
    t.ok(flushed.length >= 1, what)
  }
  const record = recordOf({ user: 'Harry', expiresAt: Date.now() + 3_600_000 })
  const account = { name: 'Harry', passwordHash: await hashPassword('a password'), createdAt: 1, disabled: false }
  await waits('a login', () => sessions.create('one', record))
  await waits('a logout that leaves values', () => sessions.patch('one', changesOf({ user: null })))
  await waits('another login', () => sessions.create('two', record))
  await waits('the end of every session of a user', () => sessions.removeOfUser('Harry'))
  await waits('the end of a session', () => sessions.remove('one'))
  await waits('the end of a session in a cookie', () => revocations.end('one', Date.now() + 1_000))
  await waits('the end of every session in the cookies of a user', () => revocations.endAll('Harry', Date.now(), Date.now() + 1_000))
  await waits('a new account', () => accounts.create('harry', account))
  await waits('another password', () => accounts.update('harry', { passwordHash: account.passwordHash }))
})

test('a login, a renewal and a logout on LMDB wait for one flush each', async (t) => {
  const fastify = await buildHost(t, { sessionStore: `lmdb:${fastFolder(t)}` })
  fastify.post('/cart', async ({ session }) => { Object.assign(session, { cart: ['apple'] }) })
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.post('/renew', async ({ session }) => { await session.regenerate(session.keys()) })
  fastify.post('/logout', async (request) => { await request.logout() })
  const client = new Client(fastify)
  const flushed = durableWrites(t)
  const send = async (url: string): Promise<string[]> => {
    flushed.length = 0
    t.equal((await client.send({ method: 'POST', url })).statusCode, 200)
    return [...flushed]
  }
  t.strictSame(await send('/login'), ['create'], 'without a session before')
  t.strictSame(await send('/logout'), ['remove'])
  t.strictSame(await send('/cart'), [], 'an anonymous session may be lost if the machine fails')
  t.strictSame(await send('/login'), ['replace'], 'over an anonymous session')
  t.strictSame(await send('/login'), ['replace'], 'over a login')
  t.strictSame(await send('/renew'), ['replace'])
  t.strictSame(await send('/cart'), [], 'nor does a value wait')
})

test('LMDB replaces a session in one transaction, and answers after the flush of that transaction', async (t) => {
  const { env, store, close } = openRaw(t.testdir())
  t.teardown(close)
  let commits = 0
  env.on('beforecommit', () => { commits++ })
  const flushed = durableWrites(t)
  const written = async (work: () => Promise<unknown>): Promise<unknown[]> => {
    await env.flushed
    commits = 0
    flushed.length = 0
    await work()
    return [commits, ...flushed]
  }
  for (const user of ['Harry', null]) {
    await store.create(`one of ${user}`, recordOf({ user }))
    await store.create(`two of ${user}`, recordOf({ user }))
    t.strictSame(await written(async () => await store.replace(`one of ${user}`, `three of ${user}`, replacementOf())), [1, 'replace'])
    t.strictSame(await written(async () => {
      await store.remove(`two of ${user}`)
      await store.create(`four of ${user}`, recordOf({ user }))
    }), user === null ? [2, 'remove'] : [2, 'remove', 'create'], 'compared with two for an end and a beginning')
  }
})

test('after the process is killed, LMDB has the replaced session or its successor, and not both', async (t) => {
  const folder = fastFolder(t)
  const time = Date.now()
  const once = openStore(t, 'lmdb:', { folder })
  await once.create('key0', recordOf({ createdAt: time, seenAt: time, expiresAt: time + 600_000, user: 'Harry', fields: { count: '-1' } }))
  let first = 0
  let middles = 0
  for (let kill = 0; kill < 6; kill++) {
    const child = startReplacingProcess(t, `lmdb:${folder}`, first)
    await child.said(kill % 2 === 0 ? /^replaced/ : /^patched/)
    if (kill > 1) await new Promise((resolve) => { setTimeout(resolve, Math.random() * 50) })
    await child.kill()
    const { store, close } = openRaw(folder, Date.now)
    const live = await store.ofUser('Harry')
    t.equal(live.length, 1, 'exactly one is live')
    const number = Number(live[0]?.key.slice('key'.length))
    const { patched, replaced } = child.last
    t.ok(number === replaced || number === replaced + 1, `the last that was acknowledged is ${replaced}, ${number} lives`)
    if (number > replaced) middles++
    t.ok(Number(live[0]?.record.fields['count']) >= patched, 'with the last change that was acknowledged')
    for (let dead = first; dead < number; dead++) if (store.read(`key${dead}`) !== null) t.fail(`key${dead}`)
    t.equal(store.read(`key${number + 1}`), null)
    t.equal(store.count(), 1)
    first = number
    await close()
  }
  t.comment(`${first} replacements; ${middles} were stored and not acknowledged`)
})

test('LMDB keeps sessions, indexes and tombstones over a restart', async (t) => {
  const folder = t.testdir()
  const first = openRaw(folder)
  const record = recordOf({ user: 'Harry' })
  await first.store.create('one', record)
  await first.store.create('removed', record)
  await first.store.remove('removed')
  await first.close()

  const second = openRaw(folder)
  t.teardown(() => second.close())
  t.strictSame(second.store.read('one'), record)
  t.strictSame((await second.store.ofUser('Harry')).map(({ key }) => key), ['one'])
  t.equal(await second.store.create('removed', record), false)
  t.equal(second.store.count(), 1)
  t.strictSame(second.corrupt, [])
})

test('only the owner can read LMDB files, even in a folder that is open to others', async (t) => {
  const mask = process.umask(0o022)
  t.teardown(() => { process.umask(mask) })
  const folder = t.testdir()
  chmodSync(folder, 0o755)
  const modes = (): string[] => readdirSync(folder).map((file) => `${file} ${(statSync(join(folder, file)).mode & 0o777).toString(8)}`)
  const open = (): Promise<void> => openLmdb(folder, { now: Date.now, maxBytes: 16_384 }, { info () {}, warn () {} }).close()
  await open()
  t.strictSame(modes(), ['data.mdb 600', 'lock.mdb 600'])
  for (const file of readdirSync(folder)) chmodSync(join(folder, file), 0o640)
  await open()
  t.strictSame(modes(), ['data.mdb 640', 'lock.mdb 640'], 'a mode that the owner has set is kept')
})

test('a record that cannot be decoded reads as missing', async (t) => {
  const values: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    nil: Buffer.from([0xc0]),
    number: Buffer.from([0x01]),
    'empty list': Buffer.from([0x90]),
    text: Buffer.from([0xa1, 0x78]),
    'another format': Buffer.from([0x96, 0x03, 0x01, 0x01, 0x01, 0xc2, 0xc0]),
    'a number that no field has': Buffer.from([0x98, 0x02, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0x05, 0xa1, 0x31]),
    'a field whose text nothing implies': Buffer.from([0x98, 0x02, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0x02, 0xc0]),
    'a user that nothing implies': Buffer.from([0x98, 0x02, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0x00, 0xc0]),
    'a short field in format 1': Buffer.from([0x98, 0x01, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0x01, 0xc0]),
    'a field without a value': Buffer.from([0x97, 0x01, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0xa1, 0x78]),
    'a field that is no text': Buffer.from([0x98, 0x01, 0x01, 0x01, 0x01, 0xc2, 0xc0, 0xa1, 0x78, 0x05]),
    'a user that is no name': Buffer.from([0x96, 0x01, 0x01, 0x01, 0x01, 0xc2, 0x05]),
    'never valid in msgpack': Buffer.from([0xc1]),
    'text that ends early': Buffer.from([0xdb, 0x7f, 0xff, 0xff, 0xff, 0x78]),
    noise: Buffer.alloc(2_000, 0xff)
  }
  for (const [what, bytes] of Object.entries(values)) {
    await t.test(what, async (t) => {
      const { store, corrupt, put, close } = openRaw(t.testdir())
      t.teardown(close)
      await store.create('other', recordOf({ user: 'Harry' }))
      await store.create('key', recordOf({ user: 'Harry' }))
      await put('key', bytes)
      t.equal(store.read('key'), null)
      t.ok(corrupt.includes('key'), 'and is reported')
      t.equal(await store.patch('key', changesOf({ set: { a: '1' } })), false)
      t.equal(await store.touch('key', 0, 0), false)
      t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['other'])
      t.equal(await store.remove('key'), null)
      t.equal(store.count(), 1, 'the record can be removed')
      t.not(store.read('other'), null)
    })
  }

  t.test('a sweep removes an unreadable record when it would have expired', async (t) => {
    let time = recordOf().createdAt
    const { store, put, close } = openRaw(t.testdir(), () => time)
    t.teardown(close)
    await store.create('key', recordOf())
    await put('key', Buffer.from([0xc1]))
    time = recordOf().expiresAt + 1
    t.equal(await store.sweep(5), 1)
    t.equal(store.count(), 0)
  })

  t.test('with any one byte changed, a record is missing or well formed', async (t) => {
    const { store, corrupt, put, bytes, close } = openRaw(t.testdir())
    t.teardown(close)
    await store.create('key', recordOf({ user: 'Harry', fields: { cart: '["apple"]' } }))
    const sound = bytes('key')
    let absent = 0
    for (let at = 0; at < sound.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(sound)
        changed[at] = (changed[at] as number) ^ flip
        await put('key', changed)
        const record = store.read('key')
        if (record === null) absent++
        else if (typeof record.permanent !== 'boolean' || Object.values(record.fields).some((text) => typeof text !== 'string')) t.fail(`byte ${at}`)
      }
    }
    for (let length = 0; length < sound.length; length++) {
      await put('key', sound.subarray(0, length))
      t.equal(store.read('key'), null, `cut off after ${length} bytes`)
    }
    t.ok(absent > 0 && corrupt.length > 0)
    await put('key', sound)
    t.not(store.read('key'), null)
  })

  t.test('a request with the cookie of an unreadable record is anonymous', async (t) => {
    const folder = t.testdir()
    const fastify = await buildHost(t, { sessionStore: `lmdb:${folder}` })
    fastify.post('/login', async (request) => { await request.login('Harry') })
    fastify.get('/', async (request) => ({ user: request.user }))
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: '/login' })
    const [{ key = '' } = {}] = await fastify.sessions.store.ofUser('Harry')
    const { put, close } = openRaw(folder)
    t.teardown(close)
    await put(key, Buffer.from([0xc1]))
    const response = await client.get('/')
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { user: null })
  })
})

test('two processes on one folder see each other\'s changes at once', async (t) => {
  const folder = t.testdir()
  const store = openStore(t, 'lmdb:', { folder })
  const call = startStoreProcess(t, `lmdb:${folder}`)
  const time = Date.now()
  const record = recordOf({ createdAt: time, seenAt: time, expiresAt: time + 60_000, user: 'Harry' })

  t.equal(await store.create('ours', record), true)
  t.strictSame(await call('read', 'ours'), record)
  t.equal(await call('create', 'ours', record), false)
  for (let i = 0; i < 50; i++) {
    t.equal(await call('create', `theirs${i}`, record), true)
    t.strictSame(await store.read(`theirs${i}`), record)
    await call('patch', `theirs${i}`, changesOf({ set: { i: String(i) } }))
    t.equal((await store.read(`theirs${i}`))?.fields['i'], String(i))
    await call('remove', `theirs${i}`)
    t.equal(await store.read(`theirs${i}`), null)
    t.equal(await store.create(`theirs${i}`, record), false)
  }

  t.strictSame(await store.ofUser('Harry'), await call('ofUser', 'Harry'))
  t.equal(await call('removeOfUser', 'Harry'), 1)
  t.equal(await store.read('ours'), null)

  await writeTogether(t, store, call, record)
})

test('two handles on one folder in one process see each other\'s changes at once', async (t) => {
  const folder = t.testdir()
  const [one, other] = [openRaw(folder), openRaw(folder)]
  t.teardown(async () => {
    await one.close()
    await other.close()
  })
  await one.store.create('one', recordOf())
  t.strictSame(other.store.read('one'), recordOf())
  await other.store.remove('one')
  t.equal(one.store.read('one'), null)
})

test('the stored data does not contain the ID of any session', async (t) => {
  const folder = t.testdir()
  const fastify = await buildHost(t, { sessionStore: `lmdb:${folder}` })
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
  const ids = []
  for (let i = 0; i < 20; i++) {
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: '/login' })
    ids.push(((client.cookies.get('hatcheck') as string).split('.') as [string])[0])
  }
  const dump = Buffer.concat(readdirSync(folder).map((file) => readFileSync(join(folder, file))))
  t.ok(dump.includes('Harry'), 'the files are read')
  for (const id of ids) {
    t.ok(dump.includes(storeKey(id)), 'the session is there, under the hash of its ID')
    t.notOk(dump.includes(id))
    t.notOk(dump.includes(Buffer.from(id, 'base64url')))
    t.notOk(dump.includes(Buffer.from(id, 'base64url').toString('hex')))
  }
  const leaked = storeKey(ids[0] as string)
  for (const cookie of [leaked, `${leaked}.${leaked}`]) {
    t.strictSame((await fastify.inject({ url: '/', headers: { cookie: `hatcheck=${cookie}` } })).json(), { user: null })
  }
})
