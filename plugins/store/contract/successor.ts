import { equal, notEqual } from 'node:assert/strict'
import { TOMBSTONE_MS } from '../sessions.js'
import { sweepAll } from './assertions.js'
import type { CheckWith } from './checks.js'
import { START, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of `successor`. */
export function successorContract (checkWith: CheckWith): void {
  const check = checkWith('successor')

  check('successor returns the key of a renewed session, and null for any other end', async (store, clock) => {
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
    equal(await store.successor('renewed'), 'next', 'even when that has ended')
    clock.time = START + TOMBSTONE_MS - 1
    await sweepAll(store)
    equal(await store.successor('renewed'), 'next', 'as long as a request may take')
    clock.time = START + TOMBSTONE_MS
    equal(await store.successor('renewed'), null, 'and no longer')
  })

  check('remove records the key under which the session continues', async (store) => {
    await store.create('one', recordOf())
    notEqual(await store.remove('one', 'two'), null)
    equal(await store.successor('one'), 'two')
    equal(await store.remove('never was', 'three'), null)
  })
}
