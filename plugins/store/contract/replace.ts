import assert, { deepEqual, equal } from 'node:assert/strict'
import type { Replaced, SessionRecord, SessionReplacement } from '../record.js'
import { TOMBSTONE_MS, type SessionStore } from '../sessions.js'
import { assertCount, assertIncludes, assertListed, living, nextOf, sweepAll, turns } from './assertions.js'
import type { Check } from './checks.js'
import { HOUR, START, changesOf, recordOf, replacementOf } from './fixtures.js'

/** The contract of `replace`. */
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
    await assertListed(store, 'Harry', ['of Harry'])
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
    await assertListed(store, 'Harry', ['one'])
    await assertListed(store, 'Sally', ['exists'])
    await assertCount(store, 3)
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
    await assertListed(store, 'Harry', ['of Harry'])
    await assertCount(store, 2)
    const next = nextOf(await store.replace('one', 'three', replacementOf({ keep: ['a'], set: { more: JSON.stringify('é'.repeat(600)) } })))
    equal(next?.fields['a'], '1', 'what does not go along does not count')
  })

  check('a successor has the later of each time, and the beginning of its predecessor', async (store) => {
    await store.create('one', recordOf({ createdAt: START - 5, seenAt: START, permanent: true }))
    const later = await store.replace('one', 'two', replacementOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    assertIncludes(nextOf(later), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    const earlier = await store.replace('two', 'three', replacementOf({ seenAt: START - 10, expiresAt: START + 10 }))
    assertIncludes(nextOf(earlier), { createdAt: START - 5, seenAt: START + 10, expiresAt: START + HOUR + 10, permanent: true })
    deepEqual(await store.read('three'), nextOf(earlier))
  })

  check('a successor takes the given expiry with a given permanence, and the given beginning', async (store, clock) => {
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

  check('of many that replace one session at once, one does', async (store) => {
    const keys = Array.from({ length: 50 }, (_, i) => `next${i}`)
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    const answers = await Promise.all(keys.map((key, i) => store.replace('one', key, replacementOf({ set: { i: String(i) } }))))
    const won = answers.findIndex(({ outcome }) => outcome === 'replaced')
    const next = { ...record, fields: { ...record.fields, i: String(won) } }
    deepEqual(answers, answers.map((_, i) => i === won ? { outcome: 'replaced', last: record, next } : { outcome: 'gone' }))
    deepEqual(await living(store, ['one', ...keys]), [[keys[won], next]])
    await assertListed(store, 'Harry', [keys[won] as string])
    await assertCount(store, 1)

    const same = await Promise.all(keys.map(() => store.replace(keys[won] as string, 'the same', replacementOf())))
    equal(same.filter(({ outcome }) => outcome === 'replaced').length, 1, 'also with the same next key')
    await assertListed(store, 'Harry', ['the same'])
  })

  check('many sessions are replaced at once, each by its own', async (store) => {
    const keys = Array.from({ length: 100 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ user: 'Harry', fields: { key: JSON.stringify(key) } }))))
    const answers = await Promise.all(keys.map((key) => store.replace(key, `next ${key}`, replacementOf())))
    deepEqual(answers.map((answer) => nextOf(answer)?.fields['key']), keys.map((key) => JSON.stringify(key)))
    if (store.ofUser !== undefined) deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), keys.map((key) => `next ${key}`).sort())
    await assertCount(store, 100)
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
      assertIncludes(next, {
        seenAt: touches ? START + 7 : START,
        permanent: !becomes,
        user: becomes ? `user${round}` : null,
        ...becomes && !touches && { expiresAt: START + 2 * HOUR }
      })
      deepEqual(await store.read(nextKey), next)
      await assertListed(store, `user${round}`, becomes ? [nextKey] : [])
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
      await assertListed(store, 'Harry', last === null ? [nextKey] : [])
      await store.remove(nextKey)
    }
  })
}
