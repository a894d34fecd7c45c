import assert, { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { SessionTooLargeError } from '../errors.js'
import { sizeOf } from '../record.js'
import { TOMBSTONE_MS, type SessionStore } from '../sessions.js'
import { assertCount, assertIncludes, assertListed, living, sweepAll, turns } from './assertions.js'
import type { Check } from './checks.js'
import { HOUR, START, changesOf, deadKeys, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of the core of the contract, but `replace`. */
export function coreContract (check: Check<SessionStore>, sweeps: boolean): void {
  check('read returns the created record', async (store) => {
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

  check('a session lives as long as its record says', async (store, clock) => {
    const end = START + 400 * 24 * HOUR
    await store.create('created', recordOf({ expiresAt: end }))
    for (const key of ['patched', 'touched']) await store.create(key, recordOf())
    await store.patch('patched', changesOf({ expiresAt: end }))
    await store.touch('touched', START, end)
    for (const time of [START, end - 1, end]) {
      clock.time = time
      await sweepAll(store)
      for (const key of ['created', 'patched', 'touched']) equal(await store.read(key) !== null, time < end, key)
    }
  })

  check('sync tells whether the store answers without a promise', async (store) => {
    await store.create('one', recordOf())
    equal(store.read('one') instanceof Promise, !store.sync)
    equal(store.read('none') instanceof Promise, !store.sync)
  })

  check('create only inserts', async (store) => {
    equal(await store.create('one', recordOf({ fields: { first: '1' } })), true)
    equal(await store.create('one', recordOf({ user: 'Mallory', fields: { second: '2' } })), false)
    deepEqual((await store.read('one'))?.fields, { first: '1' })
    await assertListed(store, 'Mallory', [])
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create('many', recordOf({ fields: { i: String(i) } }))))
    equal(answers.filter(Boolean).length, 1)
    equal((await store.read('many'))?.fields['i'], String(answers.indexOf(true)))
    await assertCount(store, 2)
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
    await sweepAll(store)
    equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), false, 'as long as a request may take')
    await assertListed(store, 'Harry', [])
    await assertCount(store, 0)
  })

  check('create refuses a record that is too large', async (store) => {
    await assert.rejects(async () => await store.create('one', recordOf({ fields: { a: JSON.stringify('x'.repeat(5_000)) } })), SessionTooLargeError)
    equal(await store.read('one'), null)
    await assertCount(store, 0)
  })

  check('patch changes its own fields only', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry', fields: { a: '1', b: '2', c: '3' } })
    const patched = { ...record, fields: { a: '1', b: '20', d: '4' } }
    await store.create('one', record)
    equal(await store.patch('one', changesOf({ set: { b: '20', d: '4', e: '5' }, remove: ['c', 'e', 'not there'] })), true)
    deepEqual(await store.read('one'), patched)
    equal(await store.patch('one', changesOf({ set: { b: '20' } })), true, 'even if nothing changes')
    deepEqual(await store.read('one'), patched)
    equal(await store.patch('one', changesOf({ remove: ['a', 'b', 'd'] })), true)
    deepEqual(await store.read('one'), { ...record, fields: {} }, 'down to none')
  })

  check('parallel patches of different fields all survive', async (store) => {
    await store.create('one', recordOf({ fields: { gone: '0' } }))
    const keys = Array.from({ length: 50 }, (_, i) => `field${i}`)
    const answers = await Promise.all(keys.map((key, i) => store.patch('one', changesOf({ set: { [key]: String(i) }, remove: i === 7 ? ['gone'] : [] }))))
    ok(answers.every(Boolean))
    deepEqual((await store.read('one'))?.fields, Object.fromEntries(keys.map((key, i) => [key, String(i)])))
  })

  check('patch never creates', async (store, clock) => {
    for (const key of await deadKeys(store, clock)) {
      equal(await store.patch(key, changesOf({ set: { a: '1' }, user: 'Harry', expiresAt: START + 2 * HOUR })), false, key)
      equal(await store.read(key), null)
    }
    await assertListed(store, 'Harry', [])
  })

  check('patch keeps the later of each time', async (store) => {
    await store.create('one', recordOf())
    await store.patch('one', changesOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    assertIncludes(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
    await store.patch('one', changesOf({ seenAt: START - 10, expiresAt: START + 10 }))
    assertIncludes(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
  })

  check('patch takes the given expiry if it sets permanent', async (store, clock) => {
    await store.create('one', recordOf({ permanent: true, expiresAt: START + 10 * HOUR }))
    for (const change of [{ permanent: true, expiresAt: START + 5 * HOUR }, { permanent: false, expiresAt: START + HOUR }]) {
      await store.patch('one', changesOf(change))
      assertIncludes(await store.read('one'), change)
    }
    clock.time = START + HOUR
    equal(await store.read('one'), null)
    await sweepAll(store)
    if (sweeps) await assertCount(store, 0, 'the sweep goes by the new expiry')
  })

  check('a patch that makes the record too large changes nothing', async (store) => {
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    await assert.rejects(
      async () => await store.patch('one', changesOf({ set: { a: '2', big: JSON.stringify('x'.repeat(5_000)) }, seenAt: START + 1, expiresAt: START + 2 * HOUR, user: null })),
      { code: 'HATCHECK_SESSION_TOO_LARGE', statusCode: 413 }
    )
    deepEqual(await store.read('one'), record)
    await assertListed(store, 'Harry', ['one'])
  })

  check('parallel patches cannot together exceed the size limit', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 },
      async (_, i) => await store.patch('one', changesOf({ set: { [`field${i}`]: JSON.stringify('é'.repeat(150)) } }))))
    const fields = (await store.read('one'))?.fields ?? {}
    ok(sizeOf(fields) <= 1_000)
    const written = outcomes.filter(({ status }) => status === 'fulfilled').length
    equal(Object.keys(fields).length, written)
    ok(written > 0 && written < 20)
    for (const outcome of outcomes) if (outcome.status === 'rejected') assertIncludes(outcome.reason, { code: 'HATCHECK_SESSION_TOO_LARGE' })
  }, 1_000)

  check('touch never creates', async (store, clock) => {
    for (const key of await deadKeys(store, clock)) {
      equal(await store.touch(key, START, START + 2 * HOUR), false, key)
      equal(await store.read(key), null)
    }
  })

  check('touch moves both times forward only, and changes nothing else', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry' })
    await store.create('one', record)
    equal(await store.touch('one', START + 5, START + HOUR + 5), true)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    equal(await store.touch('one', START, START + 1), true)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    await store.touch('one', START + 6, START + 1)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 6, expiresAt: START + HOUR + 5 }, 'each clock for itself')
    await store.touch('one', START, START + HOUR + 6)
    deepEqual(await store.read('one'), { ...record, seenAt: START + 6, expiresAt: START + HOUR + 6 })
  })

  check('parallel touches and patches lose nothing', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    await Promise.all(Array.from({ length: 60 }, (_, i) => i % 2 === 0
      ? store.touch('one', START + i, START + HOUR + i)
      : store.patch('one', changesOf({ set: { [`field${i}`]: '1' } }))))
    const record = await store.read('one')
    equal(Object.keys(record?.fields ?? {}).length, 30)
    assertIncludes(record, { seenAt: START + 58, expiresAt: START + HOUR + 58 })
  })

  check('remove returns the last record, once', async (store) => {
    await store.create('one', recordOf({ user: 'Harry', fields: { a: '1' } }))
    await store.patch('one', changesOf({ set: { b: '2' } }))
    const last = await store.read('one')
    const answers = await Promise.all(Array.from({ length: 50 }, () => store.remove('one')))
    deepEqual(answers.filter((answer) => answer !== null), [last])
    deepEqual(last?.fields, { a: '1', b: '2' })
    equal(await store.remove('one'), null, 'and is idempotent')
    equal(await store.remove('never was'), null)
    await assertCount(store, 0)
    await assertListed(store, 'Harry', [])
  })

  check('remove of an expired session returns null', async (store, clock) => {
    await store.create('one', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    equal(await store.remove('one'), null)
    await assertCount(store, 0)
  })

  check('a patch during a removal is in the record that remove returns, or is refused', async (store) => {
    await store.create('one', recordOf({ fields: {} }))
    const patchAt = (i: number): Promise<boolean> => Promise.resolve(store.patch('one', changesOf({ set: { [`field${i}`]: '1' } })))
    const before = Array.from({ length: 25 }, (_, i) => patchAt(i))
    const removing = Promise.resolve(store.remove('one'))
    const after = Array.from({ length: 25 }, (_, i) => patchAt(25 + i))
    const answers = await Promise.all([...before, ...after])
    // A database may carry out simultaneous calls in any order.
    deepEqual(Object.keys((await removing)?.fields ?? {}).sort(), answers.flatMap((answer, i) => answer ? [`field${i}`] : []).sort())
    equal(await store.read('one'), null)
  })

  check('no write that is under way brings back a session that ends', async (store) => {
    const { removeOfUser, keepsLimit = false } = store
    const ends: Array<(key: string, user: string) => MaybePromise<unknown>> = [
      (key) => store.remove(key),
      (key) => store.replace(key, `after ${key}`, replacementOf()),
      ...removeOfUser === undefined ? [] : [(_: string, user: string) => removeOfUser.call(store, user)],
      ...keepsLimit ? [(key: string, user: string) => store.create(`instead of ${key}`, recordOf({ user }), { perUser: 1 })] : []
    ]
    const keys = await Promise.all(ends.flatMap((end, i) => Array.from({ length: 16 }, async (_, round) => {
      const [key, user] = [`key ${i} ${round}`, `user ${i} ${round}`]
      await store.create(key, recordOf({ user }))
      await Promise.all([
        turns(round % 4).then(async () => await end(key, user)),
        turns(round >> 2).then(async () => await Promise.all([
          store.patch(key, changesOf({ set: { a: '2' } })), store.touch(key, START + 1, START + 2 * HOUR), store.take?.(key, 'b')
        ]))
      ])
      return key
    })))
    deepEqual(await living(store, keys), [])
  })

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
}
