import { deepEqual, equal } from 'node:assert/strict'
import { accountKey, type Account, type AccountStore } from '../accounts.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { Checks, type ContractOptions, type DefineTest } from './checks.js'
import { START } from './sample-records.js'

/** Opens an empty store of accounts for one check. */
export type OpenAccounts = () => MaybePromise<AccountStore>

const HASH = '$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGZvciBpdA$dGhpcyBpcyBubyBoYXNoIG9mIGFueSBwYXNzd29yZCEhIQ'
const OTHER_HASH = HASH.replace('dGhpcyBp', 'b3RoZXIg')

function accountOf (name: string, values: Partial<Account> = {}): Account {
  return { name, passwordHash: HASH, createdAt: START, disabled: false, ...values }
}

/**
 * Defines a test for each sentence of the contract of {@link AccountStore}. Each has a store of its own. The checks use the
 * same keys: with one database for all, run them one after another and let `open` empty it.
 *
 * @throws TypeError if `except` names an unknown check.
 * @example
 * import { accountContract } from 'hatcheck/store-contract'
 * import { test } from 'node:test'
 *
 * accountContract(test, () => new MyAccounts())
 */
export function accountContract (test: DefineTest, open: OpenAccounts, options: ContractOptions = {}): void {
  const checks = new Checks(test, options)
  const check = (sentence: string, run: (accounts: AccountStore) => Promise<void>): void => {
    checks.define(sentence, async () => { await run(await open()) })
  }

  check('an account is read as it was created', async (accounts) => {
    const created = [accountOf('Harry'), accountOf('Zoë', { disabled: true, createdAt: START + 1, passwordHash: OTHER_HASH }), accountOf('王小明')]
    for (const account of created) equal(await accounts.create(accountKey(account.name), account), true)
    for (const account of created) deepEqual(await accounts.read(accountKey(account.name)), account)
  })

  check('a missing account reads as null', async (accounts) => {
    equal(await accounts.read('harry'), null)
    deepEqual(await accounts.list(), [])
  })

  check('an account is created once', async (accounts) => {
    equal(await accounts.create('harry', accountOf('Harry')), true)
    equal(await accounts.create('harry', accountOf('HARRY', { passwordHash: OTHER_HASH })), false)
    deepEqual(await accounts.read('harry'), accountOf('Harry'))
    const names = Array.from({ length: 20 }, (_, i) => i % 2 === 0 ? 'sally' : 'Sally')
    const answers = await Promise.all(names.map((name, i) => accounts.create('sally', accountOf(name, { createdAt: START + i }))))
    equal(answers.filter(Boolean).length, 1, 'also of many at once')
    equal((await accounts.read('sally'))?.createdAt, START + answers.indexOf(true))
  })

  check('update changes the given members only', async (accounts) => {
    await accounts.create('harry', accountOf('Harry'))
    await accounts.create('sally', accountOf('Sally'))
    equal(await accounts.update('harry', { disabled: true }), true)
    deepEqual(await accounts.read('harry'), accountOf('Harry', { disabled: true }))
    equal(await accounts.update('harry', { passwordHash: OTHER_HASH }), true)
    deepEqual(await accounts.read('harry'), accountOf('Harry', { disabled: true, passwordHash: OTHER_HASH }))
    equal(await accounts.update('harry', { disabled: false, passwordHash: HASH }), true)
    deepEqual(await accounts.read('harry'), accountOf('Harry'))
    deepEqual(await accounts.read('sally'), accountOf('Sally'))
    equal(await accounts.update('harry', { disabled: false }), true, 'even if nothing changes')
  })

  check('no account is a live object', async (accounts) => {
    const given = { ...accountOf('Harry') }
    await accounts.create('harry', given)
    given.disabled = true
    deepEqual(await accounts.read('harry'), accountOf('Harry'), 'not the one that was created from')
    const [read, listed] = [await accounts.read('harry'), await accounts.list()]
    await accounts.update('harry', { passwordHash: OTHER_HASH })
    deepEqual([read, ...listed], [accountOf('Harry'), accountOf('Harry')], 'not the one that was read')
  })

  check('update never creates an account', async (accounts) => {
    equal(await accounts.update('harry', { disabled: true }), false)
    equal(await accounts.update('harry', { passwordHash: HASH }, HASH), false)
    equal(await accounts.read('harry'), null)
    deepEqual(await accounts.list(), [])
  })

  check('an update for a hash applies only while the account has that hash', async (accounts) => {
    await accounts.create('harry', accountOf('Harry'))
    equal(await accounts.update('harry', { passwordHash: 'x', disabled: true }, OTHER_HASH), false)
    deepEqual(await accounts.read('harry'), accountOf('Harry'))
    equal(await accounts.update('harry', { passwordHash: OTHER_HASH }, HASH), true)
    equal((await accounts.read('harry'))?.passwordHash, OTHER_HASH)
  })

  check('of parallel updates for one hash, exactly one applies', async (accounts) => {
    await accounts.create('harry', accountOf('Harry'))
    const hashes = Array.from({ length: 20 }, (_, i) => `${OTHER_HASH}${i}`)
    const answers = await Promise.all(hashes.map((passwordHash) => accounts.update('harry', { passwordHash }, HASH)))
    equal(answers.filter(Boolean).length, 1)
    equal((await accounts.read('harry'))?.passwordHash, hashes[answers.indexOf(true)])
  })

  check('parallel updates of different members all survive', async (accounts) => {
    await accounts.create('harry', accountOf('Harry'))
    await Promise.all([accounts.update('harry', { disabled: true }), accounts.update('harry', { passwordHash: OTHER_HASH })])
    deepEqual(await accounts.read('harry'), accountOf('Harry', { disabled: true, passwordHash: OTHER_HASH }))
  })

  check('the list has every account, in the order of the keys', async (accounts) => {
    const names = ['Sally', 'arthur', 'Harry', ...Array.from({ length: 300 }, (_, i) => `user${100 + i}`)]
    await Promise.all(names.map((name) => accounts.create(accountKey(name), accountOf(name))))
    await accounts.update('harry', { disabled: true })
    const sorted = names.toSorted((a, b) => accountKey(a) < accountKey(b) ? -1 : 1)
    deepEqual(await accounts.list(), sorted.map((name) => accountOf(name, { disabled: name === 'Harry' })))
  })

  check('each realm is noted once', async (accounts) => {
    equal(typeof accounts.noteRealm, typeof accounts.realms, 'The store must have noteRealm and realms, or neither.')
    if (accounts.realms === undefined) return
    deepEqual(await accounts.realms(), [])
    const names = ['hatcheck', 'shop', 'Shop', 'a.b_c-1', 'x'.repeat(64), '__Host-']
    await Promise.all([...names, ...names].map((name) => accounts.noteRealm?.(name)))
    deepEqual([...await accounts.realms()].sort(), names.sort())
    deepEqual(await accounts.list(), [], 'and is no account')
  })

  check('user names are compared exactly', async (accounts) => {
    const names = ['harry', 'harry2', 'harr', 'zoë', 'zoe', '王小明', '😀', '__proto__', 'constructor', '1', 'a:b', 'a b', '*', 'n'.repeat(60), `${'n'.repeat(60)}2`]
    for (const name of names) equal(await accounts.create(accountKey(name), accountOf(name)), true, name)
    for (const name of names) equal((await accounts.read(accountKey(name)))?.name, name)
    equal((await accounts.list()).length, names.length)
  })

  checks.end()
}
