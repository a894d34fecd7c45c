import { hash } from '@node-rs/argon2'
import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { Accounts } from '../plugins/accounts/accounts.js'
import { hashPassword } from '../plugins/accounts/password.js'
import { accountKey } from '../plugins/store/accounts.js'
import type { AccountStore } from '../plugins/store/accounts.js'
import { recordOf } from '../plugins/store/contract/index.js'
import { START, accountsOver, openOffice } from './apps/account-office.js'
import { Client } from './clients/client.js'
import { build, buildHost, gate } from './helper.js'
import { kinds, openEngine, stop, type Kind } from './stores/watched-store.js'
import { realHashes } from './time/cheap-hashes.js'

const GOOD = 'correct horse battery'
const OTHER = 'staple of something else'

/** The calls of a store, for a test that holds one of them up. */
function delegate (store: AccountStore): AccountStore {
  return {
    read: (...args) => store.read(...args),
    create: (...args) => store.create(...args),
    update: (...args) => store.update(...args),
    list: () => store.list()
  }
}

for (const kind of kinds) {
  test(`accounts in ${kind}`, async (t) => {
    t.test('accounts can be added and listed, and log in', async (t) => {
      const { accounts } = openOffice(t, kind)
      t.strictSame(await accounts.list(), [])
      await accounts.add('Sally', OTHER)
      await accounts.add('Harry', GOOD)
      await accounts.add('arthur', GOOD)
      t.strictSame((await accounts.list()).map(({ name, createdAt, disabled }) => ({ name, createdAt, disabled })),
        ['arthur', 'Harry', 'Sally'].map((name) => ({ name, createdAt: START, disabled: false })), 'sorted by name, whatever the letter case')
      t.strictSame(await accounts.authenticate('Harry', GOOD), { name: 'Harry' })
      t.strictSame(await accounts.authenticate('Sally', OTHER), { name: 'Sally' })
      t.equal(await accounts.authenticate('Harry', OTHER), null)
      t.equal(await accounts.authenticate('Harry', ''), null)
      t.equal(await accounts.authenticate('Nobody', GOOD), null)
      await t.rejects(accounts.add('Harry', OTHER), { code: 'HATCHECK_ACCOUNT_EXISTS', statusCode: 409, message: 'There is already an account Harry.' })
      t.strictSame(await accounts.authenticate('Harry', GOOD), { name: 'Harry' }, 'a refused add changes nothing')
    })

    t.test('accounts store only the argon2id hash of a password', async (t) => {
      realHashes(t)
      const { accounts, store } = openOffice(t, kind)
      await accounts.add('Harry', GOOD)
      await accounts.add('Sally', GOOD)
      const hashes = (await accounts.list()).map(({ passwordHash }) => passwordHash)
      for (const passwordHash of hashes) t.match(passwordHash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
      t.not(hashes[0], hashes[1], 'each with its own salt')
      t.notOk(JSON.stringify(await store.read('harry')).includes(GOOD))
    })

    t.test('an account is found by its name in any letter case, and shows the name as first spelled', async (t) => {
      const { accounts } = openOffice(t, kind)
      for (const [given, others] of [
        ['Harry', ['harry', 'HARRY', 'hARRy', '  Harry ', '\tHarry\n', '\u00A0Harry\uFEFF']],
        ['Zoë', ['zoë', 'ZOË', 'Zoe\u0308', ' ZOE\u0308']],
        ['Straße', ['strasse', 'STRASSE', 'straße', 'STRAẞE'.toLowerCase()]],
        ['Ὀδυσσεύς', ['ὈΔΥΣΣΕΎΣ', 'ὀδυσσεύς']]
      ] as const) {
        await accounts.add(given, GOOD)
        for (const other of others) {
          t.strictSame(await accounts.authenticate(other, GOOD), { name: given }, JSON.stringify(other))
          await t.rejects(accounts.add(other, GOOD), { code: 'HATCHECK_ACCOUNT_EXISTS' })
        }
      }
      t.equal((await accounts.list()).length, 4)
    })

    t.test('a name with any kind and number of spaces between its words is the same name', async (t) => {
      const { accounts, store } = openOffice(t, kind)
      const spellings = ['Harry Potter', 'Harry\u00A0Potter', 'Harry  Potter', 'Harry\u2003Potter', 'Harry\u3000Potter']
      await accounts.add(spellings[1] as string, GOOD)
      for (const spelling of spellings) {
        t.strictSame(await accounts.authenticate(spelling, GOOD), { name: 'Harry Potter' }, JSON.stringify(spelling))
        await t.rejects(accounts.add(spelling, GOOD), { code: 'HATCHECK_ACCOUNT_EXISTS' })
      }
      // A former version kept such names.
      const passwordHash = await hashPassword(OTHER)
      for (const name of ['Harry\u2003Potter', '\u2800', 'Sally™']) {
        await store.create(accountKey(name), { name, passwordHash, createdAt: START, disabled: false })
        t.strictSame(await accounts.authenticate(name, OTHER), { name }, 'an account that exists already still logs in')
        await accounts.disable(name)
        t.equal(await accounts.authenticate(name, OTHER), null)
      }
      t.strictSame(await accounts.authenticate('Harry Potter', GOOD), { name: 'Harry Potter' }, 'and the other ones are what they were')
    })

    t.test('a new password ends every session of the account', async (t) => {
      const { accounts, sessions } = openOffice(t, kind)
      await accounts.add('Harry', GOOD)
      await accounts.add('Sally', GOOD)
      for (const [key, user] of [['a', 'Harry'], ['b', 'Harry'], ['c', 'Sally']] as const) await sessions.create(key, recordOf({ user }))
      await accounts.setPassword('HARRY', OTHER)
      t.equal(await accounts.authenticate('Harry', GOOD), null)
      t.strictSame(await accounts.authenticate('Harry', OTHER), { name: 'Harry' })
      t.strictSame(await sessions.ofUser('Harry'), [])
      t.equal((await sessions.ofUser('Sally')).length, 1, 'and no sessions of other users')

      await sessions.create('d', recordOf({ user: 'Harry' }))
      await t.rejects(accounts.setPassword('Harry', 'short'), { code: 'HATCHECK_PASSWORD' })
      t.equal((await sessions.ofUser('Harry')).length, 1, 'a refused password ends no session')
      t.strictSame(await accounts.authenticate('Harry', OTHER), { name: 'Harry' })
    })

    t.test('disabling an account ends every session and blocks logins until it is enabled', async (t) => {
      const { accounts, sessions } = openOffice(t, kind)
      await accounts.add('Harry', GOOD)
      await sessions.create('a', recordOf({ user: 'Harry' }))
      await accounts.disable('harry')
      t.strictSame(await sessions.ofUser('Harry'), [])
      t.equal(await accounts.authenticate('Harry', GOOD), null)
      t.match(await accounts.list(), [{ name: 'Harry', disabled: true }])
      await accounts.disable('harry')
      await accounts.setPassword('Harry', OTHER)
      t.equal(await accounts.authenticate('Harry', OTHER), null, 'a new password does not enable the account')
      // An application can log in any name.
      await sessions.create('b', recordOf({ user: 'Harry' }))
      await accounts.enable('harry')
      t.strictSame(await accounts.authenticate('Harry', OTHER), { name: 'Harry' })
      t.strictSame(await sessions.ofUser('Harry'), [], 'no earlier session continues')
    })

    t.test('a change of an unknown account is an error that names the account', async (t) => {
      const { accounts } = openOffice(t, kind)
      const error = { code: 'HATCHECK_NO_SUCH_ACCOUNT', statusCode: 404, message: 'There is no account Nobody.' }
      await t.rejects(accounts.setPassword('Nobody', GOOD), error)
      await t.rejects(accounts.disable(' Nobody '), error)
      await t.rejects(accounts.enable('Nobody'), error)
      t.strictSame(await accounts.list(), [])
    })

    t.test('a login with an unknown name creates the account when signup is open', async (t) => {
      const { accounts } = openOffice(t, kind, { signup: 'open', passwordMinLength: 8, commonPasswords: 'allowed' })
      t.strictSame(await accounts.authenticate(' Harry ', '12345678'), { name: 'Harry' })
      t.strictSame(await accounts.authenticate('harry', '12345678'), { name: 'Harry' })
      t.equal(await accounts.authenticate('Harry', '87654321'), null)
      await t.rejects(accounts.authenticate('Sally', '1234567'), { code: 'HATCHECK_PASSWORD', statusCode: 400, message: 'A password must have at least 8 characters.' })
      await accounts.disable('Harry')
      t.equal(await accounts.authenticate('Harry', '12345678'), null)
      t.equal((await accounts.list()).length, 1)
    })

    t.test('two simultaneous signups with one name create one account', async (t) => {
      const { accounts } = openOffice(t, kind, { signup: 'open' })
      const passwords = [GOOD, OTHER, `${GOOD} three`]
      const answers = await Promise.all(passwords.map((password, i) => accounts.authenticate(i === 0 ? 'Harry' : 'HARRY', password)))
      t.equal(answers.filter((answer) => answer !== null).length, 1)
      const winner = answers.findIndex((answer) => answer !== null)
      t.equal((await accounts.list()).length, 1)
      for (const [i, password] of passwords.entries()) t.equal(await accounts.authenticate('Harry', password) !== null, i === winner)
    })

    t.test('two simultaneous adds of one name create one account', async (t) => {
      const { accounts } = openOffice(t, kind)
      const outcomes = await Promise.allSettled([accounts.add('Harry', GOOD), accounts.add('harry', OTHER)])
      t.strictSame(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      t.equal((await accounts.list()).length, 1)
    })

    t.test('a login replaces a hash that is weaker than the current settings', async (t) => {
      realHashes(t)
      const { accounts, store } = openOffice(t, kind)
      const passwordHash = await hash(GOOD, { algorithm: 2, memoryCost: 4_096, timeCost: 1, parallelism: 1 })
      await store.create('harry', { name: 'Harry', passwordHash, createdAt: START, disabled: false })
      t.equal(await accounts.authenticate('Harry', OTHER), null)
      t.equal((await store.read('harry'))?.passwordHash, passwordHash, 'a wrong password does not renew the hash')
      t.strictSame(await accounts.authenticate('Harry', GOOD), { name: 'Harry' })
      t.match((await store.read('harry'))?.passwordHash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
      t.strictSame(await accounts.authenticate('Harry', GOOD), { name: 'Harry' })
    })

    t.test('a login keeps a hash that is as strong as the current settings or stronger', async (t) => {
      realHashes(t)
      const { accounts, store } = openOffice(t, kind)
      const today = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }
      for (const [i, stronger] of [{}, { memoryCost: 24_576 }, { timeCost: 3 }, { memoryCost: 47_104, timeCost: 1 }, { parallelism: 2 }].entries()) {
        const name = `user${i}`
        const passwordHash = await hash(GOOD, { algorithm: 2, ...today, ...stronger })
        await store.create(name, { name, passwordHash, createdAt: START, disabled: false })
        t.strictSame(await accounts.authenticate(name, GOOD), { name })
        t.equal((await store.read(name))?.passwordHash, passwordHash, JSON.stringify(stronger))
      }
      for (const [i, weaker] of [{ memoryCost: 12_288, timeCost: 3 }, { timeCost: 1 }, { algorithm: 1 }].entries()) {
        const name = `weak${i}`
        await store.create(name, { name, passwordHash: await hash(GOOD, { algorithm: 2, ...today, ...weaker }), createdAt: START, disabled: false })
        t.strictSame(await accounts.authenticate(name, GOOD), { name })
        t.match((await store.read(name))?.passwordHash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/, JSON.stringify(weaker))
      }
    })

    t.test('renewing an old hash does not overwrite a new password that is set at the same time', async (t) => {
      const { store, sessions } = openOffice(t, kind)
      const pause = stop()
      let held = false
      const accounts = accountsOver({
        ...delegate(store),
        async update (...args) {
          if (!held) {
            held = true
            await pause.here()
          }
          return await store.update(...args)
        }
      }, sessions)
      const passwordHash = await hash(GOOD, { algorithm: 2, memoryCost: 4_096, timeCost: 1, parallelism: 1 })
      await store.create('harry', { name: 'Harry', passwordHash, createdAt: START, disabled: false })
      const login = accounts.authenticate('Harry', GOOD)
      await Promise.race([pause.reached, login])
      held = true
      await accounts.setPassword('Harry', OTHER)
      pause.go()
      await login
      t.equal(await accounts.authenticate('Harry', GOOD), null, 'the old password does not come back')
      t.strictSame(await accounts.authenticate('Harry', OTHER), { name: 'Harry' })
    })

    t.test('several logins at once that renew an old hash all succeed', async (t) => {
      const { store, sessions } = openOffice(t, kind)
      const all = gate()
      let renewing = 0
      const accounts = accountsOver({
        ...delegate(store),
        async update (...args) {
          if (++renewing === 3) all.open()
          await all.passed
          return await store.update(...args)
        }
      }, sessions)
      const passwordHash = await hash(GOOD, { algorithm: 1 })
      await store.create('harry', { name: 'Harry', passwordHash, createdAt: START, disabled: false })
      const users = await Promise.all([GOOD, GOOD, GOOD].map((password) => accounts.authenticate('Harry', password)))
      t.strictSame(users, [{ name: 'Harry' }, { name: 'Harry' }, { name: 'Harry' }])
      for (const user of users) t.ok(await accounts.isStillValid(user as { name: string }), 'with the hash that one of them has stored')
    })

    t.test('a login that is too busy to renew an old hash counts by the password, also if another login renews the hash', async (t) => {
      for (const isRenewed of [false, true]) {
        const { store, sessions } = openOffice(t, kind)
        const [old, renewed] = [await hash(GOOD, { algorithm: 1 }), await hashPassword(GOOD)]
        await store.create('harry', { name: 'Harry', passwordHash: old, createdAt: START, disabled: false })
        const over = new AbortController()
        let others: Promise<unknown> | undefined
        // Known devices come first, so that no stranger leaves the queue meanwhile.
        const stay = async (isFamiliar: boolean): Promise<void> => { while (!over.signal.aborted) await hashPassword(OTHER, isFamiliar) }
        const waiting: Array<Promise<void>> = []
        const crowd = async (): Promise<void> => {
          for (let i = 0; i < 80; i++) waiting.push(stay(i < 4).catch(() => {}))
          if (isRenewed) await store.update('harry', { passwordHash: renewed }, old)
        }
        const accounts = accountsOver({
          ...delegate(store),
          async read (key) {
            await others
            const account = await store.read(key)
            return account && {
              ...account,
              // Asked for when the verification begins: the others come while it is under way.
              get passwordHash () {
                others ??= Promise.resolve().then(crowd)
                return account.passwordHash
              }
            }
          }
        }, sessions)
        const login = accounts.authenticate('Harry', GOOD).finally(() => { over.abort() })
        if (isRenewed) await t.rejects(login, { code: 'HATCHECK_BUSY' })
        else t.strictSame(await login, { name: 'Harry' })
        await Promise.all(waiting)
      }
    })

    t.test('a login fails if its account is disabled or gets a new password meanwhile', async (t) => {
      for (const change of ['disable', 'setPassword'] as const) {
        const { store, sessions, ...office } = openOffice(t, kind)
        const name = change === 'disable' ? 'Harry' : 'Sally'
        await office.accounts.add(name, GOOD)
        const pause = stop()
        let held = false
        const accounts = accountsOver({
          ...delegate(store),
          async read (key) {
            const account = await store.read(key)
            if (!held) {
              held = true
              await pause.here()
            }
            return account
          }
        }, sessions)
        const login = accounts.authenticate(name, GOOD)
        await pause.reached
        if (change === 'disable') await accounts.disable(name)
        else await accounts.setPassword(name, OTHER)
        pause.go()
        t.equal(await login, null, change)
      }
    })
  })
}

test('LMDB accounts persist and are shared by every process that has the folder open', async (t) => {
  const folder = t.testdir()
  const open = (): Accounts => {
    const { accounts, sessions } = openEngine(t, 'lmdb:', { folder })
    return accountsOver(accounts, sessions)
  }
  const [one, other] = [open(), open()]
  await one.add('Harry', GOOD)
  t.strictSame(await other.authenticate('Harry', GOOD), { name: 'Harry' })
  await other.disable('Harry')
  t.equal(await one.authenticate('Harry', GOOD), null)
})

test('no session outlives the password that it logged in with', async (t) => {
  for (const change of ['disable', 'setPassword'] as const) {
    for (const moment of ['the password is checked', 'the session is stored']) {
      await t.test(`${change} before ${moment}`, async (t) => {
        const fastify = await build(t, { mode: 'service', signup: 'closed' })
        const { accounts, sessions: { store } } = fastify as Required<FastifyInstance> & { accounts: Accounts }
        await accounts.add('Harry', GOOD)
        const pause = stop()
        if (moment.includes('stored')) {
          const create = store.create.bind(store)
          store.create = async (...args) => {
            await pause.here()
            return await create(...args)
          }
        } else {
          const { checkPassword } = fastify.hatcheck.login
          fastify.hatcheck.login.checkPassword = async (...args) => {
            const answer = checkPassword(...args)
            await pause.here()
            return await answer
          }
        }
        const harry = new Client(fastify)
        const login = harry.login('Harry', GOOD)
        await pause.reached
        // setPassword returns after it has hashed, so the check of the password has begun by then.
        const changed = change === 'disable' ? accounts.disable('Harry') : accounts.setPassword('Harry', OTHER)
        if (moment.includes('stored')) await changed
        pause.go()
        await Promise.all([login, changed])
        t.match((await harry.get('/')).body, 'You are not logged in')
        t.strictSame(await store.ofUser('Harry'), [])
      })
    }
  }
})

test('an account is changed before its sessions are ended, so that a login under way sees the change', async (t) => {
  const { accounts: store, sessions } = openEngine(t, 'memory:')
  const seen: unknown[] = []
  const accounts = accountsOver(store, sessions, {
    revokeUser: async (name) => seen.push(await store.read(accountKey(name)))
  })
  await accounts.add('Harry', GOOD)
  const before = await store.read(accountKey('Harry'))
  await accounts.disable('Harry')
  t.match(seen.pop(), { disabled: true })
  await accounts.enable('Harry')
  t.match(seen.pop(), { disabled: false })
  await accounts.setPassword('Harry', OTHER)
  t.not((seen.pop() as typeof before)?.passwordHash, before?.passwordHash)
})

test('if a session cannot be ended, an account is disabled all the same, and nothing else changes', async (t) => {
  const { accounts: store, sessions } = openEngine(t, 'memory:')
  const locked = new Error('this node of the cluster is down')
  const accounts = accountsOver(store, sessions, { async revokeUser () { throw locked } })
  await accounts.add('Harry', GOOD)
  await t.rejects(accounts.setPassword('Harry', OTHER), locked)
  t.strictSame(await accounts.authenticate('Harry', GOOD), { name: 'Harry' })
  await t.rejects(accounts.disable('Harry'), locked, 'the caller learns that a session may live on')
  t.equal(await accounts.authenticate('Harry', GOOD), null)
  await t.rejects(accounts.enable('Harry'), locked)
  t.equal(await accounts.authenticate('Harry', GOOD), null)
})

test('sessions are also ended before an account changes, so that a process that is killed after it leaves none', async (t) => {
  const killed = new Error('the process has ended')
  const changes = {
    setPassword: async (accounts: Accounts) => { await accounts.setPassword('Harry', OTHER) },
    disable: async (accounts: Accounts) => { await accounts.disable('Harry') },
    enable: async (accounts: Accounts) => { await accounts.enable('Harry') }
  }
  for (const [name, change] of Object.entries(changes)) {
    const { accounts: store, sessions } = openEngine(t, 'memory:')
    await accountsOver(store, sessions).add('Harry', GOOD)
    const before = await store.read(accountKey('Harry'))
    await store.update(accountKey('Harry'), { disabled: name === 'enable' })
    await sessions.create('a', recordOf({ user: 'Harry' }))
    await t.rejects(change(accountsOver({
      ...delegate(store),
      async update (...args) {
        await store.update(...args)
        throw killed
      }
    }, sessions)), killed, name)
    t.strictSame(await sessions.ofUser('Harry'), [], name)
    const { disabled, passwordHash } = await store.read(accountKey('Harry')) ?? {}
    t.strictSame([disabled, passwordHash === before?.passwordHash], [name === 'disable', name !== 'setPassword'], `${name} is stored`)
  }
})

test('sessions that cannot be ended keep neither the account as it is nor other sessions alive', async (t) => {
  const { accounts: store, sessions } = openEngine(t, 'memory:')
  await accountsOver(store, sessions).add('Harry', GOOD)
  for (const realm of ['shop', 'office', 'bank']) await store.noteRealm?.(realm)
  for (const broken of ['hatcheck', 'shop', 'office', 'bank']) {
    await store.update('harry', { disabled: false })
    const ended: string[] = []
    const accounts = accountsOver(store, sessions, {
      async revokeUser (_name, realm) {
        if (realm === broken) throw new Error('no answer')
        return ended.push(realm)
      }
    })
    await t.rejects(accounts.disable('Harry'), new Error('no answer'), broken)
    t.strictSame([...new Set(ended)].sort(), ['bank', 'hatcheck', 'office', 'shop'].filter((realm) => realm !== broken))
    t.match(await store.read('harry'), { disabled: true })
  }
})

test('a login method without a password logs in accounts that are there and not disabled, and makes the browser a known device', async (t) => {
  const app = await buildHost(t, { routes: ['login'] })
  app.post<{ Body: { name: string } }>('/by-code', async (request, reply) => await app.hatcheck.login.completeLogin(request, reply, { name: request.body.name }))
  await app.accounts?.add('Harry', GOOD)
  await app.accounts?.add('Sally', GOOD)
  await app.accounts?.disable('Sally')
  const byCode = async (name: string): Promise<[status: number, client: Client]> => {
    const client = new Client(app)
    return [(await client.send({ method: 'POST', url: '/by-code', payload: { name } })).statusCode, client]
  }
  // The end of all sessions of Harry would not find one of HARRY.
  for (const name of ['Sally', 'nobody', 'HARRY']) {
    const [status, client] = await byCode(name)
    t.equal(status, 401, name)
    t.equal(client.cookieHeader, '', name)
  }
  t.equal(await app.sessions.store.count(), 0)

  const [status, owner] = await byCode('Harry')
  t.equal(status, 303)
  const wrong = { client_name: 'Harry', password: OTHER }
  const stranger = new Client(app)
  while ((await stranger.post('/login', wrong)).statusCode !== 429);
  t.equal((await owner.post('/login', wrong)).statusCode, 401, 'the device does not wait for the failures of strangers')
})

test('accounts over HTTP', async (t) => {
  const service = async (t: Test, kind: Kind): Promise<FastifyInstance> =>
    await build(t, { mode: 'service', signup: 'closed', sessionStore: kind === 'lmdb:' ? `lmdb:${t.testdir()}` : kind })

  for (const kind of kinds) {
    t.test(`a new password and a disabled account end the sessions in every browser, on ${kind}`, async (t) => {
      const fastify = await service(t, kind)
      await fastify.accounts?.add('Harry', GOOD)
      const browsers = [new Client(fastify), new Client(fastify)]
      const signIn = async (password: string): Promise<void> => { for (const browser of browsers) t.equal((await browser.login(' hARRY ', password)).statusCode, 303) }
      const body = async (): Promise<string[]> => await Promise.all(browsers.map(async (browser) => (await browser.get('/')).body))
      await signIn(GOOD)
      for (const text of await body()) t.match(text, 'Harry Your account is logged in.')
      await fastify.accounts?.setPassword('harry', OTHER)
      for (const text of await body()) t.match(text, 'You are not logged in')
      t.equal((await browsers[0]?.login('Harry', GOOD))?.statusCode, 401)
      await signIn(OTHER)
      await fastify.accounts?.disable('harry')
      for (const text of await body()) t.match(text, 'You are not logged in')
      t.equal((await browsers[0]?.login('Harry', OTHER))?.statusCode, 401)
    })
  }

  t.test('an unknown name, a wrong password and a disabled account get the same answer', async (t) => {
    const fastify = await service(t, 'memory:')
    await fastify.accounts?.add('Harry', GOOD)
    await fastify.accounts?.add('disabled', GOOD)
    await fastify.accounts?.disable('disabled')
    const answers = await Promise.all([['Harry', OTHER], ['Nobody', OTHER], ['disabled', GOOD]].map(async ([name, password]) => {
      const { statusCode, headers: { date, ...headers }, body } = await new Client(fastify).login(name, password)
      t.ok(date)
      return { statusCode, headers, body }
    }))
    t.equal(answers[0]?.statusCode, 401)
    t.strictSame(answers[1], answers[0])
    t.strictSame(answers[2], answers[0])
  })

  t.test('an application with its own authenticate or store has no accounts', async (t) => {
    t.equal((await buildHost(t, { authenticate: () => null })).accounts, undefined)
    t.equal((await buildHost(t, { sessionStore: openEngine(t, 'memory:').sessions })).accounts, undefined)
    t.ok((await buildHost(t)).accounts instanceof Accounts)
  })
})
