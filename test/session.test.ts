import { format, inspect } from 'node:util'
import { test } from 'tap'
import { storeKey } from '../plugins/tickets/ticket.js'
import type { Bag } from './apps/bag.js'
import { HandlerApp, currentUser, dataOf, login, logout, type Handler } from './apps/handler-app.js'
import { logEach, logInto } from './apps/log-lines.js'
import { breakable, kinds, openStore, watched } from './stores/watched-store.js'
import { HOUR, START } from './time/units.js'

test('the session is an object with its values as properties', async (t) => {
  const { run, cookieHeader: none } = (await HandlerApp.start(t)).visitor()
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
  const { run } = (await HandlerApp.start(t)).visitor()
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
  const { run, cookies } = (await HandlerApp.start(t)).visitor()
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
  const host = await HandlerApp.start(t, {}, logInto(lines, 'trace'))
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
      const { run } = (await HandlerApp.start(t, { sessionStore: openStore(t, kind) })).visitor()
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
  const host = await HandlerApp.start(t, { sessionStore: store })
  const { run } = host.visitor()
  await run((session) => { Object.assign(session, { a: 1, list: [1, 2], text: 'x' }) })
  t.strictSame(writes, ['create'])
  writes.length = 0
  const handlers: Record<string, Handler> = {
    reading: dataOf,
    'reading the user': currentUser,
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
  const host = await HandlerApp.start(t, { sessionStore: store })
  const { run } = host.visitor()
  const handlers: Handler[] = [dataOf, currentUser, logout,
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

test('an anonymous session that loses its last value stays, so that a request at the same time loses none', async (t) => {
  const store = openStore(t, 'memory:')
  const host = await HandlerApp.start(t, { sessionStore: store })
  const visitor = host.visitor()
  await visitor.run((session) => { session['a'] = 1 })
  await visitor.run(async (session) => {
    session['get']('a')
    const { cookie } = await visitor.run((session) => session['clear']())
    t.equal(cookie, undefined)
    t.equal(await store.count(), 1)
    session['b'] = 2
  })
  t.strictSame((await visitor.run(dataOf)).value, { b: 2 })
  await visitor.run((session) => session['destroy']())
  t.equal(await store.count(), 0)
})

test('a request without a cookie can begin a session after a read of request.user', async (t) => {
  const host = await HandlerApp.start(t)
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

test('session.modified tells whether there are changes, and setting it does nothing', async (t) => {
  const store = openStore(t, 'memory:')
  const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
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

test('with an asynchronous store, sessions work and failures are a 503', async (t) => {
  const slowly = async (): Promise<void> => { await new Promise((resolve) => { setImmediate(resolve) }) }

  t.test('sessions work the same with an asynchronous store', async (t) => {
    const inner = openStore(t, 'memory:')
    const calls: string[] = []
    const store = watched(inner, (call) => {
      calls.push(call)
      return slowly()
    }, false)
    const host = await HandlerApp.start(t, { sessionStore: store })
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
    t.equal((await run(currentUser)).value, 'Harry')
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
    t.equal((await run(currentUser, { cookie: `hatcheck=${anonymous}` })).value, null)
  })

  t.test('a session that cannot be read is a 503, and the cookie is unchanged', async (t) => {
    const { store, down, up } = breakable(openStore(t, 'memory:'), false)
    const host = await HandlerApp.start(t, { sessionStore: store })
    const visitor = host.visitor()
    await visitor.run(login)
    down()
    const { response, cookie } = await visitor.run(currentUser)
    t.equal(response.statusCode, 503)
    t.match(response.json(), { code: 'HATCHECK_STORE_UNAVAILABLE', message: 'The session store cannot answer right now (read).' })
    t.equal(response.headers['retry-after'], '1')
    t.equal(cookie, undefined)
    t.equal((await visitor.get('/untouched')).statusCode, 200, 'a page that does not use the session works')
    t.equal((await host.visitor().run(currentUser)).response.statusCode, 200, 'and so does a request without a cookie')
    up()
    t.equal((await visitor.run(currentUser)).value, 'Harry')
  })

  t.test('a write that fails is a 503, and the cookie is unchanged', async (t) => {
    for (const [call, handler] of [['patch', (session: Bag) => { session['a'] = 1 }], ['replace', login], ['replace', (session: Bag) => session['regenerate'](['b'])]] as const) {
      const { store, down } = breakable(openStore(t, 'memory:'), false)
      const visitor = (await HandlerApp.start(t, { sessionStore: store })).visitor()
      await visitor.run((session) => { session['b'] = 1 })
      down(call)
      const { response, cookie } = await visitor.run(handler)
      t.equal(response.statusCode, 503, call)
      t.equal(response.headers['retry-after'], '1')
      t.equal(cookie, undefined)
    }
  })

  t.test('activity that cannot be recorded fails no request, and the first of several failures is a warning', async (t) => {
    let time = START
    const now = (): number => time
    for (const sync of [true, false]) {
      const levels: number[] = []
      const write = (line: string): void => {
        const { level, msg } = JSON.parse(line) as { level: number, msg: string }
        if (msg === 'the activity of a session could not be recorded') levels.push(level)
      }
      const { store, down, up } = breakable(openStore(t, 'memory:', { now }), sync)
      const visitor = (await HandlerApp.start(t, { sessionStore: store, now }, logEach('debug', write))).visitor()
      await visitor.run(login)
      for (const fails of [true, true, false, true]) {
        time += HOUR / 10
        if (fails) down('touch')
        else up()
        const { response, value } = await visitor.run(currentUser)
        t.equal(response.statusCode, 200)
        t.equal(value, 'Harry')
      }
      t.strictSame(levels, [40, 20, 40])
    }
  })
})
