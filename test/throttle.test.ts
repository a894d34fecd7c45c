import type { FastifyInstance } from 'fastify'
import { createHash } from 'node:crypto'
import { test, type Test } from 'tap'
import { HashQueue } from '../plugins/accounts/hash-queue.js'
import { assertNotBusy, hashPassword } from '../plugins/accounts/password.js'
import { KeyedQueue } from '../plugins/common/keyed-queue.js'
import { networksOf } from '../plugins/common/network.js'
import { LmdbAttempts } from '../plugins/storage/lmdb/attempts.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { RedisAttempts } from '../plugins/storage/redis/attempts.js'
import { counted, policies, uncounted, waitOf, type Counter } from '../plugins/store/attempt-policy.js'
import { storeUnavailable } from '../plugins/store/errors.js'
import { newDevice, unverifiedDevice, verifiedDevice, type MacsOf } from '../plugins/throttle/device.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { Applicant, RIGHT, WRONG, clock, gatekeeper } from './apps/applicant.js'
import { logInto } from './apps/log-lines.js'
import { answersMayDiffer } from './checks/checks.js'
import { statusesOf, type Answer } from './clients/client.js'
import { build, buildHost, needs, testKey, times } from './helper.js'
import { startStoreProcess } from './processes/store-process.js'
import { connect, startRedis } from './programs/redis.js'
import { openLmdb } from './stores/open-lmdb.js'
import { stop } from './stores/watched-store.js'
import { realHashes } from './time/cheap-hashes.js'
import { HOUR, MINUTE, START } from './time/units.js'

const silent = { info () {}, warn () {} }

/** An answer without the headers that always differ. */
function textOf ({ statusCode, headers: { date, ...headers }, body }: Answer): string {
  return JSON.stringify({ statusCode, headers, body })
}

test('the policies count failures and forgive them over time', async (t) => {
  t.test('after the free failures each further one doubles the wait, up to a maximum', async (t) => {
    const { account } = policies
    let counter: Counter | null = null
    const waits = times(20, () => {
      counter = counted(counter, account, START)
      return waitOf(counter, account, START) / 1_000
    })
    t.same(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600])
    t.equal(waitOf(counter, account, START + HOUR - 1), 1)
    t.equal(waitOf(counter, account, START + HOUR), 0, 'no wait is endless')
  })

  t.test('a forgiven failure leaves no trace in the counter', async (t) => {
    for (const policy of Object.values(policies)) {
      let counter: Counter | null = null
      let isKept = true
      for (let i = 0; i < policy.free + 30; i++) {
        counter = counted(counter, policy, START)
        isKept &&= START + waitOf(counter, policy, START) <= counter.expiresAt
      }
      t.ok(isKept, 'a counter is kept as long as it causes a wait')
      t.same({ ...counted(counter, policy, (counter as Counter).expiresAt), before: undefined }, { ...counted(null, policy, (counter as Counter).expiresAt), before: undefined })
      t.equal(uncounted(counter as Counter, policy).level, policy.free + 29)
    }
    const [first, second] = [counted(null, policies.account, START), counted(counted(null, policies.account, START), policies.account, START + 5 * MINUTE)]
    t.equal(first.level, 1)
    t.equal(second.level, 2 - 5 / 15, 'failures are forgiven gradually')
    t.same(uncounted(uncounted(first, policies.account), policies.account).level, 0)
  })

  t.test('a count that is taken back leaves no trace', async (t) => {
    for (const policy of Object.values(policies)) {
      let failed = counted(null, policy, START)
      for (let i = 0; i < policy.free + 5; i++) failed = counted(failed, policy, START)
      for (const passed of [0, 1_000, policy.forgiveMs, 3 * policy.forgiveMs, policy.longestMs, 100 * policy.forgiveMs]) {
        const now = START + passed
        const back = uncounted(counted(failed, policy, now), policy)
        for (const later of [0, 1, 1_000, HOUR, 24 * HOUR]) {
          t.equal(waitOf(back, policy, now + later), waitOf(failed, policy, now + later))
          const [one, other] = [counted(back, policy, now + later), counted(failed, policy, now + later)]
          t.ok(Math.abs(one.level - other.level) < 1e-6, `${one.level} and ${other.level}`)
        }
      }
    }
  })

  t.test('constant guessing is limited to the documented long-run rate', async (t) => {
    const guesses = (policy: typeof policies.account | typeof policies.address): number => {
      let [counter, now, made] = [null as Counter | null, START, 0]
      while (now < START + 24 * HOUR) {
        counter = counted(counter, policy, now)
        made++
        now += waitOf(counter, policy, now)
      }
      return made
    }
    const [account, address] = [guesses(policies.account), guesses(policies.address)]
    t.ok(account >= 96 && account <= 115, `${account} guesses a day at an account`)
    t.ok(address >= 1_440 && address <= 1_500, `${address} guesses a day from an address`)
  })

  t.test('a counter dated far in the future causes no wait, and one dated slightly ahead still does', async (t) => {
    const counter = { level: 50, at: START + 2 * HOUR, expiresAt: START + 3 * HOUR }
    t.equal(waitOf(counter, policies.account, START), 0)
    t.equal(waitOf(counter, policies.account, START + HOUR), 2 * HOUR)
    t.equal(counted(counter, policies.account, START).level, 51, 'nothing is forgiven for time that has not passed')
  })
})

test('networks compare equal for every spelling of an address', async (t) => {
  const same: Array<[string, ...string[]]> = [
    ['192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201', '192.0.2.1:4711', '[::ffff:192.0.2.1]:4711', '64:ff9b::192.0.2.1'],
    ['2001:db8:0:0::/64', '2001:db8::1', '2001:0DB8:0000:0000:ffff:ffff:ffff:ffff', '2001:db8::192.0.2.1', '[2001:db8::5]', '[2001:db8::5]:4711'],
    ['fe80:0:0:0::/64', 'fe80::1%eth0', 'fe80::2'],
    ['0:0:0:0::/64', '::1', '::'],
    ['1:2:3:4::/64', '1:2:3:4:5:6:7:8', '1:2:3:4::'],
    ['', '', 'unknown', '_hidden', '_gazonk:4711', 'unix:', '192.0.2.256', 'localhost']
  ]
  for (const [network, ...addresses] of same) {
    for (const address of addresses) t.equal(networksOf(address).network, network, address)
  }
  t.not(networksOf('192.0.2.1').network, networksOf('192.0.2.2').network)
  t.not(networksOf('2001:db8:0:1::1').network, networksOf('2001:db8:0:2::1').network)
})

test('a network has a site and a block around it', async (t) => {
  t.same(networksOf('192.0.2.7'), { network: '192.0.2.7', site: null, block: '192.0.2.0/24' })
  t.same(networksOf('::ffff:192.0.2.7'), networksOf('192.0.2.7'))
  t.same(networksOf('2001:db8:1:2345::9'), { network: '2001:db8:1:2345::/64', site: '2001:db8:1:2300::/56', block: '2001:db8:1::/48' })
  t.same(networksOf('2001:db8:1:45::9').site, '2001:db8:1:0::/56')
  t.same(networksOf(''), { network: '', site: null, block: '' })
})

test('a device cookie is valid for its account, password and time only', async (t) => {
  const macs = (...keys: string[]) => (text: string) => keys.map((key) => createHash('sha256').update(key + text).digest())
  const harry = { account: 'harry', version: 'hash of a password' }
  const deviceOf = (value: string, of: typeof harry, now: number, macsOf: MacsOf): string | null => {
    const device = unverifiedDevice(value, now)
    return device === null ? null : verifiedDevice(device, of, macsOf)
  }
  const value = newDevice(harry, START, macs('a'))
  const nonce = value.slice(0, 22)
  t.match(value, /^[\w-]{22}\.1800000000\.[\w-]{43}$/)
  t.equal(deviceOf(value, harry, START, macs('a')), nonce)
  t.equal(deviceOf(value, harry, START, (text) => [Buffer.alloc(32), ...macs('a')(text)]), nonce, 'by any of the secrets')
  t.equal(deviceOf(value, { ...harry, account: 'sally' }, START, macs('a')), null)
  t.equal(deviceOf(value, { ...harry, version: 'another' }, START, macs('a')), null, 'a new password makes it unknown')
  t.equal(deviceOf(value, harry, START + 180 * 24 * HOUR - 1, macs('a')), nonce)
  t.equal(deviceOf(value, harry, START + 180 * 24 * HOUR, macs('a')), null, 'its time is over')
  t.equal(deviceOf(value, harry, START - 24 * HOUR, macs('a')), nonce, 'a clock that was set back')
  t.not(newDevice(harry, START, macs('a')), value, 'each login gets a different one')
  const later = value.replace('.1800000000.', '.1800000001.')
  const today = `${nonce}.${createHash('sha256').update(`a${nonce}.harry`).digest('base64url')}`
  for (const wrong of ['', nonce, `${nonce}.`, `${value}A`, ` ${value}`, `${value}\n`, value.replace('.', ''), `${'A'.repeat(22)}${value.slice(22)}`, later, today]) {
    t.equal(deviceOf(wrong, harry, START, macs('a')), null, JSON.stringify(wrong))
  }
  for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
    const spelt = `${value.slice(0, -1)}${last}`
    t.equal(deviceOf(spelt, harry, START, macs('a')), spelt === value ? nonce : null, 'only one spelling is valid')
  }
})

test('work under one key runs one after another', async (t) => {
  const queue = new KeyedQueue()
  const [first, second] = [stop(), stop()]
  const order: string[] = []
  const one = queue.run('a', async () => { await first.here(); order.push('one'); throw new Error('broken') })
  const two = queue.run('a', async () => { await second.here(); order.push('two'); return 2 })
  await queue.run('b', async () => { order.push('another line') })
  t.equal(queue.waiting, 1)
  t.equal(queue.lengthOf('a'), 1)
  t.equal(queue.lengthOf('b'), 0)
  first.go()
  await t.rejects(one, { message: 'broken' })
  await second.reached
  t.equal(queue.waiting, 0)
  t.equal(queue.lengthOf('a'), 0)
  second.go()
  t.equal(await two, 2)
  t.same(order, ['another line', 'one', 'two'])
})

test('the queue of password hashes takes urgent work first', async (t) => {
  const queue = new HashQueue(2)
  const order: string[] = []
  const held = [stop(), stop()]
  const running = held.map((hold) => queue.run(() => hold.here(), false))
  await Promise.all(held.map(({ reached }) => reached))
  const work = (name: string, isUrgent: boolean): Promise<void> => queue.run(async () => { order.push(name) }, isUrgent)
  const waiting = [work('a stranger', false), work('another', false), work('a device', true), work('a second one', true)]
  t.same([queue.waiting(false), queue.waiting(true)], [2, 2])
  const failing = queue.run(async () => { throw new Error('broken') }, true)
  for (const { go } of held) go()
  await t.rejects(failing, { message: 'broken' })
  await Promise.all([...running, ...waiting])
  t.same(order, ['a device', 'a second one', 'a stranger', 'another'])
  t.same([queue.waiting(false), queue.waiting(true)], [0, 0])
  t.equal(await queue.run(async () => 3, false), 3, 'its places are free again')
})

test('a counter is dropped when all its failures are forgiven', async (t) => {
  t.test('in memory, counters are dropped, and their number is bounded', async (t) => {
    const store = new MemoryAttempts(100)
    for (let i = 0; i < 6; i++) store.count('victim', policies.account, START)
    for (let i = 0; i < 98; i++) store.count(`other ${i}`, policies.account, START)
    store.count('victim', policies.account, START)
    for (let i = 0; i < 50; i++) store.count(`more ${i}`, policies.account, START)
    t.equal(store.waitOf('victim', policies.account, START), 2_000, 'the most recently counted stay longest')
    for (let i = 0; i < 50; i++) store.count(`still more ${i}`, policies.account, START)
    t.equal(store.waitOf('victim', policies.account, START), 0)
  })

  t.test('in LMDB, forgiven counters are dropped', async (t) => {
    const { attempts, close } = openLmdb(t.testdir(), { now: () => START, maxBytes: 16_384 }, silent)
    t.teardown(close)
    await Promise.all(times(1_200, (i) => attempts.count(`key ${i}`, policies.address, START)))
    let slices = 1
    while (await attempts.sweep(START + MINUTE)) slices++
    t.equal(slices, 7)
    // A policy that forgives nothing would still see them.
    t.equal(await attempts.admit('key 7', { free: 0, forgiveMs: Infinity, longestMs: HOUR }, START), 0)
    t.ok(attempts instanceof LmdbAttempts)
  })

  t.test('in Redis, forgiven counters are dropped', needs('redis-server'), async (t) => {
    const { url, client } = await startRedis(t)
    const store = new RedisAttempts(await connect(t, url))
    await store.admit('key', policies.account, START)
    const [key = ''] = await client.keys('*')
    t.equal(key, 'hatcheck:attempts:key')
    t.ok(await client.pttl(key) > 15 * MINUTE - 10_000 && await client.pttl(key) <= 15 * MINUTE)
    await store.uncount('key', policies.account)
    t.ok(await client.pttl(key) > 0, 'also after a count was taken back')
  })

  t.test('in Redis, a counter with a time that no date can hold is damaged for each call', needs('redis-server'), async (t) => {
    const { url, client } = await startRedis(t)
    const told: string[] = []
    const store = new RedisAttempts(await connect(t, url), {}, (key) => { told.push(key) })
    for (const field of ['at', 'before']) {
      await store.count(field, policies.account, START)
      await client.hset(`hatcheck:attempts:${field}`, field, 8.64e15 + 1)
      t.equal(await store.waitOf(field, policies.account, START), 0)
      t.equal(await store.admit(field, policies.account, START), 0)
      t.same(told.splice(0), [field, field])
    }
  })
})

test('failed logins are counted for each account', async (t) => {
  t.test('an account is closed for a while after a hundred failures from a hundred addresses, and others are not', async (t) => {
    const { authenticate, asked } = gatekeeper()
    const { now, pass } = clock()
    const fastify = await build(t, { authenticate, now })
    const statuses = []
    for (let i = 0; i < 100; i++) statuses.push((await new Applicant(fastify, `198.51.${i}.1`).attempt('Harry')).statusCode)
    t.same(statuses, [...times(17, () => 401), ...times(83, () => 429)], 'eleven of them because their networks are calm')
    t.equal(asked.length, 17, 'no password was checked after that')
    t.equal((await new Applicant(fastify, '203.0.113.1').attempt('Sally', RIGHT)).statusCode, 303)
    t.equal((await new Applicant(fastify, '203.0.113.1').attempt('Harry', RIGHT)).statusCode, 429)
    pass(999)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT)).statusCode, 429)
    pass(1)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT)).statusCode, 303, 'an attempt that had to wait does not count')
  })

  t.test('an account has one counter, however its name is written and wherever the attempts come from', async (t) => {
    const { authenticate, asked } = gatekeeper()
    const fastify = await build(t, { authenticate, now: clock().now })
    // Its own failures, so that the network is not a calm one.
    for (const from of ['192.0.2.1', '127.0.0.1']) for (let i = 0; i < 2; i++) await new Applicant(fastify, from).attempt('Sally')
    asked.length = 0
    const names = ['Jörg', 'jörg', 'JO\u0308RG', 'jo\u0308rg', ' Jörg ', 'Ｊörg', 'JÖRG']
    for (const name of names) await new Applicant(fastify).attempt(name)
    t.same(asked, ['Jörg', 'jörg', 'JÖRG', 'jörg', 'Jörg', 'Ｊörg'])
    t.equal((await new Applicant(fastify).post('/login', { client_name: 'Jörg', pwd: RIGHT })).statusCode, 429, 'in a form too')
    for (const url of ['//login', '/login/', '/LOGIN', '/login?next=/', '/./login', '/%6Cogin', '/login;x']) {
      const { statusCode } = await fastify.inject({ method: 'POST', url, payload: { client_name: 'Jörg', password: RIGHT } })
      t.ok(statusCode === 429 || statusCode === 404, `${url}: ${statusCode}`)
    }
    t.equal(asked.length, 6)
  })

  t.test('an attempt that breaks a rule or cannot be checked does not count for the account', async (t) => {
    let failure: Error | undefined
    let asked = 0
    const fastify = await build(t, {
      now: clock().now,
      authenticate () {
        asked++
        if (failure !== undefined) throw failure
        return null
      }
    })
    answersMayDiffer(fastify, 'the authenticator says no in its own words')
    const harry = new Applicant(fastify)
    for (let i = 0; i < 10; i++) {
      t.equal((await harry.attempt('Harry', '')).statusCode, 400)
      t.equal((await harry.attempt('Harry', 'a'.repeat(1_025))).statusCode, 400)
      t.equal((await harry.attempt('', WRONG)).statusCode, 400)
    }
    t.equal(asked, 0)
    failure = new Error('the directory is down')
    for (let i = 0; i < 10; i++) t.equal((await harry.attempt('Harry')).statusCode, 500)
    t.equal(asked, 10)
    failure = undefined
    t.same(statusesOf(await Promise.all(times(10, () => harry.attempt('Harry')))), { 401: 6, 429: 4 })
    failure = Object.assign(new Error('no'), { statusCode: 403 })
    t.same(statusesOf(await Promise.all(times(10, () => harry.attempt('Sally')))), { 403: 6, 429: 4 }, 'an authenticator can refuse by throwing')
    failure = Object.assign(new Error('no'), { statusCode: 401 })
    for (let i = 0; i < 38; i++) await harry.attempt(`visitor ${i}`)
    t.equal((await harry.attempt('another')).statusCode, 401)
    t.equal((await harry.attempt('one more')).statusCode, 429, 'and these count for the address')
  })

  t.test('a login whose success cannot be counted is refused, and the process goes on', async (t) => {
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now: clock().now })
    const harry = new Applicant(fastify)
    const { attempts } = fastify.hatcheck.storage
    const { uncount } = attempts
    attempts.uncount = async () => { throw storeUnavailable(new Error('no space'), 'uncount') }
    t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 503)
    t.equal((await harry.get('/whoami')).statusCode, 401)
    attempts.uncount = uncount
    t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 303)
  })

  t.test('no counter has the name that was typed, which may be a password', async (t) => {
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now: clock().now })
    const { attempts } = fastify.hatcheck.storage
    const keys: string[] = []
    for (const call of ['waitOf', 'admit', 'count', 'uncount', 'forget'] as const) {
      const own = attempts[call] as (...args: unknown[]) => never
      attempts[call] = (...args: unknown[]) => {
        keys.push(args[0] as string)
        return own.apply(attempts, args)
      }
    }
    for (const password of [WRONG, RIGHT, RIGHT]) await new Applicant(fastify, '203.0.113.9').attempt('hunter2', password)
    t.ok(keys.length > 10)
    t.strictSame(keys.filter((key) => /hunter|203/i.test(key)), [])
  })

  t.test('attempts for one account run one after another: of fifty wrong ones six are checked, nine right ones succeed', async (t) => {
    const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto', now: clock().now })
    await fastify.accounts?.add('Harry', RIGHT)
    t.same(statusesOf(await Promise.all(times(9, () => new Applicant(fastify).attempt('Harry', RIGHT)))), { 303: 9 })
    await new Applicant(fastify, '203.0.113.7').attempt('Sally', RIGHT)
    t.same(statusesOf(await Promise.all(times(50, () => new Applicant(fastify, '203.0.113.8').attempt('Harry')))), { 401: 6, 429: 3, 503: 41 })
  })
})

test('a known device keeps its owner able to log in', async (t) => {
  t.test('a known device lets its owner in while strangers guess, and only into that account', async (t) => {
    const { authenticate } = gatekeeper()
    const fastify = await build(t, { authenticate, now: clock().now })
    const [owner, stranger] = [new Applicant(fastify, '203.0.113.1'), new Applicant(fastify)]
    t.equal((await owner.attempt('Harry', RIGHT)).statusCode, 303)
    await owner.post('/logout')
    t.same([...owner.cookies.keys()], ['hatcheck-device'])
    for (let i = 0; i < 60; i++) await stranger.attempt('Harry')
    for (let i = 0; i < 60; i++) await stranger.attempt(`visitor ${i}`)
    t.equal((await stranger.attempt('Harry', RIGHT)).statusCode, 429)
    const { cookieHeader } = owner
    const copy = (name: string, password: string): Promise<Answer> => new Applicant(fastify).attempt(name, password, { cookie: cookieHeader })
    t.equal((await copy(' hARRY', RIGHT)).statusCode, 303, 'from the address of the attacker, too')
    t.equal((await copy('Sally', RIGHT)).statusCode, 429, 'not for another account')
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT, { cookie: `hatcheck-device=${'A'.repeat(22)}.1800000000.${'A'.repeat(43)}; ${cookieHeader}` })).statusCode, 303, 'a planted device cookie does no harm')
    const statuses = []
    for (let i = 0; i < 14; i++) statuses.push((await copy('Harry', WRONG)).statusCode)
    t.same(statuses, [...times(12, () => 401), 429, 429], 'the device has its own counter, and so has the network by now')
    t.equal((await new Applicant(fastify, '203.0.113.7').attempt('Sally', RIGHT)).statusCode, 303, 'nor does it count for the address')
  })

  t.test('the device cookie grants no access, and has the attributes of the session cookie', async (t) => {
    const fastify = await build(t, { mode: 'service', authenticate: gatekeeper().authenticate }, { trustProxy: true })
    const https = { 'x-forwarded-proto': 'https', host: 'hatcheck.example.com' }
    const harry = new Applicant(fastify)
    const { headers, body } = await harry.attempt('Harry', RIGHT, https)
    const lines = headers['set-cookie'] as string[]
    t.equal(lines.length, 2)
    t.match(lines[0], /^__Host-hatcheck-device=[\w-]{22}\.\d+\.[\w-]{43}; Max-Age=15552000; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
    t.notMatch(body, 'device')
    const { value = '' } = { value: harry.cookies.get('__Host-hatcheck-device') }
    for (const cookie of [`__Host-hatcheck-device=${value}`, `__Host-hatcheck=${value}`]) {
      t.same((await harry.send({ url: '/', headers: { ...https, cookie, accept: 'application/json' } })).json(), { user: null })
    }
    const custom = await build(t, { authenticate: gatekeeper().authenticate, sessionCookieName: 'sid', sessionCookiePath: '/app' })
    t.match((await new Applicant(custom).attempt('Harry', RIGHT)).headers['set-cookie'], [/^sid-device=\S+; Max-Age=15552000; Path=\/app; HttpOnly; SameSite=Lax$/, /^sid=/])
    t.equal((await new Applicant(custom).attempt('Harry', WRONG)).headers['set-cookie'], undefined)
  })

  t.test('a device stays known after a change of the secret key, as long as the old key is accepted', async (t) => {
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now: clock().now })
    const [owner, stranger] = [new Applicant(fastify, '203.0.113.1'), new Applicant(fastify)]
    await owner.attempt('Harry', RIGHT)
    for (let i = 0; i < 7; i++) await stranger.attempt('Harry')
    const { cookieHeader: old } = owner
    const keys = [newSecret(), testKey] as const
    fastify.sessions.setSecretKeys(keys)
    t.equal((await stranger.attempt('Harry', RIGHT, { cookie: old })).statusCode, 303)
    t.equal((await owner.attempt('Harry', RIGHT)).statusCode, 303)
    const { cookieHeader: fresh } = owner
    for (let i = 0; i < 7; i++) await new Applicant(fastify).attempt('Harry')
    fastify.sessions.setSecretKeys(keys.slice(0, 1))
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT, { cookie: old })).statusCode, 429)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT, { cookie: fresh })).statusCode, 303)
  })
})

test('failed logins are counted for each address', async (t) => {
  t.test('an address that tries 1,000 passwords on 100 names gets the documented number; a user elsewhere logs in', async (t) => {
    const { authenticate, asked } = gatekeeper()
    const { now, pass } = clock()
    const fastify = await build(t, { authenticate, now })
    const attacker = new Applicant(fastify)
    const statuses: Record<number, number> = {}
    for (let i = 0; i < 1_000; i++) {
      const { statusCode } = await attacker.attempt(`user ${i % 100}`)
      statuses[statusCode] = (statuses[statusCode] ?? 0) + 1
      if (i === 500) t.equal((await new Applicant(fastify, '203.0.113.1').attempt('user 7', RIGHT)).statusCode, 303)
    }
    t.same(statuses, { 401: 51, 429: 949 })
    t.equal(asked.length, 52)
    t.equal((await new Applicant(fastify, '203.0.113.1').attempt('user 8', RIGHT)).statusCode, 303)
    t.equal((await attacker.attempt('user 8', RIGHT)).statusCode, 429, 'a right password is not revealed there')
    pass(1_000)
    t.equal((await attacker.attempt('user 9', RIGHT)).statusCode, 303)
    t.equal((await attacker.attempt('user 10')).statusCode, 401)
    t.match(await attacker.attempt('user 11'), { statusCode: 429, headers: { 'retry-after': '2' } }, 'a successful login of one\'s own takes no count back')
  })

  t.test('an IPv6 address counts as its network, and both forms of an IPv4 address count as one', async (t) => {
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now: clock().now })
    for (let i = 0; i < 51; i++) {
      t.equal((await new Applicant(fastify, `2001:db8:0:1::${i.toString(16)}`).attempt(`user ${i}`)).statusCode, 401)
      t.equal((await new Applicant(fastify, i % 2 === 0 ? '192.0.2.9' : '::ffff:192.0.2.9').attempt(`person ${i}`)).statusCode, 401)
    }
    t.equal((await new Applicant(fastify, '2001:db8:0:1:ffff::').attempt('Harry')).statusCode, 429)
    t.equal((await new Applicant(fastify, '2001:db8:0:2::1').attempt('Harry')).statusCode, 401)
    t.equal((await new Applicant(fastify, '192.0.2.9').attempt('Harry')).statusCode, 429)
    t.equal((await new Applicant(fastify, '192.0.2.10').attempt('Harry')).statusCode, 401)
  })

  t.test('the address is the visitor\'s behind a trusted proxy, and the proxy\'s otherwise', async (t) => {
    const through = (from: string): Record<string, string> => ({ 'x-forwarded-for': from })
    const trusting = await build(t, { mode: 'service', authenticate: gatekeeper().authenticate, now: clock().now, sessionCookieSecure: 'false' }, { trustProxy: '127.0.0.1' })
    for (let i = 0; i < 51; i++) await new Applicant(trusting, '127.0.0.1').attempt(`user ${i}`, WRONG, through(`10.0.0.${i}, 192.0.2.1`))
    t.equal((await new Applicant(trusting, '127.0.0.1').attempt('Harry', RIGHT, through('192.0.2.1'))).statusCode, 429)
    t.equal((await new Applicant(trusting, '127.0.0.1').attempt('Harry', RIGHT, through('192.0.2.2'))).statusCode, 303)
    const unaware = await build(t, { mode: 'service', authenticate: gatekeeper().authenticate, now: clock().now, sessionCookieSecure: 'false' })
    for (let i = 0; i < 51; i++) await new Applicant(unaware, '192.0.2.1').attempt(`user ${i}`, WRONG, through(`10.0.0.${i}`))
    t.equal((await new Applicant(unaware, '192.0.2.1').attempt('Harry', RIGHT, through('10.0.0.99'))).statusCode, 429)
  })

  t.test('an address can sign up only as often as it can fail', async (t) => {
    const { now } = clock()
    const fastify = await build(t, { now })
    // One failure less than is free: accounts cost a hash each.
    for (let i = 0; i < 49; i++) await fastify.hatcheck.throttle.countSignup({ ip: '192.0.2.1', raw: { socket: {} } } as never)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT)).statusCode, 303)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT)).statusCode, 303, 'a user with an account can log in')
    t.equal((await new Applicant(fastify).attempt('Sally', RIGHT)).statusCode, 303)
    t.equal((await new Applicant(fastify).attempt('Sue', RIGHT)).statusCode, 429)
    t.equal((await new Applicant(fastify).attempt('Harry', RIGHT)).statusCode, 303, 'it is a known network of this account')
    t.equal((await new Applicant(fastify, '192.0.2.2').attempt('Sue', 'short')).statusCode, 400)
    for (let i = 0; i < 51; i++) t.equal((await new Applicant(fastify, '192.0.2.3').attempt(`visitor ${i}`, 'short')).statusCode, 400)
    t.equal((await new Applicant(fastify, '192.0.2.3').attempt('one more', 'short')).statusCode, 429, 'a refused sign-up counts too')
    t.equal((await new Applicant(fastify, '192.0.2.2').attempt('Sue', RIGHT)).statusCode, 303)
    t.same((await fastify.accounts?.list())?.map(({ name }) => name), ['Harry', 'Sally', 'Sue'])
  })
})

test('a flood from all addresses slows down neither known devices nor calm or known networks', async (t) => {
  const { authenticate, asked } = gatekeeper()
  const { now, pass } = clock()
  const fastify = await build(t, { authenticate, now })
  const owner = new Applicant(fastify, '203.0.113.1')
  await owner.attempt('Harry', RIGHT)
  for (let i = 0; i < 1_001; i++) await new Applicant(fastify, `10.0.${i % 91}.1`).attempt(`user ${i}`)
  t.equal(asked.length, 1_002)
  t.match(await new Applicant(fastify, '10.0.3.1').attempt('Sally', RIGHT), { statusCode: 429, headers: { 'retry-after': '1' } })
  t.equal((await owner.attempt('Harry', RIGHT)).statusCode, 303)
  t.equal((await new Applicant(fastify, '198.51.100.1').attempt('Sally', RIGHT)).statusCode, 303, 'a calm network')
  for (let i = 0; i < 5; i++) await new Applicant(fastify, '203.0.113.1').attempt(`visitor ${i}`)
  t.equal((await new Applicant(fastify, '203.0.113.1').attempt('Sally', RIGHT)).statusCode, 303, 'a network from which a user has logged in')
  pass(MINUTE)
  t.equal((await new Applicant(fastify, '10.0.3.1').attempt('Sally', RIGHT)).statusCode, 303)
})

test('the answer to a refused attempt reveals nothing about the account', async (t) => {
  t.test('the answer is the same byte for byte for a known and an unknown name, before and after the limit', async (t) => {
    const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto', now: clock().now })
    await fastify.accounts?.add('Harry', RIGHT)
    await fastify.accounts?.add('Sally', RIGHT)
    await fastify.accounts?.disable('Sally')
    for (const headers of [{}, { accept: 'text/html' }]) {
      for (let i = 0; i < 8; i++) {
        const answers = []
        for (const [name, password] of [['Harry', WRONG], ['Molly', WRONG], ['Sally', RIGHT]] as const) {
          const answer = await new Applicant(fastify, `198.51.100.${i}`).attempt(name, password, headers)
          answers.push(textOf(answer).replaceAll(`value=\\"${name}\\"`, 'value'))
        }
        t.equal(answers[1], answers[0])
        t.equal(answers[2], answers[0])
        t.match(answers[0], new RegExp(`"statusCode":${i < 6 && !('accept' in headers) ? 401 : 429}`))
      }
    }
  })

  t.test('a refused attempt is told when to try again, in problem+json and on the page', async (t) => {
    const { now, pass } = clock()
    const lines: string[] = []
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now }, logInto(lines, 'info'))
    const harry = new Applicant(fastify)
    for (let i = 0; i < 6; i++) await harry.attempt('Harry')
    pass(1)
    const json = await harry.attempt('Harry', RIGHT, { accept: 'application/json' })
    t.equal(json.statusCode, 429)
    t.equal(json.headers['content-type'], 'application/problem+json; charset=utf-8')
    t.equal(json.headers['retry-after'], '1', 'whole seconds, never 0')
    t.same(json.json(), {
      type: 'about:blank',
      title: 'Too Many Requests',
      status: 429,
      detail: 'Too many logins have failed. Please try again in 1 second.',
      code: 'HATCHECK_THROTTLED'
    })
    const page = await harry.attempt('Harry', RIGHT, { accept: 'text/html' })
    t.equal(page.statusCode, 429)
    t.equal(page.headers['retry-after'], '1')
    t.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    t.match(page.body, 'role="alert">Too many logins have failed. Please try again in 1 second.</p>')
    t.match(page.body, 'name="client_name" value="Harry"')
    t.notMatch(page.body, RIGHT)
    const events = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'authn_login_throttled')
    t.equal(events.length, 2, 'each is in the audit log once')
    t.match(events[0], { user: 'Harry', reason: 'account' })
    for (let i = 0; i < 12; i++) {
      pass(HOUR)
      await harry.attempt('Harry')
    }
    const { detail, seconds } = await long(harry, pass)
    t.equal(detail, `Too many logins have failed. Please try again in ${Math.ceil(seconds / 60)} minutes.`)

    async function long (visitor: Applicant, pass: (ms: number) => void): Promise<{ detail: string, seconds: number }> {
      for (;;) {
        const answer = await visitor.attempt('Harry')
        const seconds = Number(answer.headers['retry-after'] ?? 0)
        if (seconds >= 120) return { detail: answer.json().detail, seconds }
        pass(seconds * 1_000)
      }
    }
  })

  t.test('every failed attempt costs one hash, whatever is wrong', async (t) => {
    const { accounts } = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto' })
    await accounts?.add('Harry', RIGHT)
    await accounts?.add('Sally', RIGHT)
    await accounts?.disable('Sally')
    // No hash can finish without a turn of the event loop.
    const begun = async (): Promise<void> => { for (let i = 0; i < 100; i++) await Promise.resolve() }
    for (const [name, password] of [['Harry', WRONG], ['nobody', WRONG], ['Sally', RIGHT]] as const) {
      const others = times(64, () => hashPassword(RIGHT))
      await begun()
      const answer = accounts?.authenticate(name, password)
      await begun()
      assertNotBusy()
      others.push(hashPassword(RIGHT))
      await begun()
      t.throws(() => { assertNotBusy() }, { code: 'HATCHECK_BUSY' }, `${name}: it used one of the 66 places`)
      t.equal(await answer, null)
      await Promise.all(others)
    }
  })
})

test('two instances on one store share their counters, and so does one that restarts', async (t) => {
  const check = async (t: Test, sessionStore: string): Promise<void> => {
    const { now } = clock()
    const open = (): Promise<FastifyInstance> => build(t, { sessionStore, authenticate: gatekeeper().authenticate, now })
    const [one, other] = [await open(), await open()]
    const owner = new Applicant(one, '203.0.113.1')
    await owner.attempt('Harry', RIGHT)
    const statuses = []
    for (let i = 0; i < 20; i++) statuses.push((await new Applicant(i % 2 === 0 ? one : other, `198.51.${i}.1`).attempt('Harry')).statusCode)
    t.same(statuses, [...times(17, () => 401), 429, 429, 429])
    await one.close()
    await other.close()
    const again = await open()
    t.equal((await new Applicant(again).attempt('Harry', RIGHT)).statusCode, 429)
    const back = new Applicant(again)
    back.cookies.set('hatcheck-device', owner.cookies.get('hatcheck-device') as string)
    t.equal((await back.attempt('Harry', RIGHT)).statusCode, 303)
  }
  t.test('two instances on LMDB share their counters', async (t) => { await check(t, `lmdb:${t.testdir()}`) })
  t.test('two instances on Redis share their counters', needs('redis-server'), async (t) => { await check(t, (await startRedis(t)).url) })

  for (const kind of ['lmdb', 'redis'] as const) {
    t.test(`two processes share their counters, on ${kind}`, kind === 'redis' ? needs('redis-server') : {}, async (t) => {
      const url = kind === 'redis' ? (await startRedis(t)).url : `lmdb:${t.testdir()}`
      const processes = [startStoreProcess(t, url), startStoreProcess(t, url)]
      const waits = await Promise.all(times(40, async (i) => await processes[i % 2]?.('attempts.admit', 'account:x', policies.account, START)))
      t.equal(waits.filter((wait) => wait === 0).length, 6)
    })
  }
})

test('while the counters cannot be read or written, no login succeeds', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const { authenticate, asked } = gatekeeper()
  const fastify = await build(t, { sessionStore: server.url, authenticate })
  await server.stop()
  for (const password of [WRONG, RIGHT]) t.match(await new Applicant(fastify).attempt('Harry', password), { statusCode: 503, headers: { 'retry-after': '1' } })
  await server.start()
  const { attempts } = fastify.hatcheck.storage
  Object.assign(attempts, { async admit () { throw Object.assign(new Error('no space left on device'), { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503, headers: { 'retry-after': '1' } }) } })
  for (const password of [WRONG, RIGHT]) t.equal((await new Applicant(fastify).attempt('Harry', password)).statusCode, 503, 'read, but not written')
  t.equal(asked.length, 0, 'no password is checked')
})

test('an application with its own store and authenticator is rate limited too, and its own routes are not', async (t) => {
  const { authenticate, asked } = gatekeeper()
  const { now } = clock()
  const { sessions } = openLmdb(t.testdir(), { now, maxBytes: 16_384 }, silent)
  t.teardown(() => sessions.close())
  const fastify = await buildHost(t, { routes: true, authenticate, sessionStore: sessions, now })
  fastify.post('/own', async (request) => { await request.login('Harry') })
  t.same(statusesOf(await Promise.all(times(10, () => new Applicant(fastify).attempt('Harry')))), { 401: 6, 429: 4 })
  t.equal(asked.length, 6)
  const response = await fastify.inject({ method: 'POST', url: '/own' })
  t.equal(response.statusCode, 200)
  t.match(response.headers['set-cookie'], /^hatcheck=/, 'and sets only the session cookie')
})

test('during five hundred simultaneous logins the event loop keeps running', async (t) => {
  realHashes(t)
  const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto' })
  await fastify.accounts?.add('Harry', RIGHT)
  const harry = new Applicant(fastify, '203.0.113.1')
  t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 303)
  let [answered, hashed] = [0, 0]
  const tries = times(500, async (i) => {
    const response = await new Applicant(fastify, `10.0.${i >> 8}.${i & 255}`).attempt(`user ${i}`)
    answered++
    if (response.statusCode === 401) hashed++
    return response
  })
  const isAnswered = (): boolean => answered === 500
  let reads = 0
  for (; !isAnswered(); reads++) {
    const { body } = await harry.get('/')
    if (!body.includes('Harry Your account is logged in.')) t.fail(body)
    // Requests by inject give the event loop no turn on their own.
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  t.ok(reads > hashed, `${reads} reads while ${hashed} passwords were hashed`)
  const statuses = statusesOf(await Promise.all(tries))
  t.ok((statuses[401] ?? 0) >= 66 && (statuses[401] ?? 0) <= 80, JSON.stringify(statuses))
  t.equal((statuses[503] ?? 0) + (statuses[401] ?? 0), 500)
})
