import { deepEqual, equal } from 'node:assert/strict'
import { assertListed, nextOf, turns } from './assertions.js'
import type { CheckWith } from './checks.js'
import { START, changesOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of `take`. */
export function takeContract (checkWith: CheckWith): void {
  const check = checkWith('take')

  check('take removes the fields with a prefix and returns them', async (store) => {
    const fields = { 'p:1': '"one"', 'p:2': '{"two":2}', p: '1', 'q:1': '3', 'other p:1': '4' }
    await store.create('one', recordOf({ fields, user: 'Harry' }))
    const before = await store.read('one')
    deepEqual(await store.take('one', 'p:'), { 'p:1': '"one"', 'p:2': '{"two":2}' })
    deepEqual(await store.read('one'), { ...before, fields: { p: '1', 'q:1': '3', 'other p:1': '4' } }, 'nothing else is changed')
    deepEqual(await store.take('one', 'p:'), {})
    deepEqual(await store.take('one', 'none of these'), {})
    await assertListed(store, 'Harry', ['one'])
    deepEqual(await store.take('one', ''), { p: '1', 'q:1': '3', 'other p:1': '4' })
    deepEqual(await store.read('one'), { ...before, fields: {} }, 'down to none')
  })

  check('take compares the prefix exactly', async (store) => {
    for (const sign of ['_', '%', '.', '*', '?', '[', '\\', '$']) {
      const rest = { 'px:1': '1', 'p:1': '2', [`P${sign}1`]: '3', [`1p${sign}`]: '4' }
      await store.create(sign, recordOf({ fields: { [`p${sign}1`]: '5', ...rest } }))
      deepEqual(await store.take(sign, `p${sign}`), { [`p${sign}1`]: '5' })
      deepEqual((await store.read(sign))?.fields, rest)
    }
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

  check('of parallel takes, exactly one gets each field', async (store) => {
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

  check('of a parallel replacement and takes, each field goes to exactly one', async (store) => {
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
}
