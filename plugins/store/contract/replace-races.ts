import { deepEqual, equal } from 'node:assert/strict'
import { successorOf, type Replaced, type SessionRecord, type SessionReplacement } from '../record.js'
import type { SessionStore } from '../sessions.js'
import { assertCount, assertIncludes, assertListed, living, nextOf, turns } from './assertions.js'
import type { Check } from './checks.js'
import { HOUR, START, changesOf, recordOf, replacementOf } from './sample-records.js'

/** Defines the checks of `replace` beside other calls for the same session. */
export function replaceRacesContract (check: Check<SessionStore>): void {
  check('of parallel replacements of one session, exactly one succeeds', async (store) => {
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

  check('parallel replacements of different sessions do not mix', async (store) => {
    const keys = Array.from({ length: 100 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ user: 'Harry', fields: { key: JSON.stringify(key) } }))))
    const answers = await Promise.all(keys.map((key) => store.replace(key, `next ${key}`, replacementOf())))
    deepEqual(answers.map((answer) => nextOf(answer)?.fields['key']), keys.map((key) => JSON.stringify(key)))
    if (store.ofUser !== undefined) deepEqual((await store.ofUser('Harry')).map(({ key }) => key).sort(), keys.map((key) => `next ${key}`).sort())
    await assertCount(store, 100)
  })

  check('parallel replacements by each other\'s keys terminate', async (store) => {
    for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ fields: { key: JSON.stringify(key) } }))
    const crossed = await Promise.all([store.replace('a', 'b', replacementOf()), store.replace('b', 'a', replacementOf())])
    deepEqual(crossed, [{ outcome: 'refused' }, { outcome: 'refused' }])
    const chained = await Promise.all([store.replace('a', 'b', replacementOf()), store.replace('b', 'c', replacementOf()), store.replace('c', 'd', replacementOf())])
    deepEqual(chained.map(({ outcome }) => outcome), ['refused', 'refused', 'replaced'])
    deepEqual((await living(store, ['a', 'b', 'c', 'd'])).map(([key, { fields }]) => [key, fields['key']]), [['a', '"a"'], ['b', '"b"'], ['d', '"c"']])
  })

  check('a patch during a replacement is in the successor, or is refused', async (store) => {
    for (const kept of ['all', ['kept', ...Array.from({ length: 20 }, (_, i) => `field${i}`)]] as const) {
      const [key, nextKey] = [`of ${kept.length}`, `after ${kept.length}`]
      await store.create(key, recordOf({ fields: { own: '0', removed: '0', kept: '0', goes: '0' } }))
      const patchAt = async (i: number): Promise<boolean> => await store.patch(key, changesOf({
        // What the replacement itself sets and removes is its own, whatever the others write.
        set: { [`field${i}`]: '1', own: String(i), removed: String(i) }, remove: i === 3 ? ['goes'] : [], seenAt: START + i
      }))
      const before = Array.from({ length: 10 }, (_, i) => patchAt(i))
      const change = replacementOf({ keep: kept, set: { own: '"mine"' }, remove: ['removed'] })
      const replacing = Promise.resolve(store.replace(key, nextKey, change))
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
      assertFromLast(replaced, change)
      deepEqual(await store.read(nextKey), next)
      equal(await store.read(key), null)
    }
  })

  check('a change of any kind during a replacement is in the successor, or is refused', async (store) => {
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
      assertFromLast(replaced, replacementOf())
      deepEqual(await store.read(nextKey), next)
      await assertListed(store, `user${round}`, becomes ? [nextKey] : [])
    }
  })

  check('of a parallel replacement and removal, exactly one gets the session', async (store) => {
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

/** Asserts that the answer has the last record, from which the successor was made. */
function assertFromLast (replaced: Replaced, change: SessionReplacement): void {
  deepEqual(nextOf(replaced), replaced.outcome === 'replaced' && successorOf(replaced.last, change))
}
