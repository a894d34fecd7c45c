import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { hashPassword } from '../plugins/accounts/password.js'
import { MemoryAttempts } from '../plugins/storage/memory/attempts.js'
import { accountKey } from '../plugins/store/accounts.js'
import type { AttemptStore } from '../plugins/store/attempts.js'
import { policies, type Policy } from '../plugins/store/attempt-policy.js'
import { Admission, isRefusal, type Attempt, type Kind, type Refusal } from '../plugins/throttle/admission.js'
import { Applicant, RIGHT, WRONG, clock, gatekeeper } from './apps/applicant.js'
import { Client, statusesOf, type Answer } from './clients/client.js'
import { build, buildHost, gate, times } from './helper.js'
import { pageAt } from './pages/pages.js'
import { stop } from './stores/watched-store.js'
import { DAY, MINUTE, START } from './time/units.js'

const withDevice = (device?: string): Record<string, string> => device === undefined ? {} : { cookie: `hatcheck-device=${device}` }

test('the counter of an account does not reveal that its owner has logged in', async (t) => {
  const check = async (ownerComes: boolean): Promise<string[]> => {
    const { now, pass } = clock()
    const fastify = await build(t, { authenticate: gatekeeper().authenticate, now })
    const [owner, attacker] = [new Applicant(fastify, '203.0.113.1'), new Applicant(fastify)]
    if (ownerComes) await owner.attempt('Harry', RIGHT)
    const seen: string[] = []
    for (let i = 0; i < 30; i++) {
      const { statusCode, headers } = await attacker.attempt('Harry')
      seen.push(`${statusCode} ${headers['retry-after']}`)
      if (ownerComes && i % 4 === 0) t.equal((await owner.attempt('Harry', RIGHT)).statusCode, 303, 'with a known device')
      if (ownerComes && i % 5 === 0) t.equal((await new Applicant(fastify, `203.0.113.${i + 2}`).attempt('Harry', RIGHT)).statusCode, 303, 'as a newcomer')
      pass(1_500)
    }
    return seen
  }
  t.same(await check(true), await check(false))
})

test('while an account is under attack, its user gets in from a known network, and a newcomer from a calm one', async (t) => {
  const { now, pass } = clock()
  const fastify = await build(t, { authenticate: gatekeeper().authenticate, now })
  const home = '2001:db8:1:1::1'
  const statusFrom = async (from: string, password = RIGHT, name = 'Harry'): Promise<number> => (await new Applicant(fastify, from).attempt(name, password)).statusCode
  const attack = async (): Promise<void> => { for (let i = 0; i < 40; i++) await statusFrom(`10.${i}.0.1`, WRONG) }
  t.equal(await statusFrom(home), 303)
  await attack()
  t.equal(await statusFrom('192.0.2.77'), 429, 'calm networks have too many failures for this account')
  t.equal(await statusFrom('2001:db8:1:1::2'), 303, 'a new browser at home')
  t.equal(await statusFrom('2001:db8:1:2::2'), 429, 'another network of the same block')
  for (let i = 0; i < 60; i++) t.equal(await statusFrom(home, WRONG, `visitor ${i}`), i < 51 ? 401 : 429)
  t.equal(await statusFrom(home), 303, 'failures for other accounts do not slow down its network')
  const wrong = []
  for (let i = 0; i < 8; i++) wrong.push(await statusFrom(home, WRONG))
  t.same(wrong, [401, 401, 401, 401, 401, 401, 429, 429], 'it has a counter of its own')
  pass(31 * DAY)
  await attack()
  t.equal(await statusFrom(home), 429, 'it is known for 30 days')

  for (let i = 0; i < 6; i++) t.equal(await statusFrom('192.0.2.1', WRONG, 'Sally'), 401)
  t.equal(await statusFrom('192.0.2.1', RIGHT, 'Sally'), 429)
  t.equal(await statusFrom('198.51.100.2', WRONG, 'Sally'), 401)
  t.equal(await statusFrom('198.51.100.2', RIGHT, 'Sally'), 303, 'a second attempt after a mistake')
})

test('an attempt that is refused by one counter, when it is its turn, counts for no other', async (t) => {
  const attempts = new MemoryAttempts()
  const admission = new Admission({ attempts, now: () => START, hash: (text) => text })
  const attemptOf = async (device: string): Promise<Attempt> => {
    const attempt = await admission.attemptOf({ account: 'harry', device, address: '' })
    if (isRefusal(attempt)) throw new Error(`${attempt.reason} refuses it`)
    return attempt
  }
  const waiting = await attemptOf('waiting')
  for (const device of ['a', 'b', 'c', 'd']) {
    for (let i = 0; i < 5; i++) t.equal(await (await attemptOf(device)).admit(), null)
  }
  t.equal(await (await attemptOf('e')).admit(), null, 'one more than is free')
  t.match(await waiting.admit(), { reason: 'devices' })
  t.equal(attempts.waitOf('device:waiting', { ...policies.device, free: 0 }, START), 0)
})

test('an attempt that one counter cannot count, because the store fails, counts for no other', async (t) => {
  const inner = new MemoryAttempts()
  const attempts: AttemptStore = Object.assign(Object.create(inner) as MemoryAttempts, {
    waitOf: inner.waitOf.bind(inner),
    uncount: inner.uncount.bind(inner),
    admit: (...[key, policy, now]: Parameters<AttemptStore['admit']>) => {
      if (key === 'devices:harry') throw new Error('this node of the cluster is down')
      return inner.admit(key, policy, now)
    }
  })
  const admission = new Admission({ attempts, now: () => START, hash: (text) => text })
  const attempt = await admission.attemptOf({ account: 'harry', device: 'phone', address: '' })
  if (isRefusal(attempt)) throw new Error(`${attempt.reason} refuses it`)
  await t.rejects(attempt.admit(), { message: 'this node of the cluster is down' })
  t.equal(inner.waitOf('device:phone', { ...policies.device, free: 0 }, START), 0)
})

/** Fails until a counter makes the next attempt wait. @param seconds how long, a power of two */
function failFor (attempts: MemoryAttempts, kind: Kind, whose: string, seconds: number): void {
  const policy: Policy = policies[kind]
  while (attempts.waitOf(`${kind}:${whose}`, policy, START) < seconds * 1_000) attempts.count(`${kind}:${whose}`, policy, START)
}

test('an attempt that no way admits is told the shortest of their waits', async (t) => {
  const attempts = new MemoryAttempts()
  const admission = new Admission({ attempts, now: () => START, hash: (text) => text })
  const decide = async (): Promise<unknown> => await admission.attemptOf({ account: 'harry', device: 'browser', address: '192.0.2.1' })
  failFor(attempts, 'unrest', '192.0.2.1', 1)
  failFor(attempts, 'account', 'harry', 4)
  for (const [seconds, shortest] of [[1, { reason: 'device', waitMs: 1_000 }], [2, { reason: 'device', waitMs: 2_000 }], [8, { reason: 'account', waitMs: 4_000 }]] as const) {
    failFor(attempts, 'device', 'browser', seconds)
    t.strictSame(await decide(), shortest)
  }
})

test('a stranger whose network has failed too often meanwhile is refused when it is its turn, and counts for nothing', async (t) => {
  for (const kind of ['address', 'global'] as const) {
    const attempts = new MemoryAttempts()
    const admission = new Admission({ attempts, now: () => START, hash: (text) => text })
    const attempt = await admission.attemptOf({ account: 'harry', device: null, address: '192.0.2.1' }) as Attempt
    failFor(attempts, 'unrest', '192.0.2.1', 1)
    failFor(attempts, kind, kind === 'global' ? '' : '192.0.2.1', 1)
    t.match(await attempt.admit(), { reason: kind })
    t.equal(attempts.waitOf('account:harry', { ...policies.account, free: 0 }, START), 0)
  }
})

test('the numbers of the rate limit are those of the documentation', (t) => {
  const page = pageAt('docs/admission.md')
  const units: Record<string, number> = { second: 1_000, minute: MINUTE, hour: 60 * MINUTE }
  const msIn = (text: string): number => {
    const [, count = '1', unit = ''] = /^(?:each )?(?:(\d+) )?(second|minute|hour)s?$/.exec(text) ?? []
    return Number(count) * (units[unit] ?? NaN)
  }
  const rows = page.split('\n').map((line) => line.split('|').map((cell) => cell.trim()))
  const kinds: Record<string, Kind[]> = {
    'account, by all strangers': ['account'],
    'account, by calm networks, once the counter above makes them wait': ['calm'],
    'one known device; one known network, for one account': ['device', 'place'],
    'all known devices of an account; all its known networks': ['devices', 'places'],
    network: ['address'],
    'site (/56)': ['site'],
    'block (/48)': ['block'],
    'all networks together': ['global']
  }
  for (const [row, names] of Object.entries(kinds)) {
    const [, , free = '', period = '', longest = ''] = rows.find(([, first]) => first === row) ?? []
    const documented = { free: Number(free.replace(',', '')), forgiveMs: period === 'ten a second' ? 100 : msIn(period), longestMs: msIn(longest) }
    for (const name of names) t.strictSame(policies[name], documented, name)
  }
  t.match(page, 'at most 1 failure in 12 hours')
  t.match(policies.unrest, { free: 1, forgiveMs: 12 * 60 * MINUTE, firstMs: 12 * 60 * MINUTE, longestMs: 12 * 60 * MINUTE })
  t.match(page, /after its tenth recent failure, each further\s+one closes the block for an hour/)
  t.match(policies.unrestAround, { free: 10, firstMs: 60 * MINUTE, longestMs: 60 * MINUTE })
  for (const known of [policies.knownPlace, policies.knownNetwork]) t.match(known, { free: 0, firstMs: 30 * DAY, longestMs: 30 * DAY }, 'known for 30 days')
  t.end()
})

test('a failure from a known network counts for the network, and one of a known device does not', async (t) => {
  for (const isDevice of [false, true]) {
    const { authenticate } = gatekeeper()
    const fastify = await build(t, { authenticate, now: clock().now })
    const users = times(9, (i) => ({ name: `user ${i}`, browser: new Applicant(fastify) }))
    for (const { name, browser } of users) t.equal((await browser.attempt(name, RIGHT)).statusCode, 303)
    const answers = []
    for (const { name, browser } of users) {
      // A browser without the device cookie comes from a known network only.
      for (let i = 0; i < 6; i++) answers.push(await (isDevice ? browser : new Applicant(fastify)).attempt(name))
    }
    t.same(statusesOf(answers), { 401: 54 }, 'none of them waits for the network')
    t.equal((await new Applicant(fastify).attempt('Sally', RIGHT)).statusCode, isDevice ? 303 : 429, isDevice ? 'failures of known devices' : 'failures from a known network')
  }
})

test('a success resets the counter of its known device', async (t) => {
  const { now } = clock()
  const admission = new Admission({ attempts: new MemoryAttempts(), now, hash: (text) => text })
  const attempt = async (isRight: boolean): Promise<string> => {
    const attempt = await admission.attemptOf({ account: 'harry', device: 'browser', address: '192.0.2.1' })
    if (isRefusal(attempt)) throw new Error(attempt.reason)
    t.equal(await attempt.admit(), null)
    await (isRight ? attempt.succeeded() : attempt.failed())
    return attempt.queueKey
  }
  for (const isRight of [...times(5, () => false), true, ...times(6, () => false)]) t.equal(await attempt(isRight), 'devices:harry')
  t.not(await attempt(false), 'devices:harry', 'the next attempt would have to wait as that of a device')
})

test('each login makes a network known for another 30 days, and few of them write that', async (t) => {
  const { now, pass } = clock()
  let writes = 0
  class Counting extends MemoryAttempts {
    override count (...counted: Parameters<MemoryAttempts['count']>): void {
      if (counted[0].startsWith('known')) writes++
      super.count(...counted)
    }
  }
  const admission = new Admission({ attempts: new Counting(), now, hash: (text) => text })
  const from = async (account: string, address: string): Promise<Attempt | Refusal> => await admission.attemptOf({ account, device: null, address })
  const login = async (): Promise<void> => {
    const attempt = await from('harry', '192.0.2.1')
    if (isRefusal(attempt)) throw new Error(attempt.reason)
    await attempt.admit()
    await attempt.succeeded()
  }
  const isKnown = async (): Promise<boolean> => (await from('harry', '192.0.2.1') as Attempt).isFamiliar
  for (let i = 0; i < 100; i++) await login()
  t.equal(writes, 2, 'the network of the account, and that of any account')
  pass(20 * DAY)
  await login()
  pass(25 * DAY)
  t.ok(await isKnown())
  pass(6 * DAY)
  t.notOk(await isKnown())
})

test('attempts for one account cannot take the places of others', async (t) => {
  const { here, reached, go } = stop()
  let asked = 0
  const fastify = await build(t, {
    now: clock().now,
    async authenticate (name, password) {
      if (name === 'Harry' && ++asked === 1) await here()
      return password === RIGHT ? { name } : null
    }
  })
  const allAnswered = gate()
  let busy = 0
  const tries = Promise.all(times(100, async () => {
    const response = await new Applicant(fastify).attempt('Harry')
    if (response.statusCode === 503 && ++busy === 91) allAnswered.open()
    return response
  }))
  await reached
  await allAnswered.passed
  t.equal(asked, 1, 'eight wait, the others are refused before anything is checked')
  t.equal((await new Applicant(fastify, '203.0.113.1').attempt('Sally', RIGHT)).statusCode, 303, 'others do not wait')
  go()
  t.same(statusesOf(await tries), { 401: 6, 429: 3, 503: 91 })
  t.same(statusesOf(await Promise.all(times(100, () => new Applicant(fastify).attempt('Harry')))), { 429: 100 }, 'an attempt that would have to wait is refused at once')
})

test('with authenticate, one network cannot guess at any number of accounts at once', async (t) => {
  const checked = gate()
  const mostAnswered = gate()
  let [asked, busy] = [0, 0]
  const fastify = await build(t, {
    now: clock().now,
    async authenticate (name, password) {
      if (password === RIGHT) return { name }
      if (++asked > 64) mostAnswered.open()
      await checked.passed
      return null
    }
  })
  const harry = new Applicant(fastify, '203.0.113.1')
  await harry.attempt('Harry', RIGHT)
  const tries = Promise.all(times(200, async (i) => {
    const answer = await new Applicant(fastify).attempt(`user ${i}`)
    if (answer.statusCode === 503 && ++busy === 136) mostAnswered.open()
    return answer
  }))
  await mostAnswered.passed
  t.equal(asked, 64, 'as many as wait for a hash with the accounts of hatcheck')
  t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 303, 'known devices have places of their own')
  checked.open()
  t.same(statusesOf(await tries), { 401: 64, 503: 136 })
  t.same(statusesOf(await Promise.all(times(100, (i) => new Applicant(fastify).attempt(`user ${i}`)))), { 429: 100 })
})

test('known devices log in while strangers hold every place of the queue', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto' })
  await fastify.accounts?.add('Harry', RIGHT)
  const harry = new Applicant(fastify, '203.0.113.1')
  await harry.attempt('Harry', RIGHT)
  let answered = 0
  const tries = Promise.all(times(200, async (i) => {
    const answer = await new Applicant(fastify, `10.0.${i}.1`).attempt(`user ${i}`)
    answered++
    return answer
  }))
  const statuses = []
  const isAnswered = (): boolean => answered === 200
  while (!isAnswered()) {
    statuses.push(await harry.attempt('Harry', RIGHT))
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  t.ok(statuses.length > 2)
  t.same(Object.keys(statusesOf(statuses)), ['303'])
  t.ok((statusesOf(await tries)[503] ?? 0) > 0, 'strangers are refused')
})

test('strangers who wait for each other take no place of a known device', async (t) => {
  const { here, reached, go } = stop()
  const fastify = await build(t, {
    now: clock().now,
    async authenticate (name, password) {
      if (name.startsWith('user')) await here()
      return password === RIGHT ? { name } : null
    }
  })
  const harry = new Applicant(fastify, '203.0.113.1')
  await harry.attempt('Harry', RIGHT)
  const allWait = gate()
  let refused = 0
  const tries = times(50, async (i) => {
    const answer = await new Applicant(fastify, `10.0.${i}.1`).attempt(`user ${i % 5}`)
    if (answer.statusCode === 503 && ++refused === 5) allWait.open()
    return answer
  })
  await reached
  await allWait.passed
  t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 303, 'forty wait, and there are 32 places for known devices')
  go()
  await Promise.all(tries)
})

test('a word that a proxy writes instead of an address counts as no address', async (t) => {
  const { authenticate, asked } = gatekeeper()
  const fastify = await build(t, { authenticate, mode: 'service', sessionCookieSecure: 'auto', now: clock().now }, { trustProxy: '192.0.2.1' })
  const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address, 'x-forwarded-proto': 'http' })
  const words = ['unknown', '_hidden', 'unix:', 'unix:@']
  for (const word of words) t.equal((await new Applicant(fastify).attempt('Harry', RIGHT, from(word))).statusCode, 303)
  const answers = []
  for (let i = 0; i < 55; i++) answers.push(await new Applicant(fastify).attempt(`user ${i}`, WRONG, from(words[i % words.length] as string)))
  t.same(statusesOf(answers), { 401: 51, 429: 4 })
  asked.length = 0
  for (const word of words) t.equal((await new Applicant(fastify).attempt('Harry', RIGHT, from(word))).statusCode, 429, `${word} is no known network`)
  t.same(asked, [])
})

test('one user cannot take all the places of known devices and networks, even with the right password', async (t) => {
  const { here, reached, go } = stop()
  let isHeld = false
  const fastify = await build(t, {
    now: clock().now,
    async authenticate (name, password) {
      if (isHeld && name === 'Sally') await here()
      return password === RIGHT ? { name } : null
    }
  })
  const [harry, ...devices] = times(11, (i) => new Applicant(fastify, `203.0.113.${i}`)) as [Applicant, ...Applicant[]]
  await harry.attempt('Harry', RIGHT)
  for (const device of devices) await device.attempt('Sally', RIGHT)
  isHeld = true
  const mostAnswered = gate()
  let busy = 0
  const asked = devices.flatMap((device) => times(9, async () => {
    const answer = await device.attempt('Sally', RIGHT)
    if (answer.statusCode === 503 && ++busy === 81) mostAnswered.open()
    return answer
  }))
  await reached
  t.equal((await harry.attempt('Harry', RIGHT)).statusCode, 303)
  await mostAnswered.passed
  go()
  t.same(statusesOf(await Promise.all(asked)), { 303: 9, 503: 81 }, 'one is checked and eight wait, with ten devices as with one')
})

test('a /48 that fails too often is slowed down before all other networks are', async (t) => {
  const { authenticate, asked } = gatekeeper()
  const fastify = await build(t, { authenticate, now: clock().now })
  const answers = []
  for (let i = 0; i < 400; i++) answers.push(await new Applicant(fastify, `2001:db8:7:${(i * 150).toString(16)}::1`).attempt(`user ${i}`))
  t.same(statusesOf(answers), { 401: 201, 429: 199 })
  asked.length = 0
  for (let i = 0; i < 150; i++) await new Applicant(fastify, `2001:db8:8:${(0x4200 + i).toString(16)}::1`).attempt(`user ${i}`)
  t.equal(asked.length, 101, 'a /56 has its own limit')
  t.equal((await new Applicant(fastify, '2001:db8:9::1').attempt('Sally', RIGHT)).statusCode, 303, 'another /48 is not affected')
})

test('forty device cookies of one account do not allow forty times as many guesses', async (t) => {
  const { authenticate, asked } = gatekeeper()
  const { now, pass } = clock()
  const fastify = await build(t, { authenticate, now })
  const cookies: string[] = []
  for (let i = 0; i < 40; i++) {
    const browser = new Applicant(fastify, `203.0.113.${i}`)
    await browser.attempt('Harry', RIGHT)
    cookies.push(browser.cookies.get('hatcheck-device') as string)
  }
  asked.length = 0
  const guess = async (count: number): Promise<void> => { for (let i = 0; i < count; i++) await new Applicant(fastify).attempt('Harry', WRONG, withDevice(cookies[i % 40])) }
  await guess(240)
  t.equal(asked.length, 27, '21 by all devices, 6 by strangers')
  const owner = new Applicant(fastify, '203.0.113.7')
  t.equal((await owner.attempt('Harry', RIGHT, withDevice(cookies[7]))).statusCode, 303, 'a device that has to wait can log in as a stranger')
  for (let i = 0; i < 12; i++) {
    pass(5 * MINUTE)
    await guess(45)
  }
  t.ok(asked.length <= 28 + 13 + 12, `${asked.length} after an hour`)
  pass(180 * DAY)
  for (let i = 0; i < 30; i++) await new Applicant(fastify, `10.${i}.0.1`).attempt('Harry')
  t.equal((await new Applicant(fastify, '10.0.0.1').attempt('Harry', RIGHT, withDevice(cookies[0]))).statusCode, 429, 'after 180 days it is unknown')
})

test('of the device cookies of a request the first eight count', async (t) => {
  const { authenticate } = gatekeeper()
  const { now } = clock()
  const fastify = await build(t, { authenticate, now })
  const browser = new Applicant(fastify, '203.0.113.1')
  t.equal((await browser.attempt('Harry', RIGHT)).statusCode, 303)
  for (let i = 0; i < 30; i++) await new Applicant(fastify, `10.${i}.0.1`).attempt('Harry')
  const device = browser.cookie('hatcheck-device')
  const planted = (i: number): string => `hatcheck-device=${'x'.repeat(20)}${String(i).padStart(2, '0')}.${START / 1_000}.${'y'.repeat(43)}`
  const statusWith = async (cookies: string[]): Promise<number> => (await new Applicant(fastify, '10.0.0.1').attempt('Harry', RIGHT, { cookie: cookies.join('; ') })).statusCode
  t.equal(await statusWith([...times(8, planted), device]), 429)
  t.equal(await statusWith([...times(7, planted), device]), 303)
  t.equal(await statusWith([...times(40, () => 'hatcheck-device=x'), device]), 303, 'what does not have the form of one does not count')
})

test('a new password makes every device unknown, except the one that set it', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto', now: clock().now })
  await fastify.accounts?.add('Harry', RIGHT)
  const [owner, thief] = [new Applicant(fastify, '203.0.113.1'), new Applicant(fastify, '203.0.113.2')]
  for (const browser of [owner, thief]) t.equal((await browser.attempt('Harry', RIGHT)).statusCode, 303)
  const changed = await owner.post('/password', { current_password: RIGHT, new_password: WRONG })
  t.equal(changed.statusCode, 303)
  for (let i = 0; i < 18; i++) await new Applicant(fastify, `10.${i}.0.1`).attempt('Harry', RIGHT)
  const statusWith = async (browser: Applicant): Promise<number> => (await new Applicant(fastify, '10.0.0.1').attempt('Harry', WRONG, withDevice(browser.cookies.get('hatcheck-device')))).statusCode
  t.equal(await statusWith(thief), 429)
  t.equal(await statusWith(owner), 303)
})

test('a known device belongs to its account, however the name of the account was spelled at its creation', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'closed', sessionCookieSecure: 'auto', now: clock().now })
  const name = 'Harry  Potter'
  // A new name keeps only one of two spaces.
  await fastify.hatcheck.storage.accounts?.create(accountKey(name), { name, passwordHash: await hashPassword(RIGHT), createdAt: START, disabled: false })
  const owner = new Applicant(fastify, '203.0.113.1')
  t.equal((await owner.attempt(name, RIGHT)).statusCode, 303)
  for (let i = 0; i < 18; i++) await new Applicant(fastify, `10.${i}.0.1`).attempt('Harry Potter')
  const statusWith = async (device?: string): Promise<number> => (await new Applicant(fastify, '10.0.0.1').attempt(name, RIGHT, withDevice(device))).statusCode
  t.equal(await statusWith(), 429, 'every spelling counts')
  t.equal(await statusWith(owner.cookies.get('hatcheck-device')), 303)
})

test('the documentation lists the reason of every refusal', async (t) => {
  const [, afterHead = ''] = pageAt('docs/audit-and-metrics.md').split('| `reason` of `authn_login_throttled` |')
  const [table = ''] = afterHead.split('\n\n')
  const reasons = [...table.matchAll(/`(\w+)`/g)].map(([, reason]) => reason)
  // The other policies only remember; nobody waits because of them.
  const kinds = Object.entries(policies).filter(([, policy]) => !('firstMs' in policy)).map(([kind]) => kind)
  t.same(reasons.sort(), kinds.sort())
})

test('requests without an address count as one network, which is never known', async (t) => {
  const { authenticate, asked } = gatekeeper()
  // The path of a Unix socket must be short.
  const folder = mkdtempSync(join(tmpdir(), 'hatcheck-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  for (const trustProxy of [false, true]) {
    const fastify = await buildHost(t, { routes: true, authenticate, now: clock().now }, { trustProxy })
    const socketPath = join(folder, trustProxy ? 'trusting' : 'plain')
    await fastify.listen({ path: socketPath })
    const post = async (name: string, password: string, headers: Record<string, string> = {}, client = new Client('http://localhost', { socketPath })): Promise<Answer> =>
      await client.send({ method: 'POST', url: '/login', headers: { accept: 'application/json', ...headers }, payload: { client_name: name, password } })
    const owner = new Client('http://localhost', { socketPath })
    t.equal((await post('Harry', RIGHT, {}, owner)).statusCode, 200)
    asked.length = 0
    const answers = []
    for (let i = 0; i < 55; i++) answers.push(await post(`user ${i}`, WRONG))
    t.same(statusesOf(answers), { 401: 51, 429: 4 })
    t.equal((await post('Harry', RIGHT)).statusCode, 429)
    t.equal((await post('Harry', RIGHT, { cookie: owner.cookie('hatcheck-device') })).statusCode, 200, 'a known device does not wait')
    if (trustProxy) t.equal((await post('Sally', RIGHT, { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' })).statusCode, 200, 'a proxy names the address')
  }
})
