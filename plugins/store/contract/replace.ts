import assert, { deepEqual, equal } from 'node:assert/strict'
import type { SessionReplacement } from '../record.js'
import { TOMBSTONE_MS, type SessionStore } from '../sessions.js'
import { assertCount, assertIncludes, assertListed, nextOf, sweepAll } from './assertions.js'
import type { Check } from './checks.js'
import { HOUR, START, changesOf, deadKeys, limitOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of `replace`. */
export function replaceContract (check: Check<SessionStore>): void {
  check('a replaced session continues under the next key', async (store) => {
    const record = recordOf({ permanent: true, user: 'Harry', fields: { a: '1', b: '2', c: '3' } })
    await store.create('one', record)
    const change = replacementOf({ set: { b: '20', d: '4' }, remove: ['c', 'not there'], seenAt: START + 5, expiresAt: START + HOUR + 5 })
    const next = { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5, fields: { a: '1', b: '20', d: '4' } }
    deepEqual(await store.replace('one', 'two', change), { outcome: 'replaced', last: record, next })
    equal(await store.read('one'), null)
    deepEqual(await store.read('two'), next)
    await assertListed(store, 'Harry', ['two'])
    await assertCount(store, 1)
    deepEqual(await store.replace('two', 'three', replacementOf()), { outcome: 'replaced', last: next, next }, 'and so on')
    deepEqual(await store.read('three'), next)
  })

  check('replace keeps the named fields only', async (store) => {
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

  check('a session whose successor would have no field ends without a successor', async (store) => {
    const { limit, told } = limitOf(1)
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
    await assertListed(store, 'Harry', [])
    await assertListed(store, 'Sally', ['of another'])
    await assertCount(store, 1)
  })

  check('a replaced key is dead for good', async (store, clock) => {
    await store.create('one', recordOf({ user: 'Harry', expiresAt: START + 10 * HOUR }))
    await store.replace('one', 'two', replacementOf())
    for (const time of [START, START + TOMBSTONE_MS - 1]) {
      clock.time = time
      await sweepAll(store)
      equal(await store.create('one', recordOf({ user: 'Harry' })), false)
      equal(await store.patch('one', changesOf({ set: { c: '3' } })), false)
      equal(await store.touch('one', time, time + HOUR), false)
      deepEqual(await store.take?.('one', '') ?? {}, {})
      equal(await store.remove('one'), null)
      deepEqual(await store.replace('one', 'another', replacementOf()), { outcome: 'gone' })
      equal(await store.read('one'), null)
    }
    await assertListed(store, 'Harry', ['two'])
    deepEqual((await store.read('two'))?.fields, recordOf().fields)
  })

  check('replace of a missing, expired or removed session creates nothing', async (store, clock) => {
    const { limit, told } = limitOf(1)
    await store.create('of Harry', recordOf({ user: 'Harry' }))
    for (const key of await deadKeys(store, clock)) {
      const change = replacementOf({ set: { c: '3' }, user: 'Harry', permanent: true, expiresAt: START + 2 * HOUR })
      deepEqual(await store.replace(key, `after ${key}`, change, limit), { outcome: 'gone' }, key)
      for (const dead of [key, `after ${key}`]) equal(await store.read(dead), null, dead)
    }
    deepEqual(told, [])
    await assertListed(store, 'Harry', ['of Harry'])
  })

  check('replace refuses a next key that exists or has a tombstone, and changes nothing', async (store) => {
    const { limit, told } = limitOf(2)
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
      deepEqual(await store.replace('one', nextKey, change, limit), { outcome: 'refused' }, nextKey)
      deepEqual(await store.read('one'), record)
    }
    deepEqual(await store.read('exists'), other)
    for (const key of ['removed', 'never was', 'replaced']) equal(await store.read(key), null, key)
    deepEqual(told, [])
    await assertListed(store, 'Harry', ['one'])
    await assertListed(store, 'Sally', ['exists'])
    await assertCount(store, 3)
  })

  check('a successor that is too large changes nothing', async (store) => {
    const { limit, told } = limitOf(1)
    const record = recordOf({ fields: { a: '1', large: JSON.stringify('x'.repeat(3_000)) } })
    await store.create('one', record)
    await store.create('of Harry', recordOf({ user: 'Harry' }))
    await assert.rejects(async () => await store.replace('one', 'two',
      replacementOf({ set: { more: JSON.stringify('é'.repeat(600)) }, user: 'Harry', seenAt: START + 1 }), limit),
    { code: 'HATCHECK_SESSION_TOO_LARGE', statusCode: 413 })
    deepEqual(await store.read('one'), record)
    equal(await store.read('two'), null)
    deepEqual(told, [])
    await assertListed(store, 'Harry', ['of Harry'])
    await assertCount(store, 2)
    const next = nextOf(await store.replace('one', 'three', replacementOf({ keep: ['a'], set: { more: JSON.stringify('é'.repeat(600)) } })))
    equal(next?.fields['a'], '1', 'what the successor does not keep does not count')
  })

  check('a successor has the later of each time, and its predecessor\'s createdAt', async (store) => {
    await store.create('one', recordOf({ createdAt: START - 5, seenAt: START, permanent: true }))
    const later = await store.replace('one', 'two', replacementOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    assertIncludes(nextOf(later), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    const earlier = await store.replace('two', 'three', replacementOf({ seenAt: START - 10, expiresAt: START + 10 }))
    assertIncludes(nextOf(earlier), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    deepEqual(await store.read('three'), nextOf(earlier))
  })

  check('a successor takes the given expiry, permanence and createdAt', async (store, clock) => {
    await store.create('one', recordOf({ permanent: true, expiresAt: START + 10 * HOUR }))
    await store.replace('one', 'two', replacementOf({ permanent: false, expiresAt: START + HOUR }))
    assertIncludes(await store.read('two'), { createdAt: START, permanent: false, expiresAt: START + HOUR })
    const login = { createdAt: START + 20, seenAt: START + 20, permanent: true, expiresAt: START + HOUR / 2 }
    await store.replace('two', 'three', replacementOf({ ...login, user: 'Harry' }))
    assertIncludes(await store.read('three'), login)
    clock.time = START + HOUR / 2
    equal(await store.read('three'), null)
    await assertListed(store, 'Harry', [])
    deepEqual(await store.replace('three', 'four', replacementOf()), { outcome: 'gone' })
  })
}
