import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { test, type Test } from 'tap'
import { bag, type Bag } from './apps/bag.js'
import { cookieOf, ends, loggedIn, post, see, shop } from './apps/racing-app.js'
import { Client } from './clients/client.js'
import { buildHost, formerKey, keyOf, testKey } from './helper.js'
import { breakable, inTwoSteps, kinds, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { START } from './time/units.js'

/** Harry logs out while one of his requests is paused; the request then continues. Returns its answer. */
async function logOutDuring (t: Test, fastify: FastifyInstance, pause: ReturnType<typeof stop>, url: string): Promise<LightMyRequestResponse> {
  const { cookieHeader } = await loggedIn(fastify)
  const slow = post(fastify, url, cookieHeader)
  await pause.reached
  t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
  pause.go()
  return await slow
}

for (const kind of kinds) {
  test(`logout is final, whatever requests are in flight, on ${kind}`, async (t) => {
    t.test('a slow writer does not bring the session back', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const pause = stop()
      fastify.post('/slow', async (request) => {
        bag(request)['early'] = 1
        await pause.here()
        bag(request)['late'] = 2
        return 'written'
      })
      const { cookieHeader } = await loggedIn(fastify)
      const writing = post(fastify, '/slow', cookieHeader)
      await pause.reached
      t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
      pause.go()

      const late = await writing
      t.equal(late.statusCode, 200)
      t.equal(late.headers['set-cookie'], undefined)
      t.equal(await store.read(keyOf(cookieHeader)), null)
      t.equal(await store.count(), 0)
      t.strictSame(await see(fastify, cookieHeader), { user: null, data: {} })
    })

    t.test('a writer that has reached the store does not bring the session back', async (t) => {
      const store = openStore(t, kind)
      const pause = stop()
      const fastify = await shop(t, watched(store, (call) => call === 'patch' ? pause.here() : undefined))
      const { cookieHeader } = await loggedIn(fastify)
      const writing = post(fastify, '/set/late', cookieHeader)
      await pause.reached
      t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
      pause.go()

      t.equal((await writing).headers['set-cookie'], undefined)
      t.equal(await store.read(keyOf(cookieHeader)), null)
      t.equal(await store.count(), 0)
    })

    t.test('a slow reader whose activity is still to be recorded does not bring the session back', async (t) => {
      let time = START
      const now = (): number => time
      const store = openStore(t, kind, { now })
      const calls: string[] = []
      const fastify = await shop(t, watched(store, (call) => { calls.push(call) }), { now })
      const pause = stop()
      fastify.get('/slow', async (request) => {
        const name = request.user?.name
        await pause.here()
        return name
      })
      const { cookieHeader } = await loggedIn(fastify)
      time += 600_000
      const reading = fastify.inject({ url: '/slow', headers: { cookie: cookieHeader } })
      await pause.reached
      t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
      pause.go()

      const late = await reading
      t.equal(late.body, 'Harry')
      t.equal(late.headers['set-cookie'], undefined)
      t.ok(calls.includes('touch'), 'the race took place')
      await store.touch('a write behind the other', 0, 0)
      t.equal(await store.read(keyOf(cookieHeader)), null)
      t.equal(await store.count(), 0)
    })

    t.test('a renewal in flight does not revive the session under another ID', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const pause = stop()
      fastify.post('/renew', async (request) => {
        await request.session.regenerate(['client_name', 'authenticatedAt'])
        await pause.here()
        return 'renewed'
      })
      const renewing = logOutDuring(t, fastify, pause, '/renew')

      t.equal((await renewing).headers['set-cookie'], undefined)
      t.equal(await store.count(), 0)
      t.strictSame(await store.ofUser('Harry'), [])
    })

    t.test('a renewal that has reached the store does not revive the session either', async (t) => {
      const store = openStore(t, kind)
      const pause = stop()
      let holding = true
      const fastify = await shop(t, watched(store, (call) => {
        if (!ends(call) || !holding) return undefined
        holding = false
        return pause.here()
      }))
      fastify.post('/renew', async (request) => {
        await request.session.regenerate(['client_name', 'authenticatedAt'])
        return 'renewed'
      })
      const renewing = logOutDuring(t, fastify, pause, '/renew')

      t.equal((await renewing).headers['set-cookie'], undefined)
      t.equal(await store.count(), 0)
    })

    t.test('a save() in flight fails with a named error', async (t) => {
      const fastify = await shop(t, openStore(t, kind))
      const pause = stop()
      fastify.post('/save', async (request) => {
        bag(request)['late'] = 1
        await pause.here()
        await request.session.save()
        return 'saved'
      })
      const { cookieHeader } = await loggedIn(fastify)
      const saving = post(fastify, '/save', cookieHeader)
      await pause.reached
      await post(fastify, '/logout', cookieHeader)
      pause.go()

      const late = await saving
      t.equal(late.statusCode, 409)
      t.equal(late.json().code, 'HATCHECK_SESSION_GONE')
      t.equal(late.headers['set-cookie'], undefined)
    })

    t.test('two simultaneous logouts both succeed', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      const both = await Promise.all([post(fastify, '/logout', cookieHeader), post(fastify, '/logout', cookieHeader)])
      t.strictSame(both.map(({ statusCode }) => statusCode), [200, 200])
      t.equal(await store.count(), 0)
    })
  })

  test(`a login ends the old session and begins its own, on ${kind}`, async (t) => {
    t.test('a logout of the old session during the login leaves the new session live', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const pause = stop()
      fastify.post('/slow-login', async (request) => {
        await request.login('Harry')
        await pause.here()
        return 'in'
      })
      const { cookieHeader } = await loggedIn(fastify)
      const login = post(fastify, '/slow-login', cookieHeader)
      await pause.reached
      t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
      pause.go()

      const newCookie = cookieOf(await login)
      t.not(newCookie, cookieHeader)
      t.equal((await see(fastify, newCookie)).user, 'Harry')
      t.equal((await see(fastify, cookieHeader)).user, null)
      t.equal(await store.count(), 1)
    })

    t.test('a login during the logout of the old session leaves the new session live', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const pause = stop()
      fastify.post('/slow-logout', async (request) => {
        t.equal(request.user?.name, 'Harry')
        await pause.here()
        await request.logout()
        return 'out'
      })
      const { cookieHeader } = await loggedIn(fastify)
      const logout = post(fastify, '/slow-logout', cookieHeader)
      await pause.reached
      const newCookie = cookieOf(await post(fastify, '/login/Harry', cookieHeader))
      pause.go()

      t.equal((await logout).statusCode, 200)
      t.equal((await see(fastify, newCookie)).user, 'Harry')
      t.equal((await see(fastify, cookieHeader)).user, null)
      t.equal(await store.count(), 1)
    })

    t.test('values that another request writes during the login are kept', async (t) => {
      const store = openStore(t, kind)
      const pause = stop()
      const fastify = await shop(t, watched(store, (call) => ends(call) ? pause.here() : undefined))
      const visitor = new Client(fastify)
      await visitor.send({ method: 'POST', url: '/set/apple' })
      const { cookieHeader } = visitor
      const login = post(fastify, '/login/Harry', cookieHeader)
      await pause.reached
      t.equal((await post(fastify, '/set/pear', cookieHeader)).statusCode, 200)
      pause.go()

      const { user, data } = await see(fastify, cookieOf(await login))
      t.equal(user, 'Harry')
      t.match(data, { apple: 'apple', pear: 'pear', client_name: 'Harry' })
    })

    t.test('values that another request deletes during the login stay deleted', async (t) => {
      const store = openStore(t, kind)
      const pause = stop()
      const fastify = await shop(t, watched(store, (call) => ends(call) ? pause.here() : undefined))
      fastify.post('/drop', async (request) => delete bag(request)['apple'])
      const visitor = new Client(fastify)
      await visitor.send({ method: 'POST', url: '/set/apple' })
      const { cookieHeader } = visitor
      const login = post(fastify, '/login/Harry', cookieHeader)
      await pause.reached
      await post(fastify, '/drop', cookieHeader)
      pause.go()
      t.notOk('apple' in (await see(fastify, cookieOf(await login))).data)
    })

    t.test('a write to the old session after the login is lost, and not moved to the new session', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const pause = stop()
      fastify.post('/slow', async (request) => {
        bag(request)['late'] = 1
        await pause.here()
        return 'written'
      })
      const visitor = new Client(fastify)
      await visitor.send({ method: 'POST', url: '/set/apple' })
      const { cookieHeader } = visitor
      const writing = post(fastify, '/slow', cookieHeader)
      await pause.reached
      const newCookie = cookieOf(await post(fastify, '/login/Harry', cookieHeader))
      pause.go()
      t.equal((await writing).headers['set-cookie'], undefined)
      t.notOk('late' in (await see(fastify, newCookie)).data)
      t.equal(await store.count(), 1)
    })

    t.test('two logins with one anonymous cookie begin two sessions', async (t) => {
      const store = openStore(t, kind)
      const pauses = [stop(), stop()]
      let arrived = 0
      const fastify = await shop(t, watched(store, (call) => ends(call) ? pauses[arrived++]?.here() : undefined))
      const visitor = new Client(fastify)
      await visitor.send({ method: 'POST', url: '/set/apple' })
      const { cookieHeader } = visitor
      const logins = ['Harry', 'Sally'].map((name) => post(fastify, `/login/${name}`, cookieHeader))
      await Promise.all(pauses.map(({ reached }) => reached))
      for (const { go } of pauses) go()

      const cookies = (await Promise.all(logins)).map(cookieOf)
      t.equal(new Set([...cookies, cookieHeader]).size, 3)
      t.strictSame(await Promise.all(cookies.map(async (cookie) => (await see(fastify, cookie)).user)), ['Harry', 'Sally'])
      t.equal((await see(fastify, cookieHeader)).user, null)
      t.equal(await store.count(), 2)
      t.equal((await store.ofUser('Harry')).length, 1)
      t.equal((await store.ofUser('Sally')).length, 1)
    })

    t.test('a cookie that was planted before the login grants no access after it', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const attacker = new Client(fastify)
      await attacker.send({ method: 'POST', url: '/set/planted' })
      const planted = attacker.cookieHeader
      const login = await post(fastify, '/login/Harry', planted)
      t.not(cookieOf(login), planted)
      t.equal((await see(fastify, cookieOf(login))).user, 'Harry')
      t.strictSame(await see(fastify, planted), { user: null, data: {} })
      t.equal(await store.read(keyOf(planted)), null)
    })

    t.test('an ID that is signed but has no session is never adopted', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      await post(fastify, '/logout', cookieHeader)
      const login = await post(fastify, '/login/Harry', cookieHeader)
      t.not(cookieOf(login), cookieHeader)
      const write = await post(fastify, '/set/apple', cookieHeader)
      t.not(cookieOf(write), cookieHeader)
      t.equal(await store.read(keyOf(cookieHeader)), null)
    })

    t.test('a login as another user drops the data of the first user', async (t) => {
      const store = openStore(t, kind)
      const fastify = await shop(t, store)
      const harry = await loggedIn(fastify)
      await harry.send({ method: 'POST', url: '/set/secret' })
      const sally = cookieOf(await post(fastify, '/login/Sally', harry.cookieHeader))
      t.match(await see(fastify, sally), { user: 'Sally' })
      t.strictSame(Object.keys((await see(fastify, sally)).data).sort(), ['authenticatedAt', 'client_name'])
      t.equal((await see(fastify, harry.cookieHeader)).user, null)
      t.strictSame(await store.ofUser('Harry'), [])
    })

    t.test('data that the first user writes during the login is dropped as well', async (t) => {
      for (const way of ['login', 'logout and login', 'regenerate and login', 'clear and login']) {
        await t.test(way, async (t) => {
          const store = openStore(t, kind)
          const pause = stop()
          const fastify = await shop(t, watched(store, (call) => ends(call) ? pause.here() : undefined))
          fastify.post('/switch', async (request) => {
            if (way.startsWith('logout')) await request.logout()
            if (way.startsWith('regenerate')) await request.session.regenerate()
            if (way.startsWith('clear')) request.session.clear()
            await request.login('Sally')
            return 'in'
          })
          const harry = await loggedIn(fastify)
          const switching = post(fastify, '/switch', harry.cookieHeader)
          await pause.reached
          t.equal((await post(fastify, '/set/secret', harry.cookieHeader)).statusCode, 200)
          pause.go()
          const { user, data } = await see(fastify, cookieOf(await switching))
          t.equal(user, 'Sally')
          t.notOk('secret' in data, 'Sally does not get what Harry wrote')
        })
      }
    })
  })
}

test('a hundred simultaneous requests that each set a different key lose none', async (t) => {
  const fastify = await buildHost(t, { sessionStore: `lmdb:${t.testdir()}` })
  fastify.post<{ Params: { key: string } }>('/set/:key', async (request) => {
    bag(request)[request.params.key] = request.params.key
    return 'set'
  })
  fastify.get('/', async (request) => ({ ...bag(request) }))
  const client = new Client(await fastify.listen({ host: '127.0.0.1', port: 0 }))
  await client.send({ method: 'POST', url: '/set/first' })
  const keys = Array.from({ length: 100 }, (_, i) => `key${i}`)
  const responses = await Promise.all(keys.map((key) => client.send({ method: 'POST', url: `/set/${key}` })))
  t.ok(responses.every(({ statusCode }) => statusCode === 200))
  t.ok(responses.every(({ headers }) => headers['set-cookie'] === undefined))
  const data = (await client.get('/')).json<Bag>()
  t.strictSame(Object.keys(data).sort(), ['first', ...keys].sort())
})

test('a login whose old session cannot be ended fails', async (t) => {
  for (const [kind, steps] of kinds.flatMap((kind) => [[kind, 'in one step'], [kind, 'in two steps']] as const)) {
    t.test(`the login fails with a 503, no cookie and no new session, on ${kind}, ${steps}`, async (t) => {
      const inner = openStore(t, kind)
      const { store, down, up } = breakable(inner)
      const fastify = await shop(t, steps === 'in two steps' ? inTwoSteps(store) : store)
      const visitor = new Client(fastify)
      await visitor.send({ method: 'POST', url: '/set/apple' })
      const { cookieHeader } = visitor
      down('remove', 'replace')
      const login = await post(fastify, '/login/Harry', cookieHeader)
      t.equal(login.statusCode, 503)
      t.equal(login.json().code, 'HATCHECK_STORE_UNAVAILABLE')
      t.equal(login.headers['retry-after'], '1')
      t.equal(login.headers['set-cookie'], undefined)
      up()
      await until('only the old session is left', async () => await inner.count() === 1 && (await inner.ofUser('Harry')).length === 0)
      t.strictSame(await see(fastify, cookieHeader), { user: null, data: { apple: 'apple' } })
    })
  }

  t.test('a login fails with a 503 and no cookie if the new session cannot be stored', async (t) => {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const fastify = await shop(t, store)
    down('create')
    const login = await post(fastify, '/login/Harry', '')
    t.equal(login.statusCode, 503)
    t.equal(login.headers['set-cookie'], undefined)
  })

  t.test('a login fails with a 503 if the new ID already exists, and opens no existing session', async (t) => {
    const inner = openStore(t, 'memory:')
    const taken = watched(inner, () => {})
    const fastify = await shop(t, { ...taken, create: () => false })
    const login = await post(fastify, '/login/Harry', '')
    t.equal(login.statusCode, 503)
    t.equal(login.headers['set-cookie'], undefined)
  })
})

test('a late response of an old request does not restore the session', async (t) => {
  for (const doing of ['reads', 'reads, and its ticket is to be signed anew', 'makes the session permanent', 'writes, and its ticket is to be signed anew']) {
    t.test(`a request that ${doing} sets no cookie once the session has ended`, async (t) => {
      const store = openStore(t, 'memory:')
      const earlier = await shop(t, watched(store, () => {}), { secretKey: doing.includes('anew') ? formerKey : testKey })
      const { cookieHeader } = await loggedIn(earlier)
      const fastify = await shop(t, store, { secretKeyFallbacks: [formerKey] })
      const pause = stop()
      fastify.get('/slow', async (request) => {
        const name = request.user?.name
        if (doing.startsWith('makes')) request.session.permanent = true
        if (doing.startsWith('writes')) bag(request)['late'] = 1
        await pause.here()
        return name
      })
      const reading = fastify.inject({ url: '/slow', headers: { cookie: cookieHeader } })
      await pause.reached
      await post(fastify, '/logout', cookieHeader)
      pause.go()

      const late = await reading
      t.equal(late.body, 'Harry')
      t.equal((await see(fastify, cookieOf(late))).user, null, 'the cookie of the answer grants no access')
      t.equal(late.headers['set-cookie'], undefined, 'and does not replace a newer cookie')
    })
  }
})
