import { open, type RootDatabase } from 'lmdb'
import { chmodSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { hashPassword } from '../plugins/accounts/password.js'
import { endIn } from '../plugins/session/backend/in-store.js'
import { storedUser } from '../plugins/session/model/user.js'
import { expressStore } from '../plugins/storage/express/open.js'
import { LmdbStore } from '../plugins/storage/lmdb/sessions.js'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { RedisAccounts } from '../plugins/storage/redis/accounts.js'
import { RedisAttempts } from '../plugins/storage/redis/attempts.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import type { AccountStore } from '../plugins/store/accounts.js'
import type { AttemptStore } from '../plugins/store/attempts.js'
import { replaceInTwoSteps } from '../plugins/store/replace-in-two-steps.js'
import { accountContract, attemptContract, changesOf, recordOf, replacementOf, storeContract } from '../plugins/store/contract/index.js'
import { TOMBSTONE_MS, type SessionFields, type SessionRecord } from '../plugins/store/sessions.js'
import { withEveryTrait, type CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { LmdbWriter } from '../plugins/storage/lmdb/writer.js'
import { openLmdb } from './open-lmdb.js'
import { Client } from './client.js'
import { fastFolder } from './fast-folder.js'
import { buildHost, needs } from './helper.js'
import { connect, startRedis } from './redis.js'
import { startReplacingProcess } from './replacing-process.js'
import { startStoreProcess } from './store-process.js'
import { kinds, openStore, watched, type StoreCall } from './watched-store.js'

const MIB = 1_048_576

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

interface Kept {
  accounts: AccountStore
  /** The same counters opened twice, as by two processes. */
  attempts: [AttemptStore, AttemptStore]
}

/** A function per engine that opens it empty, for one check. */
const engines: Record<string, (t: Test) => Promise<(t: Test) => Promise<Kept>>> = {
  'memory:': async () => async () => {
    const attempts = new MemoryAttempts()
    return { accounts: new MemoryAccounts(), attempts: [attempts, attempts] }
  },
  'lmdb:': async () => async (t) => {
    const { accounts, attempts, close } = openLmdb(t.testdir(), { now: () => recordOf().createdAt, maxBytes: 16_384 }, { info () {}, warn () {} })
    t.teardown(close)
    return { accounts: accounts as AccountStore, attempts: [attempts, attempts] }
  },
  'redis:': async (t) => {
    const { url, client } = await startRedis(t)
    const [one, other] = [await connect(t, url), await connect(t, url)]
    return async () => {
      await client.flushall()
      return { accounts: new RedisAccounts(one, { deadlineMs: 5_000 }), attempts: [new RedisAttempts(one, { deadlineMs: 5_000 }), new RedisAttempts(other, { deadlineMs: 5_000 })] }
    }
  }
}

for (const [kind, openEngine] of Object.entries(engines)) {
  test(`accounts and failed logins keep their contracts, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const open = await openEngine(t)
    let own = t
    const define = (name: string, run: () => Promise<void>): unknown => t.test(name, (t) => {
      own = t
      return run()
    })
    accountContract(define, async () => (await open(own)).accounts)
    attemptContract(define, async () => (await open(own)).attempts)
  })
}

/** A store whose calls each take a turn of the event loop, and which replaces in two steps. */
function inTwoSteps (store: SessionStore, lookOut: (call: StoreCall, key: unknown) => Promise<void> | void = () => {}, sync = false): SessionStore {
  const steps = watched(store, lookOut, sync)
  return { ...steps, replace: (...args) => replaceInTwoSteps(steps, ...args) }
}

test('a store that replaces in two steps keeps the contract', async (t) => {
  for (const sync of [true, false]) {
    t.test(sync ? 'and is sync' : 'and is not sync', async (t) => {
      storeContract((name, run) => t.test(name, run), (options) => {
        const store = inTwoSteps(new MemoryStore(options), () => {}, sync)
        // It reads again when a session has ended meanwhile, as replaceInTwoSteps requires.
        return sync ? store : { ...store, removeOfUser: (...args) => removeOneByOne(store, ...args) }
      })
    })
  }
})

/** As in a store that reads each record separately. */
async function removeOneByOne (store: SessionStore, user: string, exceptKey?: string, onEnded?: (key: string) => void): Promise<number> {
  const seen = new Set([exceptKey])
  let count = 0
  for (let mayHaveMoved = true; mayHaveMoved;) {
    mayHaveMoved = false
    for (const { key } of await store.ofUser(user)) {
      if (seen.has(key)) continue
      seen.add(key)
      if (await store.remove(key) === null) {
        mayHaveMoved = true
      } else {
        count++
        onEnded?.(key)
      }
    }
  }
  return count
}

test('a replacement in two steps is all or nothing', async (t) => {
  const options = { now: () => recordOf().createdAt, maxBytes: 1_000 }
  const down = (): never => { throw new Error('down') }
  const open = (t: { teardown: (close: () => void) => unknown }, lookOut: (call: StoreCall, key: unknown, inner: MemoryStore) => void): { inner: MemoryStore, store: SessionStore } => {
    const inner = new MemoryStore(options)
    t.teardown(() => { inner.close() })
    inner.create('one', recordOf({ user: 'Harry' }))
    return { inner, store: inTwoSteps(inner, (call, key) => { lookOut(call, key, inner) }) }
  }

  t.test('a replacement that cannot end the predecessor ends the successor, and reports the error', async (t) => {
    for (const [what, downFor] of Object.entries({ once: ['one'], 'for good': ['one', 'two'] })) {
      const { inner, store } = open(t, (call, key) => { if (call === 'remove' && downFor.includes(key as string)) throw new Error(`down for ${String(key)}`) })
      await t.rejects(async () => await store.replace('one', 'two', replacementOf()), { message: 'down for one' }, what)
      t.strictSame(inner.read('one'), recordOf({ user: 'Harry' }), 'the predecessor lives on')
      t.strictSame(inner.ofUser('Harry').map(({ key }) => key), what === 'once' ? ['one'] : ['one', 'two'])
    }
  })

  t.test('a replacement that cannot begin the successor changes nothing', async (t) => {
    const { inner, store } = open(t, (call) => { if (call === 'create') down() })
    await t.rejects(async () => await store.replace('one', 'two', replacementOf()), { message: 'down' })
    t.strictSame(inner.read('one'), recordOf({ user: 'Harry' }))
    t.equal(inner.create('two', recordOf()), true)
  })

  t.test('a replacement that has lost a late change ends the successor, and fails', async (t) => {
    const { inner, store } = open(t, (call, key, inner) => {
      if (call === 'remove' && key === 'one') inner.patch('one', changesOf({ set: { late: '1' } }))
      if (call === 'patch') down()
    })
    await t.rejects(async () => await store.replace('one', 'two', replacementOf()), { message: 'down' })
    t.equal(inner.count(), 0)
  })

  t.test('a replacement whose successor becomes too large by a late change ends it, and reports that', async (t) => {
    const large = JSON.stringify('x'.repeat(600))
    const { inner, store } = open(t, (call, key, inner) => {
      if (call === 'remove' && key === 'one') inner.patch('one', changesOf({ set: { late: large } }))
    })
    await t.rejects(async () => await store.replace('one', 'two', replacementOf({ set: { large } })), { code: 'HATCHECK_SESSION_TOO_LARGE' })
    t.equal(inner.count(), 0)
  })

  t.test('a replacement whose predecessor has ended meanwhile begins nothing', async (t) => {
    const { inner, store } = open(t, (call, key, inner) => { if (call === 'remove' && key === 'one') inner.remove('one') })
    t.strictSame(await store.replace('one', 'two', replacementOf()), { outcome: 'gone' })
    t.equal(inner.count(), 0)
  })

  t.test('a replacement whose successor has ended meanwhile reports that the session is gone', async (t) => {
    const { inner, store } = open(t, (call, key, inner) => {
      if (call === 'remove' && key === 'one') inner.patch('one', changesOf({ set: { late: '1' } }))
      if (call === 'patch') inner.removeOfUser('Harry')
    })
    t.strictSame(await store.replace('one', 'two', replacementOf()), { outcome: 'gone' })
    t.equal(inner.count(), 0)
  })

  t.test('a replacement ends the session if its last field was taken meanwhile, and continues if one was added', async (t) => {
    const { inner, store } = open(t, (call, key, inner) => { if (call === 'remove' && key === 'one') inner.take('one', '') })
    t.match(await store.replace('one', 'two', replacementOf()), { outcome: 'replaced', next: null })
    t.equal(inner.count(), 0)
    const other = open(t, (call, key, inner) => { if (call === 'remove' && key === 'one') inner.patch('one', changesOf({ set: { late: '1' } })) })
    t.match(await other.store.replace('one', 'two', replacementOf({ remove: ['a', 'b'] })), { outcome: 'replaced', next: { fields: { late: '1' } } })
    t.strictSame(other.inner.read('two')?.fields, { late: '1' })
  })

  t.test('the predecessor stays live until the successor is', async (t) => {
    const lives: string[][] = []
    const { store } = open(t, (_call, _key, inner) => { lives.push(['one', 'two'].filter((key) => inner.read(key) !== null)) })
    await store.replace('one', 'two', replacementOf())
    t.strictSame(lives, [['one'], ['one'], ['one', 'two']], 'before read, create and remove; no patch without a late change')
  })
})

for (const kind of kinds) {
  test(`the next key of a replacement that found no session can be used later, on ${kind}`, async (t) => {
    const store = openStore(t, kind)
    const record = recordOf({ expiresAt: Date.now() + 60_000 })
    t.strictSame(await store.replace('never was', 'next', replacementOf()), { outcome: 'gone' })
    await store.create('one', record)
    const answers = await Promise.all(['two', 'three'].map((nextKey) => store.replace('one', nextKey, replacementOf())))
    t.strictSame(answers.map(({ outcome }) => outcome), ['replaced', 'gone'])
    for (const key of ['next', 'three']) t.equal(await store.create(key, record), true)
  })

  test(`a session of very many keys is replaced in time, on ${kind}`, async (t) => {
    const store = openStore(t, kind, { maxBytes: 2_000_000 })
    const names = Array.from({ length: 50_000 }, (_, i) => `k${i}`)
    await store.create('one', recordOf({ expiresAt: Date.now() + 60_000, fields: Object.fromEntries(names.map((name) => [name, '1'])) }))
    // CPU time, so that other processes do not count.
    const begun = process.cpuUsage()
    const change = replacementOf({ keep: names, set: Object.fromEntries(names.slice(0, 25_000).map((name) => [name, '2'])), remove: names.slice(10_000, 40_000) })
    t.equal((await store.replace('one', 'two', change)).outcome, 'replaced')
    t.equal((await replaceInTwoSteps(store, 'two', 'three', { ...change, keep: 'all' })).outcome, 'replaced')
    const { user } = process.cpuUsage(begun)
    t.ok(user < 2_000_000, `${Math.round(user / 1_000)} ms`)
    t.equal(Object.keys((await store.read('three'))?.fields ?? {}).length, 20_000)
  })
}

/** Fills a memory store of 1 MiB, and returns the number of sessions. */
function fill (store: MemoryStore, record: SessionRecord): number {
  for (let count = 0; ; count++) {
    try {
      store.create(`filling ${count}`, record)
    } catch (error) {
      if ((error as { code?: string }).code !== 'HATCHECK_STORE_FULL') throw error
      return count
    }
  }
}

test('the memory store is bounded in bytes, whatever it contains', async (t) => {
  const open = (): MemoryStore => new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const of = (fields: SessionFields): SessionRecord => recordOf({ expiresAt: Date.now() + 60_000, fields })
  const counts = {
    one: fill(open(), of({ a: '1' })),
    large: fill(open(), of({ a: JSON.stringify('x'.repeat(16_000)) })),
    many: fill(open(), of(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, '1']))))
  }
  // Node's memory for each session: 320 bytes, 16 KiB (twice as much outside Latin-1), and 90 bytes for each field.
  t.ok(counts.one > 500 && counts.one < MIB / 320, `${counts.one} with one value`)
  t.ok(counts.large > 20 && counts.large <= MIB / 32_000, `${counts.large} large ones`)
  t.ok(counts.many > 4 && counts.many < MIB / 90_000, `${counts.many} with many keys`)
})

test('a full memory store accepts no new session, and existing sessions continue', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const record = recordOf({ expiresAt: Date.now() + 60_000, fields: { a: JSON.stringify('x'.repeat(1_000)) } })
  const count = fill(store, record)
  await t.rejects(async () => store.create('one more', record), { code: 'HATCHECK_STORE_FULL', statusCode: 503, message: 'The memory store is full: it holds 1 MiB, which is its limit.' })
  await t.rejects(async () => store.patch('filling 0', changesOf({ set: { b: record.fields['a'] as string, c: record.fields['a'] as string } })), { code: 'HATCHECK_STORE_FULL' }, 'nor a larger value')
  t.strictSame(store.read('filling 0')?.fields, record.fields)
  t.equal(store.count(), count)
  t.equal(store.patch('filling 0', changesOf({ set: { a: '"less"' } })), true)
  t.equal(store.replace('filling 1', 'its successor', replacementOf()).outcome, 'replaced', 'also under another key')
  t.equal(store.touch('filling 2', 1, 1), true)
  t.not(store.remove('filling 3'), null)
  t.equal(store.create('one more', record), true, 'there is room again')
})

test('ended sessions count in the memory store as long as their tombstones are kept', async (t) => {
  const clock = { time: 1_800_000_000_000 }
  const store = new MemoryStore({ now: () => clock.time, maxBytes: 16_384, maxTotalBytes: MIB })
  let rounds = 0
  await t.rejects(async () => {
    for (; rounds < MIB; rounds++) {
      store.create(`round ${rounds}`, recordOf())
      store.remove(`round ${rounds}`)
    }
  }, { code: 'HATCHECK_STORE_FULL' })
  t.ok(rounds > 1_000 && rounds < MIB / 220, `${rounds} tombstones`)
  t.equal(store.count(), 0)
  clock.time += TOMBSTONE_MS
  while (store.sweep(5) > 0);
  t.equal(store.create('one', recordOf({ expiresAt: clock.time + 1_000 })), true)
})

test('anonymous sessions do not keep users out of a full memory store', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384, maxTotalBytes: MIB })
  const record = recordOf({ expiresAt: Date.now() + 60_000, fields: { a: JSON.stringify('x'.repeat(1_000)) } })
  t.equal(store.create('of Sally', { ...record, user: 'Sally' }), true)
  const count = fill(store, record)
  t.equal(store.create('of Harry', { ...record, user: 'Harry' }, { perUser: 3 }), true, 'a login')
  t.strictSame(store.read('filling 0'), null, 'the oldest anonymous session has made room')
  t.not(store.read('filling 1'), null, 'and no other')
  const login = replacementOf({ user: 'Sally', set: { b: record.fields['a'] as string } })
  t.equal(store.replace('filling 1', 'its successor', login).outcome, 'replaced', 'a login with what was there before')
  t.equal(store.patch('of Sally', changesOf({ set: { b: record.fields['a'] as string } })), true, 'a change')
  for (const user of ['Harry', 'Sally']) t.ok(store.ofUser(user).length > 0)
  const gone = Array.from({ length: count }, (_, i) => `filling ${i}`).filter((key) => key !== 'filling 1' && store.read(key) === null)
  const told: unknown[] = []
  while (store.sweep(5, (key, user) => { told.push([key, user]) }) > 0);
  t.strictSame(told.sort(), gone.map((key) => [key, null]).sort(), 'the event for their end is emitted once')

  for (let i = 0; store.count() > 0 && i < 10_000; i++) {
    try {
      store.create(`of user ${i}`, { ...record, user: `user ${i}` })
    } catch {
      break
    }
  }
  t.equal(store.read(`filling ${count - 1}`), null, 'no anonymous session is left')
  await t.rejects(async () => store.create('of one more', { ...record, user: 'one more' }), { code: 'HATCHECK_STORE_FULL' }, 'a user\'s login ends no other user\'s session')
  t.not(store.read('of Harry'), null)
})

test('the memory store ends many sessions of a user in slices, also one that is renewed meanwhile', async (t) => {
  const { createdAt } = recordOf()
  const slowly = (): number => {
    for (const until = performance.now() + 0.1; performance.now() < until;);
    return createdAt
  }
  const store = new MemoryStore({ now: slowly, maxBytes: 4_096 })
  for (let i = 0; i < 200; i++) store.create(`key ${i}`, recordOf({ user: 'Harry' }))
  store.create('of Sally', recordOf({ user: 'Sally' }))
  const ended: string[] = []
  const removing = store.removeOfUser('Harry', 'key 5', (key) => { ended.push(key) })
  t.ok(ended.length >= 1 && ended.length < 200, `${ended.length} have ended in the first slice`)
  t.match(store.replace('key 199', 'renewed', replacementOf()), { outcome: 'replaced' })
  t.equal(await removing, 199)
  const keys = Array.from({ length: 199 }, (_, i) => `key ${i}`)
  t.strictSame(ended, [...keys.filter((key) => key !== 'key 5'), 'renewed'])
  t.strictSame(store.ofUser('Harry').map(({ key }) => key), ['key 5'])
  t.not(store.read('of Sally'), null)
})

test('a closed memory store is empty', async (t) => {
  const store = new MemoryStore({ now: () => 0, maxBytes: 4_096 })
  store.create('one', recordOf({ user: 'Harry' }))
  store.close()
  t.equal(store.count(), 0)
  t.strictSame(store.ofUser('Harry'), [])
})

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
  await waits('a new account', () => accounts?.create('harry', account))
  await waits('another password', () => accounts?.update('harry', { passwordHash: account.passwordHash }))
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

/** For each engine that can be damaged, a function that opens it once more. */
const lasting: Record<string, (t: Test) => Promise<() => Promise<{ sessions: SessionStore, accounts: AccountStore | null }>>> = {
  'lmdb:': async (t) => {
    const folder = t.testdir()
    return async () => {
      const { sessions, accounts, close } = openLmdb(folder, quiet, { info () {}, warn () {} })
      t.teardown(close)
      return { sessions, accounts }
    }
  },
  'redis:': async (t) => {
    const { url } = await startRedis(t)
    return async () => {
      const client = await connect(t, url)
      return { sessions: new RedisStore(client, { ...quiet, onCorrupt () {}, deadlineMs: 5_000 }), accounts: new RedisAccounts(client, { deadlineMs: 5_000 }) }
    }
  },
  expressStore: async () => {
    const texts = new Map<string, string>()
    return async () => ({
      sessions: withEveryTrait(expressStore({
        get (sid, callback) { callback(null, JSON.parse(texts.get(sid) ?? 'null')) },
        set (sid, session, callback) {
          texts.set(sid, JSON.stringify(session))
          callback?.()
        },
        destroy (sid, callback) {
          texts.delete(sid)
          callback?.()
        },
        all (callback) { callback(null, [...texts.values()].map((text) => JSON.parse(text))) }
      }, quiet)),
      accounts: null
    })
  }
}
const quiet = { now: () => recordOf().createdAt, maxBytes: 16_384 }

for (const [kind, openOnce] of Object.entries(lasting)) {
  test(`a session or an account with a time that no date can hold is damaged, and harms no other: ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const again = await openOnce(t)
    const writer = await again()
    await writer.sessions.create('sound', recordOf({ user: 'Harry' }))
    const passwordHash = await hashPassword('a long password')
    await writer.accounts?.create('sally', { name: 'Sally', passwordHash, createdAt: quiet.now(), disabled: false })
    // Redis refuses to keep a key until the last one.
    for (const time of [8.64e15 + 1, Number.MAX_SAFE_INTEGER, ...kind === 'redis:' ? [] : [1e300]]) {
      for (const field of ['createdAt', 'seenAt', 'expiresAt']) {
        await writer.sessions.create(`${field} ${time}`, recordOf({ user: 'Harry', [field]: time }))
        // Another process, which has to decode what is stored.
        const { sessions } = await again()
        t.equal(await sessions.read(`${field} ${time}`), null, `${field} ${time}`)
        t.strictSame((await sessions.ofUser('Harry')).map(({ key }) => key), ['sound'])
      }
      await writer.accounts?.create('harry', { name: 'Harry', passwordHash, createdAt: time, disabled: false })
      const { accounts } = await again()
      if (accounts !== null) t.strictSame((await accounts.list()).map(({ name }) => name), ['Sally'])
    }
  })
}

for (const kind of ['lmdb:', 'redis:']) {
  test(`a session that continues nowhere, by what its tombstone says, is ended by a logout: ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const { sessions } = await (await (lasting[kind] as (typeof lasting)[string])(t))()
    for (const [what, nextKey] of Object.entries({ itself: 'itself', empty: '', long: 'x'.repeat(400), longest: 'x'.repeat(5_000), binary: '\u0000\ufffd' })) {
      await sessions.create(what, recordOf({ user: 'Harry' }))
      await sessions.remove(what, nextKey)
      t.equal(await sessions.successor(what), null, what)
      t.equal(await endIn(sessions, what), null)
    }
  })
}

test('a login time that no date can hold counts as missing', (t) => {
  for (const authenticatedAt of ['1e300', '8640000000000001', '1e400', '-1e300', 'null', '"1"', '{']) {
    const record = recordOf({ user: 'Harry', fields: { client_name: '"Harry"', authenticatedAt } })
    t.strictSame(storedUser(record), { name: 'Harry', authenticatedAt: record.createdAt }, authenticatedAt)
  }
  t.end()
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

  await store.create('both', { ...record, fields: {} })
  const keys = Array.from({ length: 100 }, (_, i) => `field${i}`)
  await Promise.all(keys.map((key, i) => i % 2 === 0
    ? store.patch('both', changesOf({ set: { [key]: '1' } }))
    : call('patch', 'both', changesOf({ set: { [key]: '1' } }))))
  t.strictSame(Object.keys((await store.read('both'))?.fields ?? {}).sort(), keys.sort(), 'no update is lost between them')

  const removals = await Promise.all([...Array.from({ length: 10 }, () => store.remove('both')), call('remove', 'both')])
  t.equal(removals.filter((last) => last !== null).length, 1, 'one of them ends it')
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
