import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import hatcheck from '../app.js'
import { within } from '../plugins/common/deadline.js'
import hatcheckSession from '../plugins/session/standalone.js'
import { boundedCalls } from '../plugins/storage/common/bounded-calls.js'
import { RedisAccounts } from '../plugins/storage/redis/accounts.js'
import { withSessionScripts } from '../plugins/storage/redis/scripts.js'
import { RedisStore, type RedisStoreOptions } from '../plugins/storage/redis/sessions.js'
import { RedisUserIndex } from '../plugins/storage/redis/user-index.js'
import { changesOf, recordOf, replacementOf, storeContract } from '../plugins/store/contract/index.js'
import { TOMBSTONE_MS, sizeOf } from '../plugins/store/sessions.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { Client } from './clients/client.js'
import { build, buildHost, needs, turn } from './helper.js'
import { startReplacingProcess } from './processes/replacing-process.js'
import { runServer } from './processes/service.js'
import { startStoreProcess, writeTogether } from './processes/store-process.js'
import { connect, startRedis, type RedisServer } from './programs/redis.js'
import { until } from './time/loop-clock.js'
import { MINUTE } from './time/units.js'

const START = recordOf().createdAt

test('the Redis store', needs('redis-server'), async (t) => {
  const server = await startRedis(t, { args: ['--rdbcompression', 'no'] })
  const client = await connect(t, server.url) as Redis
  const check = (sentence: string, run: (t: Test, setting: Setting) => Promise<void>): void => {
    t.test(sentence, async (t) => {
      await server.client.flushall()
      const clock = { time: START }
      const corrupt: string[] = []
      const open = (options: Partial<RedisStoreOptions> = {}): RedisStore =>
        new RedisStore(client, { now: () => clock.time, maxBytes: 4_096, onCorrupt: (key) => { corrupt.push(key) }, ...options })
      await run(t, { server, raw: server.client, client, store: open(), open, clock, corrupt })
    })
  }

  t.test('the Redis store keeps the contract', async (t) => {
    storeContract((name, run) => t.test(name, run), async (options) => {
      await server.client.flushall()
      return new RedisStore(client, { ...options, onCorrupt () {}, deadlineMs: 5_000 })
    }, { sweeps: false })
  })

  check('a session is read in one round trip', async (t, { server, store }) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.create('ended', recordOf())
    await store.remove('ended')
    const before = await server.commandCalls()
    for (const key of ['one', 'ended', 'never was']) await store.read(key)
    const after = await server.commandCalls()
    const made = [...after].filter(([name, calls]) => name !== 'info' && calls !== before.get(name))
    t.strictSame(made.map(([name, calls]) => [name, calls - (before.get(name) ?? 0)]), [['hgetall', 3]])
  })

  check('the store continues after Redis has dropped the scripts', async (t, { raw, store }) => {
    for (const round of ['first', 'again']) {
      t.equal(await store.create(round, recordOf({ user: 'Harry' })), true)
      await raw.script('FLUSH')
      t.equal(await store.patch(round, changesOf({ set: { c: '3' } })), true)
      await raw.script('FLUSH')
      t.equal(await store.touch(round, START + 1, START + MINUTE), true)
      await raw.script('FLUSH')
      t.match(await store.remove(round), { fields: { c: '3' }, seenAt: START + 1 })
      await raw.script('FLUSH')
    }
    t.equal((await Promise.all(Array.from({ length: 20 }, (_, i) => store.create(`key${i}`, recordOf())))).filter(Boolean).length, 20)
  })

  check('an invalid key is refused', async (t, { store }) => {
    for (const key of ['', 'x'.repeat(257)]) await t.rejects(store.read(key), { message: 'a session key must have 1 to 256 characters' })
  })

  check('an entry of the index that can be no key is passed over, and goes with the sessions of its user', async (t, { raw, store }) => {
    const limit = { perUser: 2, onEnded () {} }
    await store.create('one', recordOf({ user: 'Harry' }), limit)
    const damaged = ['', 'x'.repeat(257), 'x'.repeat(5_000), '\u0000\ufffd']
    for (const member of damaged) await raw.zadd('hatcheck:user:Harry', 1, member)
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['one'])
    t.equal(await store.create('two', recordOf({ user: 'Harry' }), limit), true)
    for (const member of damaged) await raw.zadd('hatcheck:user:Harry', START, member)
    t.equal(await store.removeOfUser('Harry'), 2)
    t.equal(await raw.zcard('hatcheck:user:Harry'), 0)
  })

  const corruptions: Record<string, (raw: Redis, key: string) => Promise<unknown>> = {
    'text under its key': (raw, key) => raw.set(key, 'x'),
    'a list under its key': (raw, key) => raw.rpush(key, 'x'),
    'a sorted set under its key': (raw, key) => raw.zadd(key, 1, 'x'),
    'another hash': (raw, key) => raw.hset(key, 'x', '1'),
    'another format': (raw, key) => raw.hset(key, { ...sound, format: '2' }),
    'no format': (raw, key) => raw.hset(key, { ...sound, format: '' }),
    'no times': (raw, key) => raw.hset(key, { format: '1', permanent: '0' }),
    'a time that is not a number': (raw, key) => raw.hset(key, { ...sound, expiresAt: 'tomorrow' }),
    'a time that is almost one': (raw, key) => raw.hset(key, { ...sound, seenAt: '0x10' }),
    'neither permanent nor not': (raw, key) => raw.hset(key, { ...sound, permanent: 'maybe' })
  }
  for (const [what, corruptWith] of Object.entries(corruptions)) {
    check(`${what} reads as missing, and can be removed`, async (t, { raw, store, corrupt }) => {
      await store.create('other', recordOf({ user: 'Harry' }))
      await store.create('key', recordOf({ user: 'Harry' }))
      await raw.del('hatcheck:session:key')
      await corruptWith(raw, 'hatcheck:session:key')
      t.equal(await store.read('key'), null)
      t.strictSame(corrupt, ['key'], 'and is reported')
      t.equal(await store.patch('key', changesOf({ set: { a: '1' } })), false)
      t.equal(await store.touch('key', START, START), false)
      t.equal(await store.create('key', recordOf()), false)
      t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['other'])
      t.equal(await store.remove('key'), null)
      t.equal(await store.read('key'), null)
      t.equal(corrupt.length, 2, 'now there is a tombstone')
      t.equal(await store.count(), 1)
      t.not(await store.read('other'), null)
    })
  }

  check('Redis drops a session one minute after its end', async (t, { raw, store }) => {
    const remaining = async (key = 'one'): Promise<number> => Math.ceil(await raw.pttl(`hatcheck:session:${key}`) / MINUTE)
    await store.create('one', recordOf({ expiresAt: START + 10 * MINUTE }))
    t.equal(await remaining(), 11)
    await store.touch('one', START, START + 20 * MINUTE)
    t.equal(await remaining(), 21)
    await store.touch('one', START, START + 5 * MINUTE)
    t.equal(await remaining(), 21, 'never shorter')
    await store.patch('one', changesOf({ expiresAt: START + 30 * MINUTE }))
    t.equal(await remaining(), 31)
    await store.patch('one', changesOf({ permanent: false, expiresAt: START + 5 * MINUTE }))
    t.equal(await remaining(), 6, 'unless the change sets permanent')
  })

  check('a second end of a session does not extend its tombstone', async (t, { raw, store }) => {
    await store.create('one', recordOf())
    await store.remove('one')
    t.ok(await raw.pttl('hatcheck:session:one') > TOMBSTONE_MS - 5_000)
    await raw.pexpire('hatcheck:session:one', 10_000)
    await store.remove('one')
    t.ok(await raw.pttl('hatcheck:session:one') <= 10_000)
    t.strictSame(Object.keys(await raw.hgetall('hatcheck:session:one')), ['endedAt'], 'nothing of it is left')
  })

  check('a clock that is set back extends a session by one minute at most', async (t, { store, clock }) => {
    await store.create('one', recordOf({ expiresAt: START - MINUTE + 50 }))
    clock.time = START - 60 * MINUTE
    t.not(await store.read('one'), null, 'by that clock it is live')
    await until('but Redis has dropped it', async () => await store.read('one') === null)
  })

  check('the index entry is written before the session and removed after it', async (t, { raw, store, clock }) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    t.strictSame(await raw.zrange('hatcheck:user:Harry', 0, '-1', 'WITHSCORES'), ['one', String(START)])
    await raw.config('SET', 'maxmemory', '1')
    t.teardown(() => raw.config('SET', 'maxmemory', '0'))
    await t.rejects(store.create('two', recordOf({ user: 'Harry' })), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
    t.not(await store.read('one'), null, 'reads continue when the memory is full')
    await t.rejects(store.patch('one', changesOf({ set: { c: '3' } })), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    t.not(await store.remove('one'), null, 'and so do logouts')
    t.equal(await store.create('one', recordOf()), false)
    await raw.config('SET', 'maxmemory', '0')
    await until('removed sessions are out of the index', async () => await raw.zcard('hatcheck:user:Harry') === 0)
    clock.time = START + 1
  })

  check('an index entry without a session is removed once it is old', async (t, { raw, store, clock }) => {
    await store.create('lives', recordOf({ user: 'Harry' }))
    await store.create('of another now', recordOf({ user: 'Harry' }))
    await store.patch('of another now', changesOf({ user: null }))
    await raw.zadd('hatcheck:user:Harry', START, 'never began')
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['lives'])
    clock.time = START + TOMBSTONE_MS
    await store.ofUser('Harry')
    await store.ping()
    t.equal(await raw.zcard('hatcheck:user:Harry'), 3, 'its create may be under way')
    clock.time = START + TOMBSTONE_MS + 1
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['lives'])
    await until('it is gone', async () => (await raw.zrange('hatcheck:user:Harry', 0, '-1')).join() === 'lives')
  })

  check('an index entry that was added again is not removed', async (t, { raw, client }) => {
    const index = new RedisUserIndex(withSessionScripts(client), boundedCalls(), () => START + TOMBSTONE_MS + 1, MINUTE)
    await raw.zadd('hatcheck:user:Harry', START, 'old', START + 5, 'again')
    await index.heal('Harry', [{ key: 'old', addedAt: String(START) }, { key: 'again', addedAt: String(START) }])
    t.strictSame(await raw.zrange('hatcheck:user:Harry', 0, '-1'), ['again'])
  })

  check('the end of all sessions of a user includes one that is about to begin', async (t, { raw, store }) => {
    await raw.zadd('hatcheck:user:Harry', START, 'about to begin')
    t.equal(await store.removeOfUser('Harry'), 0)
    t.equal(await store.create('about to begin', recordOf({ user: 'Harry' })), false)
  })

  check('the end of all sessions of a user works while sessions begin, are read and end', async (t, { open }) => {
    const store = open({ deadlineMs: 5_000 })
    const begin = async (prefix: string): Promise<string[]> => {
      const keys = Array.from({ length: 30 }, (_, i) => `${prefix}${i}`)
      const begun = await Promise.all(keys.map((key) => store.create(key, recordOf({ user: 'Harry' }))))
      return keys.filter((_, i) => begun[i])
    }
    for (let round = 0; round < 10; round++) {
      const existing = await begin(`existing${round} `)
      t.equal(existing.length, 30)
      const [beginning] = await Promise.all([
        begin(`beginning${round} `), store.removeOfUser('Harry'), store.ofUser('Harry'),
        ...existing.map((key) => store.patch(key, changesOf({ set: { c: '3' } }))),
        ...existing.slice(10).map((key) => store.touch(key, START, START + 2 * MINUTE)),
        ...existing.slice(20).map((key) => store.remove(key))
      ])
      const alive = async (keys: string[]): Promise<string[]> => {
        const records = await Promise.all(keys.map((key) => store.read(key)))
        return keys.filter((_, i) => records[i] !== null)
      }
      t.strictSame(await alive(existing), [], 'what existed has ended')
      t.strictSame((await store.ofUser('Harry')).map(({ key }) => key).sort(), (await alive(beginning)).sort(), 'every live session is in the index')
      await store.removeOfUser('Harry')
      t.strictSame(await alive(beginning), [])
    }
  })

  check('the end of all sessions of a user includes one that is renewed after the index was read', async (t, { client, store, clock }) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    let isRenewed = false
    const renewing = new Proxy(client, {
      get (target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]) => {
          const answer: unknown = await Reflect.apply(member, target, args)
          if (name === 'zrange' && !isRenewed) {
            isRenewed = true
            t.match(await store.replace('one', 'its successor', replacementOf()), { outcome: 'replaced' })
          }
          return answer
        }
      }
    })
    await new RedisStore(renewing, { now: () => clock.time, maxBytes: 4_096, onCorrupt () {}, deadlineMs: 5_000 }).removeOfUser('Harry')
    t.ok(isRenewed)
    t.equal(await store.read('its successor'), null)
  })

  check('what Redis has dropped does not count for the limit', async (t, { raw, store, clock }) => {
    for (const key of ['lives', 'dropped']) {
      clock.time++
      await store.create(key, recordOf({ user: 'Harry', createdAt: clock.time, expiresAt: START + 10 * MINUTE }), { perUser: 2 })
    }
    await raw.del('hatcheck:session:dropped')
    clock.time = START + 2 * MINUTE
    const ended: string[] = []
    await store.create('new', recordOf({ user: 'Harry', createdAt: clock.time, expiresAt: START + 10 * MINUTE }), { perUser: 2, onEnded (key) { ended.push(key) } })
    t.strictSame(ended, [])
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key), ['lives', 'new'])
  })

  check('the end of all sessions of a user spares sessions that now belong to another user', async (t, { store }) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.create('two', recordOf({ user: 'Harry' }))
    await store.patch('two', changesOf({ user: 'Sally' }))
    t.equal(await store.removeOfUser('Harry'), 1)
    t.not(await store.read('two'), null)
    t.equal((await store.ofUser('Sally')).length, 1)
  })

  check('an index does not grow with sessions that have ended', async (t, { raw, store, clock }) => {
    for (let i = 0; i < 400; i++) {
      clock.time = START + i * MINUTE
      await store.create(`key${i}`, recordOf({ user: 'Harry', createdAt: clock.time, expiresAt: clock.time + MINUTE }))
    }
    await store.ping()
    const size = await raw.zcard('hatcheck:user:Harry')
    t.ok(size < 150, `${size} of 400 entries`)
  })

  check('an index is kept twice as long as a session can live', async (t, { raw, open }) => {
    await open({ longestLifeMs: 60 * MINUTE }).create('one', recordOf({ user: 'Harry' }))
    t.equal(Math.ceil(await raw.pttl('hatcheck:user:Harry') / MINUTE), 120)
    await open({ longestLifeMs: MINUTE }).create('two', recordOf({ user: 'Harry' }))
    t.equal(Math.ceil(await raw.pttl('hatcheck:user:Harry') / MINUTE), 120, 'never shorter')
  })

  check('another type of value in place of an index is a failure, and not a user without sessions', async (t, { raw, store }) => {
    await raw.set('hatcheck:user:Harry', 'x')
    const failure = { code: 'HATCHECK_STORE_UNAVAILABLE' }
    await t.rejects(store.ofUser('Harry'), failure)
    await t.rejects(store.removeOfUser('Harry'), failure)
    await t.rejects(store.create('one', recordOf({ user: 'Harry' })), failure)
    t.equal(await store.read('one'), null)
  })

  check('a patch computes the size of a session as every store does', async (t, { store, open }) => {
    const names = [...Array.from({ length: 0x250 }, (_, i) => String.fromCharCode(i)), '\u2028', '\u2029', '\uFEFF', '字', '😀', 'a"b\\c\u0000d\u007f']
    const fields = Object.fromEntries(names.map((name, i) => [name, JSON.stringify(`${name}${i}`)]))
    const size = sizeOf({ ...fields, more: '"é"' })
    await open({ maxBytes: 1_000_000, deadlineMs: 5_000 }).create('one', recordOf({ fields: { ...fields, goes: '1', more: '1' } }))
    const changes = changesOf({ set: { more: '"é"', both: '1' }, remove: ['goes', 'both', 'not there'] })
    await t.rejects(open({ maxBytes: size - 1 }).patch('one', changes), {
      code: 'HATCHECK_SESSION_TOO_LARGE',
      message: `The session data is too large: ${size} bytes of JSON, at most ${size - 1} are allowed (sessionMaxBytes). The stored session is unchanged.`
    })
    t.equal((await store.read('one'))?.fields['more'], '1')
    t.equal(await open({ maxBytes: size }).patch('one', changes), true)
    t.strictSame((await store.read('one'))?.fields, { ...fields, more: '"é"' })
  })

  check('a session with very many keys is created and patched', async (t, { open }) => {
    const store = open({ maxBytes: 1_000_000, deadlineMs: 5_000 })
    const fields = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, '1']))
    await store.create('one', recordOf({ fields }))
    await store.patch('one', changesOf({ set: Object.fromEntries(Object.keys(fields).map((name) => [name, '2'])), remove: ['k0'] }))
    await store.replace('one', 'two', replacementOf({ keep: Object.keys(fields).slice(100), remove: ['k100'] }))
    t.equal(Object.keys((await store.read('two'))?.fields ?? {}).length, 19_899)
  })

  check('a replacement is in the index before it begins, and its predecessor is removed from it afterwards', async (t, { raw, store }) => {
    await store.create('one', recordOf({ user: 'Harry' }))
    await store.replace('one', 'two', replacementOf())
    await until('Harry has one', async () => (await raw.zrange('hatcheck:user:Harry', 0, '-1')).join() === 'two')
    await store.replace('two', 'three', replacementOf({ user: 'Sally' }))
    await until('Harry has none', async () => await raw.zcard('hatcheck:user:Harry') === 0)
    t.strictSame(await raw.zrange('hatcheck:user:Sally', 0, '-1'), ['three'])
    t.strictSame(Object.keys(await raw.hgetall('hatcheck:session:two')), ['endedAt', 'nextKey'], 'nothing of the predecessor is left')
  })

  check('a replacement whose successor cannot be stored changes nothing', async (t, { raw, store }) => {
    const record = recordOf({ user: 'Harry' })
    await store.create('one', record)
    await raw.config('SET', 'maxmemory', '1')
    t.teardown(() => raw.config('SET', 'maxmemory', '0'))
    await t.rejects(store.replace('one', 'two', replacementOf()), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    t.strictSame(await store.read('one'), record)
    t.equal(await store.read('two'), null)
    await raw.config('SET', 'maxmemory', '0')
    t.equal((await store.replace('one', 'three', replacementOf())).outcome, 'replaced')
  })

  check('a process that is killed between the two steps of a replacement leaves the predecessor live', async (t, { server, client }) => {
    const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, deadlineMs: 5_000 })
    const time = Date.now()
    await store.create('one', recordOf({ createdAt: time, seenAt: time, expiresAt: time + MINUTE, user: 'Harry' }))
    const child = startReplacingProcess(t, server.url, 'half')
    await child.said(/^between/)
    t.equal(await store.patch('one', changesOf({ set: { between: '1' } })), true)
    await child.kill()
    t.match(await store.read('one'), { user: 'Harry', fields: { ...recordOf().fields, between: '1' } }, 'the predecessor lives, with every change')
    t.strictSame((await store.ofUser('Harry')).map(({ key }) => key).sort(), ['one', 'two'])
    t.match(await store.replace('one', 'three', replacementOf()), { outcome: 'replaced', next: { fields: { between: '1' } } }, 'and can be replaced')
    t.equal(await store.removeOfUser('Harry'), 2, 'the unknown successor ends with the sessions of its user')
    t.equal(await store.count(), 0)
  })

  check('a process that is killed during replacements leaves the last acknowledged session', async (t, { server, client }) => {
    const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, deadlineMs: 5_000 })
    const time = Date.now()
    await store.create('key0', recordOf({ createdAt: time, seenAt: time, expiresAt: time + 10 * MINUTE, user: 'Harry', fields: { count: '-1' } }))
    let first = 0
    for (let kill = 0; kill < 3; kill++) {
      const child = startReplacingProcess(t, server.url, first)
      await child.said(/^replaced/)
      await new Promise((resolve) => { setTimeout(resolve, Math.random() * 50) })
      await child.kill()
      const { patched, replaced } = child.last
      const live = await store.ofUser('Harry')
      const numbers = live.map(({ key }) => Number(key.slice('key'.length))).sort((a, b) => a - b)
      t.ok([[replaced], [replaced, replaced + 1], [replaced + 1]].some((expected) => expected.join() === numbers.join()), `the last that was acknowledged is ${replaced}; ${numbers.join(' and ')} live`)
      first = numbers[0] as number
      t.ok(Number((await store.read(`key${first}`))?.fields['count']) >= patched, 'with the last change that was acknowledged')
      if (numbers.length > 1) {
        // Its successor has begun, but no client has its ticket.
        await store.remove(`key${numbers[1]}`)
        await store.replace(`key${first}`, `key${first + 2}`, replacementOf())
        first += 2
      }
    }
  })

  check('no user name or key is taken for a field of the session record', async (t, { store }) => {
    const fields = { user: '"Mallory"', expiresAt: '9999999999999', format: '2', endedAt: '1', '.a': '1', '': '""' }
    await store.create('one', recordOf({ fields }))
    t.strictSame(await store.read('one'), recordOf({ fields }))
    await store.patch('one', changesOf({ remove: Object.keys(fields), user: '-' }))
    t.strictSame(await store.read('one'), recordOf({ fields: {}, user: '-' }))
  })

  check('a call ends at its deadline, and errors contain nothing that was sent', async (t, { raw, open }) => {
    const store = open({ deadlineMs: 100 })
    await store.create('one', recordOf())
    await raw.client('PAUSE', 600)
    const failures = await within(550, Promise.all([
      store.read('one'), store.create('late', recordOf({ fields: { a: '"secret"' } })), store.patch('one', changesOf({ set: { a: '"secret"' } })),
      store.touch('one', START, START), store.remove('two'), store.replace('one', 'three', replacementOf()), store.ofUser('Harry'), store.removeOfUser('Harry'), store.count(), store.ping()
    ].map(async (call) => await call.then(() => null, (error: unknown) => error as Error))))
    for (const failure of failures) {
      t.match(failure, { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503, headers: { 'retry-after': '1' }, cause: { message: 'no answer within 100 ms' } })
      t.strictSame(Object.keys(failure?.cause as object), [])
      t.notMatch(JSON.stringify(failure), 'secret')
    }
    await until('a session that was written late has ended again', async () => await raw.hexists('hatcheck:session:late', 'endedAt') === 1)
    t.equal(await open().create('late', recordOf()), false)
  })

  check('the number of unanswered calls is bounded', async (t, { raw, open }) => {
    const store = open({ deadlineMs: 100, mostInFlight: 3 })
    await raw.client('PAUSE', 500)
    const inFlight = Array.from({ length: 3 }, () => store.read('one'))
    const next = store.read('one').then(() => null, (error: unknown) => error)
    t.match(await Promise.race([next, turn()]), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: '3 calls have no answer yet' } }, 'the next fails at once')
    for (const call of inFlight) await t.rejects(call, { cause: { message: 'no answer within 100 ms' } })
    await t.rejects(store.read('one'), { cause: { message: '3 calls have no answer yet' } }, 'calls past their deadline count')
    await until('the calls are answered', async () => await store.read('one').then(() => true, () => false))
  })

  check('no request makes Redis scan all keys', async (t, { server }) => {
    const fastify = await build(t, { sessionStore: server.url })
    const browser = new Client(fastify)
    const before = await server.commandCalls()
    t.equal((await browser.login()).statusCode, 303)
    t.match((await browser.get('/')).body, 'Harry Your account is logged in.')
    t.equal((await browser.login()).statusCode, 303)
    await fastify.sessions.store.ofUser('Harry')
    await fastify.sessions.store.removeOfUser('Harry')
    t.match((await browser.get('/')).body, 'You are not logged in')
    t.equal((await browser.get('/logout')).statusCode, 303)
    const after = await server.commandCalls()
    for (const name of ['keys', 'scan', 'randomkey', 'smembers']) t.equal(after.get(name), before.get(name), name)
  })

  check('a request without a valid ticket never reaches Redis', async (t, { server }) => {
    const fastify = await buildHost(t, { sessionStore: server.url })
    fastify.get('/', async (request) => ({ user: request.user, keys: request.session.keys() }))
    const calls = async (): Promise<number> => [...await server.commandCalls()].reduce((sum, [name, calls]) => name === 'info' ? sum : sum + calls, 0)
    const before = await calls()
    for (const cookie of ['', 'hatcheck=x', `hatcheck=${'a'.repeat(43)}.${'b'.repeat(43)}`]) {
      t.strictSame((await fastify.inject({ url: '/', headers: { cookie } })).json(), { user: null, keys: [] })
    }
    t.equal(await calls(), before)
  })

  check('the stored data does not contain the ID of any session', async (t, { server, raw }) => {
    const fastify = await buildHost(t, { sessionStore: server.url })
    fastify.post('/login', async (request) => { await request.login('Harry') })
    const browser = new Client(fastify)
    await browser.send({ method: 'POST', url: '/login' })
    const [id = ''] = (browser.cookies.get('hatcheck') as string).split('.')
    await raw.save()
    const dump = readFileSync(join(server.folder, 'dump.rdb'))
    t.ok(dump.includes(storeKey(id)), 'the session is there, under the hash of its ID')
    t.notOk(dump.includes(id))
    t.notOk(dump.includes(Buffer.from(id, 'base64url')))
  })

  check('two processes see each other\'s changes at once', async (t, { server, client }) => {
    const call = startStoreProcess(t, server.url)
    const time = Date.now()
    const record = recordOf({ createdAt: time, seenAt: time, expiresAt: time + MINUTE, user: 'Harry' })
    const store = new RedisStore(client, { now: Date.now, maxBytes: 16_384, onCorrupt () {} })
    t.equal(await store.create('ours', record), true)
    t.strictSame(await call('read', 'ours'), record)
    t.equal(await call('create', 'ours', record), false)
    t.equal(await call('create', 'theirs', record), true)
    t.strictSame(await store.read('theirs'), record)
    await writeTogether(t, store, call, record)
    t.equal(await call('removeOfUser', 'Harry'), 2)
    t.equal(await store.read('ours'), null)
  })

  check('accounts are stored beside the sessions', async (t, { client, raw }) => {
    const accounts = new RedisAccounts(client)
    const account = { name: 'Harry', passwordHash: '$argon2id$one', createdAt: START, disabled: false }
    t.equal(await accounts.read('harry'), null)
    const created = await Promise.all(Array.from({ length: 20 }, (_, i) => accounts.create('harry', { ...account, passwordHash: `$argon2id$${i}` })))
    t.equal(created.filter(Boolean).length, 1, 'create only inserts')
    const passwordHash = `$argon2id$${created.indexOf(true)}`
    t.strictSame(await accounts.read('harry'), { ...account, passwordHash })
    t.equal(await accounts.update('harry', { disabled: true }), true)
    t.strictSame(await accounts.read('harry'), { ...account, passwordHash, disabled: true })
    const updated = await Promise.all(Array.from({ length: 20 }, (_, i) => accounts.update('harry', { passwordHash: `new${i}` }, passwordHash)))
    t.equal(updated.filter(Boolean).length, 1, 'a change of a certain hash happens once')
    t.equal(await accounts.update('sally', { disabled: true }), false)
    t.equal(await raw.exists('hatcheck:account:sally'), 0, 'update never creates')
    for (const key of ['zoë', 'anna', '王小明']) await accounts.create(key, { ...account, name: key })
    t.strictSame((await accounts.list()).map(({ name }) => name), ['anna', 'Harry', 'zoë', '王小明'])
    t.equal(await raw.pttl('hatcheck:account:anna'), -1, 'without an expiry')
    const failure = await new RedisAccounts(client, { deadlineMs: 0, mostInFlight: 0 }).read('harry').catch((error: unknown) => error)
    t.match(failure, { code: 'HATCHECK_STORE_UNAVAILABLE' })
  })
})

interface Setting {
  server: RedisServer
  /** A client that reads and changes what the store wrote. */
  raw: Redis
  /** The store's own client. */
  client: Redis
  store: RedisStore
  open: (options?: Partial<RedisStoreOptions>) => RedisStore
  clock: { time: number }
  corrupt: string[]
}

const sound = { format: '1', createdAt: String(START), seenAt: String(START), expiresAt: String(START + MINUTE), permanent: '0' }

test('a start that is refused leaves no connection open', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  const folder = t.testdir()
  t.match(await runServer(folder, { SESSION_STORE: url, SECRET_KEY: 'short' }), { code: 1, stderr: /^hatcheck: SECRET_KEY must be at least 32 bytes/ }, 'the process ends')
  for (const plugin of [hatcheck, hatcheckSession]) {
    const fastify = Fastify()
    await t.rejects(async () => await fastify.register(plugin as typeof hatcheck, { secretKey: 'short', sessionStore: url }), { code: 'HATCHECK_CONFIG' })
    await fastify.close()
    await until('only the client of the test is left', async () => (await client.client('LIST') as string).trim().split('\n').length === 1)
  }
})
