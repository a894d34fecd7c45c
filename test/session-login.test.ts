import type { FastifyReply, FastifyRequest } from 'fastify'
import assert from 'node:assert/strict'
import { test } from 'tap'
import type { Bag } from './apps/bag.js'
import { HandlerApp, currentUser, dataOf, login, logout, type Handler } from './apps/handler-app.js'
import { ODD_TEXTS, visible } from './inputs/odd-text.js'
import { kinds, openStore } from './stores/watched-store.js'
import { START } from './time/units.js'

test('the option permanent of a login takes only true and false, and nobody is logged in otherwise', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
  for (const permanent of ['false', 'on', 'x'.repeat(2_000), 1, null, {}]) {
    await run(async (_session, request) => {
      await t.rejects(request.login('Harry', { permanent: permanent as never }), { code: 'HATCHECK_SESSION_VALUE', message: /^The option permanent must be true or false; got / })
    })
    t.equal((await run(currentUser)).value, null)
  }
})

test('a login without the option permanent takes what its request has assigned to session.permanent', async (t) => {
  const host = await HandlerApp.start(t)
  for (const before of [null, login, (_session: Bag, request: FastifyRequest) => request.login('Sally', { permanent: true })]) {
    for (const [assigned, option, expected] of [[true, undefined, true], [false, undefined, false], [null, undefined, false], [true, false, false], [false, true, true]] as const) {
      const visitor = host.visitor()
      if (before !== null) await visitor.run(before)
      const { value, cookie } = await visitor.run(async (session, request) => {
        if (assigned !== null) session['permanent'] = assigned
        await request.login('Harry', option === undefined ? {} : { permanent: option })
        return session['permanent']
      })
      const what = `${assigned} before ${option}`
      t.equal(value, expected, what)
      t.equal(cookie?.includes('; Max-Age='), expected, what)
      t.equal((await visitor.run((session) => session['permanent'])).value, expected, what)
    }
  }
})

test('only request.login logs a user in', async (t) => {
  t.test('a name that a handler writes logs no user in', async (t) => {
    const host = await HandlerApp.start(t)
    host.fastify.get('/private', { onRequest: host.fastify.requireLogin }, async () => 'private')
    const visitor = host.visitor()
    await visitor.run((session) => Object.assign(session, { client_name: 'Harry', authenticatedAt: 1, user: 'Harry' }))
    t.equal((await visitor.run(currentUser)).value, null)
    const response = await visitor.get('/private')
    t.equal(response.statusCode, 401)
    t.equal(response.json().code, 'HATCHECK_LOGIN_REQUIRED')
    await visitor.run(login)
    t.equal((await visitor.get('/private')).body, 'private')
  })

  for (const kind of kinds) {
    t.test(`removing the name in the request of the login logs the user out without an error, on ${kind}`, async (t) => {
      const store = openStore(t, kind)
      const host = await HandlerApp.start(t, { sessionStore: store })
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
        t.equal((await visitor.run(currentUser)).value, null)
        t.notOk((await visitor.run((session) => session['has']('client_name'))).value)
      }
      t.strictSame(await store.ofUser('Harry'), [])
    })
  }

  t.test('an error outside the store is not reported as a store error', async (t) => {
    const store = openStore(t, 'memory:')
    let flawed = false
    const host = await HandlerApp.start(t, { sessionStore: store, now: () => flawed ? assert.fail('a flaw of the application') : START })
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
    const { run } = (await HandlerApp.start(t, { now: () => START })).visitor()
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
      const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
      await run(login)
      const { value } = await run((session, request) => {
        ending(session, request, {} as FastifyReply)
        return request.user
      })
      t.equal(value, null)
      t.equal((await run(currentUser)).value, null)
      t.strictSame(await store.ofUser('Harry'), [])
      t.strictSame(await store.ofUser('Sally'), [])
      t.equal(await store.count(), what === 'writing another over it' ? 1 : 0, 'a session that has no value left has ended')
      await run((session) => { session['client_name'] = 'Harry' })
      t.equal((await run(currentUser)).value, null, 'and writing the name back does not undo that')
    })
  }

  t.test('where anonymous sessions are off, a logout by values ends the session with its other values', async (t) => {
    const store = openStore(t, 'memory:')
    const { run, cookies } = (await HandlerApp.start(t, { sessionStore: store, anonymousSessions: false })).visitor()
    await run(login)
    await run((session) => { session['cart'] = ['apple'] })
    await run((session) => session['pop']('client_name'))
    t.equal(cookies.get('hatcheck'), undefined)
    t.equal(await store.count(), 0)
  })

  t.test('another login as the same user keeps the values under a new ID', async (t) => {
    const { run, cookies } = (await HandlerApp.start(t)).visitor()
    await run(login)
    await run((session) => { session['cart'] = ['apple'] })
    const before = cookies.get('hatcheck')
    await run(login)
    t.not(cookies.get('hatcheck'), before)
    t.strictSame((await run((session) => session['cart'])).value, ['apple'])
  })

  t.test('a name that is written over that of the user stays a value', async (t) => {
    const { run } = (await HandlerApp.start(t)).visitor()
    await run(login)
    await run((session) => { session['client_name'] = 'Sally' })
    t.strictSame((await run((session, request) => [session['client_name'], request.user])).value, ['Sally', null])
  })

  t.test('a login counts more than what its request has set or removed before', async (t) => {
    for (const before of [login, (session: Bag) => { session['cart'] = ['apple'] }]) {
      const { run } = (await HandlerApp.start(t)).visitor()
      await run(before)
      await run((session) => { Object.assign(session, { a: 1, b: 1 }) })
      const values: Handler = (session, request) => [session['a'], session['b'], session['client_name'], request.user?.name]
      const { value } = await run(async (session, request, reply) => {
        session['a'] = 2
        for (const key of ['b', 'client_name']) session['pop'](key, null)
        await request.login('Harry', { data: { a: undefined, b: 3 } as never })
        return values(session, request, reply)
      })
      t.strictSame(value, [undefined, 3, 'Harry', 'Harry'])
      t.strictSame((await run(values)).value, value)
    }
  })

  t.test('an object that the data of a login has replaced is no longer a value of the session', async (t) => {
    const { run } = (await HandlerApp.start(t)).visitor()
    await run(login)
    await run((session) => { Object.assign(session, { role: { name: 'guest' }, list: [1] }) })
    await run(async (session, request) => {
      const { role, list } = session
      await request.login('Harry', { data: { role: { name: 'admin' } } as never })
      role.name = 'nobody'
      list.push(2)
    })
    t.match((await run((session) => ({ ...session }))).value, { role: { name: 'admin' }, list: [1, 2] })
  })

  t.test('a login and a logout in one request leave no user logged in', async (t) => {
    const store = openStore(t, 'memory:')
    const { run } = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    const destroy: Handler = (session) => session['destroy']()
    const regenerate: Handler = (session) => session['regenerate']()
    for (const ending of [...Object.values(endings), logout, destroy, regenerate]) {
      const { response } = await run(async (session, request, reply) => {
        await request.login('Harry')
        await ending(session, request, reply)
      })
      t.equal(response.statusCode, 200)
      t.equal((await run(currentUser)).value, null)
    }
    t.strictSame(await store.ofUser('Harry'), [])
  })

  t.test('a login needs a name', async (t) => {
    const { run } = (await HandlerApp.start(t)).visitor()
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
      const host = await HandlerApp.start(t, { sessionStore: store })
      for (const name of [...ODD_TEXTS.filter((name) => name !== ''), 'n'.repeat(300)]) {
        const visitor = host.visitor()
        const { response } = await visitor.run((_session, request) => request.login(name))
        if (response.statusCode !== 200) continue
        t.equal((await visitor.run(currentUser)).value, name, visible(name))
        t.equal((await store.ofUser(name)).length, 1)
      }
    })
  }
})
