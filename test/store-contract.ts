import type { Test } from 'tap'
import { SessionTooLargeError } from '../plugins/session/errors.js'
import { TOMBSTONE_MS, sizeOf, type SessionChanges, type SessionRecord, type SessionStore, type StoreOptions } from '../plugins/session/store.js'

/** Opens an empty store for one test, and closes it with the test. */
export type OpenStore = (t: Test, options: StoreOptions) => SessionStore | Promise<SessionStore>

const START = 1_800_000_000_000
const HOUR = 3_600_000

export function recordOf (values: Partial<SessionRecord> = {}): SessionRecord {
  return { createdAt: START, seenAt: START, expiresAt: START + HOUR, permanent: false, user: null, fields: { a: '1', b: '"two"' }, ...values }
}

export function changesOf (values: Partial<SessionChanges> = {}): SessionChanges {
  return { set: {}, remove: [], seenAt: START, expiresAt: START + HOUR, ...values }
}

/**
 * Every sentence of plugins/session/store.ts, as a test.
 *
 * @param sweeps false for a store that forgets what has expired by itself, some time after it: `sweep` has nothing to do
 * there, and when a record is no longer held is that store's own business.
 */
export function storeContract (t: Test, open: OpenStore, { sweeps = true } = {}): void {
  const check: Check = (sentence, run, maxBytes = 4_096) => {
    t.test(sentence, async (t) => {
      const clock = { time: START }
      await run(t, await open(t, { now: () => clock.time, maxBytes }), clock)
    })
  }

  check('what was created is read', async (t, store) => {
    const record = recordOf({ permanent: true, user: 'Harry', fields: { a: '1', nested: '{"x":[1,2,{"y":null}]}', empty: '""' } })
    t.equal(await store.create('one', record), true)
    t.strictSame(await store.read('one'), record)
    t.strictSame(await store.read('one'), record, 'again')
  })

  check('missing, expired and removed all read as null', async (t, store, clock) => {
    t.equal(await store.read('never was'), null)
    await store.create('expires', recordOf({ expiresAt: START + 1_000 }))
    await store.create('removed', recordOf())
    await store.remove('removed')
    t.equal(await store.read('removed'), null)
    clock.time = START + 999
    t.not(await store.read('expires'), null, 'a moment before')
    clock.time = START + 1_000
    t.equal(await store.read('expires'), null, 'at the moment')
    clock.time = START + HOUR
    t.equal(await store.read('expires'), null, 'long after')
  })

  check('an answer says at once whether the store is sync', async (t, store) => {
    await store.create('one', recordOf())
    t.equal(store.read('one') instanceof Promise, !store.sync)
    t.equal(store.read('none') instanceof Promise, !store.sync)
  })

  check('create only inserts', async (t, store) => {
    t.equal(await store.create('one', recordOf({ fields: { first: '1' } })), true)
    t.equal(await store.create('one', recordOf({ user: 'Mallory', fields: { second: '2' } })), false)
    t.strictSame((await store.read('one'))?.fields, { first: '1' })
    t.strictSame(await store.ofUser('Mallory'), [])
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create('many', recordOf({ fields: { i: String(i) } }))))
    t.equal(answers.filter(Boolean).length, 1)
    t.equal((await store.read('many'))?.fields['i'], String(answers.indexOf(true)))
    t.equal(await store.count(), 2)
  })

  check('create does not bring back a removed key', async (t, store, clock) => {
    await store.create('one', recordOf())
    await store.remove('one')
    await store.remove('never was')
    for (const key of ['one', 'never was']) {
      t.equal(await store.create(key, recordOf({ user: 'Harry' })), false)
      t.equal(await store.read(key), null)
    }
    clock.time = START + TOMBSTONE_MS - 1
    while (await store.sweep(5) > 0);
    t.equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), false, 'as long as a request may take')
    t.strictSame(await store.ofUser('Harry'), [])
    t.equal(await store.count(), 0)
  })

  check('create refuses what is too large', async (t, store) => {
    await t.rejects(async () => await store.create('one', recordOf({ fields: { a: JSON.stringify('x'.repeat(5_000)) } })), SessionTooLargeError)
    t.equal(await store.read('one'), null)
    t.equal(await store.count(), 0)
  })

  check('patch sets and removes its own fields only', async (t, store) => {
    await store.create('one', recordOf({ fields: { a: '1', b: '2', c: '3' } }))
    t.equal(await store.patch('one', changesOf({ set: { b: '20', d: '4' }, remove: ['c', 'not there'] })), true)
    t.strictSame((await store.read('one'))?.fields, { a: '1', b: '20', d: '4' })
    t.equal(await store.patch('one', changesOf({ remove: ['a', 'b', 'd'] })), true)
    t.strictSame((await store.read('one'))?.fields, {}, 'down to none')
  })

  check('patches of different fields at once all survive', async (t, store) => {
    await store.create('one', recordOf({ fields: { gone: '0' } }))
    const keys = Array.from({ length: 50 }, (_, i) => `field${i}`)
    const answers = await Promise.all(keys.map((key, i) => store.patch('one', changesOf({ set: { [key]: String(i) }, remove: i === 7 ? ['gone'] : [] }))))
    t.ok(answers.every(Boolean))
    t.strictSame((await store.read('one'))?.fields, Object.fromEntries(keys.map((key, i) => [key, String(i)])))
  })

  check('patch never creates', async (t, store, clock) => {
    await store.create('removed', recordOf())
    await store.remove('removed')
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    for (const key of ['never was', 'removed', 'expired']) {
      t.equal(await store.patch(key, changesOf({ set: { a: '1' }, user: 'Harry', expiresAt: START + 2 * HOUR })), false, key)
      t.equal(await store.read(key), null)
    }
    t.strictSame(await store.ofUser('Harry'), [])
  })

  check('patch takes the later of each time', async (t, store) => {
    await store.create('one', recordOf())
    await store.patch('one', changesOf({ seenAt: START + 10, expiresAt: START + HOUR + 10 }))
    t.match(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
    await store.patch('one', changesOf({ seenAt: START - 10, expiresAt: START + 10 }))
    t.match(await store.read('one'), { createdAt: START, seenAt: START + 10, expiresAt: START + HOUR + 10 })
  })

  check('patch takes the given expiry when it says whether the session is permanent', async (t, store, clock) => {
    await store.create('one', recordOf({ permanent: true, expiresAt: START + 10 * HOUR }))
    await store.patch('one', changesOf({ permanent: false, expiresAt: START + HOUR }))
    t.match(await store.read('one'), { permanent: false, expiresAt: START + HOUR })
    clock.time = START + HOUR
    t.equal(await store.read('one'), null)
    while (await store.sweep(5) > 0);
    if (sweeps) t.equal(await store.count(), 0, 'the sweep goes by the new expiry')
  })

  check('a patch that makes the record too large changes nothing', async (t, store) => {
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    await t.rejects(
      async () => await store.patch('one', changesOf({ set: { a: '2', big: JSON.stringify('x'.repeat(5_000)) }, seenAt: START + 1, expiresAt: START + 2 * HOUR, user: null })),
      { code: 'HATCHECK_SESSION_TOO_LARGE', statusCode: 413 }
    )
    t.strictSame(await store.read('one'), record)
    t.equal((await store.ofUser('Harry')).length, 1)
  })

  check('patches at once cannot make the record too large together', async (t, store) => {
    await store.create('one', recordOf({ fields: {} }))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 },
      async (_, i) => await store.patch('one', changesOf({ set: { [`field${i}`]: JSON.stringify('é'.repeat(150)) } }))))
    const fields = (await store.read('one'))?.fields ?? {}
    t.ok(sizeOf(fields) <= 1_000)
    const written = outcomes.filter(({ status }) => status === 'fulfilled').length
    t.equal(Object.keys(fields).length, written)
    t.ok(written > 0 && written < 20)
    for (const outcome of outcomes) if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'HATCHECK_SESSION_TOO_LARGE' })
  }, 1_000)

  check('touch never creates', async (t, store, clock) => {
    await store.create('removed', recordOf())
    await store.remove('removed')
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    for (const key of ['never was', 'removed', 'expired']) {
      t.equal(await store.touch(key, START, START + 2 * HOUR), false, key)
      t.equal(await store.read(key), null)
    }
  })

  check('touch moves both times forward, never back, and changes nothing else', async (t, store) => {
    const record = recordOf({ permanent: true, user: 'Harry' })
    await store.create('one', record)
    t.equal(await store.touch('one', START + 5, START + HOUR + 5), true)
    t.strictSame(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    t.equal(await store.touch('one', START, START + 1), true)
    t.strictSame(await store.read('one'), { ...record, seenAt: START + 5, expiresAt: START + HOUR + 5 })
    await store.touch('one', START + 6, START + 1)
    t.strictSame(await store.read('one'), { ...record, seenAt: START + 6, expiresAt: START + HOUR + 5 }, 'each clock for itself')
  })

  check('touches among patches lose nothing', async (t, store) => {
    await store.create('one', recordOf({ fields: {} }))
    await Promise.all(Array.from({ length: 60 }, (_, i) => i % 2 === 0
      ? store.touch('one', START + i, START + HOUR + i)
      : store.patch('one', changesOf({ set: { [`field${i}`]: '1' } }))))
    const record = await store.read('one')
    t.equal(Object.keys(record?.fields ?? {}).length, 30)
    t.match(record, { seenAt: START + 58, expiresAt: START + HOUR + 58 })
  })

  check('remove answers the last record, once', async (t, store) => {
    await store.create('one', recordOf({ user: 'Harry', fields: { a: '1' } }))
    await store.patch('one', changesOf({ set: { b: '2' } }))
    const last = await store.read('one')
    const answers = await Promise.all(Array.from({ length: 50 }, () => store.remove('one')))
    t.strictSame(answers.filter((answer) => answer !== null), [last])
    t.strictSame(last?.fields, { a: '1', b: '2' })
    t.equal(await store.remove('one'), null, 'and is idempotent')
    t.equal(await store.remove('never was'), null)
    t.equal(await store.count(), 0)
    t.strictSame(await store.ofUser('Harry'), [])
  })

  check('remove of an expired session answers null', async (t, store, clock) => {
    await store.create('one', recordOf({ expiresAt: START + 1 }))
    clock.time = START + 1
    t.equal(await store.remove('one'), null)
    t.equal(await store.count(), 0)
  })

  check('a patch is either in the record that remove answers, or refused', async (t, store) => {
    await store.create('one', recordOf({ fields: {} }))
    const patchAt = (i: number): Promise<boolean> => Promise.resolve(store.patch('one', changesOf({ set: { [`field${i}`]: '1' } })))
    const before = Array.from({ length: 25 }, (_, i) => patchAt(i))
    const removing = Promise.resolve(store.remove('one'))
    const after = Array.from({ length: 25 }, (_, i) => patchAt(25 + i))
    const answers = await Promise.all([...before, ...after])
    t.strictSame(Object.keys((await removing)?.fields ?? {}), answers.flatMap((answer, i) => answer ? [`field${i}`] : []))
    t.equal(await store.read('one'), null)
  })

  check('the sessions of a user are listed oldest first', async (t, store, clock) => {
    for (const [key, createdAt] of [['c', 30], ['a', 10], ['b', 20]] as const) {
      await store.create(key, recordOf({ createdAt: START + createdAt, user: 'Harry', fields: { key: JSON.stringify(key) } }))
    }
    await store.create('expiring', recordOf({ user: 'Harry', createdAt: START, expiresAt: START + 1 }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    await store.create('of nobody', recordOf())
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['expiring', 'a', 'b', 'c'])
    clock.time = START + 1
    const sessions = await store.ofUser('Harry')
    t.strictSame(sessions.map(({ key }) => key), ['a', 'b', 'c'], 'the live ones')
    t.strictSame(sessions[0]?.record, await store.read('a'))
    t.strictSame(await store.ofUser('Nobody'), [])
  })

  check('names are told apart exactly', async (t, store) => {
    const long = 'N'.repeat(300)
    const names = ['Harry', 'harry', 'Harry ', 'Harr', 'Harry2', 'Zoë', 'Zoë'.normalize('NFD'), '王小明', '😀', '__proto__', 'constructor', '1', `${long}a`, `${long}b`, `${'字'.repeat(256)}a`, `${'字'.repeat(256)}b`]
    for (const name of names) t.equal(await store.create(`of ${names.indexOf(name)}`, recordOf({ user: name })), true, name.slice(0, 20))
    for (const name of names) t.strictSame((await store.ofUser(name)).map(({ record }) => record.user), [name], name.slice(0, 20))
    for (const name of names) {
      t.equal(await store.removeOfUser(name), 1)
      t.strictSame(await store.ofUser(name), [])
    }
    t.equal(await store.count(), 0)
  })

  check('the index follows a change of the user', async (t, store) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.patch('one', changesOf({ set: { c: '1' } }))
    t.equal((await store.ofUser('Harry')).length, 1, 'no change')
    await store.patch('one', changesOf({ user: 'Sally' }))
    t.strictSame(await store.ofUser('Harry'), [])
    t.equal((await store.ofUser('Sally')).length, 1)
    await store.patch('one', changesOf({ user: null }))
    t.strictSame(await store.ofUser('Sally'), [])
    t.equal((await store.read('one'))?.user, null)
    await store.patch('one', changesOf({ user: 'Harry' }))
    t.equal((await store.ofUser('Harry')).length, 1)
    await store.remove('one')
    t.strictSame(await store.ofUser('Harry'), [])
  })

  check('take answers the fields with a prefix, and they are gone', async (t, store) => {
    const fields = { 'p:1': '"one"', 'p:2': '{"two":2}', p: '1', 'q:1': '3', 'other p:1': '4' }
    await store.create('one', recordOf({ fields, user: 'Harry' }))
    const before = await store.read('one')
    t.strictSame(await store.take('one', 'p:'), { 'p:1': '"one"', 'p:2': '{"two":2}' })
    t.strictSame(await store.read('one'), { ...before, fields: { p: '1', 'q:1': '3', 'other p:1': '4' } }, 'nothing else is changed')
    t.strictSame(await store.take('one', 'p:'), {})
    t.strictSame(await store.take('one', 'none of these'), {})
    t.equal((await store.ofUser('Harry')).length, 1)
  })

  check('take never creates', async (t, store, clock) => {
    t.strictSame(await store.take('never was', ''), {})
    await store.create('expired', recordOf({ expiresAt: START + 1 }))
    await store.create('removed', recordOf())
    await store.remove('removed')
    clock.time = START + 1
    for (const key of ['never was', 'expired', 'removed']) {
      t.strictSame(await store.take(key, ''), {}, key)
      t.equal(await store.read(key), null, key)
    }
  })

  check('of many that take at once, each field goes to one', async (t, store) => {
    await store.create('one', recordOf({ fields: {} }))
    const names = Array.from({ length: 40 }, (_, i) => `p:${i}`)
    const taken: string[] = []
    await Promise.all(names.map(async (name) => {
      t.equal(await store.patch('one', changesOf({ set: { [name]: 'true', keep: '1' } })), true)
      for (const field of Object.keys(await store.take('one', 'p:'))) taken.push(field)
    }))
    taken.push(...Object.keys(await store.take('one', 'p:')))
    t.strictSame(taken.sort(), names.sort())
    t.strictSame((await store.read('one'))?.fields, { keep: '1' })
  })

  check('removeOfUser ends every session of the user but the exception', async (t, store) => {
    for (const key of ['a', 'b', 'c']) await store.create(key, recordOf({ user: 'Harry' }))
    await store.create('of another', recordOf({ user: 'Sally' }))
    const told: string[] = []
    t.equal(await store.removeOfUser('Harry', 'b', (key) => { told.push(key) }), 2)
    t.strictSame(told.sort(), ['a', 'c'], 'and tells which')
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['b'])
    t.equal(await store.create('a', recordOf({ user: 'Harry' })), false, 'for good')
    t.equal(await store.removeOfUser('Harry', 'of another'), 1)
    t.equal(await store.removeOfUser('Harry'), 0)
    t.equal((await store.ofUser('Sally')).length, 1)
    t.equal(await store.count(), 1)
  })

  check('removeOfUser ends a great many sessions', async (t, store) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.create(`key${i}`, recordOf({ user: 'Harry' }))))
    const told: string[] = []
    const tell = (key: string): void => { told.push(key) }
    const answers = await Promise.all([store.removeOfUser('Harry', undefined, tell), store.removeOfUser('Harry', undefined, tell)])
    t.equal(answers[0] + answers[1], 300, 'each once')
    t.equal(new Set(told).size, 300)
    t.equal(told.length, 300, 'and each is told once')
    t.equal(await store.count(), 0)
  })

  check('count tells the live records and the expired ones that no sweep has come to', async (t, store, clock) => {
    t.equal(await store.count(), 0)
    await store.create('one', recordOf())
    await store.create('two', recordOf({ expiresAt: START + 1 }))
    t.equal(await store.count(), 2)
    clock.time = START + 2
    t.equal(await store.count(), 2)
    while (await store.sweep(5) > 0);
    if (sweeps) t.equal(await store.count(), 1)
  })

  if (sweeps) sweepContract(check)

  check('ping resolves', async (t, store) => {
    await t.resolves(async () => { await store.ping() })
  })

  check('no record is a live object', async (t, store) => {
    const given = { ...recordOf(), fields: { a: '1' } }
    await store.create('one', given)
    given.fields.a = 'changed by the caller'
    t.strictSame((await store.read('one'))?.fields, { a: '1' }, 'not the one that was created from')

    await store.create('two', recordOf({ fields: { a: '1' } }))
    const before = await store.read('two')
    await store.patch('two', changesOf({ set: { a: '2' } }))
    await store.touch('two', START + 7, START + HOUR + 7)
    t.match(before, { seenAt: START, fields: { a: '1' } }, 'not the one that was read')
  })

  check('keys and values of every kind come back as they were', async (t, store) => {
    const strings = ['', ' ', '0', '-1', 'null', 'undefined', 'length', 'hasOwnProperty', 'ключ', '鍵', '😀', 'a\u0000b', '\n\r\t', '"\'\\', '\u2028', '\uFEFF', '<script>', 'é'.normalize('NFD'), 'k'.repeat(400)]
    const fields = Object.fromEntries(strings.map((text) => [`x${text}`, JSON.stringify(`${text}\ud800`)]))
    await store.create('one', recordOf({ fields }))
    t.strictSame((await store.read('one'))?.fields, fields)
    await store.patch('one', changesOf({ remove: Object.keys(fields).slice(1) }))
    t.strictSame(Object.keys((await store.read('one'))?.fields ?? {}), ['x'])
  })
}

type Check = (sentence: string, run: (t: Test, store: SessionStore, clock: { time: number }) => Promise<void>, maxBytes?: number) => void

function sweepContract (check: Check): void {
  check('sweep drops what has expired, and nothing else', async (t, store, clock) => {
    await store.create('lives', recordOf({ user: 'Harry', expiresAt: START + 10 * HOUR }))
    await store.create('expires', recordOf({ user: 'Harry', expiresAt: START + 10 }))
    await store.create('touched', recordOf({ expiresAt: START + 10 }))
    await store.touch('touched', START + 5, START + HOUR)
    await store.create('patched', recordOf({ expiresAt: START + 10 }))
    await store.patch('patched', changesOf({ expiresAt: START + HOUR }))
    t.equal(await store.sweep(5), 0, 'nothing is due')
    clock.time = START + 20
    let dropped = 0
    const told: unknown[] = []
    for (let last = 1; last > 0; dropped += last) last = await store.sweep(5, (key, user) => { told.push([key, user]) })
    t.equal(dropped, 1)
    t.strictSame(told, [['expires', 'Harry']], 'and tells which')
    t.equal(await store.count(), 3)
    for (const key of ['lives', 'touched', 'patched']) t.not(await store.read(key), null, key)
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['lives'])
    t.equal(await store.create('expires', recordOf()), true, 'the key of what expired may be used again')
  })

  check('sweep drops old tombstones', async (t, store, clock) => {
    await store.create('one', recordOf())
    await store.remove('one')
    t.equal(await store.sweep(5), 0, 'not a fresh one')
    clock.time = START + TOMBSTONE_MS + 1
    t.equal(await store.sweep(5), 1)
    t.equal(await store.sweep(5), 0)
    t.equal(await store.create('one', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('sweep works in slices', async (t, store, clock) => {
    const keys = Array.from({ length: 1_000 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => store.create(key, recordOf({ expiresAt: START + 1 }))))
    clock.time = START + 2
    const slice = await store.sweep(0)
    t.ok(slice > 0 && slice < 1_000, `${slice} of 1000 expired records`)
    t.ok(await store.count() > 0)
    while (await store.sweep(0) > 0);
    t.equal(await store.count(), 0)

    await Promise.all(keys.map((key) => store.remove(key)))
    clock.time = START + 2 + TOMBSTONE_MS + 1
    const next = await store.sweep(0)
    t.ok(next > 0 && next < 1_000, `${next} of 1000 tombstones`)
    while (await store.sweep(0) > 0);
    t.equal(await store.create('key999', recordOf({ expiresAt: START + HOUR })), true)
  })

  check('writes during a sweep are safe', async (t, store, clock) => {
    const keys = Array.from({ length: 300 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key, i) => store.create(key, recordOf({ expiresAt: START + (i % 2 === 0 ? 1 : HOUR) }))))
    clock.time = START + 2
    const sweeping = (async () => { while (await store.sweep(0) > 0) await new Promise((resolve) => { setImmediate(resolve) }) })()
    const writing = Promise.all(keys.map((key) => store.patch(key, changesOf({ set: { c: '3' } }))))
    await Promise.all([sweeping, writing])
    t.strictSame(await writing, keys.map((_, i) => i % 2 === 1))
    t.equal(await store.count(), 150)
  })
}
