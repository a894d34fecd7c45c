import assert, { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { SessionTooLargeError } from '../errors.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import type { Replaced } from '../record.js'
import { living, nextOf, turns } from './assertions.js'
import type { CheckWith } from './checks.js'
import { HOUR, START, changesOf, limitOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of the limit of sessions per user. */
export function limitContract (checkWith: CheckWith): void {
  const check = checkWith('keepsLimit', 'ofUser')

  check('over the limit, create ends the user\'s oldest sessions', async (store) => {
    const { limit, told } = limitOf(3)
    const begin = (key: string, createdAt: number, user = 'Harry'): MaybePromise<boolean> => store.create(key, recordOf({ user, createdAt: START + createdAt, seenAt: START + 100 - createdAt }), limit)
    for (const [key, createdAt] of [['c', 30], ['z', 10], ['b', 20]] as const) equal(await begin(key, createdAt), true)
    deepEqual(told, [], 'at the limit none does')
    for (const key of ['d', 'e', 'f']) equal(await begin(`${key} of another`, 5, 'Sally'), true)
    const anonymous = Array.from({ length: 4 }, (_, i) => `anonymous ${i}`)
    for (const key of anonymous) await store.create(key, recordOf({ createdAt: START }), limit)
    equal(await begin('newest', 40), true)
    deepEqual(told, ['z'], 'neither the first one nor the first by its key')
    equal(await begin('newest, by an old time', 1), true)
    deepEqual(told, ['z', 'b'], 'not the new one, whatever its time')
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['newest, by an old time', 'c', 'newest'])
    equal(await store.create('z', recordOf({ user: 'Harry' })), false, 'for good')
    equal((await store.ofUser('Sally')).length, 3, 'others are left alone')
    equal((await living(store, anonymous)).length, 4)

    equal(await store.create('without a limit', recordOf({ user: 'Harry', createdAt: START + 50 })), true)
    equal((await store.ofUser('Harry')).length, 4)
    equal(await store.create('only', recordOf({ user: 'Harry', createdAt: START + 60 }), { perUser: 1 }), true)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['only'], 'all that is over it, and nobody needs to be told')
  })

  check('ended sessions and those of other users do not count for the limit', async (store, clock) => {
    const { limit, told } = limitOf(2)
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

  check('parallel logins of one user never exceed the limit by create', async (store) => {
    const keys = Array.from({ length: 50 }, (_, i) => `key${i}`)
    const { limit, told } = limitOf(5)
    const liveKeys = async (): Promise<string[]> => (await living(store, keys)).map(([key]) => key)
    const over = new AbortController()
    const looking = (async () => {
      let before: string[] = []
      while (!over.signal.aborted) {
        const now = await liveKeys()
        // One look takes time; but a session that lives in this and in the one before has lived at the moment between them.
        const together = now.filter((key) => before.includes(key))
        ok(together.length <= 5, `${together.length} at once`)
        before = now
        await turns(1)
      }
    })()
    const beginning = Promise.all(keys.map(async (key, i) => {
      await turns(i % 10)
      return await store.create(key, recordOf({ user: 'Harry' }), limit)
    }))
    const [answers] = await Promise.all([beginning.finally(() => { over.abort() }), looking])
    const live = await liveKeys()
    equal(live.length, 5)
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), live.sort())
    const begun = keys.filter((_, i) => answers[i])
    deepEqual(told.sort(), begun.filter((key) => !live.includes(key)).sort(), 'each that has ended is told once')
  })

  check('over the limit, a successor with a new user ends that user\'s oldest sessions', async (store) => {
    const { limit, told } = limitOf(3)
    const login = async (key: string, nextKey: string, user: string, createdAt: number): Promise<Replaced> => await store.replace(key, nextKey,
      replacementOf({ user, createdAt: START + createdAt, seenAt: START + createdAt, permanent: false, expiresAt: START + HOUR + createdAt }), limit)
    for (const [i, key] of ['a', 'b', 'c'].entries()) await store.create(key, recordOf({ user: 'Harry', createdAt: START + i }))
    for (const [i, key] of ['s', 't'].entries()) await store.create(key, recordOf({ user: 'Sally', createdAt: START + i }))
    await store.create('anonymous', recordOf())
    nextOf(await login('anonymous', 'd', 'Harry', 10))
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

  check('a successor of the same user ends no other session at the limit', async (store) => {
    const { limit, told } = limitOf(1)
    for (const [i, key] of ['a', 'b', 'c'].entries()) await store.create(key, recordOf({ user: 'Harry', createdAt: START + i }))
    nextOf(await store.replace('b', 'd', replacementOf(), limit))
    nextOf(await store.replace('d', 'e', replacementOf({ user: 'Harry', createdAt: START + 9, permanent: false }), limit))
    await store.create('anonymous', recordOf())
    nextOf(await store.replace('anonymous', 'still anonymous', replacementOf({ user: null }), limit))
    deepEqual(told, [])
    deepEqual((await store.ofUser('Harry')).map(({ key }) => key), ['a', 'c', 'e'])
  })

  check('parallel logins of one user never exceed the limit by replace', async (store) => {
    const keys = Array.from({ length: 30 }, (_, i) => `key${i}`)
    const { limit, told } = limitOf(4)
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
