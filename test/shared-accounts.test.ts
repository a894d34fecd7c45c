import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import type { AccountStore } from '../plugins/store/accounts.js'
import { OLD, change, loggedIn } from './apps/password-service.js'
import type { Client } from './clients/client.js'
import { build, needs, testKey } from './helper.js'
import { hatcheckCli } from './processes/service.js'
import { connect, startRedis } from './programs/redis.js'
import { stop } from './stores/watched-store.js'

const NEW = 'staple of something else'

/** Every kind of store whose accounts two realms can share. */
const shared: Record<string, (t: Test) => Promise<NonNullable<HatcheckOptions['sessionStore']>>> = {
  'a store object': async () => ownStore(),
  LMDB: async (t) => `lmdb:${t.testdir()}`,
  'cookies and LMDB': async (t) => `cookie:lmdb:${t.testdir()}`,
  Redis: async (t) => (await startRedis(t)).url,
  'cookies and Redis': async (t) => `cookie:${(await startRedis(t)).url}`
}

function ownStore (accounts: AccountStore = new MemoryAccounts()): NonNullable<HatcheckOptions['sessionStore']> {
  return Object.assign(new MemoryStore({ now: Date.now, maxBytes: 16_384 }), { accounts })
}

/** A service in a realm of its own, which is the name of its cookie. The first in a store makes the account Harry. */
async function realm (t: Test, name: string, sessionStore: NonNullable<HatcheckOptions['sessionStore']>, options: HatcheckOptions = { signup: 'closed' }): Promise<FastifyInstance> {
  const fastify = await build(t, { mode: 'service', sessionStore, sessionCookieName: name, ...options })
  const { accounts } = fastify
  if ((await accounts?.list())?.length === 0) await accounts?.add('Harry', OLD)
  return fastify
}

async function isLoggedIn (client: Client): Promise<boolean> {
  return (await client.get('/verify')).statusCode === 204
}

for (const [kind, open] of Object.entries(shared)) {
  test(`a change of an account ends its sessions in every realm that shares it, with ${kind}`, kind.includes('Redis') ? needs('redis-server') : {}, async (t) => {
    const sessionStore = await open(t)
    const shop = await realm(t, 'shop', sessionStore)
    const office = await realm(t, 'office', sessionStore)
    const plain = await realm(t, 'hatcheck', sessionStore)
    await plain.accounts?.add('Sally', OLD)
    const realms = [shop, office, plain]
    const changes: Record<string, (fastify: FastifyInstance) => Promise<unknown>> = {
      setPassword: async (fastify) => await fastify.accounts?.setPassword('Harry', NEW),
      disable: async (fastify) => await fastify.accounts?.disable('Harry'),
      enable: async (fastify) => await fastify.accounts?.enable('Harry')
    }
    for (const fastify of realms) {
      for (const [name, make] of Object.entries(changes)) {
        await fastify.accounts?.setPassword('Harry', OLD)
        await fastify.accounts?.enable('Harry')
        const [harrys, sallys] = [await Promise.all(realms.map((other) => loggedIn(other))), await Promise.all(realms.map((other) => loggedIn(other, 'Sally')))]
        t.strictSame(await Promise.all(harrys.map(isLoggedIn)), [true, true, true])
        await make(fastify)
        t.strictSame(await Promise.all(harrys.map(isLoggedIn)), [false, false, false], name)
        t.strictSame(await Promise.all(sallys.map(isLoggedIn)), [true, true, true], 'no other user is logged out')
      }
    }
  })

  test(`the page that changes a password ends the sessions in every other realm, with ${kind}`, kind.includes('Redis') ? needs('redis-server') : {}, async (t) => {
    const sessionStore = await open(t)
    const [shop, office] = [await realm(t, 'shop', sessionStore), await realm(t, 'office', sessionStore)]
    const [here, alsoHere, there] = [await loggedIn(shop), await loggedIn(shop), await loggedIn(office)]
    t.match((await change(here, OLD, NEW)).json(), { ended: kind.startsWith('cookies') ? 0 : 2 })
    t.strictSame(await Promise.all([here, alsoHere, there].map(isLoggedIn)), [true, false, false])
  })
}

test('it does not matter where another realm keeps its sessions, nor whether a realm remembers which have ended', async (t) => {
  const folder = t.testdir()
  const options: Record<string, HatcheckOptions> = {
    shop: { sessionStore: `lmdb:${folder}` },
    office: { sessionStore: `cookie:lmdb:${folder}` },
    bank: { sessionStore: `cookie:lmdb:${folder}`, sessionRevocation: 'none' }
  }
  const realms: FastifyInstance[] = []
  for (const [name, { sessionStore, ...others }] of Object.entries(options)) realms.push(await realm(t, name, sessionStore as string, { signup: 'closed', ...others }))
  for (const [i, fastify] of realms.entries()) {
    await fastify.accounts?.enable('Harry')
    const harrys = await Promise.all(realms.map((other) => loggedIn(other)))
    await fastify.accounts?.disable('Harry')
    t.strictSame(await Promise.all(harrys.map(isLoggedIn)), [false, false, true], `a change in realm ${i}: only one that remembers no ends is not reached`)
  }
})

test('the page that changes a password ends the sessions in other realms even if one here cannot be ended', async (t) => {
  const store = ownStore() as MemoryStore
  const [shop, office] = [await realm(t, 'shop', store), await realm(t, 'office', store)]
  const [here, there] = [await loggedIn(shop), await loggedIn(office)]
  const { removeOfUser } = store
  store.removeOfUser = async (user, ...rest) => {
    if (user.endsWith('shop')) throw new Error('no answer')
    return await removeOfUser.call(store, user, ...rest)
  }
  t.equal((await change(here, OLD, NEW)).statusCode, 503)
  t.notOk(await isLoggedIn(there))
})

test('the end of the sessions of one realm in Redis leaves no record for sessions in cookies', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const client = await connect(t, url)
  const shop = await realm(t, 'shop', url)
  await shop.accounts?.disable('Harry')
  const env = { SECRET_KEY: testKey, SESSION_STORE: url, SESSION_COOKIE_NAME: 'shop' }
  t.match(await hatcheckCli(t.testdir(), ['user', 'enable', 'Harry'], { env }), { code: 0 })
  t.strictSame(await client.keys('hatcheck:ended*'), [])
})

test('a login in another realm that is under way during a change of its account is refused', async (t) => {
  const accounts = new MemoryAccounts()
  const sessionStore = ownStore(accounts)
  const [shop, office] = [await realm(t, 'shop', sessionStore), await realm(t, 'office', sessionStore)]
  const stopped = stop()
  const { isStillValid } = office.hatcheck.login
  office.hatcheck.login.isStillValid = async (user) => {
    await stopped.here()
    return await isStillValid(user)
  }
  const login = loggedIn(office)
  await stopped.reached
  await shop.accounts?.setPassword('Harry', NEW)
  stopped.go()
  t.notOk(await isLoggedIn(await login))
})

test('a realm whose users are not the accounts keeps its sessions', async (t) => {
  const sessionStore = `lmdb:${t.testdir()}`
  const shop = await realm(t, 'shop', sessionStore)
  const office = await realm(t, 'office', sessionStore, { authenticate: (name) => ({ name }) })
  const harry = await loggedIn(office)
  await shop.accounts?.disable('Harry')
  t.ok(await isLoggedIn(harry), 'another Harry')
})

test('a realm that could not be noted at its start is noted by its first login', async (t) => {
  let isDown = true
  class Failing extends MemoryAccounts {
    override noteRealm (name: string): void {
      if (isDown && name === 'office') throw new Error('no connection')
      super.noteRealm(name)
    }
  }
  const sessionStore = ownStore(new Failing())
  const [shop, office] = [await realm(t, 'shop', sessionStore), await realm(t, 'office', sessionStore)]
  t.notOk(await isLoggedIn(await loggedIn(office)), 'nobody can log in whom a change of the account would not reach')
  isDown = false
  const harry = await loggedIn(office)
  t.ok(await isLoggedIn(harry))
  await shop.accounts?.disable('Harry')
  t.notOk(await isLoggedIn(harry))
})

test('a store of accounts without realms ends the sessions of one realm', async (t) => {
  const accounts = Object.assign(new MemoryAccounts(), { noteRealm: undefined, realms: undefined })
  const sessionStore = ownStore(accounts as unknown as AccountStore)
  const [shop, office] = [await realm(t, 'shop', sessionStore), await realm(t, 'office', sessionStore)]
  const [here, there] = [await loggedIn(shop), await loggedIn(office)]
  await shop.accounts?.disable('Harry')
  t.strictSame(await Promise.all([here, there].map(isLoggedIn)), [false, true])
})

test('the command line ends the sessions of an account in every realm', async (t) => {
  const folder = t.testdir()
  const sessionStore = `lmdb:${folder}/lmdb`
  const [shop, office] = [await realm(t, 'shop', sessionStore), await realm(t, 'office', sessionStore)]
  const harrys = [await loggedIn(shop), await loggedIn(office)]
  const command = hatcheckCli(folder, ['user', 'disable', 'Harry'], { env: { SECRET_KEY: testKey, SESSION_STORE: sessionStore } })
  t.match(await command, { code: 0, stdout: 'Harry can no longer log in; every session has ended.\n' })
  t.strictSame(await Promise.all(harrys.map(isLoggedIn)), [false, false])
})

test('the note of realms in Redis is made anew by a login', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const client = await connect(t, url)
  const [shop, office] = [await realm(t, 'shop', url), await realm(t, 'office', url)]
  const empty: Record<string, () => Promise<unknown>> = {
    'a value of another kind': () => client.set('hatcheck:realms', 'no hash'),
    'a Redis that has lost everything': async () => {
      await client.flushall()
      await shop.accounts?.add('Harry', OLD)
    }
  }
  for (const [what, make] of Object.entries(empty)) {
    await make()
    const harry = await loggedIn(office)
    t.ok(await isLoggedIn(harry))
    await shop.accounts?.disable('Harry')
    t.notOk(await isLoggedIn(harry), what)
  }
})
