import { test, type Test } from 'tap'
import { fieldsWith } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { OWN_PREFIX } from '../plugins/store/identity.js'
import { Client, type Answer } from './clients/client.js'
import { build, buildHost, needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, kinds, openStore, stop, watched } from './stores/watched-store.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const url = (key: string): string => `/session/${encodeURIComponent(key)}`

/** A client that sends and receives JSON. */
class Program extends Client {
  store (key: string, value: unknown): Promise<Answer> {
    return this.putText(key, JSON.stringify(value))
  }

  putText (key: string, payload: string, headers: Record<string, string> = JSON_TYPE): Promise<Answer> {
    return this.send({ method: 'PUT', url: url(key), payload, headers })
  }

  take (key: string): Promise<Answer> {
    return this.send({ method: 'DELETE', url: url(key) })
  }

  async data (): Promise<Record<string, unknown>> {
    return (await this.get('/session')).json().data
  }
}

async function program (t: Test, options: HatcheckOptions & { mode?: 'service' | 'demo' } = {}): Promise<Program> {
  return new Program(await build(t, { mode: 'service', sessionCookieSecure: 'auto', authenticate: (name) => ({ name }), ...options }))
}

const VALUES: Record<string, unknown> = {
  text: 'apple',
  'text that is empty': '',
  'text that looks like JSON': '{"a":1}',
  number: -12.5,
  nothing: 0,
  true: true,
  false: false,
  null: null,
  list: ['apple', ['pear'], null],
  'list without anything': [],
  object: { a: { b: ['c'] }, ü: '\u2028' },
  'object without anything': {}
}

test('a number is stored with all its digits, or refused', async (t) => {
  const caller = await program(t)
  for (const [text, stored = text] of [['9007199254740991'], ['-9007199254740991'], ['[0,-1.5,1e300]', '[0,-1.5,1e+300]'], ['"12345678901234567890"'], ['{"12345678901234567890":"\\"12345678901234567890"}'], ['0.1234567890123456789', '0.12345678901234568'], ['"__proto__"'], ['{"constructor":1}'],
    ['[1e22,1.50E20,-900719925474099.1e1]', '[1e+22,150000000000000000000,-9007199254740991]'], ['1234567890123456.75e1', '12345678901234568'], ['0e99', '0']] as const) {
    t.match((await caller.putText('value', text)).statusCode, /^20[14]$/, text)
    t.equal((await caller.get(url('value'))).body, stored)
  }
  const kept = (await caller.get(url('value'))).body
  for (const text of ['9007199254740993', '-12345678901234567890', '9007199254740993.0', '[1,[12345678901234567890]]', '{"id": 12345678901234567890}', '["\\"", 12345678901234567890 ]', '9'.repeat(400),
    '12345678901234567e0', '-12345678901234567E+1', '90071992547409930e-1', '9.007199254740993e15', '[1234567890123456789.0e5]']) {
    const refused = await caller.putText('value', text)
    t.match([refused.statusCode, refused.json()], [400, { code: 'HATCHECK_SESSION_VALUE', detail: /which would lose digits/ }], text)
  }
  for (const text of ['{"__proto__":1}', '{"a":[{"\\u005f_proto__":{}}]}', '{"a":{"constructor":{"prototype":1}}}']) {
    const refused = await caller.putText('value', text)
    t.match([refused.statusCode, refused.json()], [400, {
      code: 'HATCHECK_SESSION_VALUE',
      detail: 'A session value must be JSON: the body is or has an object with the key __proto__, or with constructor that has prototype, which JavaScript could take for a prototype.'
    }], text)
  }
  for (const bytes of [[0x22, 0xE9, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22]]) {
    const refused = await caller.putText('value', Buffer.from(bytes) as never)
    t.match([refused.statusCode, refused.json()], [400, { code: 'HATCHECK_SESSION_VALUE', detail: 'A session value must be JSON: the body is not UTF-8.' }])
  }
  for (const text of ['12345678901234567890x', '"a\nb"', '{"__proto__":1']) t.equal((await caller.putText('value', text)).json().code, 'FST_ERR_CTP_INVALID_JSON_BODY', text)
  t.equal((await caller.get(url('value'))).body, kept)
})

for (const kind of [...kinds, 'redis:'] as const) {
  test(`a program stores values in a session and removes them again, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const caller = await program(t, { sessionStore: kind === 'redis:' ? (await startRedis(t)).url : openStore(t, kind) })
    for (const [key, value] of Object.entries(VALUES)) {
      const missing = await caller.get(url(key))
      t.match([missing.statusCode, missing.json()], [404, { code: 'HATCHECK_NO_SUCH_KEY' }], key)
      const created = await caller.store(key, 'something else')
      t.match([created.statusCode, created.body], [201, ''])
      const replaced = await caller.store(key, value)
      t.match([replaced.statusCode, replaced.body], [204, ''])
      const found = await caller.get(url(key))
      t.match([found.statusCode, found.headers['content-type'], found.body], [200, 'application/json; charset=utf-8', JSON.stringify(value)])
    }
    t.strictSame(await caller.data(), VALUES)
    t.equal((await caller.login()).statusCode, 303)
    t.strictSame(await caller.data(), VALUES, 'a login takes them along')
    for (const [key, value] of Object.entries(VALUES)) {
      const taken = await caller.take(key)
      t.match([taken.statusCode, taken.headers['content-type'], taken.body], [200, 'application/json; charset=utf-8', JSON.stringify(value)], key)
      t.equal((await caller.take(key)).statusCode, 404)
    }
    t.strictSame(await caller.data(), {})
    await caller.store('cart', ['apple'])
    const { cookieHeader } = caller
    await caller.post('/logout')
    const copy = await caller.get('/session', { cookie: cookieHeader })
    t.match(copy.json(), { user: null, createdAt: null, data: {} }, 'a logout ends them')
  })
}

test('reading begins no session, and the first value does', async (t) => {
  const store = openStore(t, 'memory:')
  const caller = await program(t, { sessionStore: store })
  const nobody = await caller.get('/session')
  t.strictSame(nobody.json(), { user: null, createdAt: null, expiresAt: null, permanent: false, handle: null, data: {} })
  for (const response of [nobody, await caller.get('/session/cart'), await caller.send({ method: 'HEAD', url: '/session' }), await caller.take('cart')]) {
    t.equal(response.headers['set-cookie'], undefined)
  }
  for (const refused of [await caller.store('get', 1), await caller.putText('cart', '{'), await caller.store('cart', 'x'.repeat(16_384))]) {
    t.ok(refused.statusCode >= 400)
    t.equal(refused.headers['set-cookie'], undefined)
  }
  t.equal(await store.count(), 0)
  const first = await caller.store('cart', ['apple'])
  t.match(first.headers['set-cookie'], /^hatcheck=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)
  t.equal((await caller.store('cart', ['pear'])).headers['set-cookie'], undefined, 'and it stays the same session')
  t.equal(await store.count(), 1)
})

test('GET /session returns the user, the beginning and the end of the session', async (t) => {
  let time = Date.parse('2026-01-31T12:00:00Z')
  const store = openStore(t, 'memory:', { now: () => time })
  const caller = await program(t, { sessionStore: store, now: () => time })
  await caller.store('cart', ['apple'])
  time += 60_000
  await caller.login()
  const handle = (await caller.get('/sessions', { accept: 'application/json' })).json().sessions[0].handle
  time += 30_000
  const session = await caller.get('/session', { accept: 'text/html' })
  t.equal(session.headers['content-type'], 'application/json; charset=utf-8', 'also to a browser')
  t.strictSame(session.json(), {
    user: { name: 'Harry', authenticatedAt: '2026-01-31T12:01:00.000Z' },
    createdAt: '2026-01-31T12:01:00.000Z',
    expiresAt: '2026-01-31T13:01:00.000Z',
    permanent: false,
    handle,
    data: { cart: ['apple'] }
  })
  const [stored] = await store.ofUser('Harry')
  t.not(Object.keys(fieldsWith(OWN_PREFIX, stored?.record.fields ?? {})).length, 0, 'hatcheck\'s own fields are stored, and not shown')

  await caller.post('/login', { client_name: 'Harry', password: '12345678', permanent: 'on' })
  t.match((await caller.get('/session')).json(), { permanent: true, expiresAt: '2026-02-14T12:01:30.000Z', data: { cart: ['apple'] } })
  time += 29.5 * 86_400_000
  t.match((await caller.get('/session')).json(), { user: null, createdAt: null, data: {} }, 'and at that time the session is over')
})

test('expiresAt is the end of the lifetime if that comes before the idle timeout', async (t) => {
  let time = Date.parse('2026-01-31T12:00:00Z')
  const caller = await program(t, { now: () => time, sessionIdleTimeout: 3_600, sessionLifetime: 4_000 })
  await caller.store('cart', 1)
  time += 1_000_000
  await caller.store('cart', 2)
  t.equal((await caller.get('/session')).json().expiresAt, '2026-01-31T13:06:40.000Z')
})

test('a program can read the logged-in user in the session, and cannot write it', async (t) => {
  const caller = await program(t)
  for (const key of ['client_name', 'authenticatedAt']) t.equal((await caller.get(url(key))).statusCode, 404)
  for (const isLoggedIn of [false, true]) {
    if (isLoggedIn) await caller.login()
    for (const spelling of ['client_name', 'client%5Fname', '%63lient_name', 'authenticatedAt']) {
      for (const method of ['PUT', 'DELETE'] as const) {
        const refused = await caller.send({ method, url: `/session/${spelling}`, ...method === 'PUT' && { payload: '"Sally"', headers: JSON_TYPE } })
        t.match([refused.statusCode, refused.json()], [403, { code: 'HATCHECK_IDENTITY_KEY', detail: /POST \/login/ }], `${method} ${spelling}`)
      }
    }
    t.equal((await caller.get('/session')).json().user?.name, isLoggedIn ? 'Harry' : undefined)
  }
  t.equal((await caller.get('/session/client_name')).body, '"Harry"')
  const { user: { authenticatedAt } } = (await caller.get('/session')).json()
  t.equal((await caller.get('/session/authenticatedAt')).body, String(Date.parse(authenticatedAt)))
})

test('a name that an application writes into the session logs no user in', async (t) => {
  const store = openStore(t, 'memory:')
  const host = await buildHost(t, { sessionStore: store })
  host.post('/', async ({ session }) => { session.client_name = 'Harry' })
  const cookie = String((await host.inject({ method: 'POST', url: '/', headers: { host: 'localhost' } })).headers['set-cookie']).split(';')[0] ?? ''
  const caller = await program(t, { sessionStore: store })
  t.equal((await caller.get('/session/client_name', { cookie })).statusCode, 404)
  t.match((await caller.get('/session', { cookie })).json(), { user: null, createdAt: /^\d/, data: {} })
})

test('a key in the address is percent-encoded, and can be any key of a session', async (t) => {
  const caller = await program(t)
  const good = ['a/b', 'a b', 'ü', '\u{1f600}', '%', '%25', 'a.b', 'a?b#c', 'a&b=c', ':key', '*', '0', 'Cart', 'cart', '"', '\\', '\0', 'x'.repeat(100), 'hatcheck', 'user']
  for (const key of good) t.equal((await caller.store(key, key)).statusCode, 201, JSON.stringify(key))
  t.same(Object.keys(await caller.data()).sort(), [...good].sort())
  for (const key of good) t.equal((await caller.get(url(key))).body, JSON.stringify(key), JSON.stringify(key))

  const bad = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'toJSON', 'then', 'get', 'set', 'pop', 'save', 'destroy', 'regenerate', 'cookie', 'permanent', 'sessionId', 'hatcheck:', 'hatcheck:flash', 'hatcheck:client', '']
  for (const key of bad) {
    const refused = await caller.store(key, 1)
    t.match([refused.statusCode, refused.json()], [400, { code: 'HATCHECK_SESSION_KEY', detail: /^A session key must / }], key)
    t.equal((await caller.get(url(key))).statusCode, 404, key)
    t.equal((await caller.take(key)).statusCode, 404, key)
  }
  for (const path of ['/session/%zz', '/session/%ff', '/session/%ed%a0%80']) t.equal((await caller.send({ method: 'PUT', url: path, payload: '1', headers: JSON_TYPE })).statusCode, 400, path)
  t.equal((await caller.store('x'.repeat(101), 1)).statusCode, 414)
  t.equal((await caller.get('/session/a/b')).statusCode, 404)
})

test('only valid JSON is accepted as a value', async (t) => {
  const caller = await program(t)
  await caller.store('cart', ['apple'])
  const refusals: Array<[status: number, payload: string | undefined, headers: Record<string, string>]> = [
    [400, undefined, {}],
    [400, undefined, JSON_TYPE],
    [400, '', JSON_TYPE],
    [400, '{', JSON_TYPE],
    [400, 'apple', JSON_TYPE],
    [400, '[1,]', JSON_TYPE],
    [400, 'undefined', JSON_TYPE],
    [400, 'NaN', JSON_TYPE],
    [400, '1e999', JSON_TYPE],
    [400, '["a", -1e999]', JSON_TYPE],
    [400, '{"__proto__": {"isAdmin": true}}', JSON_TYPE],
    [400, '[{"constructor": {"prototype": {"isAdmin": true}}}]', JSON_TYPE],
    [400, '1', { ...JSON_TYPE, 'content-range': 'bytes 0-0/2' }],
    [415, '1', {}],
    [415, 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }],
    [415, '1', { 'content-type': 'text/plain' }],
    [415, '{"a":1}', { 'content-type': 'application/merge-patch+json' }],
    [415, '<a/>', { 'content-type': 'application/xml' }]
  ]
  for (const [status, payload, headers] of refusals) {
    for (const accept of ['application/json', 'text/html']) {
      const refused = await caller.send({ method: 'PUT', url: '/session/cart', headers: { accept, ...headers }, ...payload !== undefined && { payload } })
      t.equal(refused.statusCode, status, `${JSON.stringify(headers)} ${payload}`)
      t.match(refused.headers['content-type'], accept === 'text/html' ? 'text/html' : 'application/problem+json')
      if (status === 415) t.equal(refused.headers['accept'], 'application/json')
    }
  }
  const deep = await caller.putText('deep', '['.repeat(8_000) + ']'.repeat(8_000))
  t.ok([201, 400].includes(deep.statusCode), 'a deep value is stored or refused')
  t.equal((await caller.get('/session/deep')).statusCode, deep.statusCode === 201 ? 200 : 404)
  t.equal((await caller.get('/session/cart')).body, '["apple"]', 'the value is unchanged')
  t.equal((await caller.putText('cart', ' [ "pear" ]\n', { 'content-type': 'application/json; charset=utf-8' })).statusCode, 204)
  t.equal((await caller.get('/session/cart')).body, '["pear"]')
})

test('the body of a DELETE is ignored, whatever it is', async (t) => {
  const caller = await program(t)
  for (const payload of ['', '{', '{"__proto__":1}', Buffer.of(0xff)]) {
    await caller.store('cart', ['apple'])
    const removed = await caller.send({ method: 'DELETE', url: '/session/cart', payload, headers: JSON_TYPE })
    t.match([removed.statusCode, removed.body], [200, '["apple"]'], JSON.stringify(payload))
  }
})

test('a value that is too large is refused, and the session is unchanged', async (t) => {
  const caller = await program(t, { sessionMaxBytes: 1_000 })
  const fits = 'ü'.repeat(450)
  const escaped = `"${'\\u00fc'.repeat(450)}"`
  t.equal((await caller.putText('text', escaped)).statusCode, 201, 'a value that is long because of escapes does fit')
  t.equal((await caller.get('/session/text')).json(), fits)
  const over = await caller.store('more', 'x'.repeat(100))
  t.match([over.statusCode, over.json()], [413, { code: 'HATCHECK_SESSION_TOO_LARGE' }])
  t.equal((await caller.store('text', 'x'.repeat(1_000))).statusCode, 413)
  t.equal((await caller.store('text', 'x'.repeat(10_000))).statusCode, 413)
  t.equal((await caller.send({ method: 'DELETE', url: '/session/text', payload: JSON.stringify('x'.repeat(10_000)), headers: JSON_TYPE })).statusCode, 413)
  t.strictSame(await caller.data(), { text: fits })
})

for (const kind of kinds) {
  test(`a value for a session that ends meanwhile is a 409, and revives nothing, on ${kind}`, async (t) => {
    for (const method of ['PUT', 'DELETE'] as const) {
      const store = openStore(t, kind)
      let pause: ReturnType<typeof stop> | null = null
      const caller = await program(t, { sessionStore: watched(store, (call) => call === 'patch' ? pause?.here() : undefined) })
      await caller.login()
      await caller.store('cart', ['apple'])
      const { cookieHeader: cookie } = caller
      pause = stop()
      const writing = method === 'PUT' ? caller.store('cart', ['pear']) : caller.take('cart')
      await pause.reached
      await caller.post('/logout')
      pause.go()
      const late = await writing
      t.match([late.statusCode, late.json()], [409, { code: 'HATCHECK_SESSION_GONE' }])
      t.equal(late.headers['set-cookie'], undefined)
      t.match((await caller.get('/session', { cookie })).json(), { user: null, data: {} })
      t.equal(await store.count(), 0)
    }
  })

  test(`two values that are set simultaneously under two keys are both stored, on ${kind}`, async (t) => {
    let pause: ReturnType<typeof stop> | null = null
    const caller = await program(t, { sessionStore: watched(openStore(t, kind), (call) => call === 'patch' ? pause?.here() : undefined) })
    await caller.store('cart', ['apple'])
    const held = pause = stop()
    const slow = caller.store('cart', ['pear'])
    await held.reached
    pause = null
    t.equal((await caller.store('size', 42)).statusCode, 201)
    held.go()
    t.equal((await slow).statusCode, 204)
    t.strictSame(await caller.data(), { cart: ['pear'], size: 42 })
  })
}

test('a value that could not be stored is a 503, and is not stored later', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  let patches = 0
  const caller = await program(t, { sessionStore: watched(store, (call) => { if (call === 'patch' || call === 'create') patches++ }) })
  down('create')
  const none = await caller.store('cart', ['apple'])
  t.match([none.statusCode, none.headers['retry-after'], none.headers['set-cookie']], [503, '1', undefined])
  up()
  await caller.store('cart', ['apple'])
  patches = 0
  down('patch')
  for (const failed of [await caller.store('cart', ['pear']), await caller.take('cart')]) {
    t.match([failed.statusCode, failed.headers['retry-after'], failed.headers['set-cookie']], [503, '1', undefined])
    t.match(failed.json(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  }
  t.equal(patches, 2, 'each is attempted once')
  up()
  t.strictSame(await caller.data(), { cart: ['apple'] })
  down()
  for (const failed of [await caller.get('/session'), await caller.get('/session/cart'), await caller.store('cart', 1), await caller.take('cart')]) {
    t.match([failed.statusCode, failed.headers['set-cookie']], [503, undefined])
  }
})

test('another site cannot write values, and a cookie that cannot be sent is an error', async (t) => {
  const caller = await program(t)
  await caller.store('cart', ['apple'])
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: 'https://evil.example' }]) {
    for (const method of ['PUT', 'DELETE'] as const) {
      const refused = await caller.send({ method, url: '/session/cart', headers: { ...headers, ...JSON_TYPE }, payload: '1' })
      t.match([refused.statusCode, refused.json()], [403, { code: 'HATCHECK_CROSS_ORIGIN' }])
    }
  }
  t.strictSame(await caller.data(), { cart: ['apple'] })
  const plain = await program(t, { sessionCookieSecure: 'true' })
  const refused = await plain.store('cart', 1)
  t.match([refused.statusCode, refused.json()], [400, { code: 'HATCHECK_INSECURE_TRANSPORT' }])
})

test('a plugin serves no route that writes the sessions of its application', async (t) => {
  const host = await buildHost(t, { routes: true, prefix: '/auth', authenticate: (name) => ({ name }) })
  host.get('/is-admin', async ({ session }) => session.get('isAdmin' as never) ?? false)
  for (const path of ['/session', '/auth/session', '/session/isAdmin', '/auth/session/isAdmin']) {
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      t.equal((await host.inject({ method, url: path, ...method === 'PUT' && { payload: 'true', headers: JSON_TYPE } })).statusCode, 404, `${method} ${path}`)
    }
  }
})
