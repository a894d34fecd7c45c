import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import * as v from 'valibot'
import { z } from 'zod'
import { schemaFrom, type StandardSchema } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import hatcheckSession from '../plugins/session/standalone.js'
import { logInto } from './apps/log-lines.js'
import { Client, type Answer } from './clients/client.js'
import { buildHost, keyOf, newFastify, testKey } from './helper.js'
import { openStore } from './stores/watched-store.js'

type Bag = Record<string, unknown> & { cart: string[] }
type Step = (session: FastifyRequest['session'] & Bag, request: FastifyRequest) => unknown

const cart = z.object({ cart: z.array(z.string()).optional(), visits: z.number().optional(), theme: z.enum(['light', 'dark']).optional() })

const Cart = Type.Object({ cart: Type.Optional(Type.Array(Type.String())), visits: Type.Optional(Type.Number()) })

const SCHEMAS: Record<string, StandardSchema> = {
  zod: cart,
  valibot: v.object({ cart: v.optional(v.array(v.string())), visits: v.optional(v.number()) }),
  typebox: schemaFrom<Static<typeof Cart>>((value) => Value.Errors(Cart, value))
}

/** Gives a visitor the cookie of another. */
function follow ({ cookies }: Client, cookieHeader: string): void {
  const [name = '', value = ''] = cookieHeader.split('=')
  cookies.set(name, value)
}

/** An application that runs a step in a handler, with one visitor. */
class Shop {
  readonly app: FastifyInstance
  readonly visitor: Client
  #step: Step = () => {}

  constructor (app: FastifyInstance) {
    this.app = app
    this.visitor = new Client(app)
    app.get('/', async (request) => ({ result: await this.#step(request.session as never, request) ?? null }))
  }

  async run (step: Step): Promise<Answer> {
    this.#step = step
    return await this.visitor.get('/')
  }

  /** What a later request sees. */
  async values (): Promise<unknown> {
    return (await this.run((session) => ({ ...session }))).json().result
  }
}

async function shop (t: Test, schema: StandardSchema | null = cart, options: HatcheckOptions = {}, lines?: string[]): Promise<Shop> {
  return new Shop(await buildHost(t, { ...schema !== null && { sessionSchema: schema }, ...options }, lines === undefined ? {} : logInto(lines, 'warn')))
}

const REFUSED = { statusCode: 500, code: 'HATCHECK_SESSION_VALUE' }

for (const [library, schema] of Object.entries(SCHEMAS)) {
  test(`with ${library}, a value that fits is stored`, async (t) => {
    const { run, values } = bound(await shop(t, schema))
    t.equal((await run((session) => { session.cart = ['apple'] })).statusCode, 200)
    t.equal((await run((session) => { session.cart.push('pear') })).statusCode, 200)
    t.strictSame(await values(), { cart: ['apple', 'pear'] })
  })

  test(`with ${library}, the assignment of another value throws, and nothing is stored`, async (t) => {
    const { run, values } = bound(await shop(t, schema))
    await run((session) => { session.visits = 1 })
    const answer = await run((session) => {
      try {
        Reflect.set(session, 'cart', 5)
      } catch (error) {
        t.ok(error instanceof TypeError)
        t.match(error, { code: 'HATCHECK_SESSION_VALUE', message: /^A session value must fit sessionSchema; cart does not: .+/ })
        throw error
      }
    })
    t.match(answer.json(), REFUSED)
    t.strictSame(await values(), { visits: 1 })
  })

  test(`with ${library}, a change within a value is checked with the response`, async (t) => {
    const { run, values } = bound(await shop(t, schema))
    await run((session) => { session.cart = ['apple'] })
    const answer = await run((session) => {
      session.visits = 7
      session.cart.push(5 as never)
    })
    t.match(answer.json(), { ...REFUSED, message: /cart\.1 does not/ })
    t.strictSame(await values(), { cart: ['apple'] })
  })

  test(`with ${library}, a stored value that no longer fits is not seen`, async (t) => {
    const store = openStore(t, 'memory:')
    const { run, visitor } = bound(await shop(t, null, { sessionStore: store }))
    await run((session) => session.update({ cart: 'apple', visits: 1 } as never))
    const later = await shop(t, schema, { sessionStore: store })
    follow(later.visitor, visitor.cookieHeader)
    t.strictSame(await later.values(), { visits: 1 })
  })
}

function bound (shop: Shop) {
  return { run: shop.run.bind(shop), values: shop.values.bind(shop), app: shop.app, visitor: shop.visitor }
}

const WAYS: Record<string, Step> = {
  'an assignment': (session) => { session.cart = 5 as never },
  set: (session) => { session.set('cart' as never, 5 as never) },
  update: (session) => { session.update({ visits: 7, cart: 5 } as never) },
  'Object.defineProperty': (session) => { Object.defineProperty(session, 'cart', { value: 5 }) },
  'an object that is changed after the assignment, and save()': async (session) => {
    session.visits = 7
    session.cart = []
    session.cart.push(5 as never)
    await session.save()
  },
  'regenerate() with the key': async (session) => {
    session.visits = 7
    session.cart = []
    session.cart.push(5 as never)
    await session.regenerate(['cart'])
  },
  'the data of a login': (_, request) => request.login('Harry', { data: { visits: 7, cart: 5 } as never })
}

for (const [way, step] of Object.entries(WAYS)) {
  test(`a value that does not fit is refused for ${way}, and nothing is stored`, async (t) => {
    const { run, values } = bound(await shop(t))
    await run((session) => { session.theme = 'dark' })
    t.match((await run(step)).json(), { ...REFUSED, message: /^A session value must fit sessionSchema; cart/ })
    t.strictSame(await values(), { theme: 'dark' })
  })
}

test('app.sessions.begin checks its data', async (t) => {
  const { app, run, visitor } = bound(await shop(t))
  await t.rejects(app.sessions.begin('Harry', { data: { cart: 5 } as never }), { code: 'HATCHECK_SESSION_VALUE' })
  follow(visitor, (await app.sessions.begin('Harry', { data: { cart: ['apple'] } as never, secure: false })).cookieHeader)
  t.strictSame((await run((session) => session.cart)).json(), { result: ['apple'] })
})

test('deleting, clearing and logging out are never refused', async (t) => {
  const schema = z.object({ cart: z.array(z.string()), visits: z.number() })
  const { run, values } = bound(await shop(t, schema))
  await run((session) => session.update({ cart: [], visits: 1 } as never))
  t.equal((await run((session) => { session.cart = undefined as never })).statusCode, 200)
  t.strictSame(await values(), { visits: 1 }, 'another key that is missing does not hide it')
  t.equal((await run((session) => session.clear())).statusCode, 200)
  t.strictSame(await values(), {})
  await run((_, request) => request.login('Harry'))
  t.equal((await run((_, request) => request.user?.name)).json().result, 'Harry')
  t.equal((await run((_, request) => request.logout())).statusCode, 200)
})

test('hatcheck\'s own values are not the business of a schema', async (t) => {
  const { run, values } = bound(await shop(t, z.strictObject({ cart: z.array(z.string()).optional() })))
  await run((_, request) => request.login('Harry', { data: { cart: ['apple'] } as never }))
  await run((session, request) => {
    request.flash('info', 'Saved.')
    session.cart.push('pear')
  })
  t.strictSame((await run((_, request) => request.flashes())).json(), { result: [{ kind: 'info', text: 'Saved.' }] })
  t.match(await values(), { client_name: 'Harry', cart: ['apple', 'pear'] })
})

test('an issue of another key blocks no write', async (t) => {
  const schema = z.object({ cart: z.array(z.string()), visits: z.number() })
  const { run, values } = bound(await shop(t, schema))
  t.equal((await run((session) => { session.visits = 1 })).statusCode, 200, 'cart is missing')
  t.strictSame(await values(), { visits: 1 })
})

test('a key that the schema does not know is kept, unless the schema refuses it', async (t) => {
  const free = bound(await shop(t))
  await free.run((session) => { session.extra = 1 })
  t.strictSame(await free.values(), { extra: 1 })
  for (const schema of [
    z.strictObject({ cart: z.array(z.string()).optional() }),
    v.strictObject({ cart: v.optional(v.array(v.string())) }),
    z.object({ cart: z.array(z.string()).optional() }).catchall(z.never())
  ]) {
    const store = openStore(t, 'memory:')
    const before = await shop(t, null, { sessionStore: store })
    await before.run((session) => session.update({ cart: ['apple'], extra: 1 } as never))
    const { run, values, visitor } = bound(await shop(t, schema, { sessionStore: store }))
    t.match((await run((session) => { session.extra = 1 })).json(), REFUSED)
    follow(visitor, before.visitor.cookieHeader)
    t.strictSame(await values(), { cart: ['apple'] }, 'a stored one is not seen')
    t.equal((await run((session) => { session.cart.push('pear') })).statusCode, 200, 'and blocks nothing')
  }
})

test('a rule about several values holds for what is set together', async (t) => {
  const schema = z.object({ from: z.number().optional(), to: z.number().optional() })
    .refine(({ from = 0, to = Infinity }) => from <= to, { message: 'from must not be after to' })
  const store = openStore(t, 'memory:')
  const { run, values, visitor } = bound(await shop(t, schema, { sessionStore: store }))
  await run((session) => session.update({ from: 1, to: 2 } as never))
  t.match((await run((session) => { session.from = 3 })).json(), { ...REFUSED, message: 'A session value must fit sessionSchema; from does not: from must not be after to' })
  await run((session) => session.update({ from: 3, to: 4 } as never))
  t.strictSame(await values(), { from: 3, to: 4 })
  await store.patch(keyOf(visitor.cookieHeader), { set: { to: '2' }, remove: [], seenAt: Date.now(), expiresAt: Date.now() + 60_000 })
  t.strictSame(await values(), {}, 'stored values that break it are not seen, none of them')
})

test('the schema sees what JSON keeps, and what it makes of a value is not used', async (t) => {
  const schema = z.object({
    at: z.iso.datetime().optional(),
    date: z.date().optional(),
    name: z.string().trim().default('nobody'),
    age: z.coerce.number().optional(),
    length: z.string().transform((text) => text.length).optional()
  })
  const { run, values } = bound(await shop(t, schema))
  t.strictSame((await run((session) => session.name)).json(), { result: null }, 'no default')
  await run((session) => session.update({ at: new Date(0), name: ' Harry ', age: '5', length: 'abc' } as never))
  t.strictSame(await values(), { at: '1970-01-01T00:00:00.000Z', name: ' Harry ', age: '5', length: 'abc' })
  t.match((await run((session) => { session.date = new Date(0) })).json(), REFUSED, 'it would be a string when it is read')
})

test('a stored value that does not fit stays in the store until its key is set, deleted or cleared', async (t) => {
  const store = openStore(t, 'memory:')
  const before = await shop(t, null, { sessionStore: store })
  await before.run((session) => session.update({ cart: 'apple', visits: 1 } as never))
  const { cookieHeader } = before.visitor
  const fields = async (): Promise<unknown> => (await store.read(keyOf(cookieHeader)))?.fields
  const { run, values, visitor } = bound(await shop(t, cart, { sessionStore: store }))
  follow(visitor, cookieHeader)
  await values()
  t.strictSame(await fields(), { cart: '"apple"', visits: '1' }, 'a read writes nothing')
  t.strictSame((await run((session) => [session.has('cart'), session.cart === undefined, session.keys(), 'cart' in session, session.pop('theme' as never, 'x' as never), session.isModified()])).json().result,
    [false, true, ['visits'], false, 'x', false])
  await run((session) => { session.visits = 2 })
  t.strictSame(await fields(), { cart: '"apple"', visits: '2' }, 'a write of another key leaves it alone')
  await run((session) => session.save())
  await run((session) => session.reload())
  t.strictSame(await values(), { visits: 2 })
  await run((session) => { delete (session as Partial<Bag>).cart })
  t.strictSame(await fields(), { visits: '2' })

  await before.run((session) => { session.cart = 'apple' as never })
  await run((session) => { session.cart = ['pear'] })
  t.strictSame(await fields(), { cart: '["pear"]', visits: '2' })

  await before.run((session) => { session.cart = 'apple' as never })
  await run((session) => { session.clear() })
  t.strictSame(await fields() ?? {}, {})
})

test('a stored value that does not fit is logged once for each key, without the value', async (t) => {
  const store = openStore(t, 'memory:')
  const before = await shop(t, null, { sessionStore: store })
  await before.run((session) => session.update({ cart: 'secret-1', visits: 'secret-2' } as never))
  const lines: string[] = []
  const { values, visitor } = bound(await shop(t, SCHEMAS['valibot'], { sessionStore: store }, lines))
  follow(visitor, before.visitor.cookieHeader)
  await values()
  await values()
  t.strictSame(lines.map((line) => JSON.parse(line)).map(({ level, key, msg }) => ({ level, key, msg })), ['cart', 'visits'].map((key) => (
    { level: 40, key, msg: 'a stored session value does not fit sessionSchema; handlers do not see it' })))
  t.notMatch(lines.join(''), 'secret')
})

test('the schema is asked only once the values are', async (t) => {
  let asked = 0
  const schema: StandardSchema = { '~standard': { ...cart['~standard'], validate (value) { asked++; return cart['~standard'].validate(value) } } }
  const { run } = bound(await shop(t, schema))
  await run((_, request) => request.login('Harry', { data: { cart: ['apple'] } as never }))
  asked = 0
  t.strictSame((await run((_, request) => request.user?.name)).json(), { result: 'Harry' })
  t.equal(asked, 0)
  await run((session) => [session.cart, session.visits, session.cart])
  t.equal(asked, 1)
})

/** A schema that shows its input to a function, and has no issue. */
function looking (look: (values: Record<string, unknown>) => void): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate (value) { look(value as Record<string, unknown>); return {} } } }
}

const ROOMY = { sessionMaxBytes: 1_048_576 }

function setKeys (session: Bag, prefix: string, count: number, value: unknown): void {
  for (let i = 0; i < count; i++) session[`${prefix}${i}`] = value
}

test('values that are set one by one cost no new input for each', async (t) => {
  const inputs = new Set<unknown>()
  const { run } = bound(await shop(t, looking((values) => { inputs.add(values) }), ROOMY))
  await run((session) => { setKeys(session, 'key', 500, 1) })
  t.ok(inputs.size < 100, `${inputs.size} objects`)
})

test('values that are set one by one do not parse the stored ones each time', async (t) => {
  const { run } = bound(await shop(t, looking(() => {}), ROOMY))
  await run((session) => { setKeys(session, 'stored', 200, []) })
  let parsed = 0
  await run((session) => {
    const { parse } = JSON
    JSON.parse = (text, reviver) => {
      parsed++
      return parse(text, reviver)
    }
    try {
      setKeys(session, 'key', 200, 1)
    } finally {
      JSON.parse = parse
    }
  })
  t.ok(parsed < 1_000, `${parsed} texts`)
})

test('more values than can ever fit are refused at the assignment, and values can still be deleted', async (t) => {
  let asked = 0
  const { run, values } = bound(await shop(t, looking((values) => { if ('key0' in values) asked++ }), { sessionMaxBytes: 600 }))
  const answer = await run((session) => { setKeys(session, 'key', 1_000, 1) })
  t.match(answer.json(), { statusCode: 413, code: 'HATCHECK_SESSION_TOO_LARGE', message: /^The session data is too large: \d+ bytes of JSON, at most 600 are allowed/ })
  t.ok(asked <= 101, `${asked} checks`)
  t.strictSame(await values(), {})
  for (const way of [(session: Bag, key: string) => { session[key] = undefined }, (session: Bag, key: string) => { Object.defineProperty(session, key, { value: undefined }) }]) {
    t.equal((await run((session) => {
      try {
        setKeys(session, 'key', 1_000, 1)
      } catch {}
      for (const key of Object.keys(session)) way(session, key)
      session.visits = 1
    })).statusCode, 200)
    t.strictSame(await values(), { visits: 1 })
  }
})

test('a schema that keeps its input, or changes it, sees the values of the session', async (t) => {
  const seen: Array<Record<string, unknown>> = []
  const { run, values } = bound(await shop(t, looking((values) => {
    seen.push(values)
    delete values['a']
    values['visits'] = 'none'
    if (values['b'] === 3) values['b'] = 30
    if ('c' in values) Object.freeze(values)
  })))
  await run((session) => {
    for (const [key, value] of Object.entries({ a: 1, b: 2, c: 3, d: 4 })) session[key] = value
    session['b'] = 3
  })
  t.strictSame(seen.slice(-5), [{ visits: 'none' }, { b: 2, visits: 'none' }, { b: 2, c: 3, visits: 'none' }, { b: 2, c: 3, d: 4, visits: 'none' }, { b: 30, c: 3, d: 4, visits: 'none' }])
  t.strictSame(await values(), { a: 1, b: 3, c: 3, d: 4 })
})

test('what a schema does to its input never reaches the session, also where there are many values', async (t) => {
  let harm: (values: Record<string, unknown>) => void = () => {}
  const { run, values } = bound(await shop(t, looking((values) => harm(values)), ROOMY))
  const expected: Record<string, unknown> = {}
  for (let i = 0; i < 100; i++) expected[`key${i}`] = 1
  await run((session) => { session.update(expected as never) })
  const harms: Array<typeof harm> = [(values) => { delete values['new'] }, (values) => { values['new'] = 'x' }, (values) => { Object.defineProperty(values, 'new', { get () { throw new Error('read') } }) },
    (values) => { Object.freeze(values) }, (values) => { Object.seal(values) }, () => { throw new Error('failed') }, (values) => { delete values['key7'] }]
  for (const one of harms) {
    await run((session) => {
      harm = one
      try {
        session['new'] = 'refused'
      } catch {
        return
      }
      harm = () => {}
      session['key7'] = 2
      delete session['new']
      let input = {}
      harm = (values) => { input = { ...values } }
      session['last'] = ['x']
      session['key7'] = 1
      t.match(input, { key7: 1, last: ['x'] })
      t.notOk('new' in input)
      delete session['last']
    })
    harm = () => {}
    t.strictSame(await values(), expected, String(one))
  }
})

const CHANGES: Record<string, Step> = {
  'a value that is set': (session) => { session['fresh'] = 1 },
  'a value that is set again': (session) => { session['stored1'] = 'again' },
  'a value that is deleted': (session) => { delete session['stored1'] },
  'a value that is deleted and set': (session) => { delete session['stored1']; session['stored1'] = 5 },
  'an object that is read and changed': (session) => { (session['list'] as number[]).push(5) },
  'an object that is set and changed': (session) => {
    const made = { a: [1] }
    session['made'] = made
    made.a.push(2)
  },
  'a stored value that does not fit': () => {},
  'a stored value that does not fit and is set': (session) => { session['bad'] = 'good' },
  pop: (session) => session.pop('stored1' as never),
  clear: (session) => { session.clear() },
  save: async (session) => {
    session['fresh'] = 1
    await session.save()
  },
  'a save under way': (session) => {
    session['fresh'] = { a: 1 }
    session.save().catch(() => {})
  },
  'a call under way that deletes': (session) => {
    delete session['stored1']
    session.save().catch(() => {})
  },
  reload: async (session) => {
    session['fresh'] = 1
    await session.reload()
  },
  regenerate: async (session) => { await session.regenerate(['stored2', 'list']) },
  'a regeneration under way': (session) => {
    session['stored2'] = 7
    session.regenerate(['stored2', 'list']).catch(() => {})
  },
  destroy: async (session) => { await session.destroy() },
  'a destruction under way': (session) => {
    session['fresh'] = 1
    session.destroy().catch(() => {})
  },
  login: async (_, request) => { await request.login('Harry', { data: { fresh: 1 } as never }) },
  'the login of another user': async (session, request) => {
    await request.login('Harry')
    session['fresh'] = 1
    await request.login('Sally')
  },
  'the login of another user under way': async (session, request) => {
    await request.login('Harry')
    session['fresh'] = 1
    const login = request.login('Sally')
    session['during'] = 1
    await login
  },
  'flash messages': async (session, request) => {
    session['fresh'] = 1
    request.flash('info', 'hello')
    await request.flashes()
  }
}

for (const count of [3, 100]) {
  for (const [what, step] of Object.entries(CHANGES)) {
    test(`the schema sees the ${count} values as a handler does: ${what}`, async (t) => {
      let input: Record<string, unknown> = {}
      const checking: StandardSchema = {
        '~standard': {
          version: 1,
          vendor: 'test',
          validate (value) {
            input = { ...value as object }
            return input['bad'] === 'bad' ? { issues: [{ message: 'no', path: ['bad'] }] } : {}
          }
        }
      }
      const store = openStore(t, 'memory:')
      const before = await shop(t, null, { sessionStore: store, ...ROOMY })
      await before.run((session) => {
        setKeys(session, 'stored', count, 'x')
        session.update({ list: [1], bad: 'bad' } as never)
      })
      const { run, visitor } = bound(await shop(t, checking, { sessionStore: store, ...ROOMY }))
      follow(visitor, before.visitor.cookieHeader)
      const answer = await run(async (session, request) => {
        // The input is made before the step, and must be true after it.
        session['probe'] = 'before'
        await step(session, request)
        session['probe'] = 'after'
        const { client_name: _name, authenticatedAt: _time, ...values } = session as Bag
        t.strictSame(input, values)
        session['probe'] = 'again'
        t.strictSame(input, { ...values, probe: 'again' })
      })
      t.equal(answer.statusCode, 200, answer.body)
    })
  }
}

test('values that are read outside of a request fit the schema as well', async (t) => {
  const store = openStore(t, 'memory:')
  const before = await shop(t, null, { sessionStore: store })
  await before.run((session) => session.update({ cart: 'apple', visits: 1 } as never))
  const { app } = await shop(t, cart, { sessionStore: store })
  t.strictSame((await app.sessions.read(before.visitor.cookieHeader, { secure: false }))?.data, { visits: 1 })
})

test('two registrations with two schemas stand beside each other', async (t) => {
  const fastify = newFastify(t)
  const schemas = { shop: cart, arcade: v.object({ cart: v.optional(v.number()) }) }
  for (const [name, sessionSchema] of Object.entries(schemas)) {
    await fastify.register(async (scope) => {
      await scope.register(hatcheckSession, { secretKey: testKey, sessionStore: 'memory:', sessionCookieName: name, sessionSchema })
      scope.get(`/${name}`, async (request) => {
        Reflect.set(request.session, 'cart', name === 'shop' ? ['apple'] : 5)
        return { ...request.session }
      })
    })
  }
  t.strictSame((await fastify.inject('/shop')).json(), { cart: ['apple'] })
  t.strictSame((await fastify.inject('/arcade')).json(), { cart: 5 })
})

test('a schema that answers with a promise is refused', async (t) => {
  const always: StandardSchema = { '~standard': { version: 1, vendor: 'test', validate: async () => ({}) } }
  await t.rejects(shop(t, always), { code: 'HATCHECK_CONFIG', message: 'sessionSchema must answer without a promise: leave out asynchronous checks.' })
  const { run, values } = bound(await shop(t, z.object({ name: z.string().refine(async () => true).optional() })))
  t.match((await run((session) => { session.name = 'Harry' })).json(), { statusCode: 500, code: 'HATCHECK_SESSION_SCHEMA' })
  t.strictSame(await values(), {})
})

test('sessionSchema must be a schema', async (t) => {
  for (const wrong of [{}, 'zod', null, { '~standard': {} }, () => {}]) {
    await t.rejects(buildHost(t, { sessionSchema: wrong as never }), { code: 'HATCHECK_CONFIG', message: /^sessionSchema must be a schema that implements Standard Schema; got / })
  }
})

test('schemaFrom takes the errors of TypeBox and of Ajv', (t) => {
  const issuesOf = (errors: Array<Record<string, string>> | null): unknown => schemaFrom(() => errors)['~standard'].validate({})
  t.strictSame(issuesOf(null), {})
  t.strictSame(issuesOf([]), {})
  t.strictSame(issuesOf([{ path: '/a~1b/0', message: 'no' }, { instancePath: '' }]), { issues: [{ message: 'no', path: ['a/b', '0'] }, { message: 'does not fit', path: [] }] })
  t.strictSame(issuesOf([{ instancePath: '/a~01/b', message: 'no' }]), { issues: [{ message: 'no', path: ['a~1', 'b'] }] })
  t.end()
})
