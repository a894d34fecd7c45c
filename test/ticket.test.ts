import { Signer } from '@fastify/cookie'
import fc from 'fast-check'
import { createHash, createHmac, hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { DEFAULT_REALM } from '../plugins/common/realm.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { cookieValues } from '../plugins/cookies/header.js'
import { estimateBits } from '../plugins/tickets/secret-strength.js'
import { newSecret, secretsOf } from '../plugins/tickets/secrets.js'
import { createTicketSigner, deriveKey, storeKey } from '../plugins/tickets/ticket.js'
import { Client, logIn, userOf } from './clients/client.js'
import { RawClient } from './clients/raw-client.js'
import { build, buildHost, formerKey, testKey } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'

/** Random Cookie headers; test/long/cookie-fuzz.test.ts sends many more. */
const HEADERS = 2_000

const secret = Buffer.from(testKey)
const former = Buffer.from(formerKey)
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

test('an ID is 32 random bytes in base64url', (t) => {
  const signer = createTicketSigner([secret])
  const ids = Array.from({ length: 100_000 }, () => signer.newId())
  t.equal(new Set(ids).size, ids.length)
  t.ok(ids.every((id) => /^[\w-]{43}$/.test(id)))
  for (let at = 0; at < 42; at++) {
    const seen = new Map<string, number>()
    for (const id of ids) seen.set(id[at] as string, (seen.get(id[at] as string) ?? 0) + 1)
    // 1562 on average, with a standard deviation of 39: eight of them is beyond chance.
    const even = BASE64URL.split('').every((character) => Math.abs((seen.get(character) ?? 0) - 100_000 / 64) < 8 * 39.3)
    if (!even) t.fail(`position ${at} is not random`)
  }
  t.end()
})

test('a ticket is the ID and its MAC', (t) => {
  const [signer, verifier] = [createTicketSigner([secret]), createTicketSigner([secret])]
  const id = signer.newId()
  const ticket = signer.sign(id)
  t.match(ticket, /^[\w-]{43}\.[\w-]{43}$/)
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'hatcheck/1 session ticket', 32))
  t.equal(ticket, `${id}.${createHmac('sha256', key).update(id).digest('base64url')}`)
  t.match(verifier.verify(ticket), { id, stale: false, key: createHash('sha256').update(id).digest('base64url') })
  t.equal(verifier.verify(ticket)?.key, storeKey(id))
  t.strictSame(signer.verify(ticket), verifier.verify(ticket), 'the one that has signed it remembers it')
  t.equal(signer.sign(id), ticket, 'the same each time')
  t.throws(() => createTicketSigner([]), new TypeError('at least one secret is required'))
  t.end()
})

test('a MAC for another purpose is not a valid ticket', (t) => {
  const signer = createTicketSigner([secret])
  const id = signer.newId()
  const macs = [
    createHmac('sha256', secret).update(id).digest('base64url'),
    createHmac('sha256', deriveKey(secret, 'another purpose', DEFAULT_REALM)).update(id).digest('base64url'),
    createHmac('sha256', deriveKey(secret, '', DEFAULT_REALM)).update(id).digest('base64url'),
    createHash('sha256').update(id).digest('base64url'),
    createHash('sha256').update(secret).update(id).digest('base64url'),
    createHmac('sha256', '').update(id).digest('base64url')
  ]
  for (const mac of macs) t.equal(signer.verify(`${id}.${mac}`), null)
  const signed = new Signer(testKey).sign(id)
  for (const value of [signed, encodeURIComponent(signed), signed.replaceAll('+', '-').replaceAll('/', '_')]) t.equal(signer.verify(value), null)
  t.not(deriveKey(secret, 'a', DEFAULT_REALM).toString('hex'), deriveKey(secret, 'b', DEFAULT_REALM).toString('hex'))
  t.end()
})

test('a handle is a word that no command line takes for an option, another one for each key', (t) => {
  const signer = createTicketSigner([secret])
  const handles = Array.from({ length: 1_000 }, (_, i) => signer.handleOf(`key ${i}`))
  t.strictSame(handles.filter((handle) => !/^\w{22}$/.test(handle)), [])
  t.equal(new Set(handles).size, handles.length)
  t.equal(createTicketSigner([secret]).handleOf('key 0'), handles[0], 'the same in every process')
  t.end()
})

test('the first secret signs, and all secrets verify', (t) => {
  const [current, both, swapped, old] = [[secret], [secret, former], [former, secret], [former]].map((secrets) => createTicketSigner(secrets))
  const id = current?.newId() as string
  const [fresh, stale] = [current?.sign(id) as string, old?.sign(id) as string]
  t.not(fresh, stale)
  t.equal(both?.sign(id), fresh)
  t.equal(swapped?.sign(id), stale)
  t.match(both?.verify(fresh), { id, stale: false })
  t.match(both?.verify(stale), { id, stale: true })
  t.match(swapped?.verify(fresh), { id, stale: true })
  t.match(swapped?.verify(stale), { id, stale: false })
  t.equal(current?.verify(stale), null, 'a dropped secret verifies nothing')
  t.equal(old?.verify(fresh), null)
  const third = createTicketSigner([randomBytes(32), randomBytes(32), secret])
  t.match(third.verify(fresh), { id, stale: true }, 'at any position in the list')
  t.end()
})

test('a ticket with any change is invalid', (t) => {
  const signer = createTicketSigner([secret, former])
  const ticket = createTicketSigner([secret]).sign(signer.newId())
  for (const known of [false, true]) {
    if (known) t.ok(signer.verify(ticket), 'also if the right one is cached')
    for (let at = 0; at < ticket.length; at++) {
      for (const other of BASE64URL + '.=%+/ ') {
        if (other !== ticket[at] && signer.verify(ticket.slice(0, at) + other + ticket.slice(at + 1)) !== null) t.fail(`${other} at ${at}`)
      }
      if (signer.verify(ticket.slice(0, at)) !== null) t.fail(`cut off at ${at}`)
      if (signer.verify(ticket.slice(at + 1)) !== null) t.fail(`begun at ${at + 1}`)
    }
    const [id, mac] = ticket.split('.') as [string, string]
    const last = BASE64URL.indexOf(mac.at(-1) as string)
    const alternatives = [0, 1, 2, 3].map((bits) => mac.slice(0, -1) + BASE64URL[(last & ~3) | bits]).filter((other) => other !== mac)
    t.equal(alternatives.length, 3)
    for (const other of alternatives) {
      t.ok(Buffer.from(other, 'base64url').equals(Buffer.from(mac, 'base64url')), 'another spelling of the same MAC')
      t.equal(signer.verify(`${id}.${other}`), null, 'is refused')
    }
    const others = [
      '', '.', 'null', 'undefined', '0', id, mac, `${id}.`, `.${mac}`, `${mac}.${id}`, `${id}.${id}`, `${ticket}.`, `${ticket}=`, `${ticket}A`, ` ${ticket}`, `${ticket} `,
      `"${ticket}"`, `${ticket}\n`, `${ticket}\0`, ticket.toUpperCase(), ticket.toLowerCase(), `${id}.${mac}.${mac}`, `${id}.${Buffer.from(mac, 'base64url').toString('hex')}`, ticket.replace('.', '..')
    ]
    for (const other of others) t.equal(signer.verify(other), null, JSON.stringify(other))
  }
  t.end()
})

test('the cache of tickets changes no result', (t) => {
  const signer = createTicketSigner([secret])
  const other = createTicketSigner([secret])
  const tickets = Array.from({ length: 25_000 }, (_, i) => (i % 2 === 0 ? signer : other).sign(signer.newId()))
  for (let round = 0; round < 2; round++) {
    t.ok(tickets.every((ticket) => signer.verify(ticket)?.id === ticket.split('.')[0]))
    t.ok(tickets.every((ticket) => signer.verify(`${ticket.slice(0, -1)}!`) === null))
  }
  const [ticket = ''] = tickets
  t.equal(signer.verify(ticket), signer.verify(ticket), 'a recently verified ticket is the same object')
  t.end()
})

test('the values of a cookie are read from a Cookie header as RFC 6265 says', (t) => {
  const cases: Array<[string, string[]]> = [
    ['', []],
    ['hat=1', ['1']],
    ['hat=1; hat=2;hat=3', ['1', '2', '3']],
    ['a=b; hat=1; c=d', ['1']],
    ['hat=', ['']],
    ['hat', []],
    ['hat;', []],
    ['=hat', []],
    ['=hat=1', []],
    ['a==hat=1', []],
    ['xhat=1', []],
    ['hatx=1', []],
    ['x-hat=1', []],
    ['hat-x=1', []],
    ['hat =1', []],
    ['Hat=1', []],
    ['hat=a=b', ['a=b']],
    ['hat="1"', ['1']],
    ['a=1;hat= "2" ;$Path="/"', ['2']],
    ['hat=""', ['']],
    ['hat="', ['"']],
    ['hat="1', ['"1']],
    ['hat=1"', ['1"']],
    ['hat="1;2"', ['"1']],
    ['hat= 1 ', ['1']],
    ['  hat=1', ['1']],
    ['a=1;   hat=2', ['2']],
    ['a=hat=1', []],
    ['a="hat=1"', []],
    ['a=hat; hat=hat', ['hat']],
    ['hat=hat=hat', ['hat=hat']],
    [';;hat=1;;', ['1']],
    ['\u2000hat=1', []],
    ['a=1,hat=2', []],
    ['$Version=1; hat=2; $Path=/', ['2']],
    ['hathat=1; hat=2', ['2']]
  ]
  for (const [header, values] of cases) t.strictSame(cookieValues(header, 'hat'), values, JSON.stringify(header))
  t.strictSame(cookieValues('=__Host-hat=1; __Host-hat=2; hat=3', '__Host-hat'), ['2'])
  t.strictSame(cookieValues('=__Host-hat=1; __Host-hat=2; hat=3', 'hat'), ['3'])
  t.end()
})

interface Counted {
  fastify: FastifyInstance
  /** The number of reads of the store since the last call. */
  calls (): number
  user (cookie: string): Promise<string | null>
  login (): Promise<string>
}

/** An application whose calls of the store are counted. */
async function counted (t: Test, options: HatcheckOptions = {}): Promise<Counted> {
  let calls = 0
  const fastify = await buildHost(t, { sessionStore: watched(openStore(t, 'memory:'), () => { calls++ }), ...options }, { trustProxy: true })
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
  return {
    fastify,
    calls () {
      const made = calls
      calls = 0
      return made
    },
    async user (cookie) {
      return (await fastify.inject({ url: '/', headers: { cookie } })).json().user
    },
    async login () {
      const client = new Client(fastify)
      await client.send({ method: 'POST', url: '/login' })
      return client.cookies.get('hatcheck') as string
    }
  }
}

test('a client that puts the cookie in quotes is logged in and can log out', async (t) => {
  const fastify = await build(t)
  const cookie = await logIn(fastify)
  // As CookieManager of Java writes a cookie that came with Max-Age.
  const quoted = `$Version="1"; ${cookie.replace('=', '="')}";$Path="/";$Domain="localhost"`
  t.equal(await userOf(fastify, quoted), 'Harry')
  const { headers } = await new Client(fastify).post('/logout', {}, { cookie: quoted })
  t.match(headers['set-cookie'], 'hatcheck=; Max-Age=0')
  t.equal(await userOf(fastify, cookie), null)
})

test('of several session cookies the first with a valid MAC counts', async (t) => {
  const { user, login, calls } = await counted(t)
  const ticket = await login()
  const forged = `${ticket.slice(0, -2)}AA`
  for (const cookie of [
    `hatcheck=${ticket}`,
    `hatcheck=${forged}; hatcheck=${ticket}`,
    `hatcheck=; hatcheck=x; hatcheck="${ticket}; a=b; hatcheck=${ticket}; hatcheck=${forged}`,
    `a=hatcheck=${forged}; hatcheck=${ticket}`,
    `hatcheck=${ticket}; hatcheck`,
    `hatcheck="${forged}"; hatcheck="${ticket}"`,
    `hatcheck=${ticket}; ${Array.from({ length: 9 }, (_, i) => `hatcheck=${i}`).join('; ')}`,
    `hatcheck=${ticket}${`; hatcheck=${forged}`.repeat(9)}`
  ]) {
    calls()
    t.equal(await user(cookie), 'Harry', cookie.replaceAll(ticket, 'good').replaceAll(forged, 'forged'))
    t.equal(calls(), 1, 'and the store is asked once')
  }
  for (const cookie of [
    `hatcheck=${forged}`, `=hatcheck=${ticket}`, `hatcheck2=${ticket}`, `xhatcheck=${ticket}`, `__Host-hatcheck=${ticket}`, `__Secure-hatcheck=${ticket}`,
    `HATCHECK=${ticket}`, `hatcheck=""${ticket}""`, `hatcheck="${ticket}`, `hatcheck='${ticket}'`, `hatcheck=${encodeURIComponent(ticket).replaceAll('.', '%2E')}`, `sessionId=${ticket}`, ticket, `=${ticket}`
  ]) {
    t.equal(await user(cookie), null, cookie.replaceAll(ticket, 'good').replaceAll(forged, 'forged'))
    t.equal(calls(), 0, 'and the store is not asked')
  }
})

test('a ticket of an ended session does not hide a live session beside it', async (t) => {
  for (const kind of [true, false]) {
    const store = openStore(t, 'memory:')
    const fastify = await buildHost(t, { sessionStore: watched(store, () => {}, kind) })
    fastify.post('/login', async (request) => { await request.login('Harry') })
    fastify.post('/logout', async (request) => { await request.logout() })
    fastify.get('/', async ({ user }) => ({ name: user?.name ?? null }))
    const loggedIn = async (): Promise<string> => {
      const client = new Client(fastify)
      await client.send({ method: 'POST', url: '/login' })
      return client.cookieHeader
    }
    const name = async (cookie: string): Promise<unknown> => (await fastify.inject({ url: '/', headers: { cookie } })).json().name
    const [dead, alive] = [await loggedIn(), await loggedIn()]
    await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: dead } })
    t.equal(await name(dead), null)
    t.equal(await name(`${dead}; ${alive}`), 'Harry')
    await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: `${dead}; ${alive}` } })
    t.equal(await name(`${dead}; ${alive}`), null)
    t.equal(await store.count(), 0)
  }
})

test('over https only the cookie with the prefix counts', async (t) => {
  const { fastify, login } = await counted(t)
  const ticket = await login()
  const headers = { 'x-forwarded-proto': 'https' }
  const user = async (cookie: string): Promise<string | null> => (await fastify.inject({ url: '/', headers: { ...headers, cookie } })).json().user
  t.equal(await user(`__Host-hatcheck=${ticket}`), 'Harry')
  for (const cookie of [`hatcheck=${ticket}`, `=__Host-hatcheck=${ticket}`, `__host-hatcheck=${ticket}`, `__Host-hatcheck; x=${ticket}`, `\u2000__Host-hatcheck=${ticket}`, `x__Host-hatcheck=${ticket}`]) {
    t.equal(await user(cookie), null)
  }
})

test('on one connection, every request uses its own cookie', async (t) => {
  const fastify = await buildHost(t, { secretKey: testKey }, { trustProxy: '127.0.0.1' })
  fastify.post('/login/:name', async (request) => { await request.login((request.params as { name: string }).name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.get('/', async ({ user }) => user?.name ?? 'nobody')
  const [harry, luna] = await Promise.all(['Harry', 'Luna'].map(async (name) => {
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: `/login/${name}` })
    return client.cookieHeader
  })) as [string, string]
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  let connections = 0
  fastify.server.on('connection', () => { connections++ })
  const client = new RawClient(port)
  t.teardown(() => { client.close() })
  const send = async (method: string, path: string, cookie?: string, more = ''): Promise<string | undefined> => {
    const [answer] = await client.send([Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${cookie === undefined ? '' : `Cookie: ${cookie}\r\n`}${more}\r\n`)])
    return answer?.body
  }
  const user = async (cookie?: string, more?: string): Promise<string | undefined> => await send('GET', '/', cookie, more)

  t.strictSame([await user(harry), await user(harry), await user(luna), await user(), await user(harry)], ['Harry', 'Harry', 'Luna', 'nobody', 'Harry'])
  t.equal(await user(harry, 'X-Forwarded-Proto: https\r\n'), 'nobody', 'over https the cookie has another name')
  t.equal(await user(harry), 'Harry')
  const long = `${harry}; ${'x'.repeat(2_000)}=1`
  t.strictSame([await user(long), await user(long.replace(harry, luna)), await user(long)], ['Harry', 'Luna', 'Harry'], 'at any length of the header')
  fastify.sessions.setSecretKeys([formerKey])
  t.equal(await user(harry), 'nobody', 'its key was removed')
  fastify.sessions.setSecretKeys([formerKey, testKey])
  t.equal(await user(harry), 'Harry', 'its key was restored')
  await send('POST', '/logout', harry)
  t.strictSame([await user(harry), await user(luna)], ['nobody', 'Luna'], 'logged out')
  t.equal(connections, 1)
})

test('a ticket is accepted only in the cookie', async (t) => {
  const { fastify, login } = await counted(t)
  const ticket = await login()
  const url = `/?hatcheck=${ticket}&session=${ticket}&sid=${ticket}`
  const headers = { 'x-session': ticket, authorization: `Bearer ${ticket}`, 'set-cookie': `hatcheck=${ticket}`, cookie2: `hatcheck=${ticket}` }
  t.equal((await fastify.inject({ url, headers })).json().user, null)
})

test('no Cookie header causes an error, and none with a bad MAC reaches the store', async (t) => {
  const { fastify, login, calls, user } = await counted(t)
  const ticket = await login()
  const [id = '', mac = ''] = ticket.split('.')
  calls()
  t.equal(await user(`hatcheck=${ticket}`), 'Harry')
  t.equal(calls(), 1, 'the calls are counted')

  const latin1 = fc.integer({ min: 0, max: 255 }).filter((code) => code !== 10 && code !== 13 && code !== 0).map((code) => String.fromCharCode(code))
  const noise = fc.string({ unit: latin1, maxLength: 60 })
  const name = fc.constantFrom('hatcheck', '__Host-hatcheck', 'hatcheck ', 'Hatcheck', 'xhatcheck', 'a', '', '$Version', '=hatcheck', '__proto__', 'constructor')
  const forged = fc.oneof(
    noise,
    fc.constantFrom('', '.', id, mac, `${id}.`, `.${mac}`, `${mac}.${id}`, `"${ticket}`, `""${ticket}""`, `${ticket}x`, ticket.slice(1), ticket.toUpperCase(), `${id}.${id}`, '../../etc/passwd', 'null', '%', '%00', '%E0%A4%A'),
    fc.string({ unit: fc.constantFrom(...BASE64URL), minLength: 86, maxLength: 86 }).map((text) => `${text.slice(0, 43)}.${text.slice(43)}`),
    fc.tuple(fc.nat(ticket.length - 1), fc.constantFrom(...BASE64URL)).map(([at, other]) => ticket.slice(0, at) + (ticket[at] === other ? '!' : other) + ticket.slice(at + 1))
  ).map((value) => value === ticket ? '' : value)
  const pair = fc.tuple(name, fc.constantFrom('=', '=', '=', '==', '', ' = '), forged).map((parts) => parts.join(''))
  const header = fc.oneof(noise, fc.tuple(fc.array(pair, { minLength: 1, maxLength: 8 }), fc.constantFrom('; ', ';', ',', ' ', ';;')).map(([pairs, separator]) => pairs.join(separator)))

  let statuses = 0
  await fc.assert(fc.asyncProperty(header, async (cookie) => {
    const response = await fastify.inject({ url: '/', headers: { cookie } })
    statuses++
    return response.statusCode === 200 && response.body === '{"user":null}' && response.headers['set-cookie'] === undefined && calls() === 0
  }), { numRuns: HEADERS })
  t.equal(statuses, HEADERS)
  t.equal(await user(`hatcheck=${ticket}`), 'Harry', 'and the right one still counts')
})

test('a header full of forged tickets is refused without asking the store', async (t) => {
  const { login, calls, user } = await counted(t, { secretKeyFallbacks: [formerKey] })
  const ticket = await login()
  calls()
  const forged = Array.from({ length: 160 }, () => `hatcheck=${randomBytes(32).toString('base64url')}.${randomBytes(32).toString('base64url')}`).join('; ')
  t.equal(await user(forged), null)
  t.equal(await user('hatcheck='.repeat(1_700)), null)
  t.equal(await user(`${' '.repeat(15_000)}hatcheck=x`), null)
  t.equal(calls(), 0)
  t.equal(await user(`${forged}; hatcheck=${ticket}`), 'Harry')
})

test('a key change logs no user out', async (t) => {
  const store = openStore(t, 'memory:')
  const host = async (options: HatcheckOptions): Promise<FastifyInstance> => {
    const fastify = await buildHost(t, { sessionStore: store, ...options })
    fastify.post('/login', async (request) => { await request.login('Harry') })
    fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
    fastify.get('/write', async (request) => {
      request.session.set('client_name', request.user?.name as string)
      Object.assign(request.session, { written: true })
      return 'written'
    })
    return fastify
  }
  const before = await host({ secretKey: formerKey })
  const during = await host({ secretKey: testKey, secretKeyFallbacks: [formerKey] })
  const after = await host({ secretKey: testKey })
  for (const url of ['/', '/write']) {
    const client = new Client(before)
    await client.send({ method: 'POST', url: '/login' })
    const { cookieHeader: old } = client
    t.equal((await after.inject({ url: '/', headers: { cookie: old } })).json().user, null, 'without the fallback the old ticket is worth nothing')
    const response = await during.inject({ url, headers: { cookie: old } })
    const [{ name = '', value = '' } = {}] = response.cookies
    t.match(response.headers['set-cookie'], /^hatcheck=[\w-]{43}\.[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/, `${url} signs it anew`)
    t.equal(value.split('.')[0], old.split('=')[1]?.split('.')[0], 'the session is the same')
    t.equal((await after.inject({ url: '/', headers: { cookie: `${name}=${value}` } })).json().user, 'Harry')
    const next = await during.inject({ url: '/', headers: { cookie: `${name}=${value}` } })
    t.equal(next.headers['set-cookie'], undefined, 'once')
  }
})

test('an invalid secret is refused at the start, with the rule', async (t) => {
  const refuse = (options: HatcheckOptions, message: string | RegExp): Promise<void> =>
    t.rejects(buildHost(t, { secretKey: undefined, ...options }), { code: 'HATCHECK_CONFIG', message }, String(message)) as Promise<unknown> as Promise<void>
  const good = ' "npx hatcheck secret" prints a good one.'
  const easy = (name: string): string => `${name} is easy to guess: it must be random.${good}`

  await refuse({}, `secretKey is required: at least 32 random bytes.${good}`)
  await refuse({ secretKey: '' }, `secretKey must be at least 32 bytes long, but is 0.${good}`)
  await refuse({ secretKey: 'x' }, `secretKey must be at least 32 bytes long, but is 1.${good}`)
  await refuse({ secretKey: testKey.slice(0, 31) }, `secretKey must be at least 32 bytes long, but is 31.${good}`)
  await refuse({ secretKey: ` ${testKey.slice(0, 31)} ` }, `secretKey must be at least 32 bytes long, but is 31.${good}`)
  await refuse({ secretKey: randomBytes(31) }, `secretKey must be at least 32 bytes long, but is 31.${good}`)
  await refuse({ secretKey: testKey, secretKeyFallbacks: ['short'] }, `secretKeyFallbacks must be at least 32 bytes long, but is 5.${good}`)

  for (const repeated of ['a'.repeat(64), '0123456789'.repeat(4), 'abcdefghijklmnop'.repeat(3), 'deadbeef'.repeat(8), '1234567890abcdef'.repeat(4)]) {
    await refuse({ secretKey: repeated }, easy('secretKey'))
  }
  await refuse({ secretKey: Buffer.alloc(32) }, easy('secretKey'))
  for (const sample of [
    'change-me-change-me-change-me-0123456789',
    'CHANGE_ME please, it is only for development',
    'your-super-secret-key-of-at-least-32-characters',
    'keyboard cat, and 24 characters more for it',
    'supersecretkeythatnobodycouldeverguess',
    'my-secret-key-my-secret-key-0123456789',
    'a secret with minimum length of 32 characters',
    'averylogphrasebiggerthanthirtytwochars'
  ]) {
    await refuse({ secretKey: sample }, easy('secretKey'))
  }
  await refuse({ secretKey: testKey, secretKeyFallbacks: ['b'.repeat(40)] }, easy('secretKeyFallbacks'))

  await refuse({ secretKey: testKey, secretKeyFallbacks: [testKey] }, 'secretKey and secretKeyFallbacks must all be different.')
  await refuse({ secretKey: testKey, secretKeyFallbacks: [formerKey, Buffer.from(formerKey)] }, 'secretKey and secretKeyFallbacks must all be different.')
  await refuse({ secretKey: testKey, secretKeyFallbacks: `${formerKey}, ${formerKey}` }, 'secretKey and secretKeyFallbacks must all be different.')

  await refuse({ secretKey: 12345 as never }, 'secretKey must be text or bytes, not number.')
  await refuse({ secretKey: null as never }, 'secretKey must be text or bytes, not object.')
  await refuse({ secretKey: testKey, secretKeyFallbacks: [5 as never] }, 'secretKeyFallbacks must be text or bytes, not number.')
  await refuse({ secretKey: testKey, secretKeyFallbacks: 5 as never }, /^secretKeyFallbacks must be /)
  await refuse({ secretKey: testKey, secretKeyFile: 'key' }, 'secretKey and secretKeyFile are both set: set one of them.')
  await refuse({ secretKeyFile: join(t.testdir(), 'missing') }, /^secretKeyFile cannot be read: ENOENT: /)

  t.ok(Array.from({ length: 1_000 }, newSecret).every((made) => secretsOf({ ...plain, secretKey: made }).length === 1), 'a key that hatcheck creates is always valid')
})

test('a secret is judged by its strength as a whole, and a random secret is never refused', async (t) => {
  const passes = (secretKey: string | Buffer): boolean => {
    try {
      return secretsOf({ ...plain, secretKey }).length === 1
    } catch {
      return false
    }
  }
  const letters = (count: number): string => Array.from(randomBytes(count), (byte) => 'abcdefghijklmnopqrstuvwxyz'[byte % 26]).join('')
  const random: Record<string, [times: number, make: () => string | Buffer]> = {
    '32 hexadecimal digits': [20_000, () => randomBytes(16).toString('hex')],
    'the same in capitals': [500, () => randomBytes(16).toString('hex').toUpperCase()],
    'with a word before it': [500, () => `prod-secret-${randomBytes(32).toString('hex')}`],
    'with words around it': [500, () => `change-me ${randomBytes(16).toString('hex')} example`],
    '32 letters': [2_000, () => letters(32)],
    '40 digits': [500, () => Array.from(randomBytes(40), (byte) => byte % 10).join('')],
    base64: [2_000, () => randomBytes(24).toString('base64')],
    base64url: [500, () => randomBytes(32).toString('base64url')],
    bytes: [2_000, () => randomBytes(32)],
    'many bytes': [100, () => randomBytes(5_000)],
    'a UUID': [500, () => randomUUID()]
  }
  for (const [what, [times, make]] of Object.entries(random)) {
    let refused
    for (let i = 0; i < times && refused === undefined; i++) {
      const secret = make()
      if (!passes(secret)) refused = secret
    }
    t.equal(refused, undefined, what)
  }

  const samples = ['a secret with minimum length of 32 characters', 'averylogphrasebiggerthanthirtytwochars', 'complex_password_at_least_32_characters_long', 'some-secret-password-at-least-32-characters-long',
    '!wsYhFA*C2U6nz=Bu^%A@^F#SF3&kSR6', '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf', 'a-string-secret-at-least-256-bits-long', 'the-password-must-be-at-least-32-characters-long']
  const easy = [
    ...samples.flatMap((sample) => [sample, sample.toUpperCase(), ` ${sample}\n`, sample.repeat(2), `${sample} ${sample}`, sample.padEnd(64, '0'), sample.padEnd(64, '0123456789'), sample.padEnd(80, ' *')]),
    'changemechangemechangemechangeme', 'passwordpasswordpasswordpassword', 'a'.repeat(32), 'a'.repeat(100_000), '0123456789'.repeat(4), 'abc'.repeat(12), 'ab'.repeat(2_000), 'qwertyuiopasdfghjklzxcvbnm123456', 'QWERTYUIOPASDFGHJKLZXCVBNM123456',
    'my-super-secret-key-change-me-please', 'this-is-a-very-long-secret-key-change-me', 'MySuperSecretKeyThatIsLongEnough123!', 'thisisasecretthatshouldbelongerthan32characters', 'your_session_secret_goes_here_replace_it', 'keyboard cat keyboard cat keyboard cat',
    '12345678901234567890123456789012', 'abcdefghijklmnopqrstuvwxyz123456', 'zyxwvutsrqponmlkjihgfedcba987654', '00112233445566778899aabbccddeeff', 'fedcba98765432100123456789abcdef', 'aaaabbbbccccddddeeeeffffgggghhhh', '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9',
    'deadbeefdeadbeefdeadbeefdeadbeef', 'hunter2hunter2hunter2hunter2hunter2', 'p4ssw0rdp4ssw0rdp4ssw0rdp4ssw0rd', 'correct horse battery staple correct horse', 'dev-only-secret-do-not-use-in-production', Buffer.alloc(64), Buffer.alloc(64, 'xy'), Buffer.from(Array.from({ length: 64 }, (_, i) => i)), Buffer.from(Array.from({ length: 64 }, (_, i) => 255 - 3 * i))
  ]
  for (const secret of easy) t.notOk(passes(secret), String(secret).slice(0, 80))

  // Words count nothing, and each of 16 different characters is a choice of four bits.
  const choices = '83fa0c6e1d97b25c4e'
  t.equal(estimateBits(Buffer.from(`secret password ${choices} production`)), 72)
  t.ok(passes(`secret password ${choices} production`), 'as strong as a key must be')
  t.notOk(passes(`secret password ${choices.slice(1)} production`), 'weaker by one choice')
})

const plain = resolveConfig({ sessionStore: 'memory:' }, 'plugin')

test('a secret can be text, bytes or a file', async (t) => {
  const folder = t.testdir({ key: `${testKey}\n` })
  const sign = (options: Partial<typeof plain>): string => createTicketSigner(secretsOf({ ...plain, ...options })).sign('an id')
  const signed = sign({ secretKey: testKey })
  t.equal(sign({ secretKey: Buffer.from(testKey) }), signed)
  t.equal(sign({ secretKeyFile: join(folder, 'key') }), signed)
  t.equal(sign({ secretKey: `${testKey}\n` }), signed)
  t.not(sign({ secretKey: formerKey }), signed)
})

test('the service on loopback creates its own key, and keeps it', async (t) => {
  const dataDir = join(t.testdir(), 'data', 'within')
  const service = resolveConfig({ dataDir }, 'service')
  const [first] = secretsOf(service)
  const [second] = secretsOf(service)
  t.ok(first?.equals(second as Buffer))
  t.equal(first?.length, 43)
  const [ignored, file = '', ...others] = readdirSync(dataDir).sort()
  t.equal(ignored, '.gitignore')
  t.strictSame(others, [], 'no temporary file is left')
  t.equal(statSync(join(dataDir, file)).mode & 0o777, 0o600)
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
  t.equal(readFileSync(join(dataDir, file), 'utf8').trim(), first?.toString())

  writeFileSync(join(dataDir, file), 'short')
  t.throws(() => secretsOf(service), { code: 'HATCHECK_CONFIG', message: /must be at least 32 bytes long, but is 5\./ }, 'a damaged key is not replaced silently')

  const memory = resolveConfig({ sessionStore: 'memory:', dataDir: join(dataDir, 'unused') }, 'service')
  t.notOk(secretsOf(memory)[0]?.equals(secretsOf(memory)[0] as Buffer), 'with sessions in memory each start has its own key')
  t.notOk(existsSync(join(dataDir, 'unused')))
})
