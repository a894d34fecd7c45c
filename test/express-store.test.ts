import connectPgSimple from 'connect-pg-simple'
import { EventEmitter } from 'node:events'
import type { Pool } from 'pg'
import { test } from 'tap'
import { expressStore } from '../plugins/storage/express/open.js'
import { changesOf, recordOf, replacementOf, storeContract } from '../plugins/store/contract/index.js'
import type { ExpressSessionStore } from '../plugins/store/express-store.js'
import { withEveryTrait, type CompleteSessionStore } from '../plugins/store/traits.js'
import { logInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { buildHost, gate } from './helper.js'
import { needsPostgres, startPostgres } from './programs/postgres.js'
import { stop } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const START = recordOf().createdAt
const clock = { now: () => START }

type Callback = (error?: any, value?: any) => void

/** The adapter as hatcheck calls it. */
const adapt = (...args: Parameters<typeof expressStore>): CompleteSessionStore => withEveryTrait(expressStore(...args))

/** The length of the IDs that express-session makes. Some stores have room for few characters more. */
const LONGEST_ID = 32

/** A store for express-session in a map. Each of its calls can be delayed or made to fail. It refuses IDs longer than those of express-session. */
class MapStore implements ExpressSessionStore {
  readonly texts = new Map<string, string>()
  lookOut: (call: string, sid: string) => unknown = () => {}

  get (sid: string, callback: Callback): void {
    this.#after('get', sid, callback, () => this.texts.has(sid) ? JSON.parse(this.texts.get(sid) as string) : undefined)
  }

  set (sid: string, session: object, callback: Callback = () => {}): void {
    const text = JSON.stringify(session)
    this.#after('set', sid, callback, () => { this.texts.set(sid, text) })
  }

  destroy (sid: string, callback: Callback = () => {}): void {
    this.#after('destroy', sid, callback, () => { this.texts.delete(sid) })
  }

  #after (call: string, sid: string, callback: Callback, act: () => unknown): void {
    Promise.resolve().then(() => this.lookOut(call, sid)).then(() => {
      if (sid.length > LONGEST_ID) throw new Error(`an ID of ${sid.length} characters`)
      return act()
    }).then((value) => { callback(null, value) }, callback)
  }
}

class ListingStore extends MapStore {
  all (callback: Callback): void {
    setImmediate(callback, null, Object.fromEntries([...this.texts].map(([sid, text]) => [sid, JSON.parse(text)])))
  }

  length (callback: Callback): void {
    setImmediate(callback, null, this.texts.size)
  }
}

test('the adapter keeps the contract within one process', async (t) => {
  storeContract((name, run) => t.test(name, run), (options) => expressStore(new ListingStore(), { ...options, deadlineMs: 5_000, keepsLimit: true }), { sweeps: false })
})

test('a store with room for the IDs of express-session, and no longer ones, has room for those of the adapter', async (t) => {
  const backing = new ListingStore()
  const fastify = await buildHost(t, { sessionStore: expressStore(backing) })
  fastify.post('/in', async (request) => { await request.login('Harry') })
  fastify.post('/out', async (request) => { await request.logout() })
  fastify.get('/', async ({ user }) => ({ user: user?.name ?? null }))
  const harry = new Client(fastify)
  t.equal((await harry.send({ method: 'POST', url: '/in' })).statusCode, 200)
  t.strictSame([...backing.texts.keys()].map((id) => /^[\w-]+$/.test(id) && id.length), [LONGEST_ID])
  t.strictSame((await harry.get('/')).json(), { user: 'Harry' })
  t.equal((await fastify.sessions.ofUser('Harry')).length, 1)
  const [{ handle } = { handle: '' }] = await fastify.sessions.ofUser('Harry')
  t.equal(await fastify.sessions.revoke('Harry', handle), true)
  t.strictSame((await harry.get('/')).json(), { user: null })
  t.equal(backing.texts.size, 0)
})

test('the adapter works over PostgreSQL', needsPostgres(), async (t) => {
  const server = await startPostgres(t)
  const pool = server.connect(t)
  const PgSession = connectPgSimple({ Store: EventEmitter })

  /** connect-pg-simple has neither `all` nor `length`. */
  class ListingPgSession extends PgSession {
    readonly #pool: Pool

    constructor (pool: Pool) {
      super({ pool, createTableIfMissing: true, pruneSessionInterval: false })
      this.#pool = pool
    }

    all (callback: Callback): void {
      this.#pool.query('SELECT sess FROM session').then(({ rows }) => { callback(null, rows.map(({ sess }) => sess)) }, callback)
    }

    length (callback: Callback): void {
      this.#pool.query('SELECT count(*)::int FROM session').then(({ rows }) => { callback(null, rows[0].count) }, callback)
    }
  }

  const open = (): ListingPgSession => new ListingPgSession(pool)
  // Creates the table.
  await expressStore(open(), { deadlineMs: 5_000 }).ping()
  const empty = async (): Promise<void> => { await pool.query('DELETE FROM session') }

  await t.test('the adapter over PostgreSQL keeps the contract within one process', async (t) => {
    storeContract((name, run) => t.test(name, run), async (options) => {
      await empty()
      return expressStore(open(), { ...options, deadlineMs: 5_000, keepsLimit: true })
    }, { sweeps: false })
  })

  const login = async (client: Client): Promise<void> => { await client.send({ method: 'POST', url: '/in' }) }
  const host = async (t: Parameters<typeof buildHost>[0]): ReturnType<typeof buildHost> => {
    const fastify = await buildHost(t, { sessionStore: expressStore(open(), { deadlineMs: 5_000 }) })
    fastify.post('/in', async (request) => { await request.login('Harry') })
    fastify.post('/out', async (request) => { await request.logout() })
    fastify.get('/', async ({ user, session }) => ({ user: user?.name ?? null, keys: session.keys().filter((key) => key.startsWith('x')).sort() }))
    fastify.post('/:key', async ({ session, params }) => { session.set((params as { key: string }).key as 'client_name', 'set') })
    return fastify
  }

  await t.test('login, reading, simultaneous writes and logout work', async (t) => {
    await empty()
    const harry = new Client(await host(t))
    await harry.send({ method: 'POST', url: '/xBefore' })
    await login(harry)
    t.strictSame((await harry.get('/')).json(), { user: 'Harry', keys: ['xBefore'] })
    const copy = harry.cookieHeader

    const keys = Array.from({ length: 20 }, (_, i) => `x${i}`)
    const answers = await Promise.all(keys.map((key) => harry.send({ method: 'POST', url: `/${key}` })))
    t.strictSame(answers.map(({ statusCode }) => statusCode), keys.map(() => 200))
    t.strictSame((await harry.get('/')).json(), { user: 'Harry', keys: [...keys, 'xBefore'].sort() }, 'no value is lost')

    const [out] = await Promise.all([
      harry.send({ method: 'POST', url: '/out', headers: { cookie: copy } }),
      ...keys.map((key) => harry.send({ method: 'POST', url: `/${key}`, headers: { cookie: copy } }))
    ])
    t.equal(out.statusCode, 200)
    t.strictSame((await harry.get('/', { cookie: copy })).json(), { user: null, keys: [] }, 'the cookie is invalid')
    // A write after the logout has begun a new anonymous session.
    t.equal((await pool.query("SELECT FROM session WHERE sess::text LIKE '%Harry%'")).rowCount, 0)
  })

  await t.test('the store drops expired sessions on its own', async (t) => {
    await empty()
    const backing = open()
    let time = Date.now()
    const store = adapt(backing, { now: () => time, deadlineMs: 5_000 })
    const prune = (): Promise<void> => new Promise((resolve, reject) => { backing.pruneSessions((error) => { if (error) reject(error); else resolve() }) })
    await store.create('one', recordOf({ expiresAt: time + 10_000 }))
    const { rows: [{ left }] } = await pool.query('SELECT extract(epoch FROM expire - now()) AS left FROM session')
    t.ok(left > 60 && left <= 71, `${left} s`)
    time += 10_001
    t.equal(await store.read('one'), null, 'it has expired by hatcheck\'s clock')
    await prune()
    t.equal(await store.count(), 1)
    await pool.query("UPDATE session SET expire = now() - interval '2 s'")
    await prune()
    t.equal(await store.count(), 0)
    await backing.close()
  })

  await t.test('without all and length, calls that list or count sessions are refused', async (t) => {
    const store = adapt(new PgSession({ pool, createTableIfMissing: true, pruneSessionInterval: false }), { deadlineMs: 5_000 })
    t.equal(await store.create('plain', recordOf({ user: 'Harry', expiresAt: Date.now() + 60_000 })), true)
    for (const call of ['ofUser', 'removeOfUser', 'count'] as const) {
      await t.rejects(async () => await store[call]('Harry'), { code: 'HATCHECK_STORE_METHOD_MISSING', statusCode: 501 }, call)
    }
    t.not(await store.read('plain'), null)
  })

  await t.test('an outage logs no user out', async (t) => {
    await empty()
    const harry = new Client(await host(t))
    await login(harry)
    await server.stop()
    const down = await harry.get('/')
    t.equal(down.statusCode, 503, 'a missing socket is not a missing session')
    t.equal(down.json().code, 'HATCHECK_STORE_UNAVAILABLE')
    t.equal(down.headers['set-cookie'], undefined)
    await server.start()
    t.equal((await harry.get('/')).json().user, 'Harry')
  })
})

test('between two processes, a simultaneous write can lose an update or revive a session', async (t) => {
  const backing = new MapStore()
  const [one, other] = [adapt(backing, clock), adapt(backing, clock)]
  /** Lets one process write what it read before the other wrote. */
  const meanwhile = async (late: () => unknown, act: () => unknown): Promise<void> => {
    const writing = stop()
    backing.lookOut = (call) => {
      if (call !== 'set') return
      backing.lookOut = () => {}
      return writing.here()
    }
    const done = late()
    await writing.reached
    await act()
    writing.go()
    await done
  }

  await one.create('updated', recordOf({ fields: {} }))
  await meanwhile(() => one.patch('updated', changesOf({ set: { a: '1' } })), () => other.patch('updated', changesOf({ set: { b: '2' } })))
  t.strictSame((await other.read('updated'))?.fields, { a: '1' }, 'an update')

  await one.create('ended', recordOf({ fields: {} }))
  await meanwhile(() => one.touch('ended', START, START + 60_000), () => other.remove('ended'))
  t.not(await one.read('ended'), null, 'a logout')
  t.equal(await other.read('ended'), null, 'but not in the process that answered it')
  t.equal(await other.patch('ended', changesOf()), false)
})

test('without keepsLimit a login does not read every session, and the log says that there is no limit', async (t) => {
  const store = adapt(Object.assign(new ListingStore(), { all: () => { throw new Error('not asked for') } }), clock)
  for (const key of ['one', 'two']) t.equal(await store.create(key, recordOf({ user: 'Harry' }), { perUser: 1 }), true)
  t.not(await store.read('one'), null)

  for (const [keepsLimit, warnings] of [[false, 1], [true, 0]] as const) {
    const lines: string[] = []
    await buildHost(t, { sessionStore: expressStore(new ListingStore(), { keepsLimit }) }, logInto(lines, 'info'))
    t.equal(lines.filter((line) => line.includes('a user may have more sessions than sessionsPerUser')).length, warnings)
  }
})

test('while a login is past its deadline, no other login of its user begins', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, { ...clock, keepsLimit: true, deadlineMs: 100 })
  const login = async (key: string): Promise<boolean> => await store.create(key, recordOf({ user: 'Harry' }), { perUser: 1 })
  const writing = stop()
  backing.lookOut = (call, sid) => `${call} ${sid}` === 'set late' ? writing.here() : undefined
  const late = login('late')
  await writing.reached
  backing.lookOut = () => {}
  await t.rejects(late, { code: 'HATCHECK_STORE_UNAVAILABLE' })
  await t.rejects(login('impatient'), { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'it waits for its turn')
  writing.go()
  t.equal(await login('next'), true)
  t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['next'])
})

test('a write past its deadline is never applied after a later call', async (t) => {
  const backing = new MapStore()
  const store = adapt(backing, { ...clock, deadlineMs: 20 })
  await store.create('one', recordOf())
  const writing = stop()
  backing.lookOut = (call) => call === 'set' ? writing.here() : undefined
  await t.rejects(async () => await store.patch('one', changesOf({ set: { a: '2' } })), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  await t.rejects(async () => await store.remove('one'), { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'it waits for its turn')
  t.equal(await store.remove('another'), null, 'another session does not')
  writing.go()
  backing.lookOut = () => {}
  t.equal(await store.remove('one'), null, 'it has been removed in its turn')
  t.notOk(backing.texts.has('one'))
  t.equal(await store.read('one'), null)
})

test('a replacement past its deadline ends the successor and not the predecessor', async (t) => {
  for (const step of ['get one', 'get two', 'set two', 'turn of one', 'destroy one']) {
    const backing = new ListingStore()
    const store = adapt(backing, { ...clock, deadlineMs: 40 })
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    const waiting = stop()
    const isTurn = step === 'turn of one'
    let calls = 0
    backing.lookOut = (call, sid) => {
      if (isTurn ? `${call} ${sid}` !== 'set one' : `${call} ${sid}` !== step || calls++ > 0) return
      return waiting.here()
    }
    if (isTurn) await t.rejects(async () => await store.patch('one', changesOf({ set: { a: '2' } })), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    await t.rejects(async () => await store.replace('one', 'two', replacementOf()), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 }, step)
    t.equal(await store.create('another', recordOf()), true, 'no other session waits')
    waiting.go()
    backing.lookOut = () => {}
    // Late steps end the successor. Where it has not begun yet, they must not begin it either.
    await new Promise((resolve) => { setTimeout(resolve, 50) })
    await until('the successor has ended', () => !backing.texts.has('two'))
    t.equal(await store.create('two', recordOf()), step === 'get one', 'nor does it begin later')
    t.strictSame(await store.read('one'), step === 'destroy one' ? null : isTurn ? { ...record, fields: { ...record.fields, a: '2' } } : record)
  }
})

test('a replacement in a failing store fails and keeps the predecessor', async (t) => {
  for (const step of ['get one', 'set two', 'destroy one']) {
    const backing = new ListingStore()
    const store = adapt(backing, clock)
    await store.create('one', recordOf({ user: 'Harry' }))
    backing.lookOut = (call, sid) => { if (`${call} ${sid}` === step) throw new Error('it broke') }
    await t.rejects(async () => await store.replace('one', 'two', replacementOf()), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'it broke' } }, step)
    backing.lookOut = () => {}
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['one'])
  }
})

test('ending all sessions of a user includes one that is replaced during the listing', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, clock)
  await store.create('one', recordOf({ user: 'Harry' }))
  const listing = stop()
  const { all } = ListingStore.prototype
  backing.all = (callback) => {
    backing.all = all
    // The list is taken when it is asked for, and returned later.
    all.call(backing, (...answer) => { listing.here().then(() => { callback(...answer) }, callback) })
  }
  const removing = store.removeOfUser('Harry')
  await listing.reached
  t.equal((await store.replace('one', 'two', replacementOf())).outcome, 'replaced')
  listing.go()
  t.equal(await removing, 1)
  t.equal(await store.read('two'), null)
})

test('a session that cannot be ended does not keep the other sessions of its user alive', async (t) => {
  for (const [how, answer] of [['fails', () => { throw new Error('locked') }], ['gets no answer', () => gate().passed]] as const) {
    t.test(`if its end ${how}`, async (t) => {
      const backing = new ListingStore()
      const store = adapt(backing, { ...clock, deadlineMs: 50 })
      const keys = Array.from({ length: 12 }, (_, i) => `key${i}`)
      for (const key of keys) await store.create(key, recordOf({ user: 'Harry' }))
      const [locked] = backing.texts.keys()
      backing.lookOut = (call, sid) => call === 'destroy' && sid === locked ? answer() : undefined
      const ended: string[] = []
      await t.rejects(async () => await store.removeOfUser('Harry', undefined, (key) => { ended.push(key) }), { code: 'HATCHECK_STORE_UNAVAILABLE' })
      t.strictSame(ended.toSorted(), keys.slice(1).toSorted(), 'all others have ended, and are reported')
      t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['key0'])
    })
  }
})

test('a call respects what other calls changed while it was waiting', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, clock)
  await store.create('one', recordOf({ user: 'Harry' }))
  const text = backing.texts.get('one') as string
  const reading = stop()
  backing.lookOut = (call) => {
    if (call !== 'get') return
    backing.lookOut = () => {}
    return reading.here()
  }
  const read = store.read('one')
  await reading.reached
  await store.remove('one')
  // As if another process brought it back.
  backing.texts.set('one', text)
  reading.go()
  t.equal(await read, null, 'a read does not return a session that ended meanwhile')
  t.strictSame(await store.ofUser('Harry'), [])

  await store.create('two', recordOf({ user: 'Harry' }))
  const handedOver = store.patch('two', changesOf({ user: 'Sally' }))
  t.equal(await store.removeOfUser('Harry'), 0, 'a session that changed its user meanwhile is not ended')
  t.equal(await handedOver, true)
  t.equal((await store.read('two'))?.user, 'Sally')
})

test('the adapter handles every answer that a store may give', async (t) => {
  const backing = new MapStore()
  const store = adapt(backing, clock)
  const failWith = (error: unknown): void => { backing.lookOut = () => { throw error } }
  await store.create('one', recordOf())

  failWith(Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' }))
  t.equal(await store.read('one'), null, 'a missing file is a missing session')
  t.equal(await store.patch('one', changesOf()), false)
  t.equal(await store.remove('gone'), null)

  for (const missing of [undefined, null, false, '', 0]) {
    const empty = adapt({ ...emptyStore, get: (_sid: string, callback: (error: unknown, session: never) => void) => { callback(null, missing as never) } } as ExpressSessionStore, clock)
    t.equal(await empty.read('one'), null, String(missing))
    t.equal(await empty.create('one', recordOf()), true, 'a session can begin there')
  }

  for (const error of [new Error('it broke'), Object.assign(new Error('connect ENOENT'), { code: 'ENOENT', syscall: 'connect' }), 'text', 42, Symbol('odd'), {}, Object.create(null)]) {
    failWith(error)
    for (const call of [() => store.read('one'), () => store.create('two', recordOf()), () => store.patch('one', changesOf()), () => store.touch('one', START, START), () => store.take('one', ''), () => store.remove('one'), () => store.replace('one', 'two', replacementOf()), () => store.ping()]) {
      await t.rejects(async () => await call(), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
    }
  }
  for (const error of [new Error('it broke'), new SyntaxError('a page of its proxy is no JSON')]) {
    backing.lookOut = (call) => { if (call === 'destroy') throw error }
    await t.rejects(async () => await store.remove('one'), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  }
  backing.lookOut = () => {}
  t.strictSame(await store.read('one'), recordOf(), 'an end that failed does not count')

  for (const text of ['{}', '{"cookie":{},"hatcheck":1}', '{"hatcheck":"{"}', '{"hatcheck":"null"}', '{"hatcheck":"{\\"key\\":\\"one\\",\\"record\\":{}}"}', '{"hatcheck":"{\\"key\\":\\"one\\"}"}', 'null', '[]', '', '{"hatcheck":"{']) {
    backing.texts.set('one', text)
    t.equal(await store.read('one'), null, text)
    t.equal(await store.patch('one', changesOf()), false)
  }

  const throwing = expressStore({ ...emptyStore, get () { throw new Error('at once') }, set: async () => { throw new Error('in a promise') } }, clock)
  await t.rejects(async () => await throwing.read('one'), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  const rejecting = expressStore({ ...emptyStore, async set () { throw new Error('in a promise') } }, clock)
  await t.rejects(async () => await rejecting.create('one', recordOf()), { code: 'HATCHECK_STORE_UNAVAILABLE' })
})

test('what a store throws or rejects with can be anything, even nothing', async (t) => {
  const odd: Record<string, unknown> = { null: null, undefined, false: false, 'an empty text': '', 'a text': 'text', 'a number': 0, 'a symbol': Symbol('odd'), 'a bare object': Object.create(null) }
  const ways: Record<string, (error: unknown) => unknown> = {
    throws (error) { throw error },
    rejects: async (error) => { throw error }
  }
  for (const [what, error] of Object.entries(odd)) {
    for (const [how, fail] of Object.entries(ways)) {
      const [get, set, destroy, all, length] = Array.from({ length: 5 }, () => () => fail(error))
      const store = adapt({ get, set, destroy, all, length } as unknown as ExpressSessionStore, { ...clock, deadlineMs: 60_000 })
      for (const call of [() => store.read('one'), () => store.create('two', recordOf()), () => store.remove('one'), () => store.ofUser('Harry'), () => store.count(), () => store.ping()]) {
        await t.rejects(async () => await call(), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503, cause: Error }, `${how} ${what}`)
      }
    }
  }
})

const emptyStore: ExpressSessionStore = {
  get (_sid, callback) { callback(null, null) },
  set (_sid, _session, callback) { callback?.() },
  destroy (_sid, callback) { callback?.() }
}

test('the adapter counts with all if the store has no length', async (t) => {
  const store = adapt(Object.assign(new ListingStore(), { length: undefined }) as unknown as ExpressSessionStore, clock)
  await store.create('one', recordOf())
  t.equal(await store.count(), 1)
})

test('a store whose all does not list what it has is refused wherever hatcheck needs the list', async (t) => {
  const ways: Record<string, (backing: ListingStore) => unknown> = {
    'rows of its table': ({ texts }) => [...texts].map(([sid, sess]) => ({ sid, sess })),
    'texts of sessions': ({ texts }) => [...texts.values()],
    'nothing, because of a client that it does not know': () => [],
    'no answer': () => undefined,
    'the sessions of another application': () => [{ cookie: {}, hatcheck: 1 }, { cookie: {} }, null]
  }
  for (const [what, all] of Object.entries(ways)) {
    const backing = new ListingStore()
    backing.all = (callback) => { callback(null, all(backing)) }
    const store = adapt(backing, { ...clock, keepsLimit: true })
    await store.create('one', recordOf({ user: 'Harry' }))
    for (const call of [() => store.ofUser('Harry'), () => store.removeOfUser('Harry'), () => store.create('two', recordOf({ user: 'Harry' }), { perUser: 1 })]) {
      await t.rejects(async () => await call(), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: /^the method all of the store does not list a session/ } }, what)
    }
    t.strictSame([...backing.texts.keys()], ['one'], 'it leaves nothing behind')
    delete (backing as Partial<ListingStore>).all
    t.equal(await store.removeOfUser('Harry'), 1, 'once it lists them, it works')
  }
})

test('hatcheck tries the list of a store once, and does not list or count its trial', async (t) => {
  for (const members of [{}, { length: undefined }]) {
    const backing = Object.assign(new ListingStore(), members) as ListingStore
    const calls: string[] = []
    backing.lookOut = (call) => { calls.push(call) }
    const store = adapt(backing, clock)
    t.equal(await store.count(), 0)
    t.strictSame(await store.ofUser('Harry'), [])
    t.equal(await store.removeOfUser('Harry'), 0)
    t.strictSame(calls, ['set', 'destroy'])
    t.equal(backing.texts.size, 0)
  }
})

test('a missing folder loses no write and hides no session', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, clock)
  await store.create('one', recordOf({ user: 'Harry' }))
  await store.ofUser('Harry')
  const missing = (): never => { throw Object.assign(new Error('no such file or directory'), { code: 'ENOENT', syscall: 'open' }) }
  backing.lookOut = (call) => { if (call === 'set') missing() }
  for (const call of [() => store.create('two', recordOf()), () => store.patch('one', changesOf({ set: { a: '2' } })), () => store.touch('one', START, START), () => store.replace('one', 'two', replacementOf())]) {
    await t.rejects(async () => await call(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  }
  Object.assign(backing, { all: missing, length: missing, lookOut: () => {} })
  for (const call of [() => store.ofUser('Harry'), () => store.removeOfUser('Harry'), () => store.count()]) {
    await t.rejects(async () => await call(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  }
  t.strictSame(await store.read('one'), recordOf({ user: 'Harry' }))
})

test('only a number counts the sessions, also as a text', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, clock)
  for (const [answer, count] of [[3, 3], ['12', 12], [12n, 12], [0, 0]] as const) {
    backing.length = (callback) => { callback(null, answer) }
    t.equal(await store.count(), count)
  }
  for (const answer of [undefined, null, '', 'many', -1, 1.5, NaN, [{ items: 1 }], {}]) {
    backing.length = (callback) => { callback(null, answer) }
    await t.rejects(async () => await store.count(), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'the method length of the store does not answer with a number' } }, String(answer))
  }
})

test('an ID in the store has only characters that every store takes', async (t) => {
  const backing = new ListingStore()
  const store = adapt(backing, clock)
  for (const key of ['a b', 'a\nb', '../a', 'a:b', 'a*', 'é', '']) {
    t.equal(await store.create(key, recordOf()), true)
    t.strictSame(await store.read(key), recordOf())
  }
  t.strictSame([...backing.texts.keys()].filter((id) => !/^[\w-]{32}$/.test(id)), [])
})

test('an object that is not a store is refused', async (t) => {
  for (const method of ['get', 'set', 'destroy'] as const) {
    t.throws(() => expressStore({ ...emptyStore, [method]: undefined } as unknown as ExpressSessionStore),
      { code: 'HATCHECK_CONFIG', message: `expressStore needs a store made for express-session; it has no method ${method}.` })
  }
  t.throws(() => expressStore(emptyStore, { keepsLimit: true }),
    { code: 'HATCHECK_CONFIG', message: 'keepsLimit of expressStore needs a store with the method all.' })
})
