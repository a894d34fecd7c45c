import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { StoreCalls } from '../plugins/metrics/store-calls.js'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { boundedStore } from '../plugins/storage/own/bounded.js'
import { inRealm } from '../plugins/storage/realm.js'
import { accountKey } from '../plugins/store/accounts.js'
import type { Policy } from '../plugins/store/attempt-policy.js'
import { recordOf, replacementOf, storeContract } from '../plugins/store/contract/index.js'
import { DamagedAccountError, reasonOf, storeUnavailable } from '../plugins/store/errors.js'
import type { SessionStore } from '../plugins/store/sessions.js'
import { CORE, TRAITS, hasTrait, withEveryTrait, type Trait } from '../plugins/store/traits.js'
import { logInto, messagesInto } from './apps/log-lines.js'
import { Client, type Answer } from './clients/client.js'
import { buildHost } from './helper.js'
import { watched } from './stores/watched-store.js'

/** A store of an application that lacks some optional members of the contract. */
function lacking (traits: readonly Trait[], options = { now: Date.now, maxBytes: 16_384 }): SessionStore {
  const store: SessionStore = { ...watched(new MemoryStore(options), () => {}) }
  for (const trait of traits) Reflect.deleteProperty(store, trait)
  if (!traits.includes('keepsLimit')) return store
  const { create, replace } = store
  return { ...store, create: (key, record) => create(key, record), replace: (key, nextKey, change) => replace(key, nextKey, change) }
}

interface Host {
  fastify: FastifyInstance
  client: Client
  /** The warnings of the start. */
  warnings: string[]
}

async function hostOver (t: Test, sessionStore: SessionStore, sessionsPerUser = 100): Promise<Host> {
  const warnings: string[] = []
  const fastify = await buildHost(t, { sessionStore, sessionsPerUser }, messagesInto(warnings, 'warn'))
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.post('/renew', async ({ session }) => { await session.regenerate(session.keys()) })
  fastify.post('/flash', async (request) => { request.flash('info', 'saved') })
  fastify.get('/flashes', async (request) => await request.flashes())
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
  await fastify.ready()
  const client = new Client(fastify)
  t.equal((await send(client, '/login')).statusCode, 200, 'a login needs no optional member')
  return { fastify, client, warnings: [...warnings] }
}

const send = (client: Client, url: string): Promise<Answer> => client.send({ method: 'POST', url })

const userAt = async (client: Client): Promise<unknown> => (await client.get('/')).json().user

/** The error of a call that needs a method. */
const missing = (method: string): { code: string, statusCode: number, message: string } => ({
  code: 'HATCHECK_STORE_METHOD_MISSING',
  statusCode: 501,
  message: `The session store has no method ${method}. Add it to the store, or use another store: docs/stores.md lists the optional methods.`
})

test('a store without ofUser lists no sessions', async (t) => {
  const { fastify, warnings } = await hostOver(t, lacking(['ofUser']))
  t.strictSame(warnings, ['The session store has no ofUser: app.sessions.ofUser, app.sessions.revoke and the page "My sessions" fail.'])
  await t.rejects(fastify.sessions.ofUser('Harry'), missing('ofUser'))
  await t.rejects(fastify.sessions.revoke('Harry', 'handle'), missing('ofUser'))
  t.equal(await fastify.sessions.revokeUser('Harry'), 1, 'but ends them')
})

test('a store without removeOfUser does not end all sessions of a user', async (t) => {
  const { fastify, client, warnings } = await hostOver(t, lacking(['removeOfUser']))
  t.strictSame(warnings, ['The session store has no removeOfUser: app.sessions.revokeUser and the end of all other sessions fail.'])
  await t.rejects(fastify.sessions.revokeUser('Harry'), missing('removeOfUser'))
  t.equal(await userAt(client), 'Harry')
  const [{ handle = '' } = {}] = await fastify.sessions.ofUser('Harry')
  t.equal(await fastify.sessions.revoke('Harry', handle), true, 'but ends one')
})

test('a store that does not keep the limit gives a user any number of sessions', async (t) => {
  const { fastify, client, warnings } = await hostOver(t, lacking(['keepsLimit']), 1)
  t.strictSame(warnings, ['The session store has no keepsLimit: a user may have more sessions than sessionsPerUser.'])
  const other = new Client(fastify)
  await send(other, '/login')
  t.strictSame([await userAt(client), await userAt(other)], ['Harry', 'Harry'])
})

test('a store without take returns no flash messages', async (t) => {
  const { client, warnings } = await hostOver(t, lacking(['take']))
  t.strictSame(warnings, ['The session store has no take: request.flashes fails once a flash message is stored.'])
  t.strictSame((await client.get('/flashes')).json(), [])
  await send(client, '/flash')
  t.match((await client.get('/flashes')).json(), missing('take'))
  t.equal(await userAt(client), 'Harry')
})

test('a store without successor does not end a renewed session by its former ID', async (t) => {
  for (const [traits, warnings, user] of [
    [['successor'], ['The session store has no successor: a logout while its session gets a new ID may fail to end the session.'], 'Harry'],
    [[], [], null]
  ] as const) {
    const { fastify, client, warnings: logged } = await hostOver(t, lacking(traits))
    t.strictSame(logged, warnings)
    const former = client.cookieHeader
    await send(client, '/renew')
    const renewed = client.cookieHeader
    t.equal((await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: former } })).statusCode, 200)
    t.strictSame((await fastify.inject({ url: '/', headers: { cookie: renewed } })).json(), { user })
  }
})

test('a store without count does not return the number of sessions', async (t) => {
  const { fastify, warnings } = await hostOver(t, lacking(['count']))
  t.strictSame(warnings, ['The session store has no count: app.sessions.store.count fails.'])
  await t.rejects(async () => await fastify.sessions.store.count(), missing('count'))
})

test('a store without sweep removes expired sessions itself, and no event is emitted for them', async (t) => {
  const { fastify, warnings } = await hostOver(t, lacking(['sweep']))
  t.strictSame(warnings, ['The session store has no sweep: the store must drop expired sessions itself, and the event "expired" does not occur.'])
  t.equal(await fastify.sessions.store.sweep(5), 0)
})

test('the core of the contract is enough for logins', async (t) => {
  const { fastify, client, warnings } = await hostOver(t, lacking(TRAITS))
  t.equal(warnings.length, TRAITS.length, 'each missing member is logged once')
  t.equal(await userAt(client), 'Harry')
  await send(client, '/renew')
  t.equal(await userAt(client), 'Harry')
  const copy = client.cookieHeader
  await send(client, '/logout')
  t.strictSame((await fastify.inject({ url: '/', headers: { cookie: copy } })).json(), { user: null }, 'a logout is final')
  t.equal((await fastify.inject('/')).statusCode, 200)
})

test('a store with every member is used as it is', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384 })
  t.equal(withEveryTrait(store), store)
  t.strictSame(TRAITS.filter((trait) => !hasTrait(store, trait)), [])
})

test('a missing member is added, and the members of the store keep their object', async (t) => {
  class Core extends MemoryStore {
    override readonly keepsLimit = false
  }
  const own = new Core({ now: () => recordOf().createdAt, maxBytes: 4_096 })
  Object.defineProperty(own, 'take', { value: undefined })
  t.strictSame(TRAITS.filter((trait) => !hasTrait(own, trait)), ['keepsLimit', 'take'])
  const store = withEveryTrait(own)
  t.not(store, own)
  t.equal(store.keepsLimit, false)
  t.equal(await store.create('one', recordOf({ user: 'Harry' })), true)
  t.equal((await store.ofUser('Harry')).length, 1)
  t.equal((await store.replace('one', 'two', replacementOf())).outcome, 'replaced')
  t.equal(await store.successor('one'), 'two')
  t.equal(await store.touch('two', 1, 1), true)
  t.equal(await store.patch('two', { set: { c: '1' }, remove: [], seenAt: 1, expiresAt: 1 }), true)
  t.match(await store.read('two'), { fields: { c: '1' } })
  t.equal(await store.count(), 1)
  t.equal(await store.sweep(5), 0)
  t.equal(await store.removeOfUser('Harry'), 1)
  await store.ping()
  own.ping = () => { throw new Error('down') }
  t.throws(() => store.ping(), { message: 'down' }, 'a method that is replaced later is the one that is called')
  t.throws(() => store.take('two', ''), missing('take'))
  await store.close()
})

test('a store that is bounded, measured or in a realm has every member of the contract', async (t) => {
  const store = new MemoryStore({ now: Date.now, maxBytes: 16_384 })
  for (const wrapped of [boundedStore(store, 30), new StoreCalls().measured(store), inRealm(store, 'shop')]) {
    for (const method of CORE) t.type(wrapped[method], 'function', method)
    t.strictSame(TRAITS.filter((trait) => !hasTrait(wrapped, trait)), [])
    t.equal(wrapped.sync, true)
  }
  t.strictSame(Object.keys(boundedStore(lacking(TRAITS), 30)), ['sync', ...CORE], 'and none that the store lacks')
})

test('the contract suite skips the checks that need a missing member, and names the member', async (t) => {
  const skipped: string[] = []
  const run: string[] = []
  const define = (t: Test): Parameters<typeof storeContract>[0] => Object.assign(
    (name: string, check: () => Promise<void>) => { run.push(name); return t.test(name, check) },
    { skip (name: string) { skipped.push(name) } })
  await t.test('the contract suite skips checks of a store with the core alone', async (t) => {
    storeContract(define(t), (options) => lacking(TRAITS, options), { lacks: TRAITS })
  })
  for (const trait of TRAITS) t.ok(skipped.some((name) => new RegExp(`\\(the store has no .*\\b${trait}\\b`).test(name)), trait)
  t.ok(skipped.includes('take never creates (the store has no take)'))
  const ofCore = run.length
  t.ok(ofCore > 30, `${ofCore} checks are left`)

  const { length } = skipped
  storeContract(Object.assign((name: string) => { run.push(name) }, { skip () {} }), () => lacking([]))
  t.equal(run.length - ofCore, ofCore + length, 'each check was either run or skipped')
  storeContract(() => {}, () => lacking(TRAITS), { lacks: TRAITS })
})

test('the contract suite fails for a missing member that is not declared', async (t) => {
  const failed: string[] = []
  const pending: Array<Promise<void>> = []
  storeContract((name, run) => { pending.push(run().catch(() => { failed.push(name) })) }, (options) => lacking(['take'], options))
  await Promise.all(pending)
  t.ok(failed.includes('the store has every optional member of the contract, except those in lacks'))
  t.ok(failed.includes('take never creates'))
  t.equal(failed.length, 6)
})

test('a store can bring accounts and counters of failed logins', async (t) => {
  const accounts = new MemoryAccounts()
  const admitted: string[] = []
  class NotedAttempts extends MemoryAttempts {
    override admit (key: string, ...rest: [Policy, number]): number {
      admitted.push(key)
      return super.admit(key, ...rest)
    }
  }
  const attempts = new NotedAttempts()
  const sessionStore = Object.assign(new MemoryStore({ now: Date.now, maxBytes: 16_384 }), { accounts, attempts })
  const fastify = await buildHost(t, { sessionStore, routes: ['login', 'logout'], sessionCookieSecure: false })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
  await fastify.accounts?.add('Harry', 'correct horse battery')
  t.match(accounts.read(accountKey('harry')), { name: 'Harry', passwordHash: /^\$argon2id\$/ })
  const client = new Client(fastify)
  t.equal((await client.login('Harry', 'staple of something else')).statusCode, 401)
  t.ok(admitted.length > 0, 'the failure is counted in the store')
  t.equal((await client.login('harry', 'correct horse battery')).statusCode, 303)
  t.equal(await userAt(client), 'Harry')
  await fastify.accounts?.setPassword('Harry', 'another long password')
  t.equal(await userAt(client), null, 'a new password ends the sessions')
})

test('a failure of the accounts or the counters of a store is a store failure', async (t) => {
  const down = (): never => { throw new Error('down') }
  const storeOf = (members: Pick<SessionStore, 'accounts' | 'attempts'>): SessionStore => Object.assign(new MemoryStore({ now: Date.now, maxBytes: 16_384 }), members)
  for (const members of [
    { accounts: Object.assign(new MemoryAccounts(), { read: down }) },
    { accounts: new MemoryAccounts(), attempts: Object.assign(new MemoryAttempts(), { admit: down, waitOf: down }) }
  ]) {
    const fastify = await buildHost(t, { sessionStore: storeOf(members), routes: ['login'], sessionCookieSecure: false })
    const response = await fastify.inject({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload: { client_name: 'Harry', password: 'correct horse battery' } })
    t.match(response.json(), { status: 503, code: 'HATCHECK_STORE_UNAVAILABLE' })
  }
})

test('the log has the reason of a failed store, whatever it throws', (t) => {
  const odd = Object.defineProperty({}, 'message', { get () { throw new Error('no message') } })
  for (const [thrown, reason] of [[new Error('down'), 'down'], ['down', 'down'], [{ message: 'down' }, 'down'], [{ code: 'EPIPE' }, 'EPIPE'], [Object.assign(new Error(''), { code: 'EPIPE' }), 'EPIPE'], [null, 'no reason given'], [odd, 'no reason given']]) {
    const error = storeUnavailable(thrown, 'read')
    t.match(error, { code: 'HATCHECK_STORE_UNAVAILABLE' })
    t.equal(reasonOf(error), reason)
  }
  t.end()
})

test('an account that cannot be read has a code for the log, and the answer does not tell of it', async (t) => {
  const accounts = Object.assign(new MemoryAccounts(), { read (key: string): never { throw new DamagedAccountError(key) } })
  const sessionStore = Object.assign(new MemoryStore({ now: Date.now, maxBytes: 16_384 }), { accounts })
  const lines: string[] = []
  const fastify = await buildHost(t, { sessionStore, routes: ['login'], sessionCookieSecure: false }, logInto(lines, 'info'))
  const response = await fastify.inject({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload: { client_name: 'Harry', password: 'correct horse battery' } })
  t.match(response.json(), { status: 503, code: 'HATCHECK_STORE_UNAVAILABLE' })
  t.notMatch(response.body, /harry|DAMAGED/i)
  t.ok(lines.some((line) => line.includes('The account harry cannot be read.')), 'the cause is in the log')
  t.match(new DamagedAccountError('harry'), { code: 'HATCHECK_ACCOUNT_DAMAGED' })
})

test('a store with accounts must be able to end the sessions of a user', async (t) => {
  const sessionStore = { ...lacking(['removeOfUser']), accounts: new MemoryAccounts() }
  await t.rejects(buildHost(t, { sessionStore }), {
    code: 'HATCHECK_CONFIG',
    message: 'sessionStore brings accounts, so it must have the method removeOfUser: a new password ends the sessions of its account.'
  })
})
