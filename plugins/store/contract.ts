import assert, { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { SessionTooLargeError } from './errors.js'
import {
  TOMBSTONE_MS, sizeOf,
  type MaybePromise, type Replaced, type SessionChanges, type SessionRecord, type SessionReplacement, type SessionStore, type StoreOptions
} from './sessions.js'
import { withEveryTrait, type CompleteSessionStore } from './traits.js'

/** How a test runner defines a test: the `test` of node:test and of vitest is one, and so is `(name, run) => t.test(name, run)` of tap. */
export type DefineTest = (name: string, run: () => Promise<void>) => unknown

/** Opens an empty store for one check. The check ends with the store's `close`. */
export type OpenStore = (options: StoreOptions) => MaybePromise<SessionStore>

export interface StoreContractOptions {
  /**
   * False for a store that forgets what has expired by itself, some time after it: `sweep` has nothing to do there, and
   * when a record is no longer held is that store's own business.
   *
   * @default true
   */
  sweeps?: boolean
  /**
   * Checks that the store cannot pass, by their names, each with the reason. A store that has one here does not keep the
   * contract; tell its users what they lose.
   *
   * @default none
   */
  except?: Readonly<Record<string, string>>
}

const START = 1_800_000_000_000
const HOUR = 3_600_000

/** A record for a test: it lives for an hour from the beginning of the check. */
export function recordOf (values: Partial<SessionRecord> = {}): SessionRecord {
  return { createdAt: START, seenAt: START, expiresAt: START + HOUR, permanent: false, user: null, fields: { a: '1', b: '"two"' }, ...values }
}

/** Changes for a test; without values they change nothing in {@link recordOf}. */
export function changesOf (values: Partial<SessionChanges> = {}): SessionChanges {
  return { set: {}, remove: [], seenAt: START, expiresAt: START + HOUR, ...values }
}

/** A replacement for a test; without values every field goes along, and nothing changes but the key. */
export function replacementOf (values: Partial<SessionReplacement> = {}): SessionReplacement {
  return { ...changesOf(), keep: 'all', ...values }
}

/**
 * Every sentence of the contract of {@link SessionStore}, as a test. Each has a store and a clock of its own; the clock
 * stands still, in a year that need not be this one, so a store must ask `options.now` and nothing else for the time.
 *
 * The checks use the same keys, so with one database for all, let them run one after another and let `open` empty it.
 *
 * @throws TypeError if `except` names a check that is not there.
 * @example
 * import { storeContract } from 'hatcheck/store-contract'
 * import { test } from 'node:test'
 *
 * storeContract(test, (options) => new MyStore(options))
 */
export function storeContract (test: DefineTest, open: OpenStore, { sweeps = true, except = {} }: StoreContractOptions = {}): void {
  const excepted = new Set(Object.keys(except))
  const check: Check = (sentence, run, maxBytes = 4_096) => {
    if (excepted.delete(sentence)) return
    test(sentence, async () => {
      const clock = { time: START }
      const store = await open({ now: () => clock.time, maxBytes })
      try {
        await run(withEveryTrait(store), clock)
      } finally {
        await store.close()
      }
    })
  }

  check('what was created is read', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry', fields: { a: '1', nested: '{"x":[1,2,{"y":null}]}', empty: '""' } })
    equal(await store.create('one', record), true)
    deepEqual(await store.read('one'), record)
    deepEqual(await store.read('one'), record, 'again')
  })

  check('missing, expired and removed all read as null', async (store, clock) => {
    equal(await store.read('never was'), null)
    await store.create('expires', recordOf({ expiresAt: START + 1_000 }))
    await store.create('removed', recordOf())
    await store.remove('removed')
    equal(await store.read('removed'), null)
    clock.time = START + 999
    notEqual(await store.read('expires'), null, 'a moment before')
    clock.time = START + 1_000
    equal(await store.read('expires'), null, 'at the moment')
    clock.time = START + HOUR
    equal(await store.read('expires'), null, 'long after')
  })

  check('an answer says at once whether the store is sync', async (store) => {
    await store.create('one', recordOf())
    equal(store.read('one') instanceof Promise, !store.sync)
    equal(store.read('none') instanceof Promise, !store.sync)
  })

  check('create only inserts', async (store) => {
    equal(await store.create('one', recordOf({ fields: { first: '1' } })), true)
    equal(await store.create('one', recordOf({ user: 'Mallory', fields: { second: '2' } })), false)
    deepEqual((await store.read('one'))?.fields, { first: '1' })
    deepEqual(await store.ofUser('Mallory'), [])
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create('many', recordOf({ fields: { i: String(i) } }))))
    equal(answers.filter(Boolean).length, 1)
    equal((await store.read('many'))?.fields['i'], String(answers.indexOf(true)))
    equal(await store.count(), 2)
  })

  check('create does not bring back a removed key', async (store, clock) => {
    await store.create('one', recordOf())
    await store.remove('one')
    await store.remove('never was')
    for (const key of ['one', 'never was']) {
      equal(await store.create(key, recordOf({ user: 'Harry' })), false)
      equal(await store.read(key), null)
    }
    clock.time = START + TOMBSTONE_MS - 1
    while (await store.sweep(5) > 0);
    equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), false, 'as long as a request may take')
    deepEqual(await store.ofUser('Harry'), [])
    equal(await store.count(), 0)
  })

  check('create refuses what is too large', async (store) => {
    await assert.rejects(async () => await store.create('one', recordOf({ fields: { a: JSON.stringify('x'.repeat(5_000)) } })), SessionTooLargeError)
    equal(await store.read('one'), null)
    equal(await store.count(), 0)
  })

  check('patch sets and removes its own fields only', async (store) => {
    await store.create('one', recordOf({ fields: { a: '1', b: '2', c: '3' } }))
    equal(await store.patch('one', changesOf({ set: { b: '20', d: '4' }, remove: ['c', 'not there'] })), true)
    deepEqual((await store.read('one'))?.fields, { a: '1', b: '20', d: '4' })
    equal(await store.patch('one', changesOf({ remove: ['a', 'b', 'd'] })), true)
    deepEqual((await store.read('one'))?.fields, {}, 'down to none')
  })

  check('patches of different fields at once all survive', async (store) => {
    await store.create('one', recordOf({ fields: { gone: '0' } }))
    const keys = Array.from({ length: 50 }, (_, i) => `field${i}`)
    const answers = await Promise.all(keys.map((key, i) => store.patch('one', changesOf({ set: { [key]: String(i) }, remove: i === 7 ? ['gone'] : [] }))))
    ok(answers.every(Boolean))
    deepEqual((await store.read('one'))?.fields, Object.fromEntries(keys.map((key, i) => [key, String(i)])))
  })

  check('patch never creates', async (store, clock) => {
    await store.create('removed', recordOf())
    await store.remove('removed')
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    for (const key of ['never was', 'removed', 'expired']) {
      equal(await store.patch(key, changesOf({ set: { a: '1' }, user: 'Harry', expiresAt: START + 2 * HOUR })), false, key)
      equal(await store.read(key), null)
    }
    deepEqual(await store.ofUser('Harry'), [])
  })

  check('patch takes the later of each time', async (store) => {
    await store.create('one', recordOf())
    await store.patch('one', changesOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    includes(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
    await store.patch('one', changesOf({ seenAt: START - 10, expiresAt: START + 10 }))
    includes(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
  })

  check('patch takes the given expiry when it says whether the session is permanent', async (store, clock) => {
    await store.create('one', recordOf({ permanent: true, expiresAt: START + 10 * HOUR }))
    await store.patch('one', changesOf({ permanent: false, expiresAt: START + HOUR }))
    includes(await store.read('one'), { permanent: false, expiresAt: START + HOUR })
    clock.time = START + HOUR
    equal(await store.read('one'), null)
    while (await store.sweep(5) > 0);
    if (sweeps) equal(await store.count(), 0, 'the sweep goes by the new expiry')
  })

  check('a patch that makes the record too large changes nothing', async (store) => {
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    await assert.rejects(
      async () => await store.patch('one', changesOf({ set: { a: '2', big: JSON.stringify('x'.repeat(5_000)) }, seenAt: START + 1, expiresAt: START + 2 * HOUR, user: null })),
      { code: 'HATCHECK_SESSION_TOO_LARGE', statusCode: 413 }
    )
    deepEqual(await store.read('one'), record)
    equal((await store.ofUser('Harry')).length, 1)
  })

  check('patches at once cannot make the record too large together', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 },
      async (_, i) => await store.patch('one', changesOf({ set: { [`field${i}`]: JSON.stringify('é'.repeat(150)) } }))))
    const fields = (await store.read('one'))?.fields ?? {}
    ok(sizeOf(fields) <= 1_000)
    const written = outcomes.filter(({ status }) => status === 'fulfilled').length
    equal(Object.keys(fields).length, written)
    ok(written > 0 && written < 20)
    for (const outcome of outcomes) if (outcome.status === 'rejected') includes(outcome.reason, { code: 'HATCHECK_SESSION_TOO_LARGE' })
  }, 1_000)

  check('touch never creates', async (store, clock) => {
    await store.create('removed', recordOf())
    await store.remove('removed')
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    for (const key of ['never was', 'removed', 'expired']) {
      equal(await store.touch(key, START, START + 2 * HOUR), false, key)
      equal(await store.read(key), null)
    }
  })

  check('touch moves both times forward, never back, and changes nothing else', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry' })
    await store.create('one', record)
    equal(await store.touch('one', START + 5, START + HOUR + 5), true)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    equal(await store.touch('one', START, START + 1), true)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    await store.touch('one', START + 6, START + 1)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 6, expiresAt: START + HOUR + 5 }, 'each clock for itself')
  })

  check('touches among patches lose nothing', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    await Promise.all(Array.from({ length: 60 }, (_, i) => i % 2 === 0
      ? store.touch('one', START + i, START + HOUR + i)
      : store.patch('one', changesOf({ set: { [`field${i}`]: '1' } }))))
    const record = await store.read('one')
    equal(Object.keys(record?.fields ?? {}).length, 30)
    includes(record, { seenAt: START + 58, expiresAt: START + HOUR + 58 })
  })

  check('remove answers the last record, once', async (store) => {
    await store.create('one', recordOf({ user: 'Harry', fields: { a: '1' } }))
    await store.patch('one', changesOf({ set: { b: '2' } }))
    const last = await store.read('one')
    const answers = await Promise.all(Array.from({ length: 50 }, () => store.remove('one')))
    deepEqual(answers.filter((answer) => answer !== null), [last])
    deepEqual(last?.fields, { a: '1', b: '2' })
    equal(await store.remove('one'), null, 'and is idempotent')
    equal(await store.remove('never was'), null)
    equal(await store.count(), 0)
    deepEqual(await store.ofUser('Harry'), [])
  })

  check('remove of an expired session answers null', async (store, clock) => {
    await store.create('one', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    equal(await store.remove('one'), null)
    equal(await store.count(), 0)
  })

  check('a patch is either in the record that remove answers, or refused', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    const patchAt = (i: number): Promise<boolean> => Promise.resolve(store.patch('one', changesOf({ set: { [`field${i}`]: '1' } })))
    const before = Array.from({ length: 25 }, (_, i) => patchAt(i))
    const removing = Promise.resolve(store.remove('one'))
    const after = Array.from({ length: 25 }, (_, i) => patchAt(25 + i))
    const answers = await Promise.all([...before, ...after])
    deepEqual(Object.keys((await removing)?.fields ?? {}), answers.flatMap((answer, i) => answer ? [`field${i}`] : []))
    equal(await store.read('one'), null)
  })

  check('the sessions of a user are listed oldest first', async (store, clock) => {
    for (const [key, createdAt] of [['c', 30], ['a', 10], ['b', 20]] as const) {
      await store.create(key, recordOf({ createdAt: START + createdAt, user: 'Harry', fields: { key: JSON.stringify(key) } }))
    }
    await store.create('expiring', recordOf({ user: 'Harry', createdAt: START, expiresAt: START + 1 }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    await store.create('of nobody', recordOf())
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['expiring', 'a', 'b', 'c'])
    clock.time = START + 1
    const sessions = await store.ofUser('Harry')
    deepEqual(sessions.map(({ key }) => key), ['a', 'b', 'c'], 'the live ones')
    deepEqual(sessions[0]?.record, await store.read('a'))
    deepEqual(await store.ofUser('Nobody'), [])
  })

  check('names are told apart exactly', async (store) => {
    const long = 'N'.repeat(300)
    const names = ['Harry', 'harry', 'Harry ', 'Harr', 'Harry2', 'Zoë', 'Zoë'.normalize('NFD'), '王小明', '😀', '__proto__', 'constructor', '1', `${long}a`, `${long}b`, `${'字'.repeat(256)}a`, `${'字'.repeat(256)}b`]
    for (const name of names) equal(await store.create(`of ${names.indexOf(name)}`, recordOf({ user: name })), true, name.slice(0, 20))
    for (const name of names) deepEqual((await store.ofUser(name)).map(({ record }) => record.user), [name], name.slice(0, 20))
    for (const name of names) {
      equal(await store.removeOfUser(name), 1)
      deepEqual(await store.ofUser(name), [])
    }
    equal(await store.count(), 0)
  })

  check('the index follows a change of the user', async (store) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.patch('one', changesOf({ set: { c: '1' } }))
    equal((await store.ofUser('Harry')).length, 1, 'no change')
    await store.patch('one', changesOf({ user: 'Sally' }))
    deepEqual(await store.ofUser('Harry'), [])
    equal((await store.ofUser('Sally')).length, 1)
    await store.patch('one', changesOf({ user: null }))
    deepEqual(await store.ofUser('Sally'), [])
    equal((await store.read('one'))?.user, null)
    await store.patch('one', changesOf({ user: 'Harry' }))
    equal((await store.ofUser('Harry')).length, 1)
    await store.remove('one')
    deepEqual(await store.ofUser('Harry'), [])
  })

  check('take answers the fields with a prefix, and they are gone', async (store) => {
    const fields = { 'p:1': '"one"', 'p:2': '{"two":2}', p: '1', 'q:1': '3', 'other p:1': '4' }
    await store.create('one', recordOf({ fields, user: 'Harry' }))
    const before = await store.read('one')
    deepEqual(await store.take('one', 'p:'), { 'p:1': '"one"', 'p:2': '{"two":2}' })
    deepEqual(await store.read('one'), { ...before, fields: { p: '1', 'q:1': '3', 'other p:1': '4' } }, 'nothing else is changed')
    deepEqual(await store.take('one', 'p:'), {})
    deepEqual(await store.take('one', 'none of these'), {})
    equal((await store.ofUser('Harry')).length, 1)
  })

  check('take never creates', async (store, clock) => {
    deepEqual(await store.take('never was', ''), {})
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    await store.create('removed', recordOf())
    await store.remove('removed')
    clock.time = START + 1
    for (const key of ['never was', 'expired', 'removed']) {
      deepEqual(await store.take(key, ''), {}, key)
      equal(await store.read(key), null, key)
    }
  })

  check('of many that take at once, each field goes to one', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    const names = Array.from({ length: 40 }, (_, i) => `p:${i}`)
    const taken: string[] = []
    await Promise.all(names.map(async (name) => {
      equal(await store.patch('one', changesOf({ set: { [name]: 'true', keep: '1' } })), true)
      for (const field of Object.keys(await store.take('one', 'p:'))) taken.push(field)
    }))
    taken.push(...Object.keys(await store.take('one', 'p:')))
    deepEqual(taken.sort(), names.sort())
    deepEqual((await store.read('one'))?.fields, { keep: '1' })
  })

  replaceContract(check)

  check('over the limit the oldest sessions of the user end', async (store) => {
    const told: string[] = []
    const limit = { perUser: 3, onEnded: (key: string) => { told.push(key) } }
    const begin = (key: string, createdAt: number, user = 'Harry'): MaybePromise<boolean> => store.create(key, recordOf({ user, createdAt: START + createdAt }), limit)
    for (const [key, createdAt] of [['c', 30], ['a', 10], ['b', 20]] as const) equal(await begin(key, createdAt), true)
    deepEqual(told, [], 'at the limit none does')
    for (const key of ['d', 'e', 'f']) equal(await begin(`${key} of another`, 5, 'Sally'), true)
    await store.create('of nobody', recordOf({ createdAt: START }), limit)
    equal(await begin('newest', 40), true)
    deepEqual(told, ['a'])
    equal(await begin('newest, by an old time', 1), true)
    deepEqual(told, ['a', 'b'], 'not the new one, whatever its time')
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['newest, by an old time', 'c', 'newest'])
    equal(await store.create('a', recordOf({ user: 'Harry' })), false, 'for good')
    equal((await store.ofUser('Sally')).length, 3, 'others are left alone')
    notEqual(await store.read('of nobody'), null)

    equal(await store.create('without a limit', recordOf({ user: 'Harry', createdAt: START + 50 })), true)
    equal((await store.ofUser('Harry')).length, 4)
    equal(await store.create('only', recordOf({ user: 'Harry', createdAt: START + 60 }), { perUser: 1 }), true)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['only'], 'all that is over it, and nobody needs to be told')
  })

  check('what is over or of somebody else does not count for the limit', async (store, clock) => {
    const told: string[] = []
    const limit = { perUser: 2, onEnded: (key: string) => { told.push(key) } }
    const harry = recordOf({ user: 'Harry' })
    await store.create('oldest', harry, limit)
    await store.create('expires', { ...harry, createdAt: START + 1, expiresAt: START + 10 }, limit)
    clock.time = START + 10
    await store.create('removed', { ...harry, createdAt: START + 2 }, limit)
    deepEqual(told, [], 'one has expired')
    await store.remove('removed')
    await store.create('given away', { ...harry, createdAt: START + 3 }, limit)
    await store.patch('given away', changesOf({ user: 'Sally' }))
    await store.create('anonymous again', { ...harry, createdAt: START + 4 }, limit)
    await store.patch('anonymous again', changesOf({ user: null }))
    await store.create('second', { ...harry, createdAt: START + 5 }, limit)
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['oldest', 'second'])
    await store.create('third', { ...harry, createdAt: START + 6 }, limit)
    deepEqual(told, ['oldest'])
    for (const key of ['given away', 'anonymous again']) notEqual(await store.read(key), null, key)
    await assert.rejects(async () => await store.create('large', { ...harry, fields: { a: JSON.stringify('x'.repeat(5_000)) } }, limit), SessionTooLargeError)
    equal((await store.ofUser('Harry')).length, 2, 'what cannot begin ends nothing')
  })

  check('however many begin at once, there are never more than the limit', async (store) => {
    const keys = Array.from({ length: 50 }, (_, i) => `key${i}`)
    const told: string[] = []
    const limit = { perUser: 5, onEnded: (key: string) => { told.push(key) } }
    const living = async (): Promise<string[]> => {
      const records = await Promise.all(keys.map((key) => store.read(key)))
      return keys.filter((_, i) => records[i] !== null)
    }
    const over = new AbortController()
    const looking = (async () => {
      let before: string[] = []
      while (!over.signal.aborted) {
        const now = await living()
        // One look takes time; but what lives in this and in the one before has lived at the moment between them.
        const together = now.filter((key) => before.includes(key))
        ok(together.length <= 5, `${together.length} at once`)
        before = now
        await new Promise((resolve) => { setImmediate(resolve) })
      }
    })()
    const beginning = Promise.all(keys.map(async (key, i) => {
      for (let turns = i % 10; turns > 0; turns--) await new Promise((resolve) => { setImmediate(resolve) })
      return await store.create(key, recordOf({ user: 'Harry' }), limit)
    }))
    const [answers] = await Promise.all([beginning.finally(() => { over.abort() }), looking])
    const live = await living()
    equal(live.length, 5)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), live.sort())
    const begun = keys.filter((_, i) => answers[i])
    deepEqual(told.sort(), begun.filter((key) => !live.includes(key)).sort(), 'each that has ended is told once')
  })

  check('removeOfUser ends every session of the user but the exception', async (store) => {
    for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ user: 'Harry' }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    const told: string[] = []
    equal(await store.removeOfUser('Harry', 'b', (key) => { told.push(key) }), 2)
    deepEqual(told.sort(), ['a', 'c'], 'and tells which')
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['b'])
    equal(await store.create('a', recordOf({ user: 'Harry' })), false, 'for good')
    equal(await store.removeOfUser('Harry', 'of another'), 1)
    equal(await store.removeOfUser('Harry'), 0)
    equal((await store.ofUser('Sally')).length, 1)
    equal(await store.count(), 1)
  })

  check('removeOfUser ends a great many sessions', async (store) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.create(`key${i}`, recordOf({ user: 'Harry' }))))
    const told: string[] = []
    const tell = (key: string): void => { told.push(key) }
    const answers = await Promise.all([store.removeOfUser('Harry', undefined, tell), store.removeOfUser('Harry', undefined, tell)])
    equal(answers[0] + answers[1], 300, 'each once')
    equal(new Set(told).size, 300)
    equal(told.length, 300, 'and each is told once')
    equal(await store.count(), 0)
  })

  check('successor tells where a session continues that was renewed, and of no other end', async (store, clock) => {
    if (store.successor === undefined) return
    for (const key of ['renewed', 'renewed too', 'logged in', 'removed', 'emptied', 'lives']) await store.create(key, recordOf({ user: 'Harry' }))
    await store.replace('renewed', 'next', replacementOf())
    await store.replace('renewed too', 'its next', replacementOf({ user: null }))
    await store.replace('logged in', 'another', replacementOf({ createdAt: START, permanent: false, user: 'Harry' }))
    await store.replace('emptied', 'none', replacementOf({ keep: [] }))
    await store.remove('removed')
    equal(await store.successor('renewed'), 'next')
    equal(await store.successor('renewed too'), 'its next')
    for (const key of ['logged in', 'removed', 'emptied', 'lives', 'next', 'never was']) equal(await store.successor(key), null, key)
    await store.remove('renewed', 'a later end')
    equal(await store.successor('renewed'), 'next', 'the first end counts')
    await store.remove('next')
    equal(await store.successor('renewed'), 'next', 'also when that has ended')
    clock.time = START + TOMBSTONE_MS - 1
    while (await store.sweep(5) > 0);
    equal(await store.successor('renewed'), 'next', 'as long as a request may take')
    clock.time = START + TOMBSTONE_MS
    equal(await store.successor('renewed'), null, 'and no longer')
  })

  check('remove takes note of where the session continues', async (store) => {
    if (store.successor === undefined) return
    await store.create('one', recordOf())
    notEqual(await store.remove('one', 'two'), null)
    equal(await store.successor('one'), 'two')
    equal(await store.remove('never was', 'three'), null)
  })

  check('count tells the live records and the expired ones that no sweep has come to', async (store, clock) => {
    equal(await store.count(), 0)
    await store.create('one', recordOf())
    await store.create('two', recordOf({ expiresAt: START + 1 }))
    equal(await store.count(), 2)
    clock.time = START + 2
    equal(await store.count(), 2)
    while (await store.sweep(5) > 0);
    if (sweeps) equal(await store.count(), 1)
  })

  if (sweeps) sweepContract(check)

  check('ping resolves', async (store) => {
    await store.ping()
  })

  check('no record is a live object', async (store) => {
    const given = { ...recordOf(), fields: { a: '1' } }
    await store.create('one', given)
    given.fields.a = 'changed by the caller'
    deepEqual((await store.read('one'))?.fields, { a: '1' }, 'not the one that was created from')

    await store.create('two', recordOf({ fields: { a: '1' } }))
    const before = await store.read('two')
    await store.patch('two', changesOf({ set: { a: '2' } }))
    await store.touch('two', START + 7, START + HOUR + 7)
    deepEqual(before, recordOf({ fields: { a: '1' } }), 'not the one that was read')

    const change = replacementOf({ set: { b: '2' } })
    const replaced = await store.replace('two', 'three', change)
    const answer = structuredClone(replaced)
    Object.assign(change.set, { b: 'changed by the caller' })
    deepEqual((await store.read('three'))?.fields, { a: '2', b: '2' }, 'not the one that it was replaced by')
    await store.patch('three', changesOf({ set: { a: '3' } }))
    await store.touch('three', START + 8, START + HOUR + 8)
    deepEqual(replaced, answer, 'not the one that was answered')
  })

  check('keys and values of every kind come back as they were', async (store) => {
    const strings = ['', ' ', '0', '-1', 'null', 'undefined', 'length', 'hasOwnProperty', 'ключ', '鍵', '😀', 'a\u0000b', '\n\r\t', '"\'\\', '\u2028', '\uFEFF', '<script>', 'é'.normalize('NFD'), 'k'.repeat(400)]
    const fields = Object.fromEntries(strings.map((text) => [`x${text}`, JSON.stringify(`${text}\ud800`)]))
    await store.create('one', recordOf({ fields }))
    deepEqual((await store.read('one'))?.fields, fields)
    await store.replace('one', 'two', replacementOf({ keep: Object.keys(fields) }))
    deepEqual((await store.read('two'))?.fields, fields)
    await store.patch('two', changesOf({ remove: Object.keys(fields).slice(1) }))
    deepEqual(Object.keys((await store.read('two'))?.fields ?? {}), ['x'])
  })

  if (excepted.size > 0) throw new TypeError(`There is no check called ${[...excepted].join(', nor ')}.`)
}

type Check = (sentence: string, run: (store: CompleteSessionStore, clock: { time: number }) => Promise<void>, maxBytes?: number) => void

/** Some of what an object has in it. */
function includes (actual: object | null, expected: object): void {
  deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, Reflect.get(actual ?? {}, key)])), expected)
}

/** The record under each key, where there is one. */
async function living (store: SessionStore, keys: readonly string[]): Promise<Array<[string, SessionRecord]>> {
  const records = await Promise.all(keys.map((key) => store.read(key)))
  return keys.flatMap((key, i) => records[i] == null ? [] : [[key, records[i]]])
}

function nextOf (replaced: Replaced): SessionRecord | null {
  equal(replaced.outcome, 'replaced')
  return replaced.outcome === 'replaced' ? replaced.next : null
}

async function turns (count: number): Promise<void> {
  for (let left = count; left > 0; left--) await new Promise((resolve) => { setImmediate(resolve) })
}

function replaceContract (check: Check): void {
  check('a replaced session continues under the next key', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry', fields: { a: '1', b: '2', c: '3' } })
    await store.create('one', record)
    const change = replacementOf({ set: { b: '20', d: '4' }, remove: ['c', 'not there'], seenAt: START + 5, expiresAt: START + HOUR + 5 })
    const next = { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5, fields: { a: '1', b: '20', d: '4' } }
    deepEqual(await store.replace('one', 'two', change), { outcome: 'replaced', last: record, next })
    equal(await store.read('one'), null)
    deepEqual(await store.read('two'), next)
    deepEqual(await store.ofUser('Harry'), [{ key: 'two', record: next }])
    equal(await store.count(), 1)
    deepEqual(await store.replace('two', 'three', replacementOf()), { outcome: 'replaced', last: next, next }, 'and so on')
    deepEqual(await store.read('three'), next)
  })

  check('the fields that are kept go along, and no other', async (store) => {
    const fields = { a: '1', b: '2', c: '3', keep: '4', all: '5' }
    const replace = async (key: string, change: Partial<SessionReplacement>): Promise<unknown> => {
      await store.create(key, recordOf({ fields }))
      const replaced = await store.replace(key, `${key}, then`, replacementOf(change))
      deepEqual(await store.read(`${key}, then`), nextOf(replaced))
      return nextOf(replaced)?.fields
    }
    deepEqual(await replace('some', { keep: ['c', 'a', 'not there', 'a'] }), { a: '1', c: '3' })
    deepEqual(await replace('none', { keep: [], set: { d: '4' } }), { d: '4' })
    deepEqual(await replace('set over kept', { keep: ['a', 'b'], set: { b: '20', c: '30' } }), { a: '1', b: '20', c: '30' })
    deepEqual(await replace('removed after kept and set', { keep: ['a', 'b', 'c'], set: { c: '30', d: '4' }, remove: ['b', 'd', 'keep'] }), { a: '1', c: '30' })
    deepEqual(await replace('all', { remove: ['keep'] }), { a: '1', b: '2', c: '3', all: '5' })
  })

  check('a session that would continue without a field only ends', async (store) => {
    const told: string[] = []
    const limit = { perUser: 1, onEnded: (key: string) => { told.push(key) } }
    await store.create('of another', recordOf({ user: 'Sally' }))
    const ways: Array<Partial<SessionReplacement>> = [{ keep: [] }, { keep: ['not there'] }, { remove: ['a', 'b'] }, { keep: ['a'], set: { c: '1' }, remove: ['a', 'c'] }, { keep: [], user: 'Sally' }]
    for (const [i, change] of ways.entries()) {
      const record = recordOf({ user: 'Harry' })
      await store.create(`key${i}`, record)
      deepEqual(await store.replace(`key${i}`, `next${i}`, replacementOf(change), limit), { outcome: 'replaced', last: record, next: null })
      for (const key of [`key${i}`, `next${i}`]) equal(await store.read(key), null, key)
      equal(await store.create(`key${i}`, record), false)
    }
    deepEqual(told, [], 'and no other ends for it')
    deepEqual(await store.ofUser('Harry'), [])
    equal((await store.ofUser('Sally')).length, 1)
    equal(await store.count(), 1)
  })

  check('a replaced key is dead for good', async (store, clock) => {
    await store.create('one', recordOf({ user: 'Harry', expiresAt: START + 10 * HOUR }))
    await store.replace('one', 'two', replacementOf())
    for (const time of [START, START + TOMBSTONE_MS - 1]) {
      clock.time = time
      while (await store.sweep(5) > 0);
      equal(await store.create('one', recordOf({ user: 'Harry' })), false)
      equal(await store.patch('one', changesOf({ set: { c: '3' } })), false)
      equal(await store.touch('one', time, time + HOUR), false)
      deepEqual(await store.take('one', ''), {})
      equal(await store.remove('one'), null)
      deepEqual(await store.replace('one', 'another', replacementOf()), { outcome: 'gone' })
      equal(await store.read('one'), null)
    }
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['two'])
    deepEqual((await store.read('two'))?.fields, recordOf().fields)
  })

  check('nothing begins in the place of a missing, an expired or a removed session', async (store, clock) => {
    const told: string[] = []
    await store.create('of Harry', recordOf({ user: 'Harry' }))
    await store.create('removed', recordOf())
    await store.remove('removed')
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    for (const key of ['never was', 'removed', 'expired']) {
      const change = replacementOf({ set: { c: '3' }, user: 'Harry', permanent: true, expiresAt: START + 2 * HOUR })
      deepEqual(await store.replace(key, `after ${key}`, change, { perUser: 1, onEnded: (key) => { told.push(key) } }), { outcome: 'gone' }, key)
      for (const dead of [key, `after ${key}`]) equal(await store.read(dead), null, dead)
    }
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['of Harry'])
  })

  check('replace refuses a next key that exists or has a tombstone, and changes nothing', async (store) => {
    const told: string[] = []
    const record = recordOf({ user: 'Harry' })
    const other = recordOf({ user: 'Sally', fields: { other: '1' } })
    await store.create('one', record)
    await store.create('exists', other)
    await store.create('removed', recordOf())
    await store.create('replaced', recordOf())
    await store.remove('removed')
    await store.remove('never was')
    await store.replace('replaced', 'its successor', replacementOf())
    for (const nextKey of ['exists', 'removed', 'never was', 'replaced', 'one']) {
      const change = replacementOf({ set: { c: '3' }, user: nextKey === 'one' ? 'Harry' : 'Sally', seenAt: START + 1 })
      deepEqual(await store.replace('one', nextKey, change, { perUser: 2, onEnded: (key) => { told.push(key) } }), { outcome: 'refused' }, nextKey)
      deepEqual(await store.read('one'), record)
    }
    deepEqual(await store.read('exists'), other)
    for (const key of ['removed', 'never was', 'replaced']) equal(await store.read(key), null, key)
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['one'])
    deepEqual((await store.ofUser('Sally')).map(({ key }) => key), ['exists'])
    equal(await store.count(), 3)
  })

  check('a successor that is too large changes nothing', async (store) => {
    const told: string[] = []
    const record = recordOf({ fields: { a: '1', large: JSON.stringify('x'.repeat(3_000)) } })
    await store.create('one', record)
    await store.create('of Harry', recordOf({ user: 'Harry' }))
    await assert.rejects(async () => await store.replace('one', 'two',
      replacementOf({ set: { more: JSON.stringify('é'.repeat(600)) }, user: 'Harry', seenAt: START + 1 }), { perUser: 1, onEnded: (key) => { told.push(key) } }),
    { code: 'HATCHECK_SESSION_TOO_LARGE', statusCode: 413 })
    deepEqual(await store.read('one'), record)
    equal(await store.read('two'), null)
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['of Harry'])
    equal(await store.count(), 2)
    const next = nextOf(await store.replace('one', 'three', replacementOf({ keep: ['a'], set: { more: JSON.stringify('é'.repeat(600)) } })))
    equal(next?.fields['a'], '1', 'what does not go along does not count')
  })

  check('the index follows a replaced session', async (store) => {
    const users = ['Harry', 'Sally', 'Tom']
    const listed = async (): Promise<string[][]> => await Promise.all(users.map(async (user) => (await store.ofUser(user)).map(({ key }) => key)))
    await store.create('1', recordOf())
    deepEqual(await listed(), [[], [], []])
    const steps: Array<[change: string | null | undefined, user: string | null]> = [
      [undefined, null], ['Harry', 'Harry'], [undefined, 'Harry'], ['Harry', 'Harry'], ['Sally', 'Sally'], [null, null], ['Tom', 'Tom']
    ]
    for (const [i, [change, user]] of steps.entries()) {
      const nextKey = String(i + 2)
      const next = nextOf(await store.replace(String(i + 1), nextKey, replacementOf(change === undefined ? {} : { user: change })))
      equal(next?.user, user)
      deepEqual(await store.read(nextKey), next)
      deepEqual(await listed(), users.map((name) => name === user ? [nextKey] : []), `${i}`)
    }
    equal(await store.removeOfUser('Tom'), 1)
    equal(await store.count(), 0)
  })

  check('a successor has the later of each time, and the beginning of its predecessor', async (store) => {
    await store.create('one', recordOf({ createdAt: START - 5, seenAt: START, permanent: true }))
    const later = await store.replace('one', 'two', replacementOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    includes(nextOf(later), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    const earlier = await store.replace('two', 'three', replacementOf({ seenAt: START - 10, expiresAt: START + 10 }))
    includes(nextOf(earlier), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    deepEqual(await store.read('three'), nextOf(earlier))
  })

  check('a successor takes the given expiry with a given permanence, and the given beginning', async (store, clock) => {
    await store.create('one', recordOf({ permanent: true, expiresAt: START + 10 * HOUR }))
    await store.replace('one', 'two', replacementOf({ permanent: false, expiresAt: START + HOUR }))
    includes(await store.read('two'), { createdAt: START, permanent: false, expiresAt: START + HOUR })
    const login = { createdAt: START + 20, seenAt: START + 20, permanent: true, expiresAt: START + HOUR / 2 }
    await store.replace('two', 'three', replacementOf({ ...login, user: 'Harry' }))
    includes(await store.read('three'), login)
    clock.time = START + HOUR / 2
    equal(await store.read('three'), null)
    deepEqual(await store.ofUser('Harry'), [])
    deepEqual(await store.replace('three', 'four', replacementOf()), { outcome: 'gone' })
  })

  check('of many that replace one session at once, one does', async (store) => {
    const keys = Array.from({ length: 50 }, (_, i) => `next${i}`)
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    const answers = await Promise.all(keys.map((key, i) => store.replace('one', key, replacementOf({ set: { i: String(i) } }))))
    const won = answers.findIndex(({ outcome }) => outcome === 'replaced')
    const next = { ...record, fields: { ...record.fields, i: String(won) } }
    deepEqual(answers, answers.map((_, i) => i === won ? { outcome: 'replaced', last: record, next } : { outcome: 'gone' }))
    deepEqual(await living(store, ['one', ...keys]), [[keys[won], next]])
    deepEqual(await store.ofUser('Harry'), [{ key: keys[won], record: next }])
    equal(await store.count(), 1)

    const same = await Promise.all(keys.map(() => store.replace(keys[won] as string, 'the same', replacementOf())))
    equal(same.filter(({ outcome }) => outcome === 'replaced').length, 1, 'also with the same next key')
    deepEqual(await store.ofUser('Harry'), [{ key: 'the same', record: next }])
  })

  check('many sessions are replaced at once, each by its own', async (store) => {
    const keys = Array.from({ length: 100 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ user: 'Harry', fields: { key: JSON.stringify(key) } }))))
    const answers = await Promise.all(keys.map((key) => store.replace(key, `next ${key}`, replacementOf())))
    deepEqual(answers.map((answer) => nextOf(answer)?.fields['key']), keys.map((key) => JSON.stringify(key)))
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), keys.map((key) => `next ${key}`).sort())
    equal(await store.count(), 100)
  })

  check('replacements by the keys of one another end', async (store) => {
    for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ fields: { key: JSON.stringify(key) } }))
    const crossed = await Promise.all([store.replace('a', 'b', replacementOf()), store.replace('b', 'a', replacementOf())])
    deepEqual(crossed, [{ outcome: 'refused' }, { outcome: 'refused' }])
    const chained = await Promise.all([store.replace('a', 'b', replacementOf()), store.replace('b', 'c', replacementOf()), store.replace('c', 'd', replacementOf())])
    deepEqual(chained.map(({ outcome }) => outcome), ['refused', 'refused', 'replaced'])
    deepEqual((await living(store, ['a', 'b', 'c', 'd'])).map(([key, { fields }]) => [key, fields['key']]), [['a', '"a"'], ['b', '"b"'], ['d', '"c"']])
  })

  check('a patch is either in the successor, or refused', async (store) => {
    for (const kept of ['all', ['kept', ...Array.from({ length: 20 }, (_, i) => `field${i}`)]] as const) {
      const [key, nextKey] = [`of ${kept.length}`, `after ${kept.length}`]
      await store.create(key, recordOf({ fields: { own: '0', removed: '0', kept: '0', goes: '0' } }))
      const patchAt = async (i: number): Promise<boolean> => await store.patch(key, changesOf({
        // What the replacement itself sets and removes is its own, whatever the others write.
        set: { [`field${i}`]: '1', own: String(i), removed: String(i) }, remove: i === 3 ? ['goes'] : [], seenAt: START + i
      }))
      const before = Array.from({ length: 10 }, (_, i) => patchAt(i))
      const replacing = Promise.resolve(store.replace(key, nextKey, replacementOf({ keep: kept, set: { own: '"mine"' }, remove: ['removed'] })))
      const after = Array.from({ length: 20 }, async (_, i) => {
        await turns(i)
        return await patchAt(10 + i)
      })
      const answers = await Promise.all([...before, ...after])
      const replaced = await replacing
      const patched = answers.flatMap((answer, i) => answer && (kept === 'all' || kept.includes(`field${i}`)) ? [`field${i}`] : [])
      const next = nextOf(replaced)
      const goes = answers[3] === true || kept !== 'all' ? [] : ['goes']
      deepEqual(Object.keys(next?.fields ?? {}).sort(), ['kept', 'own', ...goes, ...patched].sort())
      equal(next?.fields['own'], '"mine"')
      equal(next?.seenAt, START + answers.lastIndexOf(true), 'and so is its time')
      deepEqual(await store.read(nextKey), next)
      equal(await store.read(key), null)
    }
  })

  check('a change of any kind is either in the successor, or refused', async (store) => {
    for (let round = 0; round < 20; round++) {
      const [key, nextKey] = [`key${round}`, `next${round}`]
      await store.create(key, recordOf({ permanent: true, expiresAt: START + 5 * HOUR }))
      const [replaced, touches, becomes] = await Promise.all([
        turns(round % 4).then(async () => await store.replace(key, nextKey, replacementOf())),
        store.touch(key, START + 7, START + 6 * HOUR),
        turns(round % 3).then(async () => await store.patch(key, changesOf({ permanent: false, expiresAt: START + 2 * HOUR, user: `user${round}` })))
      ])
      const next = nextOf(replaced)
      includes(next, {
        seenAt: touches ? START + 7 : START,
        permanent: !becomes,
        user: becomes ? `user${round}` : null,
        ...becomes && !touches && { expiresAt: START + 2 * HOUR }
      })
      deepEqual(await store.read(nextKey), next)
      deepEqual((await store.ofUser(`user${round}`)).map(({ key }) => key), becomes ? [nextKey] : [])
    }
  })

  check('of a replacement and those that take at once, each field goes to one', async (store) => {
    for (let round = 0; round < 10; round++) {
      const [key, nextKey] = [`key${round}`, `next${round}`]
      const fields = { 'p:1': '1', 'p:2': '2', keep: '3' }
      await store.create(key, recordOf({ fields }))
      const [taken, replaced] = await Promise.all([
        turns(round % 5).then(async () => await store.take(key, 'p:')), store.replace(key, nextKey, replacementOf())
      ])
      const next = nextOf(replaced)?.fields ?? {}
      deepEqual([...Object.keys(taken), ...Object.keys(next)].sort(), Object.keys(fields).sort())
      deepEqual((await store.read(nextKey))?.fields, next)
    }
  })

  check('of a replacement and a removal at once, one gets the session', async (store) => {
    for (let round = 0; round < 20; round++) {
      const [key, nextKey] = [`key${round}`, `next${round}`]
      await store.create(key, recordOf({ user: 'Harry' }))
      const replace = async (): Promise<Replaced> => await store.replace(key, nextKey, replacementOf())
      const remove = async (): Promise<SessionRecord | null> => await store.remove(key)
      const calls = [
        async () => { await turns(round % 5); return await remove() },
        async () => { await turns(round % 3); return await replace() }
      ]
      const [one, other] = await Promise.all((round % 2 === 0 ? calls : calls.toReversed()).map(async (call) => await call()))
      const [last, replaced] = (round % 2 === 0 ? [one, other] : [other, one]) as [SessionRecord | null, Replaced]
      equal(replaced.outcome, last === null ? 'replaced' : 'gone')
      deepEqual((await living(store, [key, nextKey])).map(([key]) => key), last === null ? [nextKey] : [])
      deepEqual((await store.ofUser('Harry')).map(({ key }) => key), last === null ? [nextKey] : [])
      await store.remove(nextKey)
    }
  })

  check('removeOfUser ends a session that is replaced at once', async (store) => {
    for (let round = 0; round < 20; round++) {
      const keys = Array.from({ length: 10 }, (_, i) => `${round} ${i}`)
      await Promise.all(keys.map((key) => store.create(key, recordOf({ user: 'Harry' }))))
      const replacing = keys.map(async (key, i) => {
        await turns(i % 4)
        const { outcome } = await store.replace(key, `next ${key}`, replacementOf())
        if (outcome === 'replaced' && i % 2 === 0) await store.replace(`next ${key}`, `last ${key}`, replacementOf())
      })
      await Promise.all([turns(round % 8).then(async () => await store.removeOfUser('Harry')), ...replacing])
      deepEqual(await living(store, keys.flatMap((key) => [key, `next ${key}`, `last ${key}`])), [], `round ${round}`)
      deepEqual(await store.ofUser('Harry'), [])
    }
    equal(await store.count(), 0)
  })

  check('over the limit the oldest sessions end for a successor that becomes the user\'s', async (store) => {
    const told: string[] = []
    const limit = { perUser: 3, onEnded: (key: string) => { told.push(key) } }
    const login = async (key: string, nextKey: string, user: string, createdAt: number): Promise<Replaced> => await store.replace(key, nextKey,
      replacementOf({ user, createdAt: START + createdAt, seenAt: START + createdAt, permanent: false, expiresAt: START + HOUR + createdAt }), limit)
    for (const [i, key] of ['a', 'b', 'c'].entries()) await store.create(key, recordOf({ user: 'Harry', createdAt: START + i }))
    for (const [i, key] of ['s', 't'].entries()) await store.create(key, recordOf({ user: 'Sally', createdAt: START + i }))
    await store.create('of nobody', recordOf())
    nextOf(await login('of nobody', 'd', 'Harry', 10))
    deepEqual(told, ['a'])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['b', 'c', 'd'])
    equal(await store.create('a', recordOf({ user: 'Harry' })), false, 'for good')

    nextOf(await login('b', 'e', 'Sally', 11))
    deepEqual(told, ['a'], 'at the limit none does')
    deepEqual((await store.ofUser('Sally')).map(({ key }) => key), ['s', 't', 'e'])
    nextOf(await login('s', 'f', 'Harry', 12))
    deepEqual(told, ['a'], 'the predecessor counts for neither')
    nextOf(await login('t', 'g', 'Harry', 1))
    deepEqual(told, ['a', 'c'], 'the new one does not end, whatever its time')
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['g', 'd', 'f'])
    deepEqual((await store.ofUser('Sally')).map(({ key }) => key), ['e'])
  })

  check('no session ends for a successor of the same user', async (store) => {
    const told: string[] = []
    const limit = { perUser: 1, onEnded: (key: string) => { told.push(key) } }
    for (const [i, key] of ['a', 'b', 'c'].entries()) await store.create(key, recordOf({ user: 'Harry', createdAt: START + i }))
    nextOf(await store.replace('b', 'd', replacementOf(), limit))
    nextOf(await store.replace('d', 'e', replacementOf({ user: 'Harry', createdAt: START + 9, permanent: false }), limit))
    await store.create('of nobody', recordOf())
    nextOf(await store.replace('of nobody', 'still of nobody', replacementOf({ user: null }), limit))
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['a', 'c', 'e'])
  })

  check('however many become a user\'s at once, there are never more than the limit', async (store) => {
    const keys = Array.from({ length: 30 }, (_, i) => `key${i}`)
    const told: string[] = []
    const limit = { perUser: 4, onEnded: (key: string) => { told.push(key) } }
    await Promise.all(keys.map((key) => store.create(key, recordOf())))
    const answers = await Promise.all(keys.map(async (key, i) => {
      await turns(i % 10)
      return await store.replace(key, `next ${key}`, replacementOf({ user: 'Harry' }), limit)
    }))
    const begun = keys.filter((_, i) => answers[i]?.outcome === 'replaced').map((key) => `next ${key}`)
    const live = (await living(store, keys.map((key) => `next ${key}`))).map(([key]) => key)
    equal(live.length, 4)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), live.sort())
    // One may have ended in the middle of its beginning: then it was told of, or was refused.
    ok(live.every((key) => begun.includes(key)))
    deepEqual(begun.filter((key) => !live.includes(key) && !told.includes(key)), [])
    equal(new Set(told).size, told.length, 'each that has ended is told once')
  })
}

function sweepContract (check: Check): void {
  check('sweep drops what has expired, and nothing else', async (store, clock) => {
    await store.create('lives', recordOf({ user: 'Harry', expiresAt: START + 10 * HOUR }))
    await store.create('expires', recordOf({ user: 'Harry', expiresAt: START + 10 }))
    await store.create('touched', recordOf({ expiresAt: START + 10 }))
    await store.touch('touched', START + 5, START + HOUR)
    await store.create('patched', recordOf({ expiresAt: START + 10 }))
    await store.patch('patched', changesOf({ expiresAt: START + HOUR }))
    equal(await store.sweep(5), 0, 'nothing is due')
    clock.time = START + 20
    let dropped = 0
    const told: unknown[] = []
    for (let last = 1; last > 0; dropped += last) last = await store.sweep(5, (key, user) => { told.push([key, user]) })
    equal(dropped, 1)
    deepEqual(told, [['expires', 'Harry']], 'and tells which')
    equal(await store.count(), 3)
    for (const key of ['lives', 'touched', 'patched']) notEqual(await store.read(key), null, key)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['lives'])
    equal(await store.create('expires', recordOf()), true, 'the key of what expired may be used again')
  })

  check('sweep drops old tombstones', async (store, clock) => {
    await store.create('one', recordOf())
    await store.remove('one')
    equal(await store.sweep(5), 0, 'not a fresh one')
    clock.time = START + TOMBSTONE_MS + 1
    equal(await store.sweep(5), 1)
    equal(await store.sweep(5), 0)
    equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('sweep works in slices', async (store, clock) => {
    const keys = Array.from({ length: 1_000 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ expiresAt: START + 1 }))))
    clock.time = START + 2
    const slice = await store.sweep(0)
    ok(slice > 0 && slice < 1_000, `${slice} of 1000 expired records`)
    ok(await store.count() > 0)
    while (await store.sweep(0) > 0);
    equal(await store.count(), 0)

    await Promise.all(keys.map((key) => store.remove(key)))
    clock.time = START + 2 + TOMBSTONE_MS + 1
    const next = await store.sweep(0)
    ok(next > 0 && next < 1_000, `${next} of 1000 tombstones`)
    while (await store.sweep(0) > 0);
    equal(await store.create('key999', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('writes during a sweep are safe', async (store, clock) => {
    const keys = Array.from({ length: 300 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key, i) => store.create(key, recordOf({ expiresAt: START + (i % 2 === 0 ? 1 : HOUR) }))))
    clock.time = START + 2
    const sweeping = (async () => { while (await store.sweep(0) > 0) await new Promise((resolve) => { setImmediate(resolve) }) })()
    const writing = Promise.all(keys.map((key) => store.patch(key, changesOf({ set: { c: '3' } }))))
    await Promise.all([sweeping, writing])
    deepEqual(await writing, keys.map((_, i) => i % 2 === 1))
    equal(await store.count(), 150)
  })
}
