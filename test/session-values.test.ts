import fc from 'fast-check'
import type { FastifyRequest } from 'fastify'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { SessionKeyError, SessionValueError } from '../plugins/session/model/errors.js'
import { sizeOf } from '../plugins/store/record.js'
import type { Bag } from './apps/bag.js'
import { HandlerApp, dataOf, type Handler } from './apps/handler-app.js'
import { Client } from './clients/client.js'
import { buildHost } from './helper.js'
import { ODD_TEXTS, visible } from './inputs/odd-text.js'
import { kinds, openStore } from './stores/watched-store.js'

const METHODS = ['get', 'set', 'has', 'pop', 'update', 'clear', 'keys', 'touch', 'regenerate', 'destroy', 'save', 'reload', 'options', 'isModified', 'isSaved']
const MEMBERS = ['permanent', 'cookie', 'sessionId', 'encryptedSessionId']

/** The rule that a refused key breaks. */
function ruleFor (key: string): string {
  if (key === '') return 'not be empty'
  if (key.startsWith('hatcheck:')) return 'not begin with "hatcheck:"'
  return [...METHODS, ...MEMBERS].some((member) => member === key) ? 'not be the name of a member of the session' : 'not be a name that objects have'
}

test('a key that would break the session is refused, with the rule that it breaks', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
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
    for (const [rule, descriptor] of [['be configurable', { value: 1, configurable: false }], ['have a value, and no getter or setter', { get: () => 1 }]] as const) {
      t.throws(() => Object.defineProperty(session, 'mine', descriptor), { code: 'HATCHECK_SESSION_KEY', message: `A session key must ${rule}; got 'mine'.` })
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
  const { run } = (await HandlerApp.start(t)).visitor()
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
  const { run } = (await HandlerApp.start(t)).visitor()
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
        const { run } = (await HandlerApp.start(t, { sessionStore: openStore(t, kind) })).visitor()
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
  const { run } = (await HandlerApp.start(t)).visitor()
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
    [Object.create(Object.assign(Object.create(null), { inherited: 1 })), /an Object/],
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
    [Object.assign(Object.create(Object.create(null)), { b: 1 }), { b: 1 }],
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
  const { run } = (await HandlerApp.start(t)).visitor()
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

test('values that a client has sent can be stored as Fastify has parsed them', async (t) => {
  const app = await buildHost(t)
  const of = (request: FastifyRequest): Bag => {
    const { query, params, body, headers } = request as unknown as Bag
    return { query, params, body, accept: { ...headers }['accept'] }
  }
  const checked = { querystring: { type: 'object', properties: { page: { type: 'number' } } } }
  app.post('/set/:id/*', async (request) => { Object.assign(request.session, of(request)) })
  app.post('/checked/:id/*', { schema: checked }, async (request) => { Object.assign(request.session, of(request)) })
  app.post('/within/:id/*', async (request) => { Object.assign(request.session, { all: [of(request)] }) })
  app.post('/update/:id/*', async (request) => { request.session.update(request.query as object) })
  app.post('/login/:id/*', async (request) => { await request.login('Harry', { data: request.params as object }) })
  app.get('/', async (request) => ({ ...request.session }))

  const sent = { query: { page: '2', tag: ['a', 'b'] }, params: { id: '5', '*': 'x/y' }, body: { name: ['c'] }, accept: '*/*' }
  for (const [how, stored] of Object.entries({
    set: sent, checked: { ...sent, query: { ...sent.query, page: 2 } }, within: { all: [sent] }, update: sent.query, login: sent.params
  })) {
    const client = new Client(app)
    const response = await client.send({ method: 'POST', url: `/${how}/5/x/y?page=2&tag=a&tag=b`, headers: { accept: '*/*' }, payload: sent.body })
    t.equal(response.statusCode, 200, `${how}: ${response.body}`)
    t.match((await client.get('/')).json(), stored, how)
  }
})

test('update() takes a plain object, and never drops a value silently', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
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

test('a deeply nested value is stored whole or refused with a named error', async (t) => {
  const { run } = (await HandlerApp.start(t, { sessionMaxBytes: 1_048_576 })).visitor()
  for (const depth of [10, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 100_000]) {
    const text = '['.repeat(depth) + ']'.repeat(depth)
    const { response } = await run((session) => { session['deep'] = JSON.parse(text) })
    if (response.statusCode !== 200) t.match(response.json(), { statusCode: 500, code: 'HATCHECK_SESSION_VALUE' }, `${depth} deep`)
    const next = await run((session) => { session['other'] = depth })
    t.equal(next.response.statusCode, 200, `the session is usable after ${depth}`)
    await run((session) => { delete session['deep'] })
  }
})

for (const kind of kinds) {
  test(`values of every kind are read as they were stored, on ${kind}`, async (t) => {
    const { run } = (await HandlerApp.start(t, { sessionStore: openStore(t, kind) })).visitor()
    const odd = { list: ODD_TEXTS, map: Object.fromEntries(ODD_TEXTS.map((text, i) => [`${i}${text}`, text])), own: JSON.parse('{"__proto__":{"polluted":1},"constructor":2}') }
    await run((session) => { Object.assign(session, odd) })
    const { value } = await run((session) => {
      session['written'] = 1
      return { list: session['list'], map: session['map'], own: session['own'] }
    })
    t.strictSame(value, odd)
    t.equal(JSON.stringify(value), JSON.stringify(odd))
    t.equal(({} as Bag)['polluted'], undefined)

    await fc.assert(fc.asyncProperty(fc.jsonValue({ noUnicodeString: false, maxDepth: 4 }), async (json) => {
      await run((session) => { session['value'] = json })
      const { value } = await run((session) => session['value'])
      return JSON.stringify(value) === JSON.stringify(json)
    }), { numRuns: 100 })
  })

  test(`keys of every kind are read as they were stored, on ${kind}`, async (t) => {
    const { run } = (await HandlerApp.start(t, { sessionStore: openStore(t, kind) })).visitor()
    const keys = ODD_TEXTS.filter((key) => !['', '__proto__', 'constructor'].includes(key))
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

test('the size of a session is that of its JSON text in bytes, whatever its keys are', (t) => {
  for (const key of [...ODD_TEXTS.filter((key) => key !== '__proto__'), 'cart', 'a "b" \\', 'é'.repeat(100), '\u0000'.repeat(10)]) {
    for (const value of ['apple', 'ü', ['"', { a: 1 }]]) {
      // Each field counts with a colon and a comma, and the last has no comma.
      t.equal(sizeOf({ [key]: JSON.stringify(value), n: '1' }), Buffer.byteLength(JSON.stringify({ [key]: value, n: 1 })) + 1, visible(key))
    }
  }
  t.end()
})

test('a session that is too large is refused, and the stored session is unchanged', async (t) => {
  for (const [kind, maxBytes] of kinds.flatMap((kind) => [[kind, 256], [kind, 4_096]] as const)) {
    await t.test(`a session that is too large is refused, on ${kind} with a limit of ${maxBytes}`, async (t) => {
      const store = openStore(t, kind, { maxBytes })
      const { run } = (await HandlerApp.start(t, { sessionMaxBytes: 256, sessionStore: store })).visitor()
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

/** A list nested this deep. */
function nested (depth: number): unknown {
  let value: unknown[] = []
  for (let i = 1; i < depth; i++) value = [value]
  return value
}
