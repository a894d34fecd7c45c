import { open } from 'lmdb'
import { chmodSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { LmdbStore } from '../plugins/session/lmdb-store.js'
import { MemoryStore } from '../plugins/session/memory-store.js'
import { changesOf, recordOf, storeContract } from '../plugins/session/store-contract.js'
import { storeKey } from '../plugins/session/ticket.js'
import { openLmdb } from '../plugins/storage/lmdb.js'
import { Client, buildHost } from './helper.js'
import { startStoreProcess } from './store-process.js'
import { openStore } from './watched-store.js'

test('the memory store keeps the contract', async (t) => {
  storeContract((name, run) => t.test(name, run), (options) => new MemoryStore(options))
})

test('the LMDB store keeps the contract', async (t) => {
  let own = t
  storeContract((name, run) => t.test(name, (t) => {
    own = t
    return run()
  }), ({ now, maxBytes }) => openStore(own, 'lmdb:', { now, maxBytes }))
})

test('the memory store is bounded', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 4_096, maxSessions: 2 })
  const record = recordOf({ expiresAt: Date.now() + 60_000 })
  store.create('one', record)
  store.create('two', record)
  await t.rejects(async () => store.create('three', record), { code: 'HATCHECK_STORE_FULL', statusCode: 503, message: 'The memory store holds 2 sessions, as many as it may.' })
  t.equal(store.patch('one', changesOf({ set: { c: '3' } })), true, 'those who have one go on')
  store.remove('one')
  t.equal(store.create('three', record), true)
})

test('a memory store that is closed has nothing left', async (t) => {
  const store = new MemoryStore({ now: () => 0, maxBytes: 4_096 })
  store.create('one', recordOf({ user: 'Harry' }))
  store.close()
  t.equal(store.count(), 0)
  t.strictSame(store.ofUser('Harry'), [])
})

interface Raw {
  store: LmdbStore
  corrupt: string[]
  /** Stores bytes as they are. */
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

test('LMDB gives what is stored now, however often it was read before', async (t) => {
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
  t.strictSame(second.store.ofUser('Harry').map(({ key }) => key), ['one'])
  t.equal(await second.store.create('removed', record), false)
  t.equal(second.store.count(), 1)
  t.strictSame(second.corrupt, [])
})

test('LMDB files are for their owner alone, also in a folder that is open to others', async (t) => {
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
  t.strictSame(modes(), ['data.mdb 640', 'lock.mdb 640'], 'what someone has decided on stays')
})

test('a record that cannot be decoded reads as absent', async (t) => {
  const values: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    nil: Buffer.from([0xc0]),
    number: Buffer.from([0x01]),
    'empty list': Buffer.from([0x90]),
    text: Buffer.from([0xa1, 0x78]),
    'another format': Buffer.from([0x96, 0x02, 0x01, 0x01, 0x01, 0xc2, 0xc0]),
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
      t.strictSame(store.ofUser('Harry').map(({ key }) => key), ['other'])
      t.equal(await store.remove('key'), null)
      t.equal(store.count(), 1, 'it can be removed')
      t.not(store.read('other'), null)
    })
  }

  t.test('a sweep drops it when it would have expired', async (t) => {
    let time = recordOf().createdAt
    const { store, put, close } = openRaw(t.testdir(), () => time)
    t.teardown(close)
    await store.create('key', recordOf())
    await put('key', Buffer.from([0xc1]))
    time = recordOf().expiresAt + 1
    t.equal(await store.sweep(5), 1)
    t.equal(store.count(), 0)
  })

  t.test('with any one byte changed, a record is absent or well formed', async (t) => {
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

  t.test('a request with the cookie of such a record is anonymous', async (t) => {
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

test('two processes on one folder see what the other does at once', async (t) => {
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

  await store.create('both', { ...record, fields: {} })
  const keys = Array.from({ length: 100 }, (_, i) => `field${i}`)
  await Promise.all(keys.map((key, i) => i % 2 === 0
    ? store.patch('both', changesOf({ set: { [key]: '1' } }))
    : call('patch', 'both', changesOf({ set: { [key]: '1' } }))))
  t.strictSame(Object.keys((await store.read('both'))?.fields ?? {}).sort(), keys.sort(), 'no update is lost between them')

  const removals = await Promise.all([...Array.from({ length: 10 }, () => store.remove('both')), call('remove', 'both')])
  t.equal(removals.filter((last) => last !== null).length, 1, 'one of them ends it')
})

test('two handles on one folder in one process do as well', async (t) => {
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

test('what is stored does not contain the id of any session', async (t) => {
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
    t.ok(dump.includes(storeKey(id)), 'the session is there, under the hash of its id')
    t.notOk(dump.includes(id))
    t.notOk(dump.includes(Buffer.from(id, 'base64url')))
    t.notOk(dump.includes(Buffer.from(id, 'base64url').toString('hex')))
  }
  const leaked = storeKey(ids[0] as string)
  for (const cookie of [leaked, `${leaked}.${leaked}`]) {
    t.strictSame((await fastify.inject({ url: '/', headers: { cookie: `hatcheck=${cookie}` } })).json(), { user: null })
  }
})
