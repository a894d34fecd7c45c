import { test } from 'tap'
import { storeKey } from '../plugins/tickets/ticket.js'
import { bag, type Bag } from './apps/bag.js'
import { HandlerApp, currentUser, dataOf, login, logout, type Handler } from './apps/handler-app.js'
import { Client } from './clients/client.js'
import { breakable, kinds, openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

test('regenerate takes a list of keys, and a mistake ends no session', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
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
      const host = await HandlerApp.start(t, { sessionStore: openStore(t, kind) })
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

test('a change after the response is refused with a named error', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
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
  const { run, cookies } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
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

test('after a store has begun a session and reported a failure, the next call begins another one', async (t) => {
  for (const call of ['save', 'regenerate', 'the response'] as const) {
    const store = openStore(t, 'memory:')
    const { create } = store
    let isDown = true
    store.create = (...args) => {
      const answer = create.apply(store, args)
      if (isDown) throw new Error('the answer is lost')
      return answer
    }
    const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    const { response } = await run(async (session) => {
      session['a'] = 1
      await t.rejects(session['save'](), { code: 'HATCHECK_STORE_UNAVAILABLE' })
      isDown = false
      if (call === 'regenerate') await session['regenerate'](['a'])
      if (call !== 'the response') await session['save']()
    })
    t.equal(response.statusCode, 200, call)
    t.strictSame((await run(dataOf)).value, { a: 1 }, call)
    await until(`the first one ends, ${call}`, async () => await store.count() === 1)
  }
})

test('save() passes a failure to its callback', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
  await run(async (session) => {
    session['a'] = 1
    down()
    const error = await new Promise((resolve) => { session['save'](resolve) })
    up()
    t.match(error, { code: 'HATCHECK_STORE_UNAVAILABLE', statusCode: 503 })
  })
})

test('a call with an argument that is not a callback returns its promise', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
  await run((session) => { session['a'] = 1 })
  for (const odd of [null, true, 5, 'b', {}]) {
    await run(async (session) => {
      const before = session['sessionId']
      await t.rejects(async () => await session['regenerate']('a', odd), { code: 'HATCHECK_SESSION_KEY' }, 'such as a second key')
      t.equal(session['sessionId'], before)
      session['large'] = 'x'.repeat(20_000)
      await t.rejects(async () => await session['save'](odd), { code: 'HATCHECK_SESSION_TOO_LARGE' })
      await session['reload'](odd)
      t.strictSame({ ...session }, { a: 1 })
      await session['regenerate'](['a'], odd)
      t.not(session['sessionId'], before)
    })
  }
  await run(async (session) => {
    await session['destroy'](null)
    t.equal(session['isSaved'](), false)
  })
})

test('reload() reads the stored session again', async (t) => {
  const host = await HandlerApp.start(t)
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
      const { run, cookies } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
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
    const { run } = (await HandlerApp.start(t)).visitor()
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
    const host = await HandlerApp.start(t)
    const { run } = host.visitor()
    await run(login)
    await run((session) => session['regenerate'](['client_name', 'authenticatedAt']))
    t.equal((await run(currentUser)).value, 'Harry')
    t.match(await host.fastify.sessions.ofUser('Harry'), [{ address: 'this machine' }], 'the list of sessions still says where it has begun')
    await run((session) => session['regenerate'](['authenticatedAt']))
    t.equal((await run(currentUser)).value, null)
  })

  t.test('regenerate() without client_name in the keys drops the time of the login as well', async (t) => {
    const { run } = (await HandlerApp.start(t)).visitor()
    await run(login)
    await run((session) => {
      session['a'] = 1
      session['regenerate'](['authenticatedAt', 'a'])
    })
    t.strictSame((await run(dataOf)).value, { a: 1 })
  })

  t.test('regenerate() goes by what its request has changed before', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    await run(login)
    const { cookie } = await run((session) => {
      session['permanent'] = true
      session['regenerate'](['client_name'])
    })
    t.match(cookie, /; Max-Age=/)
    t.equal((await run((session) => session['permanent'])).value, true)
    await run((session) => {
      session['a'] = 1
      session['pop']('client_name')
      session['regenerate'](['client_name', 'a'])
    })
    t.strictSame((await run((session, request) => [request.user, session['a']])).value, [null, 1])
    t.strictSame(await store.ofUser('Harry'), [], 'a name that was removed keeps no user')
  })

  t.test('regenerate() keeps no values without a user where anonymous sessions are off', async (t) => {
    const { run } = (await HandlerApp.start(t, { anonymousSessions: false })).visitor()
    await run(login)
    await run(async (session) => {
      session['a'] = 1
      await t.rejects(session['regenerate'](['a']), { code: 'HATCHECK_ANONYMOUS_SESSION', statusCode: 401 })
    })
    await run((session) => t.rejects(session['regenerate'](['a']), { code: 'HATCHECK_ANONYMOUS_SESSION' }, 'nor one that was stored before'))
    t.strictSame((await run((session, request) => [request.user?.name, session['a']])).value, ['Harry', 1])
    await run((session) => session['regenerate'](['b']))
    t.strictSame((await run(dataOf)).value, {})
  })

  t.test('a session that is not stored yet has another ID after regenerate(), and only the values of the given keys', async (t) => {
    const { run, cookies } = (await HandlerApp.start(t)).visitor()
    const { value } = await run(async (session) => {
      const before: unknown = session['sessionId']
      Object.assign(session, { a: 1, b: 2 })
      await session['regenerate'](['a'])
      return [before, session['sessionId']]
    })
    const [before, after] = value as string[]
    t.not(after, before)
    t.equal(cookies.get('hatcheck')?.split('.')[0], after)
    t.strictSame((await run(dataOf)).value, { a: 1 })
  })

  t.test('regenerate() after the head of the response ends a session without values, and keeps one that has some', async (t) => {
    const host = await HandlerApp.start(t)
    for (const [keys, left] of [[[], {}], [['a'], { a: 1, b: 2 }]] as const) {
      const { run } = host.visitor()
      await run((session) => { Object.assign(session, { a: 1, b: 2 }) })
      await run(async (session, _request, reply) => {
        reply.hijack()
        reply.raw.writeHead(200)
        try {
          const renewing = session['regenerate'](keys)
          if (keys.length === 0) await renewing
          else await t.rejects(renewing, { code: 'HATCHECK_NO_COOKIE' })
        } finally {
          reply.raw.end()
        }
      })
      t.strictSame((await run(dataOf)).value, left)
    }
  })

  t.test('a second regenerate() in the same request works like the first', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
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
      const { run, cookies } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
      await run((session) => { session['a'] = 1 })
      const before = cookies.get('hatcheck') as string
      const { cookie } = await run(async (session, request) => {
        if (way === 'promise') await session['destroy']()
        else await new Promise<void>((resolve) => { session['destroy'](resolve) })
        t.strictSame({ ...session }, {})
        t.equal(bag(request), session, 'the session object still exists')
      })
      t.equal(cookie, 'hatcheck=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax')
      t.equal(await store.count(), 0)
      t.equal(await store.create(storeKey(before.split('.')[0] as string), { createdAt: 0, seenAt: 0, expiresAt: Infinity, permanent: false, user: null, fields: {} }), false, 'for good')
    })
  }

  t.test('a value that is set after destroy() begins a new session', async (t) => {
    const store = openStore(t, 'memory:')
    const { run, cookies } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    await run(login)
    const before = cookies.get('hatcheck') as string
    await run(async (session) => {
      await session['destroy']()
      session['flash'] = 'See you'
    })
    t.not(cookies.get('hatcheck'), before)
    t.strictSame((await run(dataOf)).value, { flash: 'See you' })
    t.equal((await run(currentUser)).value, null)
    t.equal(await store.count(), 1)
  })

  t.test('a login after destroy() begins a new session', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    await run((session) => { session['a'] = 1 })
    await run(async (_session, request) => {
      await request.logout()
      await request.login('Sally')
    })
    t.equal((await run(currentUser)).value, 'Sally')
    t.strictSame((await run((session) => session['keys']())).value, ['client_name', 'authenticatedAt'])
    t.equal(await store.count(), 1)
  })
})
