import { deepEqual, equal } from 'node:assert/strict'
import { assertCount, living, nextOf, sweepAll, turns } from './assertions.js'
import type { CheckWith } from './checks.js'
import { HOUR, START, changesOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of `ofUser` and `removeOfUser`. */
export function userSessionsContract (checkWith: CheckWith, sweeps: boolean): void {
  const checkList = checkWith('ofUser')
  const checkEnds = checkWith('ofUser', 'removeOfUser')

  checkList('the sessions of a user are listed oldest first', async (store, clock) => {
    for (const [key, createdAt] of [['c', 30], ['a', 10], ['b', 20]] as const) {
      await store.create(key, recordOf({ createdAt: START + createdAt, seenAt: START + 100 - createdAt, user: 'Harry', fields: { key: JSON.stringify(key) } }))
    }
    await store.create('expiring', recordOf({ user: 'Harry', createdAt: START, expiresAt: START + 1 }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    await store.create('anonymous', recordOf())
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['expiring', 'a', 'b', 'c'])
    clock.time = START + 1
    const sessions = await store.ofUser('Harry')
    deepEqual(sessions.map(({ key }) => key), ['a', 'b', 'c'], 'the live ones')
    deepEqual(sessions[0]?.record, await store.read('a'))
    deepEqual(await store.ofUser('Nobody'), [])

    const before = structuredClone(sessions)
    await store.patch('a', changesOf({ set: { key: '"changed"' } }))
    await store.touch('b', START + 200, START + 2 * HOUR)
    deepEqual(sessions, before, 'no listed record is a live object')
    const records = await Promise.all(['a', 'b', 'c'].map((key) => store.read(key)))
    deepEqual((await store.ofUser('Harry')).map(({ record }) => record), records, 'and each is listed as it is now')
  })

  checkEnds('user names are compared exactly', async (store) => {
    const long = 'N'.repeat(300)
    const names = ['Harry', 'harry', 'Harry ', 'Harr', 'Harry2', 'Zoë', 'Zoë'.normalize('NFD'), '王小明', '😀', '__proto__', 'constructor', '1', 'Harry\0a b', 'Harry\0a c', 'Harr_', 'Harr%', `${long}a`, `${long}b`, `${'字'.repeat(256)}a`, `${'字'.repeat(256)}b`]
    for (const name of names) equal(await store.create(`of ${names.indexOf(name)}`, recordOf({ user: name })), true, name.slice(0, 20))
    for (const name of names) deepEqual((await store.ofUser(name)).map(({ record }) => record.user), [name], name.slice(0, 20))
    for (const name of names) {
      equal(await store.removeOfUser(name), 1)
      deepEqual(await store.ofUser(name), [])
    }
    await assertCount(store, 0)
  })

  checkList('the index follows a change of the user', async (store) => {
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

  checkEnds('the index follows a replaced session', async (store) => {
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
    await assertCount(store, 0)
  })

  checkEnds('removeOfUser ends every session of the user but the exception', async (store, clock) => {
    for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ user: 'Harry' }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    await store.create('expired', recordOf({ user: 'Harry', expiresAt: START + 1 }))
    clock.time = START + 1
    const told: string[] = []
    equal(await store.removeOfUser('Harry', 'b', (key) => { told.push(key) }), 2)
    deepEqual(told.sort(), ['a', 'c'], 'and tells which')
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['b'])
    equal(await store.create('a', recordOf({ user: 'Harry' })), false, 'for good')
    equal(await store.removeOfUser('Harry', 'of another'), 1)
    equal(await store.removeOfUser('Harry'), 0)
    equal((await store.ofUser('Sally')).length, 1)
    await sweepAll(store)
    if (sweeps) await assertCount(store, 1)
  })

  checkEnds('removeOfUser ends a great many sessions', async (store) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.create(`key${i}`, recordOf({ user: 'Harry' }))))
    equal((await store.ofUser('Harry')).length, 300, 'and ofUser lists them')
    const told: string[] = []
    const tell = (key: string): void => { told.push(key) }
    const answers = await Promise.all([store.removeOfUser('Harry', undefined, tell), store.removeOfUser('Harry', undefined, tell)])
    equal(answers[0] + answers[1], 300, 'each once')
    equal(new Set(told).size, 300)
    equal(told.length, 300, 'and each is told once')
    await assertCount(store, 0)
  })

  checkEnds('removeOfUser ends a session that is replaced at once', async (store) => {
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
    await assertCount(store, 0)
  })
}
