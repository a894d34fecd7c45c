import { test, type Test } from 'tap'
import { hashPassword } from '../plugins/accounts/password.js'
import { endIn } from '../plugins/session/backend/in-store.js'
import { storedUser } from '../plugins/session/model/user.js'
import { expressStore } from '../plugins/storage/express/open.js'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { RedisAccounts } from '../plugins/storage/redis/accounts.js'
import { RedisAttempts } from '../plugins/storage/redis/attempts.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import type { AccountStore } from '../plugins/store/accounts.js'
import type { AttemptStore } from '../plugins/store/attempts.js'
import { accountContract, attemptContract, changesOf, recordOf, replacementOf, storeContract } from '../plugins/store/contract/index.js'
import { replaceInTwoSteps } from '../plugins/store/replace-in-two-steps.js'
import { withEveryTrait, type CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { needs } from './helper.js'
import { connect, startRedis } from './programs/redis.js'
import { openLmdb } from './stores/open-lmdb.js'
import { inTwoSteps, kinds, openStore, watched, type StoreCall } from './stores/watched-store.js'

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

test('a store that replaces in two steps keeps the contract', async (t) => {
  for (const sync of [true, false]) {
    t.test(sync ? 'and is sync' : 'and is not sync', async (t) => {
      storeContract((name, run) => t.test(name, run), (options) => {
        const store = inTwoSteps(watched(new MemoryStore(options), () => {}, sync))
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
    return { inner, store: inTwoSteps(watched(inner, (call, key) => { lookOut(call, key, inner) }, false)) }
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

  t.test('a replacement moves no time back that a request has set meanwhile', async (t) => {
    const { seenAt, expiresAt } = recordOf()
    const { inner, store } = open(t, (call, key, inner) => { if (call === 'remove' && key === 'one') inner.touch('one', seenAt + 2, expiresAt + 2) })
    await store.replace('one', 'two', replacementOf({ seenAt: seenAt + 1, expiresAt: expiresAt + 1 }))
    t.match(inner.read('two'), { seenAt: seenAt + 2, expiresAt: expiresAt + 2 })
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
