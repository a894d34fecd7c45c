import { test, type Test } from 'tap'
import { MemoryAccounts } from '../plugins/storage/memory/accounts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import type { AccountStore } from '../plugins/store/accounts.js'
import type { AttemptStore } from '../plugins/store/attempts.js'
import { turns } from '../plugins/store/contract/assertions.js'
import { accountContract, attemptContract, storeContract, type DefineTest } from '../plugins/store/contract/index.js'
import type { SessionFields, SessionRecord } from '../plugins/store/record.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { watched } from './stores/watched-store.js'

/*
 * Stores that are wrong in one way each, such as databases, drivers and collations bring it about. Each has the check that
 * tells it from a right one.
 */

/** What is wrong, the check that fails, and what the store does in place of a right one. */
type Wrong<S> = readonly [what: string, check: string, store: (right: S) => Partial<S>]

const sessions: Array<Wrong<SessionStore>> = [
  ['it cannot keep a session for longer than a timer of Node', 'a session lives as long as its record says', (right) => ({
    create: (key, record, limit) => right.create(key, { ...record, expiresAt: Math.min(record.expiresAt, record.createdAt + 2 ** 31 - 1) }, limit)
  })],
  ['it compares keys by a collation', 'keys are compared exactly', withKeys((key) => key.toLowerCase())],
  ['it cuts long keys off', 'keys are compared exactly', withKeys((key) => key.slice(0, 54))],
  ['patch compares keys by a collation', 'keys are compared exactly', (right) => ({ patch: (key, changes) => right.patch(key.toLowerCase(), changes) })],
  ['touch takes a key for a pattern', 'keys are compared exactly', (right) => ({
    touch: (key, seenAt, expiresAt) => right.touch(key.replace('_', '-'), seenAt, expiresAt)
  })],
  ['patch resets permanent', 'patch changes its own fields only', (right) => ({
    patch: (key, changes) => right.patch(key, { ...changes, permanent: changes.permanent ?? false })
  })],
  ['patch sets after it removes', 'patch changes its own fields only', (right) => ({
    patch: (key, changes) => right.patch(key, { ...changes, remove: changes.remove.filter((name) => !Object.hasOwn(changes.set, name)) })
  })],
  ['patch answers whether a value is another', 'patch changes its own fields only', (right) => ({
    patch: (key, changes) => ifChanged(() => right.read(key), () => right.patch(key, changes))
  })],
  ['patch never shortens a session', 'patch takes the given expiry if it sets permanent', (right) => ({
    async patch (key, changes) {
      const before = await right.read(key)
      return await right.patch(key, changes.permanent === true ? { ...changes, expiresAt: Math.max(changes.expiresAt, before?.expiresAt ?? 0) } : changes)
    }
  })],
  ['touch ignores a clock that is behind', 'touch moves both times forward only, and changes nothing else', (right) => ({
    async touch (key, seenAt, expiresAt) {
      const before = await right.read(key)
      return before !== null && (seenAt < before.seenAt || await right.touch(key, seenAt, expiresAt))
    }
  })],
  ['patch writes what it has read before', 'no write that is under way brings back a session that ends', late('patch', false)],
  ['touch writes what it has read before', 'no write that is under way brings back a session that ends', late('touch', false)],
  ['take writes what it has read before', 'no write that is under way brings back a session that ends', late('take', {})],
  ['it has no dots in names', 'keys and values of every kind are returned unchanged', withNames((name) => name.replaceAll('.', '_'))],
  ['it has no names that begin with a dollar sign', 'keys and values of every kind are returned unchanged', withNames((name) => name.replace(/^\$/, ''))],
  ['it compares names by a collation', 'keys and values of every kind are returned unchanged', withNames((name) => name.toLowerCase())],
  ['it orders the members of an object', 'keys and values of every kind are returned unchanged', (right) => ({
    create: (key, record, limit) => right.create(key, { ...record, fields: Object.fromEntries(Object.entries(record.fields).map(([name, text]) => [name, text.replace('"d":2,"c":3', '"c":3,"d":2')])) }, limit)
  })],
  ['patch has no dots in names', 'keys and values of every kind are returned unchanged', (right) => ({
    patch: (key, changes) => right.patch(key, { ...changes, set: withoutDots(changes.set) })
  })],
  ['patch doubles quotes', 'keys and values of every kind are returned unchanged', (right) => ({
    patch: (key, changes) => right.patch(key, { ...changes, set: doubled(changes.set) })
  })],
  ['replace doubles quotes', 'keys and values of every kind are returned unchanged', (right) => ({
    replace: (key, nextKey, change, limit) => right.replace(key, nextKey, { ...change, set: doubled(change.set) }, limit)
  })],
  ['take doubles quotes', 'keys and values of every kind are returned unchanged', (right) => ({
    take: async (key, prefix) => doubled(await right.take(key, prefix))
  })],
  ['replace answers with a record from before', 'a patch during a replacement is in the successor, or is refused', (right) => ({
    async replace (key, nextKey, change, limit) {
      const last = await right.read(key) as SessionRecord
      await turns(1)
      const replaced = await right.replace(key, nextKey, change, limit)
      return replaced.outcome === 'replaced' ? { ...replaced, last } : replaced
    }
  })],
  ['take ends a session that has no field left', 'take removes the fields with a prefix and returns them', (right) => ({
    async take (key, prefix) {
      const taken = await right.take(key, prefix)
      if (Object.keys((await right.read(key))?.fields ?? { any: '' }).length === 0) await right.remove(key)
      return taken
    }
  })],
  ['take compares by a collation', 'take compares the prefix exactly', takingWhere((name, prefix) => name.toLowerCase().startsWith(prefix.toLowerCase()))],
  ['take takes the prefix for a pattern', 'take compares the prefix exactly', takingWhere((name, prefix) => prefix === 'p_' ? /^p./.test(name) : name.startsWith(prefix))],
  ['ofUser lists by activity', 'the sessions of a user are listed oldest first', (right) => ({
    ofUser: async (user) => (await right.ofUser(user)).toSorted((a, b) => a.record.seenAt - b.record.seenAt)
  })],
  ['ofUser lists the records of the first time', 'the sessions of a user are listed oldest first', (right) => {
    const first = new Map<string, SessionRecord>()
    return {
      ofUser: async (user) => (await right.ofUser(user)).map(({ key, record }) => ({ key, record: first.get(key) ?? first.set(key, record).get(key) as SessionRecord }))
    }
  }],
  ['ofUser lists live objects', 'the sessions of a user are listed oldest first', (right) => {
    const live = new Map<string, object>()
    return {
      async ofUser (user) {
        const sessions = await right.ofUser(user)
        for (const { key, record } of sessions) live.set(key, record)
        return sessions
      },
      async touch (key, seenAt, expiresAt) {
        Object.assign(live.get(key) ?? {}, { seenAt })
        return await right.touch(key, seenAt, expiresAt)
      }
    }
  }],
  ['it cuts names off at NUL', 'user names are compared exactly', (right) => ({
    create: (key, record, limit) => right.create(key, { ...record, user: record.user?.split('\0')[0] ?? null }, limit),
    ofUser: (user) => right.ofUser(user.split('\0')[0] as string)
  })],
  ['ofUser has a page of 250', 'removeOfUser ends a great many sessions', (right) => ({ ofUser: async (user) => (await right.ofUser(user)).slice(0, 250) })],
  ['anonymous visitors are one user', 'over the limit, create ends the user\'s oldest sessions', (right) => {
    const anonymous: string[] = []
    return {
      async create (key, record, limit) {
        if (record.user === null && anonymous.push(key) > (limit?.perUser ?? Infinity)) await right.remove(anonymous.shift() as string)
        return await right.create(key, record, limit)
      }
    }
  }],
  ['sweep has an empty name for no user', 'sweep drops expired records, and no others', (right) => ({
    sweep: (budgetMs, onExpired) => right.sweep(budgetMs, onExpired && ((key, user) => { onExpired(key, user ?? '') }))
  })],
  ['sweep tells of ended sessions', 'sweep drops old tombstones', (right) => ({
    async sweep (budgetMs, onExpired) {
      const dropped = await right.sweep(budgetMs)
      for (let i = 0; i < dropped; i++) onExpired?.('any', null)
      return dropped
    }
  })]
]

const accounts: Array<Wrong<AccountStore>> = [
  ['update answers whether a member is another', 'update changes the given members only', (right) => ({
    update: (key, ...rest) => ifChanged(() => right.read(key), () => right.update(key, ...rest))
  })],
  ['it keeps the object of the caller', 'no account is a live object', (right) => {
    const given = new Map<string, object>()
    return {
      create: (key, account) => given.has(key) ? false : Boolean(given.set(key, account)),
      read: (key) => (given.get(key) ?? right.read(key)) as ReturnType<AccountStore['read']>
    }
  }],
  ['a realm takes the place of the one before', 'each realm is noted once', () => {
    let noted: string[] = []
    return { noteRealm (realm) { noted = [realm] }, realms: () => noted }
  }],
  ['realms cannot be read', 'each realm is noted once', () => ({ realms: undefined as unknown as () => string[] })],
  ['list has a page of 250', 'the list has every account, in the order of the keys', (right) => ({ list: async () => (await right.list()).slice(0, 250) })]
]

const attempts: Array<Wrong<AttemptStore>> = [
  ['uncount does nothing while another is under way', 'parallel counts and uncounts lose nothing', (right) => {
    let isBusy = false
    return {
      async uncount (key, policy) {
        if (isBusy) return
        isBusy = true
        await turns(1)
        await right.uncount(key, policy)
        isBusy = false
      }
    }
  }]
]

/** Answers like a database that counts the rows that have changed. */
async function ifChanged (read: () => unknown, write: () => unknown): Promise<boolean> {
  const before = JSON.stringify(await read())
  return await write() === true && JSON.stringify(await read()) !== before
}

function withKeys (change: (key: string) => string): Wrong<SessionStore>[2] {
  return (right) => ({
    read: (key) => right.read(change(key)),
    create: (key, ...rest) => right.create(change(key), ...rest),
    remove: (key, nextKey) => right.remove(change(key), nextKey)
  })
}

function withNames (change: (name: string) => string): Wrong<SessionStore>[2] {
  return (right) => ({
    create: (key, record, limit) => right.create(key, { ...record, fields: Object.fromEntries(Object.entries(record.fields).map(([name, text]) => [change(name), text])) }, limit)
  })
}

function withoutDots (fields: SessionFields): SessionFields {
  return Object.fromEntries(Object.entries(fields).map(([name, text]) => [name.replaceAll('.', '_'), text]))
}

/** What comes of quoting for SQL and then binding the value. */
function doubled (fields: SessionFields): SessionFields {
  return Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, text.replaceAll("'", "''")]))
}

function takingWhere (matches: (name: string, prefix: string) => boolean): Wrong<SessionStore>[2] {
  return (right) => ({
    async take (key, prefix) {
      const names = Object.keys((await right.read(key))?.fields ?? {}).filter((name) => matches(name, prefix))
      const taken: SessionFields[] = []
      for (const name of names) taken.push(await right.take(key, name))
      return Object.assign({}, ...taken) as SessionFields
    }
  })
}

/** A call that reads, and a turn later writes what it has read, whatever has happened to the session. */
function late (call: 'patch' | 'touch' | 'take', refusal: unknown): Wrong<SessionStore>[2] {
  return (right) => {
    const revived = new Map<string, SessionRecord>()
    return {
      read: async (key) => revived.get(key) ?? await right.read(key),
      async [call] (key: string, ...rest: never[]) {
        const record = await right.read(key)
        if (record === null) return refusal
        await turns(1)
        if (await right.read(key) === null) revived.set(key, record)
        return await (right[call] as (key: string, ...rest: never[]) => unknown)(key, ...rest)
      }
    }
  }
}

function inPlaceOf<S extends object> (right: S, [, , store]: Wrong<S>): S {
  const wrong = store(right)
  return new Proxy(right, {
    get (_, name) {
      const member: unknown = Reflect.get(name in wrong ? wrong : right, name)
      return typeof member === 'function' ? member.bind(right) as unknown : member
    }
  })
}

async function finds<S extends object> (t: Test, stores: ReadonlyArray<Wrong<S>>, define: (test: DefineTest, wrong: Wrong<S>) => void): Promise<void> {
  for (const wrong of stores) {
    const [what, check] = wrong
    const checks = new Map<string, () => Promise<void>>()
    define((name, run) => checks.set(name, run), wrong)
    await t.rejects(checks.get(check)?.() ?? Promise.resolve(), { code: 'ERR_ASSERTION' }, what)
  }
}

test('the contract of sessions finds a store that is wrong in one way', async (t) => {
  await finds(t, sessions, (test, wrong) => {
    storeContract(test, (options) => inPlaceOf(watched(new MemoryStore(options), () => {}, false), wrong))
  })
})

test('the contracts of accounts and of failed logins find one as well', async (t) => {
  await finds(t, accounts, (test, wrong) => { accountContract(test, () => inPlaceOf<AccountStore>(new MemoryAccounts(), wrong)) })
  await finds(t, attempts, (test, wrong) => { attemptContract(test, () => [inPlaceOf<AttemptStore>(new MemoryAttempts(), wrong)]) })
})

test('the contract of sessions accepts a store that carries out simultaneous calls in any order', async (t) => {
  let calls = 0
  // Like the connections of a pool: each call begins up to four turns late.
  storeContract((name, run) => t.test(name, run), (options) => watched(new MemoryStore(options), () => turns(calls++ * 3 % 5), false))
})
