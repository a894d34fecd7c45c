import { test } from 'tap'
import { HandlerApp, currentUser, dataOf, login, type Handler } from './apps/handler-app.js'
import { breakable, openStore, watched } from './stores/watched-store.js'

/** A call that is not awaited, and the values and `permanent` of the session from then on. */
const CALLS: ReadonlyArray<{ what: string, call: Handler, data: object, permanent: boolean }> = [
  {
    what: 'regenerate() with a key',
    call (session) {
      session['b'] = 3
      session['regenerate'](['a'])
    },
    data: { a: 1 },
    permanent: true
  },
  {
    what: 'reload()',
    call (session) {
      session['a'] = 9
      session['c'] = 9
      delete session['b']
      session['permanent'] = false
      session['reload']()
    },
    data: { a: 1, b: 2 },
    permanent: true
  },
  { what: 'destroy()', call: (session) => { session['destroy']() }, data: {}, permanent: false },
  {
    what: 'destroy(), and a value after it',
    call (session) {
      session['destroy']()
      session['a'] = 5
    },
    data: { a: 5 },
    permanent: false
  },
  {
    what: 'save() and another save()',
    call (session) {
      Object.assign(session, { a: 5, permanent: false })
      session['save']()
      Object.assign(session, { a: 6, permanent: true })
      session['save']()
    },
    data: { a: 6, b: 2 },
    permanent: true
  },
  {
    what: 'save() and destroy()',
    call (session) {
      session['a'] = 5
      session['save']()
      session['destroy']()
    },
    data: {},
    permanent: false
  }
]

test('a session is at once as the calls that nobody awaits will leave it', async (t) => {
  for (const { what, call, data, permanent } of CALLS) {
    for (const sync of [true, false]) {
      const { run } = (await HandlerApp.start(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })).visitor()
      await run((session) => { Object.assign(session, { a: 1, b: 2, permanent: true }) })
      const { value: then } = await run((session, request, reply) => {
        call(session, request, reply)
        return [{ ...session }, session['permanent'], 'b' in session]
      })
      const expected = [data, permanent, 'b' in data]
      t.strictSame(then, expected, `${what}, then, ${sync ? 'on a synchronous store' : 'on an asynchronous store'}`)
      t.strictSame((await run((session) => [{ ...session }, session['permanent'], 'b' in session])).value, expected, `${what}, in the next request`)
    }
  }
})

test('after the login of another user has failed, the session has the values and the changes that it had', async (t) => {
  for (const sync of [true, false]) {
    const { store, down, up } = breakable(openStore(t, 'memory:'), sync)
    const visitor = (await HandlerApp.start(t, { sessionStore: store })).visitor()
    await visitor.run(login)
    await visitor.run((session) => { Object.assign(session, { list: [1], object: {}, a: 1 }) })
    await visitor.run(async (session, request) => {
      session['list'].push(2)
      session['object'].b = 3
      session['a'] = 4
      down('replace')
      await t.rejects(request.login('Sally'), { code: 'HATCHECK_STORE_UNAVAILABLE' })
      up()
      t.match({ ...session }, { list: [1, 2], object: { b: 3 }, a: 4 })
    })
    t.equal((await visitor.run(currentUser)).value, 'Harry')
    t.match((await visitor.run(dataOf)).value, { list: [1, 2], object: { b: 3 }, a: 4 })
  }
})

test('what a handler changes within a value of the former user reaches no call after the login of another', async (t) => {
  for (const sync of [true, false]) {
    const { run } = (await HandlerApp.start(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })).visitor()
    await run(login)
    await run((session) => { session['list'] = ['of Harry'] })
    await run(async (session, request) => {
      const { list } = session
      const saving = session['save']()
      const loggingIn = request.login('Sally')
      list.push('another')
      await Promise.all([saving, loggingIn, session['save']()])
      list.push('late')
    })
    t.equal((await run(currentUser)).value, 'Sally')
    t.equal((await run((session) => session['list'])).value, undefined, sync ? 'a synchronous store' : 'an asynchronous store')
  }
})

test('what is set after a call counts more than what comes back when the call fails', async (t) => {
  for (const sync of [true, false]) {
    for (const next of ['another save()', 'the response'] as const) {
      let failures = 0
      const sessionStore = watched(openStore(t, 'memory:'), (call) => { if (call === 'patch' && failures-- > 0) throw new Error('no store') }, sync)
      const { run } = (await HandlerApp.start(t, { sessionStore })).visitor()
      await run((session) => { Object.assign(session, { a: 1, b: 1, c: 1, list: [1] }) })
      const state: Handler = (session) => [{ ...session }, session['permanent']]
      const expected = [{ a: 3, b: 2, list: [1, 2] }, false]
      const { value } = await run(async (session, request, reply) => {
        failures = 1
        Object.assign(session, { a: 2, b: 2, c: 2, permanent: true })
        session['list'].push(2)
        const failing = session['save']()
        Object.assign(session, { a: 3, permanent: false })
        delete session['c']
        const saving = next === 'the response' ? undefined : session['save']()
        await t.rejects(failing, { code: 'HATCHECK_STORE_UNAVAILABLE' })
        await saving
        return state(session, request, reply)
      })
      t.strictSame(value, expected, `then, with ${next}`)
      t.strictSame((await run(state)).value, expected, `in the next request, with ${next}`)
    }
  }
})

test('an object that the handler still holds is stored again only if it is a value of the session and has changed', async (t) => {
  const host = await HandlerApp.start(t)
  const visitor = host.visitor()
  await visitor.run((session) => { Object.assign(session, { list: [1], dropped: [1] }) })
  await visitor.run(async (session) => {
    session['list'].push(2)
    await session['save']()
    await host.run(visitor, (other) => { other['list'] = ['of another request'] })
  })
  t.strictSame((await visitor.run(dataOf)).value, { list: ['of another request'], dropped: [1] })
  await visitor.run(async (session) => {
    const { dropped, list } = session
    await session['regenerate'](['list'])
    dropped.push(2)
    list.push('later')
  })
  t.strictSame((await visitor.run(dataOf)).value, { list: ['of another request', 'later'] })
})

test('what is set or deleted while a login is under way counts more than what the login sets', async (t) => {
  for (const sync of [true, false]) {
    const { run } = (await HandlerApp.start(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })).visitor()
    const state: Handler = (session) => [session['role'], session['name'], session['permanent']]
    await run(async (session, request) => {
      const loggingIn = request.login('Harry', { permanent: true, data: { role: 'admin', name: 'Harry' } as never })
      session['permanent'] = false
      delete session['role']
      session['name'] = 'Sally'
      await loggingIn
    })
    t.strictSame((await run(state)).value, [undefined, 'Sally', false], sync ? 'a synchronous store' : 'an asynchronous store')
  }
})
