import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { mock } from 'node:test'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { inRealm } from '../plugins/storage/realm.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import { changesOf, recordOf, storeContract } from '../plugins/store/contract/index.js'
import type { SessionRecord } from '../plugins/store/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { createTicketSigner, storeKey } from '../plugins/tickets/ticket.js'
import { RIGHT, WRONG } from './apps/applicant.js'
import { buildHost, needs, newFastify, testKey } from './helper.js'
import { hatcheckCli, type Ended } from './processes/service.js'
import { connect, startRedis } from './programs/redis.js'
import { openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { START } from './time/units.js'

/** One registration of hatcheck, in its own scope and path. */
interface Area {
  readonly name: string
  readonly scope: FastifyInstance
  /** Logs a user in. Returns the value of the session cookie. */
  login (user?: string): Promise<string>
  /** Begins an anonymous session. Returns the value of the session cookie. */
  begin (): Promise<string>
  /** The user that a Cookie header identifies. */
  userBy (cookie: string): Promise<string | null>
  /** The complete answer to the same request. */
  ask (cookie: string): Promise<LightMyRequestResponse>
}

/** Registers hatcheck several times in one application. Each name is used for the cookie and the path. */
async function areas<N extends string> (t: Test, names: readonly N[], options: HatcheckOptions, own: Partial<Record<N, HatcheckOptions>> = {}): Promise<Record<N, Area>> {
  const fastify = newFastify(t)
  const areas: Partial<Record<N, Area>> = {}
  for (const name of names) {
    await fastify.register(async (scope) => {
      const all: HatcheckOptions = { secretKey: testKey, sessionCookieName: name, ...options, ...own[name] }
      await scope.register(hatcheck, all as never)
      scope.post(`/${name}/in/:user`, async (request) => { await request.login((request.params as { user: string }).user) })
      scope.post(`/${name}/begin`, async ({ session }) => { Object.assign(session, { cart: 1 }) })
      scope.get(`/${name}/me`, async (request) => ({ user: request.user?.name ?? null, keys: request.session.keys() }))
      const cookieName = all.sessionCookieName ?? 'hatcheck'
      const cookieAfter = async (url: string): Promise<string> => {
        const { cookies } = await fastify.inject({ method: 'POST', url })
        return cookies.find((cookie) => cookie.name === cookieName)?.value ?? ''
      }
      const ask = (cookie: string): Promise<LightMyRequestResponse> => fastify.inject({ url: `/${name}/me`, headers: { cookie } })
      areas[name] = {
        name,
        scope,
        login: (user = 'root') => cookieAfter(`/${name}/in/${encodeURIComponent(user)}`),
        begin: () => cookieAfter(`/${name}/begin`),
        ask,
        userBy: async (cookie) => (await ask(cookie)).json<{ user: string | null }>().user
      }
    })
  }
  await fastify.ready()
  return areas as Record<N, Area>
}

/** Every kind of store that two registrations can share. */
const shared: Record<string, (t: Test) => Promise<HatcheckOptions['sessionStore']>> = {
  'a store object': async (t) => openStore(t, 'memory:'),
  LMDB: async (t) => `lmdb:${t.testdir()}`,
  Redis: async (t) => (await startRedis(t)).url
}

for (const [kind, open] of Object.entries(shared)) {
  test(`two realms that share a key and ${kind} are separate`, kind === 'Redis' ? needs('redis-server') : {}, async (t) => {
    const { shop, office, hatcheck } = await areas(t, ['shop', 'office', 'hatcheck'], { sessionStore: await open(t), sessionsPerUser: 2 })
    const all = [shop, office, hatcheck]
    const endAll = async (): Promise<void> => { for (const { scope } of all) await scope.sessions.revokeUser('root') }

    t.test('a ticket of one realm grants no access in another', async (t) => {
      for (const from of all) {
        for (const to of all.filter((area) => area !== from)) {
          const foreign = await from.login()
          const own = await to.login()
          for (const value of [foreign, await from.begin()]) {
            for (const cookie of [`${to.name}=${value}`, `${from.name}=${value}; ${to.name}=${value}`]) {
              const answer = await to.ask(cookie)
              t.strictSame(answer.json(), { user: null, keys: [] }, `${from.name} → ${to.name}`)
              t.equal(answer.headers['set-cookie'], undefined)
            }
          }
          t.equal(await from.userBy(`${from.name}=${foreign}; ${to.name}=${foreign}`), 'root')
          t.equal(await to.userBy(`${to.name}=${foreign}; ${to.name}=${own}`), 'root', 'nor does it hide the right one')
          await endAll()
        }
      }
    })

    t.test('a realm does not show the sessions that a user has in another', async (t) => {
      const tickets = new Map<Area, string>()
      for (const area of all) tickets.set(area, await area.login())
      const living = (): Promise<boolean[]> => Promise.all(all.map(async (area) => await area.userBy(`${area.name}=${tickets.get(area)}`) === 'root'))
      const handles = new Map<Area, string>()
      for (const area of all) {
        const sessions = await area.scope.sessions.ofUser('root')
        t.equal(sessions.length, 1, area.name)
        handles.set(area, sessions[0]?.handle ?? '')
      }
      t.equal(new Set(handles.values()).size, all.length)
      for (const from of all) {
        for (const to of all.filter((area) => area !== from)) {
          t.equal(await to.scope.sessions.revoke('root', handles.get(from) as string), false, `a handle of ${from.name} in ${to.name}`)
        }
      }
      t.strictSame(await living(), [true, true, true])
      t.equal(await office.scope.sessions.revoke('root', handles.get(office) as string), true)
      t.strictSame(await living(), [true, false, true])
      t.equal(await hatcheck.scope.sessions.revokeUser('root'), 1)
      t.strictSame(await living(), [true, false, false])
      t.equal(await office.scope.sessions.revokeUser('root'), 0)
      t.strictSame(await living(), [true, false, false])
      await endAll()
    })

    t.test('the session limit of one realm does not count the sessions of another', async (t) => {
      const tickets: Array<readonly [Area, string]> = []
      for (const area of [...all, ...all]) tickets.push([area, `${area.name}=${await area.login()}`])
      for (const [area, cookie] of tickets) t.equal(await area.userBy(cookie), 'root', area.name)
      await shop.login()
      const [oldest, ...others] = tickets
      t.equal(await oldest?.[0].userBy(oldest[1]), null, 'the oldest in the same realm ends')
      for (const [area, cookie] of others) t.equal(await area.userBy(cookie), 'root', area.name)
      await endAll()
    })

    t.test('no user name reaches into another realm', async (t) => {
      for (const area of all) {
        const cookie = `${area.name}=${await area.login()}`
        for (const asking of all.filter((other) => other !== area)) {
          const { sessions } = asking.scope
          for (const name of [`root\0${area.name}`, `root\0${asking.name}`, `root\0${area.name}\0${asking.name}`, '\0', `\0${area.name}`]) {
            t.strictSame(await sessions.ofUser(name), [], JSON.stringify(name))
            t.equal(await sessions.revokeUser(name), 0)
            t.equal(await sessions.revoke(name, (await area.scope.sessions.ofUser('root'))[0]?.handle ?? ''), false)
          }
        }
        t.equal(await area.userBy(cookie), 'root')
      }
      await endAll()
      for (const area of all) {
        for (const other of all) t.equal(await area.login(`root\0${other.name}`), '', 'such a name cannot log in')
      }
      for (const area of all) t.strictSame(await area.scope.sessions.ofUser('root'), [])
    })
  })
}

test('a former key opens no other realm', async (t) => {
  const [current, former] = [newSecret(), newSecret()]
  const store = openStore(t, 'memory:')
  const asked: string[] = []
  const before = await areas(t, ['shop', 'office'], { secretKey: former, sessionStore: store })
  const after = await areas(t, ['shop', 'office'], {
    secretKey: current,
    secretKeyFallbacks: [former],
    sessionStore: watched(store, (call) => { asked.push(call) })
  })
  const ticket = await before.shop.login()
  const foreign = await after.office.ask(`office=${ticket}`)
  t.strictSame(foreign.json(), { user: null, keys: [] })
  t.equal(foreign.headers['set-cookie'], undefined)
  t.strictSame(asked, [], 'the store is not asked')
  const own = await after.shop.ask(`shop=${ticket}`)
  t.equal(own.json<{ user: string }>().user, 'root')
  const signedAnew = own.cookies[0]?.value ?? ''
  t.not(signedAnew, ticket)
  t.equal(await after.shop.userBy(`shop=${signedAnew}`), 'root')
  t.equal(await after.office.userBy(`office=${signedAnew}`), null)
})

test('the realm is the name of the cookie, unless the option realm is set', async (t) => {
  const realmOf = (options: HatcheckOptions): string => resolveConfig({ secretKey: testKey, ...options }, 'plugin').realm
  t.equal(realmOf({}), 'hatcheck')
  for (const sessionCookieName of ['__Host-sid', '__Secure-sid', '__host-sid', '__SECURE-sid']) {
    t.equal(realmOf({ sessionCookieName, sessionCookieSecure: true }), 'sid', sessionCookieName)
  }
  for (const sessionCookieName of ['sid', 'SID', 'a!#$%&\'*+.^_`|~0', '__sid', 'x__Host-sid', 'x'.repeat(128)]) t.equal(realmOf({ sessionCookieName }), sessionCookieName)
  t.equal(realmOf({ sessionCookieName: '__Host-', sessionCookieSecure: true }), '__Host-', 'it is never empty')
  t.equal(realmOf({ sessionCookieName: 'sid', realm: 'hatcheck' }), 'hatcheck')
  for (const realm of ['a', 'Shop.eu_1-2', 'x'.repeat(64)]) t.equal(realmOf({ realm }), realm)
})

test('an invalid name of a realm is refused', async (t) => {
  for (const realm of ['', ' ', 'a b', 'a\0b', 'a/b', 'a!', 'é', '__Host-sid\n', 'x'.repeat(65)]) {
    for (const [mode, name] of [['plugin', 'realm'], ['service', 'REALM']] as const) {
      t.throws(() => resolveConfig({ secretKey: testKey, realm }, mode), {
        code: 'HATCHECK_CONFIG',
        message: `${name} must be 1 to 64 letters, digits, dots, underscores or hyphens (A-Z a-z 0-9 . _ -); got ${JSON.stringify(realm)}.`
      })
    }
  }
  t.throws(() => resolveConfig({ secretKey: testKey, realm: {} as string }, 'plugin'), { code: 'HATCHECK_CONFIG', message: 'realm must be 1 to 64 letters, digits, dots, underscores or hyphens (A-Z a-z 0-9 . _ -); got {}.' })
})

test('registrations of one realm share their logins', async (t) => {
  const cases: Array<[what: string, one: HatcheckOptions, other: HatcheckOptions]> = [
    ['the same cookie name in two applications', {}, {}],
    ['a cookie name of their own', { sessionCookieName: 'sid' }, { sessionCookieName: 'sid' }],
    ['the same cookie name with a prefix and without', { sessionCookieName: 'sid' }, { sessionCookieName: '__Host-sid', sessionCookieSecure: true }],
    ['the default one with a prefix and without', {}, { sessionCookieName: '__Secure-hatcheck', sessionCookieSecure: true }],
    ['the same realm under two cookie names', { sessionCookieName: 'a', realm: 'both' }, { sessionCookieName: 'b', realm: 'both' }],
    ['the realm of another cookie name', { sessionCookieName: 'a' }, { sessionCookieName: 'b', realm: 'a' }]
  ]
  for (const [what, options, others] of cases) {
    const store = openStore(t, 'memory:')
    const { one } = await areas(t, ['one'], { sessionStore: store, sessionCookieName: undefined, ...options })
    const { other } = await areas(t, ['other'], { sessionStore: store, sessionCookieName: undefined, ...others })
    const ticket = await one.login()
    const name = others.sessionCookieName ?? 'hatcheck'
    t.equal(await other.userBy(`${name}=${ticket}`), 'root', what)
    const [session] = await one.scope.sessions.ofUser('root')
    t.equal(await other.scope.sessions.revoke('root', session?.handle ?? ''), true, what)
    t.equal(await other.userBy(`${name}=${ticket}`), null)
  }
})

test('one cookie name under two realms means two realms', async (t) => {
  const store = openStore(t, 'memory:')
  const { one } = await areas(t, ['one'], { sessionStore: store, sessionCookieName: 'sid', realm: 'one' })
  const { other } = await areas(t, ['other'], { sessionStore: store, sessionCookieName: 'sid', realm: 'other' })
  t.equal(await other.userBy(`sid=${await one.login()}`), null)
})

test('sessions that were stored before realms existed still open', async (t) => {
  const store = openStore(t, 'memory:')
  const { hatcheck, shop } = await areas(t, ['hatcheck', 'shop'], { sessionStore: store })
  const key = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', Buffer.from(testKey), '', `hatcheck/1 ${purpose}`, 32))
  const id = randomBytes(32).toString('base64url')
  const ticket = `${id}.${createHmac('sha256', key('session ticket')).update(id).digest('base64url')}`
  const at = Date.now()
  const stored = createHash('sha256').update(id).digest('base64url')
  await store.create(stored, recordOf({ createdAt: at, seenAt: at, expiresAt: at + 3_600_000, user: 'root', fields: { client_name: '"root"', authenticatedAt: String(at) } }))
  t.equal(await hatcheck.userBy(`hatcheck=${ticket}`), 'root')
  t.equal(await shop.userBy(`shop=${ticket}`), null)
  const handle = createHmac('sha256', key('session handle')).update(stored).digest('base64url').replaceAll('-', '_').slice(0, 22)
  t.strictSame((await hatcheck.scope.sessions.ofUser('root')).map((session) => session.handle), [handle])
  t.strictSame(await shop.scope.sessions.ofUser('root'), [])
  t.strictSame(hatcheck.scope.hatcheck.session.macsFor('known device', 'text'), [createHmac('sha256', key('known device')).update('text').digest()])
  t.equal(inRealm(store, 'hatcheck'), store)
})

test('every key of one realm differs from those of another', async (t) => {
  const secret = Buffer.from(testKey)
  const realms = ['hatcheck', 'shop', 'Shop', 'sho', 'p', 'x'.repeat(128)]
  const signers = realms.map((realm) => createTicketSigner([secret], realm))
  const id = randomBytes(32).toString('base64url')
  const different = (values: readonly string[]): void => { t.equal(new Set(values).size, realms.length) }
  different(signers.map((signer) => signer.sign(id)))
  different(signers.map((signer) => signer.ticketOf(id).key))
  different(signers.map((signer) => signer.handleOf('key')))
  different(signers.map((signer) => signer.macsFor('known device', 'text').join()))
  for (const [at, signer] of signers.entries()) {
    t.strictSame(signer.ticketOf(id), { id, key: storeKey(id, realms[at]), stale: false, touchedAt: 0, carried: null })
    t.strictSame(createTicketSigner([secret], realms[at]).verify(signer.sign(id)), signer.ticketOf(id))
    t.strictSame(signers.map((other) => other.ownsKey(signer.ticketOf(id).key)), realms.map((_, i) => i === at))
  }
})

/** Areas with pages, on a store that keeps the failed logins of all areas. */
function pages (t: Test, sessionStore: string): Promise<Record<'shop' | 'office' | 'hatcheck', Area>> {
  const own = (prefix: string): HatcheckOptions => ({ routes: true, prefix, authenticate: (name, password) => password === RIGHT ? { name } : null })
  // The clock stands still: a wait after failed logins must not end on a busy machine.
  const time = Date.now()
  return areas(t, ['shop', 'office', 'hatcheck'], { sessionStore, now: () => time }, { shop: own('/shop'), office: own('/office'), hatcheck: own('') })
}

for (const kind of ['LMDB', 'Redis'] as const) {
  test(`failed logins in one realm do not count in another, with ${kind}`, kind === 'Redis' ? needs('redis-server') : {}, async (t) => {
    const { shop, office, hatcheck } = await pages(t, await shared[kind]?.(t) as string)
    const home = '127.0.0.1'
    const enter = ({ scope, name }: Area, password: string, { cookie = '', user = 'root', from = home } = {}): Promise<LightMyRequestResponse> =>
      scope.inject({ method: 'POST', url: name === 'hatcheck' ? '/login' : `/${name}/login`, remoteAddress: from, headers: { ...cookie !== '' && { cookie } }, payload: { client_name: user, password } })
    // From a network that no account has used.
    const tries = async (area: Area, from: string, cookie = ''): Promise<number> => {
      for (let i = 0; i < 6; i++) await enter(area, WRONG, { cookie, from })
      return (await enter(area, RIGHT, { cookie, from })).statusCode
    }
    const device = (await enter(shop, RIGHT)).cookies.find(({ name }) => name === 'shop-device')?.value ?? ''
    t.not(device, '')
    const from = '192.0.2.1'
    t.equal(await tries(shop, from), 429)
    for (const area of [office, hatcheck]) t.equal((await enter(area, RIGHT)).statusCode, 303, area.name)
    t.equal((await enter(shop, RIGHT, { from })).statusCode, 429, 'nor does another realm reset them')
    t.equal((await enter(shop, RIGHT, { from: '198.18.0.1', cookie: `shop-device=${device}` })).statusCode, 303, 'a known device is not slowed down')
    for (const [area, from] of [[office, '198.51.100.1'], [hatcheck, '203.0.113.1']] as const) {
      t.equal(await tries(area, from), 429)
      t.equal((await enter(area, RIGHT, { from, cookie: `${area.name}-device=${device}` })).statusCode, 429, 'under the name of another realm it is unknown')
    }
    t.equal(await tries(shop, from, `shop-device=${device}`), 429, 'until it fails itself')
    for (const name of ['root\0shop', 'shop\0root']) {
      for (let i = 0; i < 6; i++) await enter(hatcheck, WRONG, { user: `x${name}` })
      t.equal((await enter(shop, RIGHT, { user: 'x' })).statusCode, 303, 'no name counts for another realm')
    }
  })
}

test('a notice does not depend on the realm', async (t) => {
  const { shop } = await pages(t, 'memory:')
  const login = await shop.scope.inject({ method: 'POST', url: '/shop/login', headers: { accept: 'text/html' }, payload: { client_name: 'root', password: RIGHT } })
  const cookies = Object.fromEntries(login.cookies.map(({ name, value }) => [name, value]))
  t.match(Object.keys(cookies).sort(), ['hatcheck-notice', 'shop', 'shop-device'])
  t.match((await shop.scope.inject({ url: '/shop/', headers: { accept: 'text/html' }, cookies })).body, 'You are logged in.')
})

test('events are emitted for the sessions of the same realm', async (t) => {
  for (const kind of ['memory:', 'lmdb:'] as const) {
    for (const sweeping of ['hatcheck', 'shop', 'office'] as const) {
      const clock = { time: START }
      const now = (): number => clock.time
      const sessionStore = openStore(t, kind, { now })
      const others = await areas(t, (['hatcheck', 'shop', 'office'] as const).filter((name) => name !== sweeping), { sessionStore, now })
      mock.timers.enable({ apis: ['setInterval'] })
      t.teardown(() => { mock.timers.reset() })
      const own = (await areas(t, [sweeping], { sessionStore, now }))[sweeping]
      const told: string[] = []
      for (const area of [...Object.values(others), own]) {
        for (const event of ['created', 'destroyed', 'expired', 'revoked'] as const) {
          area.scope.sessions.on(event, ({ user, handle }) => { told.push([area.name, event, user, handle].join(' ')) })
        }
        await area.login('Harry')
        await area.begin()
      }
      const created = told.splice(0).filter((line) => line.startsWith(sweeping))
      t.equal(created.length, 2)
      clock.time += 100_000_000
      await own.login('Sally')
      told.length = 0
      mock.timers.tick(60_000)
      mock.timers.reset()
      // The events follow a moment after the commit.
      await until('the sweep is done', async () => await sessionStore.count() === 1 && told.length >= created.length)
      t.strictSame(told.sort(), created.map((line) => line.replace('created', 'expired')).sort(), `${sweeping}, ${kind}`)
    }
  }
})

test('the command line works on the realm of its environment', async (t) => {
  const folder = t.testdir()
  const { hatcheck, shop, office } = await areas(t, ['hatcheck', 'shop', 'office'], { sessionStore: `lmdb:${folder}/lmdb` }, { office: { realm: 'back' } })
  const all = { hatcheck, shop, office }
  const cookies: Record<string, string> = {}
  for (const area of Object.values(all)) cookies[area.name] = `${area.name}=${await area.login('Harry')}`
  const env = { SECRET_KEY: testKey, SESSION_STORE: `lmdb:${folder}/lmdb` }
  const environments = { hatcheck: env, shop: { ...env, SESSION_COOKIE_NAME: '__Host-shop', SESSION_COOKIE_SECURE: 'true' }, office: { ...env, SESSION_COOKIE_NAME: 'office', REALM: 'back' } }
  const sessions = (name: keyof typeof all, ...args: string[]): Promise<Ended> => hatcheckCli(folder, ['sessions', ...args], { env: environments[name] })
  const handles: Record<string, string> = {}
  for (const name of ['hatcheck', 'shop', 'office'] as const) {
    const { stdout } = await sessions(name, 'list', 'Harry')
    const lines = stdout.trim().split('\n').map((line) => line.split('\t'))
    t.strictSame(lines.map(([handle]) => handle), (await all[name].scope.sessions.ofUser('Harry')).map(({ handle }) => handle), name)
    t.equal(lines[0]?.[1], 'Harry')
    handles[name] = lines[0]?.[0] ?? ''
  }
  t.match(await sessions('office', 'revoke', 'Harry', handles['shop'] ?? ''), { code: 1, stderr: /has no session/ })
  t.match(await sessions('shop', 'revoke', 'Harry', handles['shop'] ?? ''), { code: 0, stdout: '1 session ended.\n' })
  t.match(await sessions('hatcheck', 'revoke-all', 'Harry'), { code: 0, stdout: '1 session ended.\n' })
  const users = await Promise.all(Object.values(all).map((area) => area.userBy(cookies[area.name] ?? '')))
  t.strictSame(users, [null, null, 'Harry'])
  t.match(await hatcheckCli(folder, ['sessions', 'list'], { env: { ...env, REALM: 'a b' } }), { code: 1, stderr: /^hatcheck: REALM must be 1 to 64 letters/ })
})

test('the memory store keeps the contract in a realm', async (t) => {
  storeContract((name, run) => t.test(name, run), (options) => inRealm(new MemoryStore(options), 'shop'))
})

test('LMDB keeps the contract in a realm', async (t) => {
  let own = t
  storeContract((name, run) => t.test(name, (t) => {
    own = t
    return run()
  }), ({ now, maxBytes }) => inRealm(openStore(own, 'lmdb:', { now, maxBytes }), 'shop'))
})

test('Redis keeps the contract in a realm', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const client = await connect(t, server.url)
  storeContract((name, run) => t.test(name, run), async (options) => {
    await server.client.flushall()
    return inRealm(new RedisStore(client, { ...options, onCorrupt () {}, deadlineMs: 5_000 }), 'shop')
  }, { sweeps: false })
})

test('a store in a realm keeps realms apart', async (t) => {
  const options = { now: () => recordOf().createdAt, maxBytes: 4_096 }

  t.test('a store in a realm returns the same object for an unchanged record', async (t) => {
    const store = inRealm(new MemoryStore(options), 'shop')
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.create('anonymous', recordOf())
    const record = await store.read('one')
    t.match(record, { user: 'Harry' })
    t.equal(await store.read('one'), record)
    t.equal((await store.ofUser('Harry'))[0]?.record, record)
    await store.patch('one', changesOf({ set: { c: '3' } }))
    t.match(await store.read('one'), { user: 'Harry', fields: { c: '3' } })
  })

  t.test('a store in a realm returns no record of another realm', async (t) => {
    const store = new MemoryStore(options)
    for (const [key, user] of [['plain', 'Harry'], ['other', 'Harry\0office'], ['longer', 'Harry\0workshop'], ['own', 'Harry\0shop']] as const) store.create(key, recordOf({ user }))
    const shop = inRealm(store, 'shop')
    t.strictSame(['plain', 'other', 'longer'].map((key) => shop.read(key)), [null, null, null])
    t.match(shop.read('own'), { user: 'Harry' })
    t.match(await shop.ofUser('Harry'), [{ key: 'own' }])
    t.equal(await shop.removeOfUser('Harry'), 1)
    t.equal(store.count(), 3)
    t.equal(shop.remove('plain'), null)
  })

  t.test('a store in a realm refuses a user name that ends like the key of a realm', async (t) => {
    const store = inRealm(new MemoryStore(options), 'shop')
    const refusal = new TypeError('The name of a user must not end in a NUL character and the name of a realm.')
    t.throws(() => store.create('one', recordOf({ user: 'Harry\0office' })), refusal)
    t.throws(() => store.create('one', recordOf({ user: `Harry\0${'r'.repeat(128)}` })), refusal, 'the longest name')
    await store.create('one', recordOf())
    t.throws(() => store.patch('one', changesOf({ user: '\0shop' })), refusal)
  })

  t.test('a store in a realm keeps what the store says of itself', async (t) => {
    class Own extends MemoryStore {
      override keepsLimit = false
    }
    const { sync, keepsLimit } = inRealm(new Own(options), 'shop')
    t.strictSame({ sync, keepsLimit }, { sync: true, keepsLimit: false })
  })

  t.test('a store in a realm can be asynchronous, with promises of any kind', async (t) => {
    const memory = new MemoryStore(options)
    const store = watched(memory, () => {}, false)
    const lazy: SessionStore = { ...store, read: (key) => ({ then: (done: (record: SessionRecord | null) => void) => { done(memory.read(key)) } }) as Promise<SessionRecord | null> }
    for (const own of [store, lazy]) {
      const shop = inRealm(own, 'shop')
      await shop.create('one', recordOf({ user: 'Harry' }))
      t.match(await shop.read('one'), { user: 'Harry' })
      t.equal(await shop.read('none'), null)
    }
  })

  t.test('a store in a realm maps the user of a replaced session as well', async (t) => {
    const memory = new MemoryStore(options)
    const shop = inRealm(memory, 'shop')
    await shop.create('one', recordOf())
    t.match(await shop.replace('one', 'two', { ...changesOf({ user: 'Harry' }), keep: 'all' }), { outcome: 'replaced', last: { user: null }, next: { user: 'Harry' } })
    t.match(await shop.replace('two', 'three', { ...changesOf(), keep: 'all' }), { outcome: 'replaced', last: { user: 'Harry' }, next: { user: 'Harry' } })
    t.match(memory.read('three'), { user: 'Harry\0shop' })
    t.strictSame(await shop.replace('two', 'four', { ...changesOf(), keep: 'all' }), { outcome: 'gone' })
    t.match(await shop.replace('three', 'five', { ...changesOf(), keep: [] }), { outcome: 'replaced', last: { user: 'Harry' }, next: null })
  })
})

test('in the realm hatcheck, an application\'s own store gets every user as it is', async (t) => {
  const store = openStore(t, 'memory:')
  const { sessions } = await buildHost(t, { sessionStore: store })
  await sessions.store.create('one', recordOf({ user: 'Harry' }))
  t.match(await store.read('one'), { user: 'Harry' })
  t.equal(await sessions.store.read('one'), await store.read('one'))
})
