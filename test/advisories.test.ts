import fastifyCookie from '@fastify/cookie'
import crypto from 'node:crypto'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import { syncBuiltinESMExports } from 'node:module'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { idInOldCookie } from '../plugins/session/adoption/old-cookie.js'
import { createFlaskSigner } from '../plugins/storage/flask/signature.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { newDevice, unverifiedDevice, verifiedDevice } from '../plugins/throttle/device.js'
import { createTicketSigner, storeKey } from '../plugins/tickets/ticket.js'
import { Client, logIn, userOf } from './clients/client.js'
import { RawClient, type RawAnswer } from './clients/raw-client.js'
import { build, buildHost, formerKey, needs, testKey } from './helper.js'
import { startNginx } from './programs/nginx.js'
import { kinds, openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { SECOND, START } from './time/units.js'

/** What went wrong elsewhere, by advisory. docs/security/advisories.md names the tests in other files. */

const signer = createTicketSigner([Buffer.from(testKey)])

/** Every call of a store: its name and its arguments. */
interface Asked { call: string, args: unknown[] }

/** A store that records its calls. */
function overheard (store: SessionStore): { store: SessionStore, asked: Asked[] } {
  const asked: Asked[] = []
  return {
    asked,
    store: new Proxy(store, {
      get (target, name) {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          asked.push({ call: String(name), args })
          return member.apply(target, args)
        }
      }
    })
  }
}

/** The service over a memory store whose calls are recorded; accepts any password. */
async function overheardService (t: Test, options: HatcheckOptions = {}): Promise<{ fastify: FastifyInstance, asked: Asked[], store: SessionStore }> {
  const inner = openStore(t, 'memory:', options.now === undefined ? {} : { now: options.now })
  const { store, asked } = overheard(inner)
  return { fastify: await build(t, { sessionStore: store, authenticate: (name) => ({ name }), ...options }), asked, store: inner }
}

async function ticketOf (fastify: FastifyInstance, name = 'Harry'): Promise<string> {
  return (await fastify.sessions.begin(name, { secure: false })).cookie.value
}

test('CVE-2024-35220 (@fastify/session): a session that is read constantly still ends by its idle timeout and lifetime', async (t) => {
  for (const kind of kinds) {
    let time = START
    const now = (): number => time
    const store = openStore(t, kind, { now })
    const fastify = await build(t, { sessionStore: store, now, authenticate: (name) => ({ name }), sessionIdleTimeout: 100, sessionLifetime: 500 })
    const ticket = await ticketOf(fastify)
    const key = storeKey(ticket.slice(0, 43))
    const begun = time
    let reads = 0
    while (await userOf(fastify, `hatcheck=${ticket}`) !== null) {
      // Each of these reads is activity; the response does not wait for the write that records it.
      await until('the activity is recorded', async () => (await store.read(key))?.seenAt === time)
      const { expiresAt = Infinity } = await store.read(key) ?? {}
      if (expiresAt > Math.min(time + 100 * SECOND, begun + 500 * SECOND)) t.fail('a read puts the end too far off')
      reads++
      time += 7 * SECOND
    }
    t.equal(reads, Math.ceil(500 / 7), `the session lived exactly as long as allowed, on ${kind}`)
    t.equal(await store.read(key), null)
  }
})

test('CVE-2015-5143, CVE-2015-5963, CVE-2015-5964 (Django): thousands of anonymous requests write nothing', async (t) => {
  let time = START
  const { fastify, asked, store } = await overheardService(t, { now: () => time })
  const expired = await ticketOf(fastify)
  time += 25 * 3_600 * SECOND
  t.equal(await userOf(fastify, `hatcheck=${expired}`), null)
  asked.length = 0
  const cookies = ['', `hatcheck=${expired}`, 'hatcheck=nonsense', 'hatcheck=', `hatcheck=${expired.slice(0, 44)}${'A'.repeat(43)}`]
  for (let i = 0; i < 2_000; i++) {
    const cookie = i % 6 === 5 ? `hatcheck=${signer.sign(signer.newId())}` : cookies[i % 6] as string
    const [method, url] = ([['GET', '/'], ['GET', '/login'], ['POST', '/logout']] as const)[Math.floor(i / 6) % 3] as ['GET' | 'POST', string]
    const response = await fastify.inject({ method, url, headers: cookie === '' ? {} : { cookie } })
    if (response.statusCode >= 400) t.fail(`${method} ${url} → ${response.statusCode}`)
    if (/^hatcheck=[^;]/.test(String(response.headers['set-cookie'] ?? ''))) t.fail('a session cookie')
  }
  t.same(new Set(asked.map(({ call }) => call)), new Set(['read', 'successor']), 'the store was only read')
  t.equal(await store.count(), 1, 'the expired session, which no sweep has removed yet')
})

test('CVE-2015-3982 (Django): an empty ID, "0", "null" or "undefined" opens no session', async (t) => {
  const { fastify, asked } = await overheardService(t)
  const alike = ['', '0', 'null', 'undefined', 'NaN', 'false', '[object Object]']
  for (const id of alike) {
    asked.length = 0
    t.equal(await userOf(fastify, `hatcheck=${signer.sign(id)}`), null, `"${id}", signed`)
    t.same(asked, [], 'the store is not asked')
  }
  const wellFormed = [...alike.slice(0, 6), 'A'].map((word) => word.padEnd(43, 'A'))
  for (const id of wellFormed) {
    const planted = `hatcheck=${signer.sign(id)}`
    t.equal(await userOf(fastify, planted), null, `"${id}", signed`)
    const client = new Client(fastify)
    await client.post('/login', { client_name: 'Harry', password: '12345678' }, { cookie: planted })
    t.equal(await userOf(fastify, client.cookieHeader), 'Harry')
    t.equal(await userOf(fastify, planted), null, 'nor after a login with it')
  }
  const forbidden = new Set([...alike, ...wellFormed].map((id) => storeKey(id)))
  const created = asked.filter(({ call }) => call === 'create').map(({ args }) => String(args[0]))
  t.equal(new Set(created).size, created.length)
  t.notOk(created.some((key) => key === '' || forbidden.has(key)))
})

test('CVE-2024-3400 (PAN-OS): an ID with a slash, a dot or a NUL never reaches a store, even if correctly signed', async (t) => {
  const { fastify, asked } = await overheardService(t)
  const ids = ['../../../etc/passwd', '..\\..\\data', '/etc/passwd', './', '..', 'a/b', '\0', '%2e%2e%2f', '%00', 'file:///', 'hatcheck:x', '*', '{x}', ' ', '\u00e9']
  for (const id of ids) {
    for (const whole of [id, id.padEnd(43, 'A'), id.padStart(43, 'A')]) {
      for (const cookie of [signer.sign(whole), encodeURIComponent(signer.sign(whole))]) t.equal(await userOf(fastify, `hatcheck=${cookie}`), null)
    }
  }
  t.same(asked, [], 'the store is not asked')
  t.equal(await userOf(fastify, `hatcheck=${await ticketOf(fastify)}`), 'Harry')
  t.ok(asked.length >= 2)
  for (const { call, args } of asked) t.match(args[0], /^[\w-]{43}$/, `${call} is asked for a hash`)
})

test('CVE-2019-16782 (rack): the store gets the hash of an ID and never the ID', async (t) => {
  const { fastify, asked } = await overheardService(t)
  const tickets = [await ticketOf(fastify), await ticketOf(fastify, 'Sally')]
  for (const ticket of tickets) {
    await userOf(fastify, `hatcheck=${ticket}`)
    await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678' }, headers: { cookie: `hatcheck=${ticket}` } })
    await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: `hatcheck=${ticket}` } })
  }
  await fastify.sessions.revokeUser('Harry')
  for (const call of ['read', 'create', 'replace', 'removeOfUser']) t.ok(asked.some((one) => one.call === call), `${call} was called`)
  const everything = JSON.stringify(asked)
  for (const ticket of tickets) {
    t.ok(everything.includes(storeKey(ticket.slice(0, 43))))
    for (const half of ticket.split('.')) t.notOk(everything.includes(half))
  }
})

test('CVE-2026-39324 (rack-session): an unsigned cookie value is never decoded in any other format', async (t) => {
  const { fastify, asked } = await overheardService(t)
  const ticket = await ticketOf(fastify)
  const [id = '', mac = ''] = ticket.split('.')
  const data = { client_name: 'Harry', user: 'Harry', authenticatedAt: Date.now(), id }
  const json = JSON.stringify(data)
  const base64 = Buffer.from(json).toString('base64')
  const base64url = Buffer.from(json).toString('base64url')
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
  const unsigned = [id, `${id}.`, `${id}.${'A'.repeat(43)}`, `${id}.${id}`, `${mac}.${id}`, `s:${ticket}`, `s%3A${id}.${mac}`, `j:${json}`, `v1.${ticket}`, `${ticket}.${mac}`,
    json, encodeURIComponent(json), base64, base64url, `${base64}.${mac}`, `${base64url}.${mac}`, `${none}.${base64url}.`, `${none}.${base64url}.${mac}`,
    `${base64}--${mac}`, `${base64}--${crypto.createHash('sha1').update(base64).digest('hex')}`, Buffer.from(id, 'base64url').toString('hex'), storeKey(id), `${storeKey(id)}.${mac}`,
    `${id}.${crypto.createHash('sha256').update(id).digest('base64url')}`, `${id}.${crypto.createHmac('sha256', testKey).update(id).digest('base64url')}`,
    `${id}.${crypto.createHmac('sha256', '').update(id).digest('base64url')}`]
  asked.length = 0
  for (const value of unsigned) t.equal(await userOf(fastify, `hatcheck=${value}`), null, value.replaceAll(id, 'ID').replaceAll(mac, 'MAC'))
  t.same(asked, [], 'the store is not asked')
  t.equal(await userOf(fastify, `hatcheck=${ticket}`), 'Harry')
})

test('better-auth, multi-session plugin: an unsigned cookie ends no session', async (t) => {
  const { fastify, store } = await overheardService(t)
  const victim = await ticketOf(fastify, 'Sally')
  const [id = '', mac = ''] = victim.split('.')
  const mallory = await ticketOf(fastify, 'Mallory')
  for (const forged of [id, `${id}.`, `${id}.${mac.slice(0, -1)}`, `${id}.${mallory.slice(44)}`, storeKey(id)]) {
    for (const cookie of [`hatcheck=${forged}`, `hatcheck=${forged}; hatcheck=${mallory}`, `hatcheck-${forged}=1`, `hatcheck_multi=${forged}`]) {
      await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie }, payload: { id, session: victim, client_name: 'Sally' } })
      t.equal(await userOf(fastify, `hatcheck=${victim}`), 'Sally')
    }
  }
  t.equal(await userOf(fastify, `hatcheck=${mallory}`), null, 'the user\'s own session is ended')
  t.equal(await store.count(), 1)
})

test('tower-sessions 0.12.1: a random source that repeats itself gives no visitor the session of another', async (t) => {
  const { randomBytes } = crypto
  t.teardown(() => {
    crypto.randomBytes = randomBytes
    syncBuiltinESMExports()
  })
  for (const kind of kinds) {
    const fastify = await build(t, { sessionStore: openStore(t, kind), authenticate: (name) => ({ name }) })
    crypto.randomBytes = ((size: number) => Buffer.alloc(size, kind)) as typeof randomBytes
    syncBuiltinESMExports()
    const [harry, sally] = [new Client(fastify), new Client(fastify)]
    t.equal((await harry.login('Harry')).statusCode, 303)
    const second = await sally.login('Sally')
    t.equal(second.statusCode, 503, 'the second login with the same id fails')
    t.equal(second.headers['set-cookie'], undefined)
    t.equal(await userOf(fastify, harry.cookieHeader), 'Harry')
    await harry.post('/logout')
    t.equal((await sally.login('Sally')).statusCode, 503, 'nor is an ID used again after its session has ended')
    crypto.randomBytes = randomBytes
    syncBuiltinESMExports()
    t.equal((await sally.login('Sally')).statusCode, 303)
  }
})

test('cookie-signature, timing: every MAC from a client is compared whole, with that of each key', (t) => {
  const [former, secret] = [formerKey, testKey].map((key) => Buffer.from(key)) as [Buffer, Buffer]
  const keys = [secret, former]
  const signer = createTicketSigner([former])
  const of = { account: 'harry', version: '1' }
  const checks: Array<[what: string, signed: string, isValid: (value: string) => boolean]> = [
    ['a ticket', signer.sign(signer.newId()), (value) => createTicketSigner(keys).verify(value) !== null],
    ['a device cookie', newDevice(of, START, (text) => signer.macsFor('device', text)), (value) => {
      const device = unverifiedDevice(value, START)
      return device !== null && verifiedDevice(device, of, (text) => createTicketSigner(keys).macsFor('device', text)) !== null
    }],
    ['a cookie of express-session', `s:an-id.${crypto.createHmac('sha256', former).update('an-id').digest('base64').replaceAll('=', '')}`, (value) => idInOldCookie(value, keys) !== null],
    ['a cookie of Flask', createFlaskSigner([former]).sign('payload', START / 1_000), (value) => createFlaskSigner(keys).verify(value) !== null]
  ]
  const { timingSafeEqual } = crypto
  const compared: number[] = []
  crypto.timingSafeEqual = ((a: Buffer, b: Buffer) => {
    compared.push(b.length)
    return timingSafeEqual(a, b)
  }) as typeof timingSafeEqual
  syncBuiltinESMExports()
  t.teardown(() => {
    crypto.timingSafeEqual = timingSafeEqual
    syncBuiltinESMExports()
  })
  for (const [what, signed, isValid] of checks) {
    const macAt = signed.lastIndexOf('.') + 1
    const [text, mac] = [signed.slice(0, macAt), signed.slice(macAt)]
    for (const [value, expected] of [
      [signed, true],
      [`${text}${mac.startsWith('A') ? 'B' : 'A'}${mac.slice(1)}`, false],
      [`${text}${mac.slice(0, -1)}${mac.endsWith('A') ? 'E' : 'A'}`, false]
    ] as const) {
      compared.length = 0
      t.equal(isValid(value), expected, `${what}: ${value}`)
      t.strictSame(compared, [mac.length, mac.length], 'both keys, all characters')
    }
  }
  t.end()
})

test('CVE-2025-61928 (better-auth): extra fields in a login do not change who logs in', async (t) => {
  const time = START
  const seen: unknown[][] = []
  const { fastify, store } = await overheardService(t, {
    now: () => time,
    authenticate: (name, password) => {
      seen.push([name, password])
      return { name }
    }
  })
  const asRoot = ['user', 'userId', 'username', 'name', 'user[name]', 'client_name[]', 'constructor'].map((field) => [field, 'root'])
  const asAdmin = ['role', 'admin', 'isAdmin', 'scope', 'passwordHash', 'hatcheck:flash:1'].map((field) => [field, 'admin'])
  const times = ['id', 'createdAt', 'seenAt', 'authenticatedAt', 'expiresAt'].map((field) => [field, '9999999999999'])
  const extra = Object.fromEntries([...asRoot, ...asAdmin, ...times]) as Record<string, string>
  const credentials = { client_name: 'Harry', password: '12345678' }
  const clients = [new Client(fastify), new Client(fastify)] as const
  await clients[0].post('/login?client_name=root&userId=root&role=admin', { ...extra, ...credentials })
  await clients[1].send({ method: 'POST', url: '/login', payload: { ...extra, ...credentials, user: { name: 'root' }, session: { client_name: 'root' } } })
  t.same(seen, [['Harry', '12345678'], ['Harry', '12345678']])
  for (const { cookies } of clients) {
    const ticket = cookies.get('hatcheck') as string
    t.equal(await userOf(fastify, `hatcheck=${ticket}`), 'Harry')
    t.match(await store.read(storeKey(ticket.slice(0, 43))), { user: 'Harry', createdAt: time, seenAt: time, permanent: false, expiresAt: time + 3_600 * SECOND })
    const record = await store.read(storeKey(ticket.slice(0, 43)))
    t.same(Object.keys(record?.fields ?? {}).filter((key) => !key.startsWith('hatcheck:')).sort(), ['authenticatedAt', 'client_name'])
    t.notMatch(JSON.stringify(record), /root|admin/)
  }
})

test('CVE-2026-6556, CVE-2026-33807, CVE-2026-33808 (@fastify/express): no spelling of a path bypasses requireLogin', async (t) => {
  const routers: Array<[string, FastifyServerOptions]> = [
    ['the router as it is', {}],
    ['a forgiving router', { routerOptions: { caseSensitive: false, ignoreDuplicateSlashes: true, ignoreTrailingSlash: true } }]
  ]
  const paths = ['/private', '/area/private', '/area/inner/private', '/area/inner/x/private']
  for (const [what, options] of routers) {
    const fastify = await buildHost(t, {}, options)
    fastify.post('/enter', async (request) => { await request.login('Harry') })
    const area = async (scope: FastifyInstance): Promise<void> => {
      scope.get('/private', { onRequest: fastify.requireLogin }, async () => 'the secret')
      scope.get('/:any/private', { onRequest: fastify.requireLogin }, async () => 'the secret')
    }
    await area(fastify)
    await fastify.register(async (scope) => {
      await area(scope)
      await scope.register(area, { prefix: '/inner' })
    }, { prefix: '/area' })
    const harry = new Client(fastify)
    await harry.send({ method: 'POST', url: '/enter' })
    let reached = 0
    for (const path of paths) {
      const spellings = [path, `/${path}`, `//${path}`, `${path}/`, `${path}//`, path.toUpperCase(), `${path};x=1`, `${path};`, `${path}?a=//b`, `${path}#/x`, `${path}%2F`, `${path}%00`, `${path}.`, `${path}..;/`,
        path.replace('private', '%70rivate'), path.replace('private', './private'), path.replace('private', 'x/../private'), path.replace('private', '%2e/private'), path.replaceAll('/', '%2F'),
        path.replaceAll('/', '\\'), path.replace('/private', '//private'), `${path}?`, `http://localhost${path}`, `/area/..${path}`]
      for (const url of spellings) {
        for (const method of ['GET', 'HEAD'] as const) {
          const anonymous = await fastify.inject({ method, url })
          if (anonymous.body.includes('secret') || anonymous.statusCode < 400) t.fail(`${method} ${url} → ${anonymous.statusCode}`)
        }
        if ((await harry.get(url)).body === 'the secret') reached++
      }
    }
    t.ok(reached > paths.length * 4, `${what}: ${reached} spellings do reach the route for a logged-in user`)
  }
})

test('CVE-2025-7339 (on-headers): the session cookie is sent once, however a handler sets headers', async (t) => {
  // Not from the helper: nothing else must come between a response and its writeHead.
  const fastify = Fastify() as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' })
  await fastify.register(fastifyCookie)
  fastify.addHook('onSend', async (_request, reply) => { reply.header('set-cookie', 'late=1') })
  fastify.addHook('onRequest', async (_request, reply) => {
    // As a library that wraps writeHead does it: the headers as a flat list, one of them twice.
    const { raw } = reply
    const { writeHead } = raw
    raw.writeHead = function (status: number, headers: Record<string, string | string[]>) {
      const flat = Object.entries(headers).flatMap(([name, value]) => [value].flat().flatMap((one) => [name, one]))
      return writeHead.call(raw, status, [...flat, 'x-twice', '1', 'x-twice', '2'] as never)
    } as typeof writeHead
  })
  fastify.get('/:way', async (request, reply) => {
    const { way } = request.params as { way: string }
    Object.assign(request.session, { way })
    if (way === 'one') reply.header('set-cookie', 'theirs=1')
    if (way === 'list') reply.header('set-cookie', ['theirs=1', 'theirs=2'])
    if (way === 'all') reply.headers({ 'Set-Cookie': ['theirs=1'], 'x-other': '1' })
    if (way === 'plugin') reply.setCookie('theirs', '1')
    return way
  })
  const address = await fastify.listen({ host: '127.0.0.1', port: 0 })
  for (const way of ['none', 'one', 'list', 'all', 'plugin']) {
    const { headers } = await new Client(address).get(`/${way}`)
    const cookies = [headers['set-cookie'] ?? []].flat()
    t.equal(cookies.filter((cookie) => /^hatcheck=[\w-]{43}\.[\w-]{43};/.test(cookie)).length, 1, way)
    t.ok(cookies.some((cookie) => cookie.startsWith('late=1')))
    t.equal(cookies.some((cookie) => cookie.startsWith('theirs=1')), way !== 'none')
    t.equal(headers['x-twice'], '1, 2')
    t.match(headers['cache-control'], 'no-store')
  }
})

test('CVE-2024-47764 (cookie): neither a request nor an option can inject a cookie attribute', async (t) => {
  for (const piece of [';', '; Domain=evil.example', '\r\nSet-Cookie: a=b', '\n', '\0', ' ']) {
    for (const options of [{ sessionCookieName: `a${piece}b` }, { sessionCookiePath: `/a${piece}b` }, { sessionCookieDomain: `a${piece}b.example` }]) {
      t.throws(() => resolveConfig({ secretKey: testKey, ...options }, 'plugin'), { code: 'HATCHECK_CONFIG' }, JSON.stringify(options))
    }
  }
  const { fastify } = await overheardService(t)
  for (const evil of ['; Domain=evil.example', ',Path=/x', '=; Secure', '"; HttpOnly']) {
    for (const headers of [{}, { accept: 'text/html' }] as const) {
      const form = { client_name: `Harry${evil}`, password: `12345678${evil}`, permanent: `on${evil}`, next: `/a${evil}` }
      const login = await new Client(fastify).post(`/login?permanent=on${encodeURIComponent(evil)}`, form, headers)
      t.equal(login.statusCode, 303)
      const cookies = [login.headers['set-cookie'] ?? []].flat()
      t.ok(cookies.length >= 1)
      for (const cookie of cookies) t.match(cookie, /^hatcheck(-\w+)?=[\w.-]+; (Max-Age=\d+; )?Path=\/; HttpOnly; SameSite=Lax$/i)
    }
  }
})

test('CVE-2025-48947 (nextjs-auth0), CVE-2025-64762 (authkit-nextjs): a cache serves no user the page or cookie of another', needs('nginx'), async (t) => {
  const fastify = Fastify() as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['home', 'login', 'logout'], authenticate: (name) => ({ name }), sessionCookieSecure: false })
  let asked = 0
  fastify.get('/shared', async (_request, reply) => {
    asked++
    reply.header('cache-control', 'public, max-age=3600')
    return 'for everybody'
  })
  fastify.get('/mine', async (request, reply) => {
    reply.header('cache-control', 'public, max-age=3600')
    return `for ${request.user?.name ?? 'nobody'}`
  })
  fastify.get('/visits', async ({ session }, reply) => {
    reply.header('cache-control', 'public, s-maxage=3600')
    const visits = Number((session as unknown as Record<string, unknown>)['visits'] ?? 0) + 1
    Object.assign(session, { visits })
    return `visit ${visits}`
  })
  const upstream = await fastify.listen({ host: '127.0.0.1', port: 0 })
  // A careless configuration: the cache keeps every status, and stores responses with Set-Cookie.
  const address = await startNginx(t, {
    http: 'proxy_cache_path "FOLDER/cache" keys_zone=all:1m;',
    server: `location / {
      proxy_pass ${upstream};
      proxy_set_header Host $http_host;
      proxy_cache all;
      proxy_cache_key $uri;
      proxy_cache_valid any 1h;
      proxy_ignore_headers Set-Cookie;
      add_header X-Cache $upstream_cache_status always;
    }`
  })
  const get = async (path: string, cookie = ''): Promise<{ body: string, cache: unknown, cookies: string[] }> => {
    const { body, headers } = await new Client(address).get(path, { accept: 'text/html', ...cookie !== '' && { cookie } })
    return { body, cache: headers['x-cache'], cookies: [headers['set-cookie'] ?? []].flat() }
  }
  await get('/shared')
  t.match(await get('/shared'), { body: 'for everybody', cache: 'HIT' }, 'the cache does keep what it is allowed to')
  t.equal(asked, 1)

  const [harry, sally] = [await logIn(address, 'Harry'), await logIn(address, 'Sally')]
  t.not(harry, sally)
  for (const path of ['/', '/mine']) {
    t.match((await get(path, harry)).body, 'Harry')
    t.match((await get(path, sally)).body, 'Sally')
    t.notMatch((await get(path)).body, /Harry|Sally/)
    t.match((await get(path, harry)).body, 'Harry')
  }
  const [first, second] = [await get('/visits'), await get('/visits')]
  t.match([first.body, second.body], ['visit 1', 'visit 1'])
  t.not(first.cookies[0], second.cookies[0], 'each visitor has their own cookie')
  for (const path of ['/', '/login', '/logout', '/mine', '/visits', '/no/such/page']) t.not((await get(path)).cache, 'HIT', path)
})

test('CVE-2024-45410 (Traefik): demo mode refuses requests from a proxy that adds no header of its own', needs('nginx'), async (t) => {
  const fastify = await build(t)
  const upstream = await fastify.listen({ host: '127.0.0.1', port: 0 })
  const ways = {
    'a bare proxy_pass, which speaks HTTP/1.0': '',
    'the name that the visitor has asked for': 'proxy_set_header Host $http_host; proxy_http_version 1.1;',
    'a forwarding header': 'proxy_set_header X-Forwarded-For $remote_addr; proxy_http_version 1.1;',
    'headers that are sent empty': 'proxy_set_header X-Forwarded-For " "; proxy_set_header Via ""; proxy_set_header Forwarded for=_hidden; proxy_http_version 1.1;'
  }
  for (const [what, directives] of Object.entries(ways)) {
    const address = await startNginx(t, { server: `server_name hatcheck.example.com; location / { proxy_pass ${upstream}; ${directives} }` })
    for (const headers of [{}, { connection: 'close, X-Forwarded-For, Via, Forwarded' }]) {
      // fetch would write Host and Connection itself.
      const [{ status, head, body } = { status: 0, head: '', body: '' }] = await sendRaw(address, { host: 'hatcheck.example.com', ...headers }, 'client_name=Mallory&password=12345678')
      t.equal(status, 403, what)
      t.match(body, 'HATCHECK_DEMO_MODE')
      t.notMatch(head, /set-cookie/i)
    }
  }
  t.equal(await fastify.sessions.store.count(), 0)
  t.same(await fastify.accounts?.list(), [])
  t.equal((await fetch(`${upstream}/login`)).status, 200, 'a request from this machine is served')
})

async function sendRaw (address: string, headers: Record<string, string>, body: string): Promise<RawAnswer[]> {
  const client = new RawClient(Number(new URL(address).port))
  const head = Object.entries({ ...headers, 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }).map(([name, value]) => `${name}: ${value}\r\n`)
  const answers = await client.send([Buffer.from(`POST /login HTTP/1.1\r\n${head.join('')}\r\n${body}`)])
  client.close()
  return answers
}
