import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { TOMBSTONE_MS } from '../sessions.js'
import { assertCount, assertListed, sweepAll } from './assertions.js'
import type { CheckWith } from './checks.js'
import { HOUR, START, changesOf, recordOf } from './sample-records.js'

/** Defines the checks of `count`. */
export function countContract (checkWith: CheckWith, sweeps: boolean): void {
  const check = checkWith('count')

  check('count returns the live records and the expired ones that are not swept yet', async (store, clock) => {
    equal(await store.count(), 0)
    await store.create('one', recordOf())
    await store.create('two', recordOf({ expiresAt: START + 1 }))
    equal(await store.count(), 2)
    clock.time = START + 2
    equal(await store.count(), 2)
    await sweepAll(store)
    if (sweeps) equal(await store.count(), 1)
  })
}

/** Defines the checks of `sweep`. */
export function sweepContract (checkWith: CheckWith): void {
  const check = checkWith('sweep')

  check('sweep drops expired records, and no others', async (store, clock) => {
    await store.create('lives', recordOf({ user: 'Harry', expiresAt: START + 10 * HOUR }))
    await store.create('expires', recordOf({ user: 'Harry', expiresAt: START + 10 }))
    await store.create('anonymous', recordOf({ expiresAt: START + 11 }))
    await store.create('touched', recordOf({ expiresAt: START + 10 }))
    await store.touch('touched', START + 5, START + HOUR)
    await store.create('patched', recordOf({ expiresAt: START + 10 }))
    await store.patch('patched', changesOf({ expiresAt: START + HOUR }))
    equal(await store.sweep(5), 0, 'nothing is due')
    clock.time = START + 20
    let dropped = 0
    const told: Array<[string, string | null]> = []
    for (let last = 1; last > 0; dropped += last) last = await store.sweep(5, (key, user) => { told.push([key, user]) })
    equal(dropped, 2)
    deepEqual(told.sort(([a], [b]) => a < b ? -1 : 1), [['anonymous', null], ['expires', 'Harry']], 'and tells which')
    await assertCount(store, 3)
    for (const key of ['lives', 'touched', 'patched']) notEqual(await store.read(key), null, key)
    await assertListed(store, 'Harry', ['lives'])
    equal(await store.create('expires', recordOf()), true, 'the key of what expired may be used again')
  })

  check('sweep drops old tombstones', async (store, clock) => {
    await store.create('one', recordOf())
    await store.remove('one')
    equal(await store.sweep(5), 0, 'not a fresh one')
    clock.time = START + TOMBSTONE_MS + 1
    const told: string[] = []
    equal(await store.sweep(5, (key) => { told.push(key) }), 1)
    equal(await store.sweep(5), 0)
    deepEqual(told, [], 'and tells of none: its session has not expired')
    equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('sweep works in slices', async (store, clock) => {
    const keys = Array.from({ length: 1_000 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ expiresAt: START + 1 }))))
    clock.time = START + 2
    const slice = await store.sweep(0)
    ok(slice > 0 && slice < 1_000, `${slice} of 1000 expired records`)
    ok(await store.count?.() !== 0)
    while (await store.sweep(0) > 0);
    await assertCount(store, 0)

    await Promise.all(keys.map((key) => store.remove(key)))
    clock.time = START + 2 + TOMBSTONE_MS + 1
    const next = await store.sweep(0)
    ok(next > 0 && next < 1_000, `${next} of 1000 tombstones`)
    while (await store.sweep(0) > 0);
    equal(await store.create('key999', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('a write during a sweep is kept', async (store, clock) => {
    const keys = Array.from({ length: 300 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key, i) => store.create(key, recordOf({ expiresAt: START + (i % 2 === 0 ? 1 : HOUR) }))))
    clock.time = START + 2
    const sweeping = (async () => { while (await store.sweep(0) > 0) await new Promise((resolve) => { setImmediate(resolve) }) })()
    const writing = Promise.all(keys.map((key) => store.patch(key, changesOf({ set: { c: '3' } }))))
    await Promise.all([sweeping, writing])
    deepEqual(await writing, keys.map((_, i) => i % 2 === 1))
    await assertCount(store, 150)
  })
}
