import type { FastifyInstance } from 'fastify'
import { open } from 'lmdb'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { hatcheckService } from '../app.js'
import { hashPassword } from '../plugins/accounts/password.js'
import { parseRedisUrl } from '../plugins/config/redis-url.js'
import { LmdbAccounts } from '../plugins/storage/lmdb/accounts.js'
import { LmdbAttempts } from '../plugins/storage/lmdb/attempts.js'
import { RedisAccounts } from '../plugins/storage/redis/accounts.js'
import { RedisAttempts } from '../plugins/storage/redis/attempts.js'
import { openRedis } from '../plugins/storage/redis/open.js'
import type { Account, AccountStore } from '../plugins/store/accounts.js'
import { policies } from '../plugins/store/attempt-policy.js'
import type { AttemptStore } from '../plugins/store/attempts.js'
import { recordOf } from '../plugins/store/contract/index.js'
import { logInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { build, keyOf, needs, newFastify, testKey } from './helper.js'
import { fixture } from './processes/child.js'
import { freePort } from './processes/free-port.js'
import { startRedis } from './programs/redis.js'
import { openLmdb } from './stores/open-lmdb.js'
import { until } from './time/loop-clock.js'

/**
 * A data folder of the version before format numbers: a session without a user, two sessions of Harry, the account of
 * Harry, the disabled account of Sally, and six failed logins as Nobody.
 */
const FIXTURE = fixture('data-format-1')
const { now, ...cookies } = JSON.parse(readFileSync(join(FIXTURE, 'cookies.json'), 'utf8')) as Record<'anonymous' | 'browser' | 'permanent', string> & { now: number }

const options = { now: () => now, maxBytes: 16_384 }
const account = { name: 'Harry', passwordHash: '$argon2id$x', createdAt: 1, disabled: false }

test('a data folder from before the format numbers opens with its key, sessions, accounts and failed logins', async (t) => {
  const dataDir = t.testdir()
  cpSync(FIXTURE, dataDir, { recursive: true })
  for (const round of ['as it was', 'once it was opened']) {
    const fastify = newFastify(t, {}, { secretKey: testKey })
    await fastify.register(hatcheckService, { mode: 'service', dataDir, now: () => now })
    fastify.get('/flashes', async (request) => await request.flashes())

    t.match(await session(fastify, cookies.anonymous), { user: null, permanent: false, data: { cart: ['apple', { pieces: 2 }] } }, round)
    t.match(await session(fastify, cookies.browser), { user: { name: 'Harry' }, permanent: false, data: { theme: 'dark' } })
    t.match(await session(fastify, cookies.permanent), { user: { name: 'Harry' }, permanent: true, data: { größe: { мой: null } } })
    const flashes = await fastify.inject({ url: '/flashes', headers: { cookie: cookies.permanent } })
    t.strictSame(flashes.json(), round === 'as it was' ? [{ kind: 'info', text: 'Welcome back, Harry.' }] : [])
    t.equal((await fastify.sessions.store.ofUser('Harry')).length, round === 'as it was' ? 2 : 3)
    t.strictSame((await fastify.accounts?.list())?.map(({ name, disabled }) => [name, disabled]), [['Harry', false], ['Sally', true]])

    t.equal((await new Client(fastify).login('harry', 'a long password of Harry')).statusCode, 303)
    t.equal((await new Client(fastify).login('Sally', 'a long password of Sally')).statusCode, 401, 'she is disabled')
    // Attempts from calm networks are counted apart.
    for (let i = 0; i < 2; i++) await new Client(fastify).login(`Stranger ${i}`, 'a long password of nobody')
    t.equal((await new Client(fastify).login('Nobody', 'a long password of nobody')).statusCode, 429, 'the failures still count')
    await fastify.close()
  }
})

test('Redis data from before the format numbers opens as well', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const { client } = server
  const redisKeyOf = (cookie: string): string => `hatcheck:session:${keyOf(cookie)}`
  const times = { createdAt: now, seenAt: now, expiresAt: now + 3_600_000 }
  await client.hset(redisKeyOf(cookies.anonymous), { format: '1', ...times, permanent: '0', '.cart': '["apple"]' })
  await client.hset(redisKeyOf(cookies.browser), { format: '1', ...times, permanent: '0', user: 'Harry', '.client_name': '"Harry"', '.authenticatedAt': String(now) })
  await client.hset('hatcheck:account:harry', { name: 'Harry', passwordHash: await hashPassword('a long password of Harry'), createdAt: now, disabled: 'false' })
  await client.hset('hatcheck:account:sally', { name: 'Sally', passwordHash: await hashPassword('a long password of Sally'), createdAt: now, disabled: 'true' })
  const attempts = new RedisAttempts(client)
  for (let i = 0; i < 6; i++) await attempts.count('account:x', policies.account, now)
  await client.hdel('hatcheck:attempts:account:x', 'format')

  const fastify = await build(t, { mode: 'service', sessionStore: server.url, now: () => now })
  t.match(await session(fastify, cookies.anonymous), { user: null, data: { cart: ['apple'] } })
  t.match(await session(fastify, cookies.browser), { user: { name: 'Harry' } })
  t.equal((await new Client(fastify).login('Harry', 'a long password of Harry')).statusCode, 303)
  t.equal((await new Client(fastify).login('Sally', 'a long password of Sally')).statusCode, 401)
  t.ok(await attempts.waitOf('account:x', policies.account, now) > 0)
})

/** Each engine with its accounts and attempts, and a way to give a record another format number. */
interface Engine {
  accounts: AccountStore
  attempts: AttemptStore
  /** The keys of unreadable accounts, as reported. */
  told: string[]
  setFormat (kind: 'accounts' | 'attempts', key: string, format: number): Promise<void>
  formatOf (kind: 'accounts' | 'attempts', key: string): Promise<number | undefined>
}

const onUnknownFormat = (told: string[]) => (key: string, why: string): void => { if (why === 'of an unknown format') told.push(key) }

const engines: Record<string, { needs?: ReturnType<typeof needs>, open: (t: Test) => Promise<Engine> }> = {
  LMDB: {
    async open (t) {
      const env = open({ path: t.testdir(), maxDbs: 16, noSubdir: false })
      t.teardown(() => env.close())
      const told: string[] = []
      const [accounts, attempts] = [new LmdbAccounts(env, onUnknownFormat(told)), new LmdbAttempts(env)]
      const databases = { accounts: env.openDB({ name: 'accounts', encoding: 'json' }), attempts: env.openDB({ name: 'attempts', encoding: 'json' }) }
      return {
        accounts,
        attempts,
        told,
        async setFormat (kind, key, format) { await databases[kind].put(key, { ...databases[kind].get(key), format }) },
        formatOf: async (kind, key) => databases[kind].get(key).format
      }
    }
  },
  Redis: {
    needs: needs('redis-server'),
    async open (t) {
      const { client } = await startRedis(t)
      const told: string[] = []
      const names = { accounts: 'hatcheck:account:', attempts: 'hatcheck:attempts:' }
      return {
        accounts: new RedisAccounts(client, {}, onUnknownFormat(told)),
        attempts: new RedisAttempts(client),
        told,
        async setFormat (kind, key, format) { await client.hset(names[kind] + key, { format }) },
        formatOf: async (kind, key) => Number(await client.hget(names[kind] + key, 'format'))
      }
    }
  }
}

for (const [name, engine] of Object.entries(engines)) {
  test(`${name}: an account has a format number, and one of an unknown format is neither read nor changed`, engine.needs ?? {}, async (t) => {
    const { accounts, told, setFormat, formatOf } = await engine.open(t)
    await accounts.create('harry', account)
    await accounts.create('sally', { ...account, name: 'Sally' })
    t.equal(await formatOf('accounts', 'harry'), 1)
    t.strictSame(await accounts.read('harry'), account, 'the number is no part of the account')
    await accounts.update('harry', { disabled: true })
    t.equal(await formatOf('accounts', 'harry'), 1)

    await setFormat('accounts', 'sally', 2)
    const refusal = { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { code: 'HATCHECK_ACCOUNT_FORMAT', message: 'The account sally has a format that this version of hatcheck does not know. Use the version that wrote it.' } }
    await t.rejects(async () => await accounts.read('sally'), refusal)
    await t.rejects(async () => await accounts.update('sally', { disabled: true }), refusal)
    t.equal(await accounts.create('sally', account), false)
    t.strictSame(((await accounts.list()) as Account[]).map(({ name }) => name), ['Harry'], 'the list continues without it')
    t.ok(told.length >= 3 && told.every((key) => key === 'sally'))
    await setFormat('accounts', 'sally', 1)
    t.match(await accounts.read('sally'), { name: 'Sally', disabled: false }, 'it is unchanged')
  })

  test(`${name}: a counter has a format number, and one of an unknown format counts as none`, engine.needs ?? {}, async (t) => {
    const { attempts, setFormat, formatOf } = await engine.open(t)
    const policy = policies.account
    const fill = async (): Promise<void> => { for (let i = 0; i < 8; i++) await attempts.count('one', policy, now) }
    await fill()
    t.equal(await formatOf('attempts', 'one'), 1)
    t.ok(await attempts.waitOf('one', policy, now) > 0)
    for (const call of [() => attempts.admit('one', policy, now), () => attempts.count('one', policy, now)]) {
      await fill()
      await setFormat('attempts', 'one', 2)
      t.equal(await attempts.waitOf('one', policy, now), 0)
      await attempts.sweep(now + 1e12)
      await call()
      t.equal(await formatOf('attempts', 'one'), 1, 'counting starts anew')
      t.equal(await attempts.waitOf('one', policy, now), 0)
      await attempts.uncount('one', policy)
    }
  })
}

test('a login to an account of an unknown format is a 503, and the log names the account once', async (t) => {
  const folder = t.testdir()
  const lines: string[] = []
  const fastify = await build(t, { sessionStore: `lmdb:${folder}` }, logInto(lines, 'warn'))
  t.equal((await new Client(fastify).login('Harry')).statusCode, 303)
  const env = open({ path: folder, maxDbs: 16, noSubdir: false })
  t.teardown(() => env.close())
  const accounts = env.openDB({ name: 'accounts', encoding: 'json' })
  const stored = { ...accounts.get('harry'), format: 2 }
  await accounts.put('harry', stored)
  for (const name of ['Harry', 'HARRY', 'Harry']) t.equal((await new Client(fastify).login(name)).statusCode, 503)
  t.strictSame(accounts.get('harry'), stored, 'nothing was written')
  t.equal(lines.filter((line) => line.includes('the account harry has a format that this version of hatcheck does not know: it cannot log in and is left as it is.')).length, 1)
})

test('LMDB records the formats, and refuses a folder with unknown formats', async (t) => {
  const folder = t.testdir()
  const log = { info () {}, warn () {} }
  const openIt = (): ReturnType<typeof openLmdb> => openLmdb(folder, options, log)
  await openIt().close()
  const noted = async (change?: object): Promise<unknown> => {
    const env = open({ path: folder, maxDbs: 16, noSubdir: false })
    if (change !== undefined) await env.put('hatcheck formats', { ...env.get('hatcheck formats'), ...change })
    const formats = env.get('hatcheck formats')
    await env.close()
    return formats
  }
  t.strictSame(await noted(), { sessions: 2, accounts: 1, attempts: 1, revocations: 1 })
  await noted({ accounts: 2 })
  const refusal = {
    code: 'HATCHECK_CONFIG',
    message: `${folder} holds accounts of format 2, and this version of hatcheck knows format 1: they were written by a newer version. Start that version, or use another store.`
  }
  t.throws(openIt, refusal)
  t.throws(openIt, refusal, 'the folder was closed')
  await noted({ accounts: 1 })
  const { sessions, close } = openIt()
  t.equal(await sessions.create('one', recordOf()), true)
  await close()
})

test('Redis records the formats, and refuses unknown ones, even if it becomes reachable only later', needs('redis-server'), async (t) => {
  const port = await freePort()
  const warnings: string[] = []
  const log = { info () {}, warn (details: unknown, text?: string) { warnings.push(text ?? String(details)) } }
  const openIt = async (): ReturnType<typeof openRedis> => await openRedis(parseRedisUrl(`redis://127.0.0.1:${port}`, 'url'), { ...options, longestLifeMs: 1_000 }, log)
  const message = `redis://127.0.0.1:${port} holds sessions of format 2, and this version of hatcheck knows format 1: they were written by a newer version. Start that version, or use another store.`

  const early = await openIt()
  t.teardown(early.close)
  const server = await startRedis(t, { port, args: ['--appendonly', 'yes'] })
  await until('the formats are noted', async () => Object.keys(await server.client.hgetall('hatcheck:formats')).length > 0)
  t.strictSame({ ...await server.client.hgetall('hatcheck:formats') }, { sessions: '1', accounts: '1', attempts: '1', revocations: '1' })
  await early.sessions.ping()
  await early.close()

  await server.client.hset('hatcheck:formats', 'sessions', '2')
  await t.rejects(openIt, { code: 'HATCHECK_CONFIG', message })

  // Killed, it may lose what it has answered a moment ago.
  await server.stop('SIGTERM')
  const later = await openIt()
  t.teardown(later.close)
  await server.start()
  await until('the warning is logged', () => warnings.includes(message))
  await t.rejects(async () => { await later.sessions.ping() }, { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'and no data of it is used')
})

async function session (fastify: FastifyInstance, cookie: string): Promise<unknown> {
  return (await fastify.inject({ url: '/session', headers: { cookie, accept: 'application/json' } })).json()
}
