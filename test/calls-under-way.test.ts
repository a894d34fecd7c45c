import { test } from 'tap'
import { HandlerApp, dataOf, login, userOf, type Handler } from './handler-app.js'
import { breakable, openStore, watched } from './watched-store.js'

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
    t.equal((await visitor.run(userOf)).value, 'Harry')
    t.match((await visitor.run(dataOf)).value, { list: [1, 2], object: { b: 3 }, a: 4 })
  }
})
