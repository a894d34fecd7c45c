import fc from 'fast-check'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import assert from 'node:assert/strict'
import { format, inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import { test, type Test } from 'tap'
import { CookieJar } from 'tough-cookie'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { steadyClock } from '../plugins/common/clock.js'
import { SessionKeyError, SessionValueError } from '../plugins/session/errors.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { Client, type Answer } from './client.js'
import { buildHost } from './helper.js'
import { breakable, kinds, openStore, watched } from './watched-store.js'

const START = 1_800_000_000_000
const SECOND = 1_000
const HOUR = 3_600 * SECOND
const DAY = 24 * HOUR

type Bag = Record<string, any>
type Handler = (session: Bag, request: FastifyRequest, reply: FastifyReply) => unknown

interface Visit {
  response: Answer
  /** The handler's return value, as it was. */
  value: unknown
  /** The Set-Cookie header. */
  cookie: string | undefined
}

/** An application whose routes are the handlers of each test. */
class Host {
  readonly fastify: FastifyInstance
  readonly #handlers: Array<(request: FastifyRequest, reply: FastifyReply) => Promise<unknown>> = []

  private constructor (fastify: FastifyInstance) {
    this.fastify = fastify
    fastify.get('/untouched', async () => 'untouched')
    fastify.get<{ Params: { at: string } }>('/run/:at', async (request, reply) => await this.#handlers[Number(request.params.at)]?.(request, reply))
  }

  static async start (t: Test, options: HatcheckOptions = {}, server: FastifyServerOptions = {}): Promise<Host> {
    return new Host(await buildHost(t, options, server))
  }

  /** Runs a handler in a request with this visitor's cookie. */
  async run (client: Client, handler: Handler, headers: Record<string, string> = {}): Promise<Visit> {
    let value: unknown
    const at = this.#handlers.push(async (request, reply) => {
      value = await handler(request.session as unknown as Bag, request, reply)
      return 'done'
    }) - 1
    const response = await client.get(`/run/${at}`, headers)
    return { response, value, cookie: response.headers['set-cookie'] as string | undefined }
  }

  visitor (): Client & { run: (handler: Handler, headers?: Record<string, string>) => Promise<Visit> } {
    const client = new Client(this.fastify)
    return Object.assign(client, { run: (handler: Handler, headers?: Record<string, string>) => this.run(client, handler, headers) })
  }
}

const login: Handler = (_session, request) => request.login('Harry')
const logout: Handler = (_session, request) => request.logout()
const userOf: Handler = (_session, request) => request.user?.name ?? null
const dataOf: Handler = (session) => ({ ...session })

test('the session is an object with its values as properties', async (t) => {
  const { run, cookieHeader: none } = (await Host.start(t)).visitor()
  t.equal(none, '')
  await run((session) => {
    session['name'] = 'Harry'
    session['cart'] = ['apple']
    session['zero'] = 0
    session['no'] = false
    session['nothing'] = null
  })
  const { value } = await run((session) => ({
    read: [session['name'], session['cart'], session['zero'], session['no'], session['nothing'], session['missing']],
    in: ['name' in session, 'nothing' in session, 'missing' in session],
    own: [Object.hasOwn(session, 'name'), Object.hasOwn(session, 'missing'), Reflect.has(session, 'cart')],
    keys: Object.keys(session),
    entries: Object.entries(session).length,
    spread: { ...session },
    assigned: Object.assign({}, session),
    json: JSON.stringify(session),
    loop: (() => {
      const keys = []
      for (const key in session) keys.push(key)
      return keys
    })(),
    text: `${session}`
  }))
  const data = { name: 'Harry', cart: ['apple'], zero: 0, no: false, nothing: null }
  t.strictSame(value, {
    read: ['Harry', ['apple'], 0, false, null, undefined],
    in: [true, true, false],
    own: [true, false, true],
    keys: Object.keys(data),
    entries: 5,
    spread: data,
    assigned: data,
    json: JSON.stringify(data),
    loop: Object.keys(data),
    text: '[object Object]'
  })

  t.equal((await run((session) => delete session['name'] && delete session['missing'])).value, true)
  await run((session) => { Object.assign(session, { size: 3, phase: 'new', ticket: 't', record: 'r' }) })
  t.strictSame((await run(dataOf)).value, { cart: ['apple'], zero: 0, no: false, nothing: null, size: 3, phase: 'new', ticket: 't', record: 'r' },
    'no internal name is in the way')
})

test('the session has the methods of a dictionary', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => {
    session['set']('a', 1)
    session['update']({ b: 2, c: { d: [3] } })
    t.equal(session['get']('a'), 1)
    t.equal(session['has']('b'), true)
    t.strictSame(session['keys'](), ['a', 'b', 'c'])
  })
  await run((session) => {
    t.equal(session['get']('a'), 1)
    t.equal(session['get']('none'), undefined)
    t.equal(session['get']('toString'), undefined)
    t.equal(session['has']('none'), false)
    t.equal(session['has']('get'), false)
    t.equal(session['pop']('a'), 1)
    t.equal(session['pop']('a'), undefined)
    t.equal(session['pop']('a', 'fallback'), 'fallback')
    t.equal(session['pop']('a', null), null)
  })
  t.strictSame((await run((session) => session['keys']())).value, ['b', 'c'])
  await run((session) => {
    t.throws(() => session['update']({ x: 1, y: 1n }), { code: 'HATCHECK_SESSION_VALUE' })
    t.throws(() => session['update']({ x: 1, destroy: 1 }), { code: 'HATCHECK_SESSION_KEY' })
    t.strictSame(session['keys'](), ['b', 'c'], 'an update is applied completely or not at all')
    session['clear']()
    t.strictSame(session['keys'](), [])
  })
  t.strictSame((await run(dataOf)).value, {})
})

test('the session exposes its state as properties', async (t) => {
  const { run, cookies } = (await Host.start(t)).visitor()
  await run((session) => {
    t.equal(session['isSaved'](), false)
    t.equal(session['isModified'](), false)
    session['a'] = { b: 1 }
    t.equal(session['isModified'](), true)
  })
  await run((session) => {
    t.equal(session['isSaved'](), true)
    t.equal(session['isModified'](), false)
    session['a']['b'] = 2
    t.equal(session['isModified'](), true)
    t.equal(`${session['encryptedSessionId']}`, cookies.get('hatcheck'))
    t.equal(cookies.get('hatcheck')?.split('.')[0], session['sessionId'])
    t.throws(() => session['options']({ maxAge: 1 }), { code: 'HATCHECK_UNSUPPORTED' })
    t.throws(() => { session['cookie']['path'] = '/x' }, { code: 'HATCHECK_UNSUPPORTED', message: /use session\.permanent/ })
    t.throws(() => Object.freeze(session), TypeError)
    t.throws(() => Object.setPrototypeOf(session, {}), { code: 'HATCHECK_SESSION_KEY' })
    t.throws(() => Object.defineProperty(session, 'x', { get: () => 1 }), { code: 'HATCHECK_SESSION_KEY' })
    t.equal(session['then'], undefined, 'it is not a promise')
  })
})

test('a printed session shows neither its ID nor its ticket', async (t) => {
  const lines: string[] = []
  const host = await Host.start(t, {}, { logger: { level: 'trace', stream: { write (line: string) { lines.push(line) } } } } as FastifyServerOptions)
  const { run, cookies } = host.visitor()
  await run((session) => { session['name'] = 'Harry' })
  const [id = '', mac = ''] = cookies.get('hatcheck')?.split('.') ?? []
  for (const changing of [false, true]) {
    const { value } = await run((session, request) => {
      if (changing) session['more'] = 1
      request.log.info({ session }, 'the session')
      request.log.info(session)
      return [
        inspect(session), inspect(session, { showHidden: true, depth: 10 }), inspect(session, { showProxy: true, showHidden: true, depth: 10 }),
        inspect(session, { customInspect: false, depth: 10 }), format('%o %O %j %s', session, session, session, session), JSON.stringify(session)
      ]
    })
    const texts = value as string[]
    t.match(texts[0], "name: 'Harry'")
    for (const text of [...texts, ...lines]) {
      for (const secret of [id, mac, storeKey(id)]) t.notOk(text.includes(secret))
    }
  }
  t.match(lines.join(''), '"name":"Harry"')
})

test('a change within a value is saved', async (t) => {
  for (const kind of kinds) {
    await t.test(`a change within a value is saved, on ${kind}`, async (t) => {
      const { run } = (await Host.start(t, { sessionStore: openStore(t, kind) })).visitor()
      await run((session) => { session['cart'] = { fruit: ['apple'], count: 1 } })
      await run((session) => { session['cart'].fruit.push('pear') })
      await run((session) => {
        session['other'] = 1
        session['get']('cart').count++
      })
      await run((session) => {
        for (const value of Object.values(session)) if (typeof value === 'object') (value as Bag)['seen'] = true
      })
      t.strictSame((await run(dataOf)).value, { cart: { fruit: ['apple', 'pear'], count: 2, seen: true }, other: 1 })
      await run((session) => { session['pop']('cart').count = 99 })
      t.strictSame((await run(dataOf)).value, { other: 1 })
    })
  }
})

test('nothing is written when nothing has changed', async (t) => {
  const writes: string[] = []
  const store = watched(openStore(t, 'memory:'), (call) => { if (call !== 'read') writes.push(call) })
  const host = await Host.start(t, { sessionStore: store })
  const { run } = host.visitor()
  await run((session) => { Object.assign(session, { a: 1, list: [1, 2], text: 'x' }) })
  t.strictSame(writes, ['create'])
  writes.length = 0
  const handlers: Record<string, Handler> = {
    reading: dataOf,
    'reading the user': userOf,
    'setting what is there': (session) => Object.assign(session, { a: 1, list: [1, 2], text: 'x' }),
    'setting and setting back': (session) => {
      session['a'] = 2
      session['a'] = 1
    },
    'setting and deleting': (session) => {
      session['b'] = 2
      delete session['b']
    },
    'deleting what is not there': (session) => delete session['b'],
    'pushing and popping': (session) => {
      session['list'].push(3)
      session['list'].pop()
    },
    'saving without a change': (session) => session['save'](),
    reloading: (session) => session['reload'](),
    'permanent as it was': (session) => { session['permanent'] = false },
    'asking for the id': (session) => session['sessionId']
  }
  for (const [what, handler] of Object.entries(handlers)) {
    const { response, cookie } = await run(handler)
    t.equal(response.statusCode, 200)
    t.strictSame(writes, [], what)
    t.equal(cookie, undefined)
  }
})

test('anonymous requests store nothing and set no cookie', async (t) => {
  const store = openStore(t, 'memory:')
  const host = await Host.start(t, { sessionStore: store })
  const { run } = host.visitor()
  const handlers: Handler[] = [dataOf, userOf, logout,
    (session) => session['get']('a'),
    (session) => session['pop']('a', null),
    (session) => session['clear'](),
    (session) => session['sessionId'],
    (session) => session['cookie'],
    (session) => { session['permanent'] = true },
    (session) => session['touch'](),
    (session) => session['save'](),
    (session) => session['reload'](),
    (session) => session['regenerate'](),
    (session) => session['regenerate'](['a']),
    (session) => session['destroy'](),
    (session) => {
      session['a'] = 1
      delete session['a']
    }]
  for (const handler of handlers) {
    const { response, cookie } = await run(handler)
    t.equal(response.statusCode, 200, String(handler))
    t.equal(cookie, undefined)
  }
  await host.fastify.inject('/nowhere')
  t.equal(await store.count(), 0)

  const url = '/run/0'
  for (let i = 0; i < 1_000; i++) {
    const response = await host.fastify.inject({ url, headers: i % 2 === 0 ? {} : { cookie: `hatcheck=${'x'.repeat(43)}.${String(i).padStart(43, 'y')}` } })
    if (response.headers['set-cookie'] !== undefined) t.fail('a cookie')
  }
  t.equal(await store.count(), 0)
})

/** In ASCII, so that the report of a test is readable. */
function visible (text: string): string {
  return JSON.stringify(text).replace(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const METHODS = ['get', 'set', 'has', 'pop', 'update', 'clear', 'keys', 'touch', 'regenerate', 'destroy', 'save', 'reload', 'options', 'isModified', 'isSaved']
const MEMBERS = ['permanent', 'cookie', 'sessionId', 'encryptedSessionId']

test('a request without a cookie can begin a session after a read of request.user', async (t) => {
  const host = await Host.start(t)
  const client = host.visitor()
  const { cookie, response } = await client.run((session, request, reply) => {
    t.strictSame([request.user, request.user], [null, null])
    session.cart = ['hat']
    t.strictSame([request.user, reply.getHeader('set-cookie')], [null, undefined])
  })
  t.match(cookie, /^hatcheck=/)
  t.match(response.headers, { vary: 'Cookie', 'cache-control': 'no-store' })
  t.strictSame((await client.run((session) => session.cart)).value, ['hat'])

  const other = await host.visitor().run((_session, { user }) => user)
  t.match(other.response.headers, { vary: 'Cookie', 'cache-control': 'no-store' })
  t.equal(other.cookie, undefined)
})

/** The rule that a refused key breaks. */
function ruleFor (key: string): string {
  if (key === '') return 'not be empty'
  if (key.startsWith('hatcheck:')) return 'not begin with "hatcheck:"'
  return [...METHODS, ...MEMBERS].some((member) => member === key) ? 'not be the name of a member of the session' : 'not be a name that objects have'
}

test('a key that would break the session is refused, with the rule that it breaks', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => {
    for (const key of ['\ud800', 'a\udc00b']) t.throws(() => { session[key] = 1 }, { code: 'HATCHECK_SESSION_KEY' }, visible(key))
    const refused = ['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'isPrototypeOf', 'toJSON', 'then', 'hatcheck:', 'hatcheck:flash:x', '', ...METHODS, ...MEMBERS]
    for (const key of refused) {
      const error = {
        constructor: SessionKeyError,
        code: 'HATCHECK_SESSION_KEY',
        message: new RegExp(`^A session key must ${ruleFor(key)}[^;]*; got '${key}'\\.$`)
      }
      t.throws(() => session['set'](key, 1), error, key)
      if (!['permanent', 'cookie'].includes(key)) t.throws(() => { session[key] = 1 }, { code: 'HATCHECK_SESSION_KEY' }, key)
      t.throws(() => session['update'](Object.fromEntries([[key, 1]])), { code: 'HATCHECK_SESSION_KEY' }, key)
      t.throws(() => Object.defineProperty(session, key, { value: 1 }), { code: 'HATCHECK_SESSION_KEY' }, key)
    }
    t.throws(() => { (session as Record<symbol, unknown>)[Symbol('mine')] = 1 }, { message: /; got Symbol\(mine\)\.$/ })
    for (const key of [undefined, null, 1, {}, Symbol('mine')]) {
      for (const method of ['set', 'get', 'has', 'pop']) t.throws(() => session[method](key, 1), { code: 'HATCHECK_SESSION_KEY', message: /^A session key must be a string; got / }, `${method}(${String(key)})`)
    }
    t.strictSame({ ...session }, {})
    t.equal(({} as Bag)['polluted'], undefined)
  })
  const { response } = await run((session) => { session['destroy'] = 1 })
  t.equal(response.statusCode, 500)
  t.equal(response.json().code, 'HATCHECK_SESSION_KEY')
})

test('a value that JSON cannot hold is refused', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  const circle: Bag = { within: {} }
  circle['within'].again = circle
  const values: Array<[unknown, string]> = [
    [() => {}, '"a" is a function.'],
    [class {}, '"a" is a function.'],
    [1n, '"a" is a bigint.'],
    [Symbol('s'), '"a" is a symbol.'],
    [NaN, '"a" is NaN.'],
    [-Infinity, '"a" is -Infinity.'],
    [new Map(), '"a" is a Map.'],
    [new Set([1]), '"a" is a Set.'],
    [/x/, '"a" is a RegExp.'],
    [new Error('x'), '"a" is an Error.'],
    [new Uint8Array(2), '"a" is a Uint8Array.'],
    [Promise.resolve(), '"a" is a Promise.'],
    [circle, '"a" is circular, or its toJSON fails.'],
    [{ toJSON () { throw new Error('x') } }, '"a" is circular, or its toJSON fails.'],
    [{ b: () => {} }, '"b" in "a" is a function.'],
    [{ b: [1, undefined] }, '"1" in "a" is undefined (use null, or delete the key).'],
    [JSON.parse('[1]').concat(Array(1)), '"1" in "a" is undefined (use null, or delete the key).'],
    [{ b: { c: 1n } }, '"c" in "a" is a bigint.'],
    [{ b: NaN }, '"b" in "a" is NaN.']
  ]
  await run((session) => {
    for (const [value, rule] of values) {
      const error = { constructor: SessionValueError, code: 'HATCHECK_SESSION_VALUE', message: `A session value must be JSON: ${rule}` }
      t.throws(() => { session['a'] = value }, error, rule)
      t.throws(() => session['set']('a', value), error)
      t.throws(() => session['update']({ a: value }), error)
    }
    t.strictSame({ ...session }, {})
  })
  await run((session) => { session['list'] = [1] })
  for (const [value, rule] of values) {
    const { response } = await run((session) => { session['list'].push(value) })
    t.equal(response.statusCode, 500)
    t.match(response.json(), { code: 'HATCHECK_SESSION_VALUE' }, `within a value it is refused when the response leaves: ${rule}`)
  }
  t.strictSame((await run(dataOf)).value, { list: [1] })
})

test('a value that JSON holds in another form comes back in that form', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => {
    session['date'] = new Date(0)
    session['left out'] = { a: undefined, b: 1 }
    session['own'] = { toJSON: () => 'mine' }
    session['boxed'] = Object('text')
  })
  t.strictSame((await run(dataOf)).value, { date: '1970-01-01T00:00:00.000Z', 'left out': { b: 1 }, own: 'mine', boxed: 'text' })
})

test('undefined removes a value, whichever way it is set', async (t) => {
  const ways: Record<string, Handler> = {
    'as a property': (session) => { session['a'] = undefined },
    'with set()': (session) => session['set']('a', undefined),
    'with update()': (session) => session['update']({ a: undefined, b: 2 }),
    'with Object.assign': (session) => Object.assign(session, { a: undefined, b: 2 }),
    'with Object.defineProperty': (session) => Object.defineProperty(session, 'a', { value: undefined }),
    'with Reflect.set': (session) => Reflect.set(session, 'a', undefined),
    'by a spread': (session) => session['update']({ ...session, a: undefined }),
    'in the data of a login': (_session, request) => request.login('Harry', { data: { a: undefined } as never })
  }
  for (const kind of kinds) {
    for (const [way, handler] of Object.entries(ways)) {
      for (const value of ['text', ['a list'], null]) {
        const { run } = (await Host.start(t, { sessionStore: openStore(t, kind) })).visitor()
        await run((session) => { Object.assign(session, { a: value, b: 2 }) })
        await run(async (session, request, reply) => {
          t.strictSame(session['a'], value)
          await handler(session, request, reply)
          t.strictSame(['a' in session, session['a'], session['has']('a'), session['keys']().includes('a')], [false, undefined, false, false], way)
        })
        t.match((await run(dataOf)).value, { a: undefined, b: 2 })
        t.notOk((await run((session) => session['has']('a'))).value, `${way}, on ${kind}`)
      }
    }
  }
  const { run } = (await Host.start(t)).visitor()
  for (const handler of Object.values(ways).slice(0, 7)) {
    const { response } = await run((session, request, reply) => { handler(session, request, reply) })
    t.equal(response.statusCode, 200, 'also for a missing key')
  }
  await run((session) => {
    for (const key of ['__proto__', 'get', 'hatcheck:x']) t.throws(() => session['set'](key, undefined), { code: 'HATCHECK_SESSION_KEY' })
  })
})

test('values that are not plain JSON are refused, and plain values of any JavaScript realm are accepted', async (t) => {
  class Money { amount = 5 }
  class Numbers extends Array<number> {}
  class Instant { toJSON (): string { return '2026-01-01T00:00:00Z' } }
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const refused: Array<[unknown, RegExp]> = [
    [Buffer.from('hat'), /a Buffer/],
    [new Float64Array(2), /a Float64Array/],
    [new BigInt64Array(1), /a BigInt64Array/],
    [new DataView(new ArrayBuffer(1)), /a DataView/],
    [new ArrayBuffer(2), /an ArrayBuffer/],
    [new SharedArrayBuffer(2), /a SharedArrayBuffer/],
    [new Blob(['hat']), /a Blob/],
    [new URL('https://example.com'), /a URL/],
    [new URLSearchParams('a=1'), /a URLSearchParams/],
    [new Headers({ a: '1' }), /a Headers/],
    [new WeakMap(), /a WeakMap/],
    [new Instant(), /an Instant/],
    [new Money(), /a Money/],
    [Numbers.from([1]), /a Numbers/],
    [Object.create({ inherited: 1 }), /an Object/],
    [new Date(NaN), /an invalid Date/],
    [Object(1n), /a BigInt/],
    [Object(Symbol('s')), /a Symbol/],
    [Object(NaN), /NaN/],
    [Object(Infinity), /Infinity/],
    [{ [Symbol('s')]: 1 }, /a symbol as a key/],
    [Object.assign([1], { extra: 2 }), /keys beside its elements/],
    ['hat'.match(/a/), /keys beside its elements/],
    // eslint-disable-next-line no-sparse-arrays -- the hole is what is tested
    [[1, , 3], /"1" in "a" is undefined/],
    [(function (..._given: unknown[]) { return arguments })(1), /a symbol as a key/],
    [(function * () {})(), /a Generator/],
    [{ get b () { return new Set() } }, /"b" in "a" is a Set/],
    [{ toJSON: () => new Map([[1, 2]]) }, /a Map/],
    [{ toJSON: () => undefined }, /undefined/],
    [{ toJSON: () => NaN }, /NaN/],
    [{ toJSON: () => 1n }, /a bigint/],
    [{ toJSON: () => ({ c: new Date(NaN) }) }, /"c" in "a" is an invalid Date/],
    [nested(1_001), /is nested too deeply/],
    [revoked.proxy, /circular, or its toJSON fails/],
    [runInNewContext('new Map()'), /a Map/],
    [runInNewContext('class Money {}; new Money()'), /a Money/]
  ]
  const accepted: Array<[value: unknown, stored: unknown]> = [
    [runInNewContext('({ list: [1, { b: 2 }], date: new Date(0) })'), { list: [1, { b: 2 }], date: '1970-01-01T00:00:00.000Z' }],
    [runInNewContext('[1, [2]]'), [1, [2]]],
    [Object.assign(Object.create(null), { b: 1 }), { b: 1 }],
    [new Proxy({ b: [1] }, {}), { b: [1] }],
    [new Proxy([1], {}), [1]],
    [Object.freeze({ b: Object.freeze([1]) }), { b: [1] }],
    [{ get b () { return 1 } }, { b: 1 }],
    [{ '': 1 }, { '': 1 }],
    [nested(900), nested(900)],
    [Object(true), true],
    [Object(5), 5],
    [structuredClone({ b: 1 }), { b: 1 }]
  ]
  const { run } = (await Host.start(t)).visitor()
  await run((session) => {
    for (const [value, rule] of refused) {
      const error = { code: 'HATCHECK_SESSION_VALUE', message: rule }
      t.throws(() => { session['a'] = value }, error, String(rule))
      t.throws(() => { session['b'] = { within: [value] } }, { code: 'HATCHECK_SESSION_VALUE' }, String(rule))
      t.throws(() => Object.assign(session, { a: value }), error)
    }
    t.strictSame({ ...session }, {})
  })
  for (const [value, stored] of accepted) {
    t.equal((await run((session) => { session['a'] = value })).response.statusCode, 200)
    t.strictSame((await run((session) => session['a'])).value, stored)
  }
  await run((session) => { session['held'] = {} })
  for (const [value] of refused) {
    const { response } = await run((session) => { session['held'].within = [value] })
    t.match(response.json(), { statusCode: 500, code: 'HATCHECK_SESSION_VALUE' }, 'within a value that a handler still holds')
  }
})

test('update() takes a plain object, and never drops a value silently', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => {
    for (const [values, kind] of [[null, 'null'], [undefined, 'undefined'], ['text', 'a string'], [5, 'a number'], [[['a', 1]], 'an Array'], [new Map([['a', 1]]), 'a Map'], [new Date(), 'a Date'], [() => {}, 'a function']] as const) {
      t.throws(() => session['update'](values), { code: 'HATCHECK_SESSION_VALUE', message: `Values for a session must be a plain object of keys and values; got ${kind}.` })
    }
    t.throws(() => session['update']({ a: 1, [Symbol('s')]: 2 }), { code: 'HATCHECK_SESSION_KEY' })
    t.strictSame({ ...session }, {})
    let times = 0
    session['update']({ get a () { return ++times } })
    session['update'](Object.assign(Object.create(null), { b: 2 }))
    t.strictSame([{ ...session }, times], [{ a: 1, b: 2 }, 1])
  })
})

test('session.modified tells whether there are changes, and setting it does nothing', async (t) => {
  const store = openStore(t, 'memory:')
  const { run } = (await Host.start(t, { sessionStore: store })).visitor()
  for (const value of [true, false, 1, 'yes', undefined]) {
    const { response, cookie } = await run((session) => {
      session['modified'] = value
      Object.assign(session, { modified: value })
      return session['modified']
    })
    t.strictSame([response.statusCode, cookie, await store.count()], [200, undefined, 0])
  }
  await run((session) => {
    t.equal(session['modified'], false)
    session['list'] = [1]
    t.equal(session['modified'], true)
    session['modified'] = false
  })
  await run((session) => {
    session['modified'] = true
    t.equal(session['modified'], false)
    session['list'].push(2)
    t.equal(session['modified'], true)
    t.strictSame(Object.keys(session), ['list'])
  })
  t.strictSame((await run(dataOf)).value, { list: [1, 2] })
  t.strictSame((await run((session) => ['modified' in session, session['has']('modified'), session['pop']('modified', 'no')])).value, [true, false, 'no'])
})

test('session.permanent takes only true and false', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => { session['a'] = 1 })
  await run((session) => {
    for (const value of ['false', 'true', 'on', 1, 0, null, undefined, {}, [], NaN]) {
      t.throws(() => { session['permanent'] = value }, { code: 'HATCHECK_SESSION_VALUE', message: /session\.permanent must be true or false/ })
      t.throws(() => Object.assign(session, { permanent: value }), { code: 'HATCHECK_SESSION_VALUE' })
      t.equal(session['permanent'], false)
    }
  })
})

test('the option permanent of a login takes only true and false, and nobody is logged in otherwise', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  for (const permanent of ['false', 'on', 'x'.repeat(2_000), 1, null, {}]) {
    await run(async (_session, request) => {
      await t.rejects(request.login('Harry', { permanent: permanent as never }), { code: 'HATCHECK_SESSION_VALUE', message: /^The option permanent must be true or false; got / })
    })
    t.equal((await run(userOf)).value, null)
  }
})

test('regenerate takes a list of keys, and a mistake ends no session', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  await run((session) => { session['cart'] = ['apple'] })
  await run(async (session) => {
    for (const keys of ['cart', 1, null, {}, new Set(['cart'])]) {
      await t.rejects(session['regenerate'](keys), { code: 'HATCHECK_SESSION_KEY', message: /^The keys for session\.regenerate must be a list/ })
    }
  })
  t.strictSame((await run(dataOf)).value, { cart: ['apple'] })
})

test('save() of a session that has ended meanwhile is refused, changed or not', async (t) => {
  for (const kind of kinds) {
    const changes: Handler[] = [() => {}, dataOf, (session) => { session['a'] = 2 }, (session) => { session['permanent'] = false }, (session) => session['pop']('none')]
    for (const change of changes) {
      const host = await Host.start(t, { sessionStore: openStore(t, kind) })
      const visitor = host.visitor()
      await visitor.run((session) => { session['a'] = 1 })
      const other = new Client(host.fastify)
      for (const [name, value] of visitor.cookies) other.cookies.set(name, value)
      const { response, cookie } = await visitor.run(async (session, request, reply) => {
        change(session, request, reply)
        await host.run(other, logout)
        await t.rejects(session['save'](), { code: 'HATCHECK_SESSION_GONE', statusCode: 409 })
        t.match(await new Promise((resolve) => { session['save'](resolve) }), { code: 'HATCHECK_SESSION_GONE' })
        await session['save']()
      })
      t.strictSame([response.statusCode, cookie], [409, undefined])
    }
  }
})

test('a deeply nested value is stored whole or refused with a named error', async (t) => {
  const { run } = (await Host.start(t, { sessionMaxBytes: 1_048_576 })).visitor()
  for (const depth of [10, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 100_000]) {
    const text = '['.repeat(depth) + ']'.repeat(depth)
    const { response } = await run((session) => { session['deep'] = JSON.parse(text) })
    if (response.statusCode !== 200) t.match(response.json(), { statusCode: 500, code: 'HATCHECK_SESSION_VALUE' }, `${depth} deep`)
    const next = await run((session) => { session['other'] = depth })
    t.equal(next.response.statusCode, 200, `the session is usable after ${depth}`)
    await run((session) => { delete session['deep'] })
  }
})

const NAUGHTY = ['', ' ', 'undefined', '__proto__', 'constructor', '\0', '\u0001\u001f\u007f', '\r\nSet-Cookie: a=b', '"\'\\`', '</script>', '\u2028\u2029', '\uFEFF', 'é'.normalize('NFD'), '😀', '\ud83d', '\ude00\ud83d', 'a\ud800b', '\u202Etxt', 'Ω≈ç√', '١٢٣', '$' + '{1+1}', '{{7*7}}', '%00', '1e1000', '-0']

for (const kind of kinds) {
  test(`values of every kind are read as they were stored, on ${kind}`, async (t) => {
    const { run } = (await Host.start(t, { sessionStore: openStore(t, kind) })).visitor()
    const naughty = { list: NAUGHTY, map: Object.fromEntries(NAUGHTY.map((text, i) => [`${i}${text}`, text])), own: JSON.parse('{"__proto__":{"polluted":1},"constructor":2}') }
    await run((session) => { Object.assign(session, naughty) })
    const { value } = await run((session) => {
      session['written'] = 1
      return { list: session['list'], map: session['map'], own: session['own'] }
    })
    t.strictSame(value, naughty)
    t.equal(JSON.stringify(value), JSON.stringify(naughty))
    t.equal(({} as Bag)['polluted'], undefined)

    let stored: unknown
    await fc.assert(fc.asyncProperty(fc.jsonValue({ noUnicodeString: false, maxDepth: 4 }), async (json) => {
      await run((session) => { session['value'] = json })
      stored = (await run((session) => session['value'])).value
      return JSON.stringify(stored) === JSON.stringify(json)
    }), { numRuns: 100 })
    t.not(stored, undefined)
  })

  test(`keys of every kind are read as they were stored, on ${kind}`, async (t) => {
    const { run } = (await Host.start(t, { sessionStore: openStore(t, kind) })).visitor()
    const keys = NAUGHTY.filter((key) => !['', '__proto__', 'constructor'].includes(key))
    const kept: string[] = []
    for (const key of keys) {
      const { response } = await run((session) => { session[key] = key })
      if (response.statusCode === 200) kept.push(key)
      else t.equal(response.json().code, 'HATCHECK_SESSION_KEY', `${visible(key)} is refused by name`)
    }
    t.ok(kept.length >= keys.length - 3, 'only keys that are not text are refused')
    const data = (await run(dataOf)).value as Bag
    t.strictSame(Object.keys(data).map(visible).sort(), kept.map(visible).sort())
    for (const key of kept) t.ok(data[key] === key, visible(key))
  })
}

test('a session that is too large is refused, and the stored session is unchanged', async (t) => {
  for (const kind of kinds) {
    await t.test(`a session that is too large is refused, on ${kind}`, async (t) => {
      const store = openStore(t, kind, { maxBytes: 256 })
      const { run } = (await Host.start(t, { sessionMaxBytes: 256, sessionStore: store })).visitor()
      const first = await run((session) => { session['a'] = 'x'.repeat(248) })
      t.equal(first.response.statusCode, 413)
      t.equal(first.cookie, undefined)
      t.equal(await store.count(), 0)

      t.equal((await run((session) => { session['a'] = 'x'.repeat(247) })).response.statusCode, 200, 'the largest session that fits')
      const { response, cookie } = await run((session) => {
        session['a'] = 'y'
        session['b'] = 'é'.repeat(125)
      })
      t.equal(response.statusCode, 413)
      t.match(response.json(), {
        code: 'HATCHECK_SESSION_TOO_LARGE',
        message: 'The session data is too large: 267 bytes of JSON, at most 256 are allowed (sessionMaxBytes). The stored session is unchanged.'
      })
      t.equal(cookie, undefined)
      t.strictSame((await run(dataOf)).value, { a: 'x'.repeat(247) })

      const saved = await run(async (session) => {
        session['b'] = 'z'.repeat(200)
        await t.rejects(session['save'](), { code: 'HATCHECK_SESSION_TOO_LARGE' })
        delete session['b']
      })
      t.equal(saved.response.statusCode, 200, 'an application can make it smaller and go on')
      const thrown = await run(async (session) => {
        session['b'] = 'z'.repeat(200)
        await session['save']()
      })
      t.equal(thrown.response.statusCode, 413)
      t.equal(thrown.response.json().code, 'HATCHECK_SESSION_TOO_LARGE')

      const renewal = await run(async (session) => {
        await session['regenerate'](['a'])
        session['b'] = 'z'.repeat(200)
      })
      t.equal(renewal.response.statusCode, 413, 'a renewal too')
      t.strictSame((await run(dataOf)).value, { a: 'x'.repeat(247) }, 'which does not end the session')
    })
  }
})

test('a change after the response is refused with a named error', async (t) => {
  const { run } = (await Host.start(t)).visitor()
  let session: Bag = {}
  await run((given) => {
    session = given
    given['a'] = 1
  })
  const error = { code: 'HATCHECK_SESSION_COMMITTED', message: 'The response has been sent: the session of this request can no longer be changed, or read for the first time. Use the session before the response begins.' }
  t.throws(() => { session['a'] = 2 }, error)
  t.throws(() => { delete session['a'] }, error)
  t.throws(() => { session['permanent'] = true }, error)
  t.throws(() => session['clear'](), error)
  t.throws(() => session['update']({ b: 1 }), error)
  t.equal(session['a'], 1, 'it can be read')
})

test('save() stores at once', async (t) => {
  const store = openStore(t, 'memory:')
  const { run, cookies } = (await Host.start(t, { sessionStore: store })).visitor()
  const { cookie } = await run(async (session) => {
    session['a'] = 1
    await session['save']()
    t.equal(await store.count(), 1)
    t.strictSame((await store.read(storeKey(session['sessionId'])))?.fields, { a: '1' })
    session['b'] = 2
    await new Promise<void>((resolve, reject) => { session['save']((error: unknown) => { if (error === undefined) resolve(); else reject(error) }) })
    t.strictSame((await store.read(storeKey(session['sessionId'])))?.fields, { a: '1', b: '2' })
    delete session['a']
    session['c'] = [3]
  })
  t.match(cookie, /^hatcheck=/)
  t.strictSame((await run(dataOf)).value, { b: 2, c: [3] })
  t.equal(await store.count(), 1)

  const { response } = await run(async (session) => {
    session['c'].push(4)
    await session['save']()
    throw new Error('after that')
  })
  t.equal(response.statusCode, 500)
  t.strictSame((await run(dataOf)).value, { b: 2, c: [3, 4] })

  const { cookie: none } = await run(async (session) => {
    await session['destroy']()
    await session['save']()
    t.equal(await store.count(), 0)
  })
  t.match(none, /^hatcheck=; Max-Age=0/)
  t.equal(cookies.size, 0)
})

test('save() passes a failure to its callback', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { run } = (await Host.start(t, { sessionStore: store })).visitor()
  await run(async (session) => {
    session['a'] = 1
    down()
    const error = await new Promise((resolve) => { session['save'](resolve) })
    up()
    t.match(error, { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
  })
})

test('reload() reads the stored session again', async (t) => {
  const host = await Host.start(t)
  const visitor = host.visitor()
  await visitor.run((session) => { Object.assign(session, { a: 1, list: [1] }) })
  await visitor.run(async (session) => {
    session['a'] = 2
    session['list'].push(2)
    await host.run(visitor, (other) => { other['b'] = 'of another request' })
    await session['reload']()
    t.strictSame({ ...session }, { a: 1, list: [1], b: 'of another request' })
    session['c'] = 3
    await new Promise<void>((resolve) => { session['reload'](resolve) })
    t.notOk('c' in session)
    session['permanent'] = true
    await session['reload']()
    t.equal(session['permanent'], false)
    session['list'].push(3)
  })
  t.strictSame((await visitor.run(dataOf)).value, { a: 1, list: [1, 3], b: 'of another request' })
  await visitor.run(async (session) => {
    await host.run(visitor, logout)
    await session['reload']()
    t.strictSame({ ...session }, {}, 'nothing, once the session has ended')
  })
})

test('regenerate() continues under a new ID with the given keys', async (t) => {
  for (const way of ['promise', 'callback', 'promise, not awaited']) {
    await t.test(way, async (t) => {
      const store = openStore(t, 'memory:')
      const { run, cookies } = (await Host.start(t, { sessionStore: store })).visitor()
      const regenerate = async (session: Bag, ...keys: string[][]): Promise<void> => {
        if (way === 'callback') await new Promise<void>((resolve) => { session['regenerate'](...keys, resolve) })
        else if (way === 'promise') await session['regenerate'](...keys)
        else session['regenerate'](...keys)
      }
      await run((session) => { Object.assign(session, { a: 1, b: [2], c: 3 }) })
      const before = cookies.get('hatcheck') as string
      const { value, cookie } = await run(async (session) => {
        session['c'] = 4
        await regenerate(session, ['a', 'b'])
        session['b'].push(3)
        session['d'] = 5
        return session['sessionId']
      })
      if (way !== 'promise, not awaited') t.match(cookie, `hatcheck=${String(value)}.`)
      t.not(cookies.get('hatcheck'), before)
      t.strictSame((await run(dataOf)).value, { a: 1, b: [2, 3], d: 5 })
      t.equal(await store.read(storeKey(before.split('.')[0] as string)), null)
      t.equal(await store.count(), 1)

      t.match((await run((session) => regenerate(session))).cookie, /^hatcheck=; Max-Age=0/, 'without a key nothing is left')
      t.equal(await store.count(), 0)
    })
  }

  t.test('a key that the session lacks is missing after regenerate()', async (t) => {
    const { run } = (await Host.start(t)).visitor()
    await run((session) => { session['a'] = 1 })
    const { response } = await run(async (session) => {
      await session['regenerate'](['a', 'missing', 'get', 'cookie', '__proto__'])
      t.strictSame(Object.keys(session), ['a'])
      t.notOk('missing' in session)
    })
    t.equal(response.statusCode, 200)
    t.strictSame((await run(dataOf)).value, { a: 1 })
  })

  t.test('regenerate() keeps the user with client_name in the keys, and logs out without it', async (t) => {
    const { run } = (await Host.start(t)).visitor()
    await run(login)
    await run((session) => session['regenerate'](['client_name', 'authenticatedAt']))
    t.equal((await run(userOf)).value, 'Harry')
    await run((session) => session['regenerate'](['authenticatedAt']))
    t.equal((await run(userOf)).value, null)
  })

  t.test('a second regenerate() in the same request works like the first', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await Host.start(t, { sessionStore: store })).visitor()
    await run((session) => { Object.assign(session, { a: 1, b: 2 }) })
    await run(async (session) => {
      await session['regenerate'](['a', 'b'])
      await session['save']()
      await session['regenerate'](['a'])
    })
    t.strictSame((await run(dataOf)).value, { a: 1 })
    t.equal(await store.count(), 1)
  })
})

test('destroy() ends the session', async (t) => {
  for (const way of ['promise', 'callback']) {
    await t.test(way, async (t) => {
      const store = openStore(t, 'memory:')
      const { run, cookies } = (await Host.start(t, { sessionStore: store })).visitor()
      await run((session) => { session['a'] = 1 })
      const before = cookies.get('hatcheck') as string
      const { cookie } = await run(async (session) => {
        if (way === 'promise') await session['destroy']()
        else await new Promise<void>((resolve) => { session['destroy'](resolve) })
        t.strictSame({ ...session }, {})
        t.not(session, null, 'the session object still exists')
      })
      t.equal(cookie, 'hatcheck=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax')
      t.equal(await store.count(), 0)
      t.equal(await store.create(storeKey(before.split('.')[0] as string), { createdAt: 0, seenAt: 0, expiresAt: Infinity, permanent: false, user: null, fields: {} }), false, 'for good')
    })
  }

  t.test('a value that is set after destroy() begins a new session', async (t) => {
    const store = openStore(t, 'memory:')
    const { run, cookies } = (await Host.start(t, { sessionStore: store })).visitor()
    await run(login)
    const before = cookies.get('hatcheck') as string
    await run(async (session) => {
      await session['destroy']()
      session['flash'] = 'See you'
    })
    t.not(cookies.get('hatcheck'), before)
    t.strictSame((await run(dataOf)).value, { flash: 'See you' })
    t.equal((await run(userOf)).value, null)
    t.equal(await store.count(), 1)
  })

  t.test('a login after destroy() begins a new session', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await Host.start(t, { sessionStore: store })).visitor()
    await run((session) => { session['a'] = 1 })
    await run(async (_session, request) => {
      await request.logout()
      await request.login('Sally')
    })
    t.equal((await run(userOf)).value, 'Sally')
    t.strictSame((await run((session) => session['keys']())).value, ['client_name', 'authenticatedAt'])
    t.equal(await store.count(), 1)
  })
})

test('the Set-Cookie header is exact, for every option', async (t) => {
  const now = (): number => START
  const write: Handler = (session) => { session['a'] = 1 }
  const remember: Handler = (session) => {
    session['a'] = 1
    session['permanent'] = true
  }
  const TICKET = '[\\w-]{43}\\.[\\w-]{43}'
  const GONE = '=; Max-Age=0;'
  const expires = 'Expires=Thu, 01 Jan 1970 00:00:00 GMT; '
  const cases: Array<{ what: string, options?: HatcheckOptions, https?: boolean, name: string, path?: string, before?: string, after: string }> = [
    { what: 'on http', name: 'hatcheck', after: 'HttpOnly; SameSite=Lax' },
    { what: 'on https', https: true, name: '__Host-hatcheck', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'for a domain', options: { sessionCookieDomain: 'example.com', sessionCookieSecure: true }, https: true, name: '__Secure-hatcheck', before: 'Domain=example.com; ', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'for a path', options: { sessionCookiePath: '/run', sessionCookieSecure: true }, https: true, name: '__Secure-hatcheck', path: '/run', after: 'HttpOnly; Secure; SameSite=Lax' },
    { what: 'of its own name and mode', options: { sessionCookieName: 'sid', sessionCookieSamesite: 'Strict' }, name: 'sid', after: 'HttpOnly; SameSite=Strict' },
    { what: 'for other sites', options: { sessionCookieSecure: true, sessionCookieSamesite: 'none', sessionCookiePartitioned: true }, https: true, name: '__Host-hatcheck', after: 'HttpOnly; Secure; Partitioned; SameSite=None' }
  ]
  for (const { what, options = {}, https = false, name, path = '/', before = '', after } of cases) {
    await t.test(what, async (t) => {
      const { run } = (await Host.start(t, { now, ...options }, { trustProxy: '127.0.0.1' })).visitor()
      const headers = { ...https && { 'x-forwarded-proto': what === 'on https' ? 'HTTPS' : 'https' }, ...before !== '' && { 'x-forwarded-host': 'app.example.com' } }
      t.match((await run(write, headers)).cookie, new RegExp(`^${name}=${TICKET}; ${before}Path=${path}; ${after}$`))
      t.match((await run(remember, headers)).cookie, new RegExp(`^${name}=${TICKET}; Max-Age=2592000; ${before}Path=${path}; ${after}$`))
      t.match((await run((session) => { session['permanent'] = false }, headers)).cookie, new RegExp(`^${name}=${TICKET}; ${before}Path=${path}; ${after}$`))
      t.match((await run((_session, request) => request.login('Harry', { permanent: true }), headers)).cookie, new RegExp(`^${name}=${TICKET}; Max-Age=2592000; `))
      t.equal((await run(logout, headers)).cookie, `${name}${GONE} ${before}Path=${path}; ${expires}${after}`)
    })

    await t.test(`${what}, a browser has no cookie left after the logout`, async (t) => {
      const host = await Host.start(t, { now: () => Date.now(), ...options }, { trustProxy: '127.0.0.1' })
      const url = `${https ? 'https' : 'http'}://${before === '' ? 'localhost' : 'app.example.com'}${path}`
      const jar = new CookieJar(undefined, { prefixSecurity: 'strict' })
      const headers = { host: new URL(url).host, ...https && { 'x-forwarded-proto': 'https' } }
      const { cookie: set } = await host.run(new Client(host.fastify), login, headers)
      await jar.setCookie(set as string, url)
      const sent = await jar.getCookieString(url)
      t.match(sent, `${name}=`)
      const { cookie: removal } = await host.run(new Client(host.fastify), logout, { ...headers, cookie: sent })
      await jar.setCookie(removal as string, url)
      t.equal(await jar.getCookieString(url), '')
    })
  }

  t.test('the age of a permanent session\'s cookie counts from the beginning of the session', async (t) => {
    let time = START
    const { run } = (await Host.start(t, { now: () => time })).visitor()
    await run(remember)
    time += 10 * DAY
    t.match((await run((session) => session['regenerate'](['a']))).cookie, `Max-Age=${20 * 86_400};`)
  })

  t.test('a claim of https by an untrusted client does not set a Secure cookie', async (t) => {
    for (const server of [{}, { trustProxy: '10.0.0.1' }]) {
      const { run } = (await Host.start(t, {}, server)).visitor()
      const { response, cookie } = await run(write, { 'x-forwarded-proto': 'https' })
      t.equal(response.statusCode, 400)
      t.equal(cookie, undefined, 'nor a cookie for http, since the claim may be true')
    }
  })

  t.test('the cookie is not sent again while nothing changes', async (t) => {
    const { run } = (await Host.start(t)).visitor()
    await run(write)
    for (const handler of [dataOf, write, (session: Bag) => { session['b'] = 2 }]) t.equal((await run(handler)).cookie, undefined)
  })
})

test('a session ends by its idle timeout and by its lifetime', async (t) => {
  const clocked = async (t: Test, options: HatcheckOptions = {}): Promise<{ visitor: ReturnType<Host['visitor']>, host: Host, pass: (ms: number) => void }> => {
    let time = START
    const host = await Host.start(t, { now: () => time, ...options })
    return { host, visitor: host.visitor(), pass: (ms) => { time += ms } }
  }

  t.test('a session ends after the idle timeout', async (t) => {
    for (const [ms, user] of [[HOUR - SECOND, 'Harry'], [HOUR, null], [HOUR + SECOND, null]] as const) {
      const { visitor: { run }, pass } = await clocked(t)
      await run(login)
      pass(ms)
      t.equal((await run(userOf)).value, user, `${ms / SECOND} s`)
    }
  })

  t.test('activity postpones the end', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run(login)
    for (let i = 0; i < 5; i++) {
      pass(HOUR - SECOND)
      t.equal((await run(userOf)).value, 'Harry')
    }
    pass(HOUR + SECOND)
    t.equal((await run(userOf)).value, null)
  })

  t.test('activity does not postpone the end beyond the lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run(login)
    for (let minutes = 30; minutes < 24 * 60; minutes += 30) {
      pass(HOUR / 2)
      const { value } = await run((session, request) => {
        session['minutes'] = minutes
        return request.user?.name
      })
      if (value !== 'Harry') t.fail(`after ${minutes} minutes`)
    }
    pass(HOUR / 2 - SECOND)
    t.equal((await run(userOf)).value, 'Harry', 'a second before')
    pass(2 * SECOND)
    t.equal((await run(userOf)).value, null, 'a second after')
  })

  t.test('a permanent session has its own idle timeout and lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(14 * DAY - SECOND)
    t.equal((await run(userOf)).value, 'Harry')
    pass(14 * DAY - SECOND)
    t.equal((await run(userOf)).value, 'Harry')
    pass(2 * DAY)
    t.equal((await run(userOf)).value, 'Harry')
    pass(3 * SECOND)
    t.equal((await run(userOf)).value, null)

    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(14 * DAY + SECOND)
    t.equal((await run(userOf)).value, null)
  })

  t.test('turning permanent off restores the shorter idle timeout and lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(HOUR)
    await run((session) => { session['permanent'] = false })
    pass(HOUR - SECOND)
    t.equal((await run(userOf)).value, 'Harry')
    pass(HOUR + SECOND)
    t.equal((await run(userOf)).value, null)
  })

  t.test('a new ID does not extend the lifetime, a login does', async (t) => {
    for (const [renewal, lives] of [['regenerate', false], ['login', true], ['destroy and set', true]] as const) {
      const { visitor: { run }, pass } = await clocked(t, { sessionIdleTimeout: 86_400 })
      await run((session) => { session['a'] = 1 })
      pass(12 * HOUR)
      await run(async (session, request) => {
        if (renewal === 'regenerate') await session['regenerate'](['a'])
        else if (renewal === 'login') await request.login('Harry')
        else {
          await session['destroy']()
          session['a'] = 1
        }
      })
      pass(12 * HOUR - SECOND)
      t.equal((await run((session) => session['a'])).value, 1)
      pass(2 * SECOND)
      t.equal((await run((session) => session['a'])).value, lives ? 1 : undefined, renewal)
    }
  })

  t.test('after a new ID the store keeps the session no longer than its lifetime', async (t) => {
    for (const kind of kinds) {
      let time = START
      const now = (): number => time
      const store = openStore(t, kind, { now })
      const { run } = (await Host.start(t, { sessionStore: store, now, sessionIdleTimeout: 86_400 })).visitor()
      await run(login)
      time += 12 * HOUR
      await run((session) => session['regenerate'](['client_name', 'authenticatedAt']))
      const [stored] = await store.ofUser('Harry')
      t.equal(stored?.record.expiresAt, START + 24 * HOUR, kind)
    }
  })

  t.test('a shorter configured timeout applies to existing sessions', async (t) => {
    let time = START
    const now = (): number => time
    const store = openStore(t, 'memory:', { now })
    const visitor = (await Host.start(t, { sessionStore: store, now })).visitor()
    await visitor.run(login)
    time += HOUR / 2
    const stricter = await Host.start(t, { sessionStore: store, now, sessionIdleTimeout: 600 })
    const { cookieHeader: cookie } = visitor
    t.equal((await stricter.visitor().run(userOf, { cookie })).value, null)
    t.equal((await visitor.run(userOf)).value, 'Harry')
  })

  t.test('activity is recorded at most once per twentieth of the idle timeout', async (t) => {
    for (const sync of [true, false]) {
      let time = START
      const now = (): number => time
      let touches = 0
      const store = watched(openStore(t, 'memory:', { now }), (call) => { if (call === 'touch') touches++ }, sync)
      const host = await Host.start(t, { sessionStore: store, now })
      const visitor = host.visitor()
      await visitor.run(login)
      time += 180 * SECOND
      await visitor.run(userOf)
      t.equal(touches, 0, 'not yet')
      time += 1
      await Promise.all(Array.from({ length: 1_000 }, () => host.run(visitor, userOf)))
      t.equal(touches, 1, 'once for a thousand requests')
      touches = 0
      for (let second = 0; second < 3_600; second += 10) {
        time += 10 * SECOND
        await visitor.get('/untouched')
        await visitor.run(userOf)
      }
      t.ok(touches >= 18 && touches <= 20, `${touches} times in an hour of a click each ten seconds`)
      touches = 0
      await visitor.run((session) => session['touch']())
      t.equal(touches, 1, 'or when requested')
    }
  })

  t.test('a request that does not read the session is not activity', async (t) => {
    const { visitor: { run, get }, visitor, pass } = await clocked(t)
    await run(login)
    for (let i = 0; i < 4; i++) {
      pass(HOUR / 2)
      await get.call(visitor, '/untouched')
    }
    t.equal((await run(userOf)).value, null)
  })
})

test('a steady clock never goes back', async (t) => {
  let [wall, elapsed] = [1_000_000, 0]
  const now = steadyClock(() => wall, () => elapsed)
  t.equal(now(), 1_000_000)
  wall += 500
  elapsed += 500
  t.equal(now(), 1_000_500, 'it follows the clock')
  wall -= HOUR
  elapsed += 1_000
  t.equal(now(), 1_001_500, 'after a step back, it continues by the elapsed time')
  wall += 1_000
  elapsed += 1_000
  t.equal(now(), 1_002_500)
  wall += 2 * HOUR
  elapsed += 1
  t.equal(now(), wall, 'after a step forward, it follows the clock')
  const forward = wall
  wall -= HOUR
  elapsed += 0.6
  t.equal(now(), forward, 'in whole milliseconds')
  wall += 1
  elapsed += 0.6
  t.equal(now(), forward + 1, 'without losing fractions')
  wall -= HOUR
  elapsed += 0.4
  now()
  elapsed += 5
  t.equal(now(), forward + 1, 'it stands still while the clock shows the same millisecond')
  wall += 1
  t.equal(now(), forward + 6, 'and has lost nothing then')

  const real = steadyClock()
  t.ok(Math.abs(real() - Date.now()) < 1_000)
})

test('a session does not live longer when the clock is set back', async (t) => {
  let [wall, elapsed] = [START, 0]
  const { run } = (await Host.start(t, { now: steadyClock(() => wall, () => elapsed) })).visitor()
  await run(login)
  wall -= DAY
  elapsed += HOUR + SECOND
  t.equal((await run(userOf)).value, null)
})

test('a Secure cookie over http is an error instead of being dropped silently', async (t) => {
  const rule = 'The session cookie is Secure but this connection is plain http, so the browser would drop it. ' +
    'Use https, or set trustProxy of Fastify if a proxy ends TLS, or set sessionCookieSecure to false for a test on http.'
  const handlers: Record<string, Handler> = {
    'a login': login,
    'a first write': (session) => { session['a'] = 1 },
    'a first write with save()': async (session) => {
      session['a'] = 1
      await session['save']()
    },
    'a write after destroy()': async (session) => {
      await session['destroy']()
      session['a'] = 1
    }
  }
  for (const [what, handler] of Object.entries(handlers)) {
    for (const [options, headers] of [[{ sessionCookieSecure: true }, {}], [{}, { host: 'example.com' }]] as Array<[HatcheckOptions, Record<string, string>]>) {
      const store = openStore(t, 'memory:')
      const { run } = (await Host.start(t, { ...options, sessionStore: store })).visitor()
      const { response, cookie } = await run(handler, headers)
      t.equal(response.statusCode, 400, what)
      t.match(response.json(), { code: 'HATCHECK_INSECURE_TRANSPORT', message: rule })
      t.equal(cookie, undefined)
      t.equal(await store.count(), 0)
      t.equal((await run(dataOf, headers)).response.statusCode, 200, 'reading works')
    }
  }
  const { run } = (await Host.start(t, { sessionCookieSecure: false })).visitor()
  t.equal((await run(login, { host: 'example.com' })).response.statusCode, 200, 'unless sessionCookieSecure is false')
})

test('with an asynchronous store, sessions work and failures are a 503', async (t) => {
  const slowly = async (): Promise<void> => { await new Promise((resolve) => { setImmediate(resolve) }) }

  t.test('sessions work the same with an asynchronous store', async (t) => {
    const inner = openStore(t, 'memory:')
    const calls: string[] = []
    const store = watched(inner, (call) => {
      calls.push(call)
      return slowly()
    }, false)
    const host = await Host.start(t, { sessionStore: store })
    const visitor = host.visitor()
    const { run, cookies } = visitor
    t.strictSame((await run(dataOf)).value, {})
    t.strictSame(calls, [], 'without a ticket there is no store call')
    await run((session) => { session['cart'] = ['apple'] })
    await run((session) => { session['cart'].push('pear') })
    t.strictSame((await run(dataOf)).value, { cart: ['apple', 'pear'] })
    const anonymous = cookies.get('hatcheck') as string
    await run(login)
    t.not(cookies.get('hatcheck'), anonymous)
    t.match((await run(dataOf)).value, { cart: ['apple', 'pear'], client_name: 'Harry' })
    t.equal((await run(userOf)).value, 'Harry')
    await run(async (session) => {
      session['b'] = 1
      await session['save']()
      await session['reload']()
      t.equal(session['b'], 1)
    })
    await Promise.all(Array.from({ length: 20 }, (_, i) => host.run(visitor, (session) => { session[`key${i}`] = i })))
    t.equal(((await run((session) => session['keys']())).value as string[]).length, 24)
    t.match((await run(logout)).cookie, /^hatcheck=; Max-Age=0/)
    t.equal(await inner.count(), 0)
    t.equal((await run(userOf, { cookie: `hatcheck=${anonymous}` })).value, null)
  })

  t.test('a session that cannot be read is a 503, and the cookie is unchanged', async (t) => {
    const { store, down, up } = breakable(openStore(t, 'memory:'), false)
    const host = await Host.start(t, { sessionStore: store })
    const visitor = host.visitor()
    await visitor.run(login)
    down()
    const { response, cookie } = await visitor.run(userOf)
    t.equal(response.statusCode, 503)
    t.match(response.json(), { code: 'HATCHECK_STORE_UNAVAILABLE', message: 'The session store cannot answer right now (read).' })
    t.equal(response.headers['retry-after'], '1')
    t.equal(cookie, undefined)
    t.equal((await visitor.get('/untouched')).statusCode, 200, 'a page that does not use the session works')
    t.equal((await host.visitor().run(userOf)).response.statusCode, 200, 'and so does a request without a cookie')
    up()
    t.equal((await visitor.run(userOf)).value, 'Harry')
  })

  t.test('a write that fails is a 503, and the cookie is unchanged', async (t) => {
    for (const [call, handler] of [['patch', (session: Bag) => { session['a'] = 1 }], ['replace', login], ['replace', (session: Bag) => session['regenerate'](['b'])]] as const) {
      const { store, down } = breakable(openStore(t, 'memory:'), false)
      const visitor = (await Host.start(t, { sessionStore: store })).visitor()
      await visitor.run((session) => { session['b'] = 1 })
      down(call)
      const { response, cookie } = await visitor.run(handler)
      t.equal(response.statusCode, 503, call)
      t.equal(response.headers['retry-after'], '1')
      t.equal(cookie, undefined)
    }
  })

  t.test('activity that cannot be recorded fails no request', async (t) => {
    let time = START
    const now = (): number => time
    for (const sync of [true, false]) {
      const { store, down } = breakable(openStore(t, 'memory:', { now }), sync)
      const visitor = (await Host.start(t, { sessionStore: store, now })).visitor()
      await visitor.run(login)
      time += HOUR / 2
      down('touch')
      const { response, value } = await visitor.run(userOf)
      t.equal(response.statusCode, 200)
      t.equal(value, 'Harry')
    }
  })
})

test('only request.login logs a user in', async (t) => {
  t.test('a name that a handler writes logs no user in', async (t) => {
    const host = await Host.start(t)
    host.fastify.get('/private', { onRequest: host.fastify.requireLogin }, async () => 'private')
    const visitor = host.visitor()
    await visitor.run((session) => Object.assign(session, { client_name: 'Harry', authenticatedAt: 1, user: 'Harry' }))
    t.equal((await visitor.run(userOf)).value, null)
    const response = await visitor.get('/private')
    t.equal(response.statusCode, 401)
    t.equal(response.json().code, 'HATCHECK_LOGIN_REQUIRED')
    await visitor.run(login)
    t.equal((await visitor.get('/private')).body, 'private')
  })

  for (const kind of kinds) {
    t.test(`removing the name in the request of the login logs the user out without an error, on ${kind}`, async (t) => {
      const store = openStore(t, kind)
      const host = await Host.start(t, { sessionStore: store })
      for (const before of [null, (session: Bag) => { session['cart'] = ['apple'] }, login]) {
        const visitor = host.visitor()
        if (before !== null) await visitor.run(before)
        const former = visitor.cookies.get('hatcheck')
        const { response } = await visitor.run(async (session, request) => {
          await request.login('Harry')
          t.equal(session['pop']('client_name'), 'Harry')
        })
        t.equal(response.statusCode, 200)
        if (before !== null) t.not(visitor.cookies.get('hatcheck'), former, 'the ID has changed')
        t.equal((await visitor.run(userOf)).value, null)
        t.notOk((await visitor.run((session) => session['has']('client_name'))).value)
      }
      t.strictSame(await store.ofUser('Harry'), [])
    })
  }

  t.test('an error outside the store is not reported as a store error', async (t) => {
    const store = openStore(t, 'memory:')
    let flawed = false
    const host = await Host.start(t, { sessionStore: store, now: () => flawed ? assert.fail('a flaw of the application') : START })
    const handlers: Handler[] = [(session) => { session['a'] = 1 }, login, (session) => session['regenerate'](['a'])]
    for (const handler of handlers) {
      const visitor = host.visitor()
      await visitor.run((session) => { session['a'] = 0 })
      const { response } = await visitor.run(async (session, request, reply) => {
        await handler(session, request, reply)
        flawed = true
      })
      flawed = false
      t.equal(response.statusCode, 500)
      t.match(response.json(), { message: 'a flaw of the application' })
    }
  })

  t.test('a login is visible at once, with its time', async (t) => {
    const { run } = (await Host.start(t, { now: () => START })).visitor()
    const { value } = await run(async (session, request) => {
      await request.login('Harry')
      return [request.user, session['client_name'], session['authenticatedAt']]
    })
    t.strictSame(value, [{ name: 'Harry', authenticatedAt: START }, 'Harry', START])
    t.strictSame((await run((_session, request) => request.user)).value, { name: 'Harry', authenticatedAt: START })
    const { value: after } = await run(async (_session, request) => {
      await request.logout()
      return request.user
    })
    t.equal(after, null)
  })

  const endings: Record<string, Handler> = {
    'taking the name out': (session) => session['pop']('client_name', null),
    'deleting it': (session) => delete session['client_name'],
    'writing another over it': (session) => { session['client_name'] = 'Sally' },
    'clearing the session': (session) => session['clear']()
  }
  for (const [what, ending] of Object.entries(endings)) {
    t.test(`${what} ends the login`, async (t) => {
      const store = openStore(t, 'memory:')
      const { run } = (await Host.start(t, { sessionStore: store })).visitor()
      await run(login)
      const { value } = await run((session, request) => {
        ending(session, request, {} as FastifyReply)
        return request.user
      })
      t.equal(value, null)
      t.equal((await run(userOf)).value, null)
      t.strictSame(await store.ofUser('Harry'), [])
      t.strictSame(await store.ofUser('Sally'), [])
      await run((session) => { session['client_name'] = 'Harry' })
      t.equal((await run(userOf)).value, null, 'and writing the name back does not undo that')
    })
  }

  t.test('another login as the same user keeps the values under a new ID', async (t) => {
    const { run, cookies } = (await Host.start(t)).visitor()
    await run(login)
    await run((session) => { session['cart'] = ['apple'] })
    const before = cookies.get('hatcheck')
    await run(login)
    t.not(cookies.get('hatcheck'), before)
    t.strictSame((await run((session) => session['cart'])).value, ['apple'])
  })

  t.test('a login and a logout in one request leave no user logged in', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await Host.start(t, { sessionStore: store })).visitor()
    for (const ending of Object.values(endings)) {
      const { response } = await run(async (session, request, reply) => {
        await request.login('Harry')
        ending(session, request, reply)
      })
      t.equal(response.statusCode, 200)
      t.equal((await run(userOf)).value, null)
    }
    t.strictSame(await store.ofUser('Harry'), [])
  })

  t.test('a login needs a name', async (t) => {
    const { run } = (await Host.start(t)).visitor()
    await run(async (_session, request) => {
      const rule = 'request.login needs the name of a user: a non-empty, well-formed string; got'
      const unawaited = ': is "await" missing, as in "await request.authenticate(…)"?'
      for (const [name, got] of [['', 'an empty string'], ['\ud800', 'a string'], [undefined, `undefined${unawaited}`], [Promise.resolve('Harry'), `a Promise${unawaited}`], [null, 'null'], [1, 'a number']] as const) {
        await t.rejects(request.login(name as string), { code: 'HATCHECK_USER_NAME', message: `${rule} ${got}` })
      }
    })
    t.strictSame((await run(dataOf)).value, {})
  })

  for (const kind of kinds) {
    t.test(`the logged-in user has the given name, whatever the name is, on ${kind}`, async (t) => {
      const store = openStore(t, kind)
      const host = await Host.start(t, { sessionStore: store })
      for (const name of [...NAUGHTY.filter((name) => name !== ''), 'n'.repeat(300)]) {
        const visitor = host.visitor()
        const { response } = await visitor.run((_session, request) => request.login(name))
        if (response.statusCode !== 200) continue
        t.equal((await visitor.run(userOf)).value, name, visible(name))
        t.equal((await store.ofUser(name)).length, 1)
      }
    })
  }
})

/** A list nested this deep. */
function nested (depth: number): unknown {
  let value: unknown[] = []
  for (let i = 1; i < depth; i++) value = [value]
  return value
}
