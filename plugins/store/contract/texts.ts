import { deepEqual, equal } from 'node:assert/strict'
import type { SessionStore } from '../sessions.js'
import { living } from './assertions.js'
import type { Check } from './checks.js'
import { HOUR, START, changesOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of keys, names and values: a store compares and returns them exactly, whichever call they come with. */
export function textsContract (check: Check<SessionStore>): void {
  check('keys are compared exactly', async (store) => {
    const long = 'k'.repeat(54)
    const keys = ['key', 'Key', 'key2', 'ke', 'k_y', 'k-y', 'key.', '-key', `${long}a`, `${long}b`]
    for (const key of keys) equal(await store.create(key, recordOf({ fields: { key: JSON.stringify(key) } })), true, key)
    for (const key of keys) deepEqual((await store.read(key))?.fields, { key: JSON.stringify(key) })
    for (const [i, key] of keys.entries()) {
      equal(await store.patch(key, changesOf({ set: { patched: JSON.stringify(key) } })), true, key)
      equal(await store.touch(key, START + i, START + HOUR + i), true, key)
    }
    for (const [i, key] of keys.entries()) {
      const text = JSON.stringify(key)
      deepEqual(await store.read(key), recordOf({ fields: { key: text, patched: text }, seenAt: START + i, expiresAt: START + HOUR + i }))
    }
    await store.remove('key')
    deepEqual((await living(store, keys)).map(([key]) => key), keys.slice(1))
  })

  check('keys and values of every kind are returned unchanged', async (store) => {
    const strings = ['', ' ', '0', '-1', 'null', 'undefined', 'length', 'hasOwnProperty', 'ключ', '鍵', '😀', 'a\u0000b', '\n\r\t', '"\'\\', '\u2028', '\uFEFF', '<script>', 'é'.normalize('NFD'), 'k'.repeat(400)]
    const fields = Object.fromEntries(strings.map((text) => [`x${text}`, JSON.stringify(`${text}\ud800`)]))
    await store.create('one', recordOf({ fields }))
    deepEqual((await store.read('one'))?.fields, fields)
    await store.replace('one', 'two', replacementOf({ keep: Object.keys(fields) }))
    deepEqual((await store.read('two'))?.fields, fields)
    await store.patch('two', changesOf({ remove: Object.keys(fields).slice(1) }))
    deepEqual(Object.keys((await store.read('two'))?.fields ?? {}), ['x'])
    await store.patch('two', changesOf({ set: fields }))
    deepEqual((await store.read('two'))?.fields, fields, 'also by patch')
    await store.create('four', recordOf({ fields: { x: '1' } }))
    await store.replace('four', 'five', replacementOf({ set: fields }))
    deepEqual((await store.read('five'))?.fields, fields, 'also by replace')
    if (store.take !== undefined) deepEqual(await store.take('five', 'x'), fields, 'also by take')

    const values = { name: '1', Name: '2', 'na.me': '3', $name: '4', 'name[0]': '5', ' name': '6', 'name ': '7', 10: '8', 9: '{"b":1,"a":[{"d":2,"c":3}]}' }
    await store.create('three', recordOf({ fields: values }))
    deepEqual((await store.read('three'))?.fields, values)
    await store.create('six', recordOf({ fields: { name: '0' } }))
    equal(await store.patch('six', changesOf({ set: values })), true)
    deepEqual((await store.read('six'))?.fields, values, 'also by patch')
    equal(await store.patch('three', changesOf({ set: { 'na.me': '30' }, remove: ['Name', '$name'] })), true)
    deepEqual((await store.read('three'))?.fields, { name: '1', 'na.me': '30', 'name[0]': '5', ' name': '6', 'name ': '7', 10: '8', 9: values[9] })
  })
}
