import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { changesOf, recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { replaceInTwoSteps } from '../plugins/store/replace-in-two-steps.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { bag, type Bag } from './bag.js'
import { Client } from './client.js'
import { buildHost, formerKey, keyOf, testKey } from './helper.js'
import { until } from './loop-clock.js'
import { START } from './units.js'
import { breakable, inTwoSteps, kinds, openStore, stop, watched, type StoreCall } from './watched-store.js'

/** An application with the few routes that races need. Each test adds its slow routes. */
async function shop (t: Test, store: SessionStore, options: HatcheckOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { sessionStore: store, ...options })
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => {
    await request.login(request.params.name)
    return 'in'
  })
  fastify.post('/logout', async (request) => {
    await request.logout()
    return 'out'
  })
  fastify.post<{ Params: { key: string } }>('/set/:key', async (request) => {
    bag(request)[request.params.key] = request.params.key
    return 'set'
  })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null, data: { ...bag(request) } }))
  return fastify
}

function post (fastify: FastifyInstance, url: string, cookie: string): Promise<LightMyRequestResponse> {
  return fastify.inject({ method: 'POST', url, headers: { cookie } })
}

async function see (fastify: FastifyInstance, cookie: string): Promise<{ user: string | null, data: Bag }> {
  return (await fastify.inject({ url: '/', headers: { cookie } })).json()
}

/** A logged-in browser. */
async function loggedIn (fastify: FastifyInstance, name = 'Harry'): Promise<Client> {
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: `/login/${name}` })
  return client
}

/** Harry logs out while one of his requests is paused; the request then continues. Returns its answer. */
async function logOutDuring (t: Test, fastify: FastifyInstance, pause: ReturnType<typeof stop>, url: string): Promise<LightMyRequestResponse> {
  const { cookieHeader } = await loggedIn(fastify)
  const slow = post(fastify, url, cookieHeader)
  await pause.reached
  t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 200)
  pause.go()
  return await slow
}

/** The store calls that end a session. */
function ends (call: StoreCall): boolean {
  return call === 'remove' || call === 'replace'
}

function cookieOf (response: LightMyRequestResponse): string {
  const [cookie] = response.cookies
  return cookie === undefined ? '' : `${cookie.name}=${cookie.value}`
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

test('a renewal keeps its user and neither loses nor revives a session', async (t) => {
  const everything = ['client_name', 'authenticatedAt', 'apple', 'pear', 'plum'] as never[]
  const renewing = async (t: Test, store: SessionStore): Promise<FastifyInstance> => {
    const fastify = await shop(t, store)
    fastify.post('/renew', async (request) => {
      bag(request)['own'] = 'renewed'
      await request.session.regenerate([...everything, 'own' as never])
      return 'renewed'
    })
    fastify.post('/save', async (request) => {
      await request.session.regenerate(everything)
      await request.session.save()
      return 'saved'
    })
    fastify.post('/drop/plum', async (request) => delete bag(request)['plum'])
    return fastify
  }
  /** Pauses the first call of this name, and none after it. */
  const first = (name: string, pause: ReturnType<typeof stop>) => {
    let held = false
    return (call: string): Promise<void> | void => {
      if (call !== name || held) return undefined
      held = true
      return pause.here()
    }
  }

  for (const kind of kinds) {
    t.test(`a renewal keeps what another request changes meanwhile, on ${kind}`, async (t) => {
      const pause = stop()
      const store = openStore(t, kind)
      let renews = false
      const look = first('remove', pause)
      const fastify = await renewing(t, inTwoSteps(watched(store, (call) => renews ? look(call) : undefined)))
      const { cookieHeader } = await loggedIn(fastify)
      for (const key of ['apple', 'plum']) await post(fastify, `/set/${key}`, cookieHeader)
      renews = true
      const renewal = post(fastify, '/renew', cookieHeader)
      await pause.reached
      for (const url of ['/set/pear', '/set/own', '/drop/plum']) t.equal((await post(fastify, url, cookieHeader)).statusCode, 200)
      pause.go()
      const { user, data } = await see(fastify, cookieOf(await renewal))
      t.equal(user, 'Harry')
      t.match(data, { apple: 'apple', pear: 'pear', own: 'renewed' })
      t.notOk('plum' in data)
      t.equal((await see(fastify, cookieHeader)).user, null)
      t.equal((await store.ofUser('Harry')).length, 1)
    })

    for (const call of ['create', 'remove', 'patch']) {
      t.test(`a renewal does not survive the end of all sessions of the user before its ${call}, on ${kind}`, async (t) => {
        const pause = stop()
        const store = openStore(t, kind)
        let renews = false
        const looks = [first(call, pause)]
        const fastify = await renewing(t, inTwoSteps(watched(store, (call) => {
          for (const look of renews ? looks : []) {
            const held = look(call)
            if (held !== undefined) return held
          }
          return undefined
        })))
        const { cookieHeader } = await loggedIn(fastify)
        renews = true
        const write = stop()
        if (call === 'patch') looks.push(first('remove', write))
        const renewal = post(fastify, '/renew', cookieHeader)
        if (call === 'patch') {
          await write.reached
          const key = keyOf(cookieHeader)
          await store.patch(key, { set: { pear: '1' }, remove: [], seenAt: 0, expiresAt: 0 })
          write.go()
        }
        await pause.reached
        await store.removeOfUser('Harry')
        pause.go()
        t.equal((await renewal).headers['set-cookie'], undefined)
        t.equal(await store.count(), 0)
      })
    }

    t.test(`a renewal fails with a 503 if the old ID cannot be ended, and the new one ends, on ${kind}`, async (t) => {
      const inner = openStore(t, kind)
      const { store, down, up } = breakable(inner)
      const fastify = await renewing(t, inTwoSteps(store))
      const { cookieHeader } = await loggedIn(fastify)
      down('remove')
      const renewal = await post(fastify, '/renew', cookieHeader)
      t.equal(renewal.statusCode, 503)
      t.equal(renewal.headers['set-cookie'], undefined)
      up()
      t.equal((await see(fastify, cookieHeader)).user, 'Harry')
      await until('the new session has ended', async () => (await inner.ofUser('Harry')).length === 1)
    })
  }

  t.test('save() is refused once if the session ended during the renewal', async (t) => {
    const pause = stop()
    const store = openStore(t, 'memory:')
    const fastify = await renewing(t, inTwoSteps(watched(store, (call) => {
      if (call === 'create' && store.count() === 1) return pause.here()
      return undefined
    })))
    const { cookieHeader } = await loggedIn(fastify)
    const saving = post(fastify, '/save', cookieHeader)
    await pause.reached
    await store.removeOfUser('Harry')
    pause.go()
    const { statusCode, headers } = await saving
    t.equal(statusCode, 409)
    t.equal(headers['set-cookie'], undefined)
    t.equal(store.count(), 0)
  })

  t.test('a renewal fails with a 503 if the new ID already exists, or cannot be stored', async (t) => {
    for (const refusal of ['exists', 'fails']) {
      const store = openStore(t, 'memory:')
      let renews = false
      const fastify = await renewing(t, inTwoSteps({
        ...watched(store, () => {}),
        create (key, record) {
          if (!renews) return store.create(key, record)
          if (refusal === 'fails') throw new Error('disk full')
          return false
        }
      }))
      const { cookieHeader } = await loggedIn(fastify)
      renews = true
      const { statusCode, headers } = await post(fastify, '/renew', cookieHeader)
      t.equal(statusCode, 503)
      t.equal(headers['set-cookie'], undefined)
      t.equal((await see(fastify, cookieHeader)).user, 'Harry', 'nothing has changed')
      t.equal(store.count(), 1)
    }
  })
})

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

test('a logout that cannot be stored is unconfirmed, and its ticket is refused', async (t) => {
  for (const kind of kinds) {
    t.test(`a logout that cannot be stored is answered as unconfirmed, and its ticket is refused at once, on ${kind}`, async (t) => {
      const inner = openStore(t, kind)
      const { store, down, up } = breakable(inner)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      down('remove')
      const logout = await post(fastify, '/logout', cookieHeader)
      t.equal(logout.statusCode, 503)
      t.equal(logout.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
      t.equal(logout.headers['retry-after'], '1')
      t.match(logout.headers['set-cookie'], /^hatcheck=; Max-Age=0; Path=\/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax$/)
      t.not(await inner.read(keyOf(cookieHeader)), null, 'the store still has it')
      t.strictSame(await see(fastify, cookieHeader), { user: null, data: {} })

      up()
      await until('the session is ended as soon as the store works again', async () => await inner.read(keyOf(cookieHeader)) === null)
      t.equal((await see(fastify, cookieHeader)).user, null)
    })
  }

  t.test('a logout that cannot be stored stays unconfirmed when it is repeated', async (t) => {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const fastify = await shop(t, store)
    const { cookieHeader } = await loggedIn(fastify)
    down('remove')
    t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 503)
    const again = await post(fastify, '/logout', cookieHeader)
    t.equal(again.statusCode, 503, 'it is still not stored, so no answer claims that it is')
    t.equal(again.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  })

  for (const sync of [true, false]) {
    t.test(`a logout is unconfirmed while the store is down altogether, with ${sync ? 'a sync' : 'an async'} store`, async (t) => {
      const inner = openStore(t, 'memory:')
      const { store, down, up } = breakable(inner, sync)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      down()
      const logout = await post(fastify, '/logout', cookieHeader)
      t.equal(logout.statusCode, 503)
      t.equal(logout.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
      t.match(logout.headers['set-cookie'], /^hatcheck=; Max-Age=0/)
      up()
      t.equal((await see(fastify, cookieHeader)).user, null, 'the ticket is refused from then on')
      await until('the session is ended', async () => await inner.read(keyOf(cookieHeader)) === null)
    })
  }

  t.test('a logout is unconfirmed too if the same request has begun a new session', async (t) => {
    const inner = openStore(t, 'memory:')
    const { store, down, up } = breakable(inner)
    const fastify = await shop(t, store)
    fastify.post('/bye', async (request) => {
      await request.logout()
      bag(request)['flash'] = 'bye'
      return 'out'
    })
    const { cookieHeader } = await loggedIn(fastify)
    down('remove')
    const bye = await post(fastify, '/bye', cookieHeader)
    t.equal(bye.statusCode, 503)
    t.equal(bye.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
    t.match(bye.headers['set-cookie'], /^hatcheck=; Max-Age=0/)
    up()
    t.equal((await see(fastify, cookieHeader)).user, null)
  })
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

test('a renewal whose session has ended leaves nothing behind, even if ending the new ID fails at first', async (t) => {
  const inner = openStore(t, 'memory:')
  let removals = 0
  const store = watched(inner, async (call, key) => {
    if (call !== 'remove') return
    removals++
    if (removals === 1) await inner.remove(key as string)
    if (removals === 2) throw new Error('the store is down')
  }, false)
  const fastify = await shop(t, inTwoSteps(store))
  fastify.post('/new-id', async (request) => { await request.session.regenerate(['client_name', 'authenticatedAt']) })
  const { cookieHeader } = await loggedIn(fastify)
  const answer = await post(fastify, '/new-id', cookieHeader)
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal((await see(fastify, cookieHeader)).user, null)
  await until('the session without a client has ended as well', async () => await inner.count() === 0)
})

test('a replacement in two steps whose successor has ended between them has no successor', async (t) => {
  const store = openStore(t, 'memory:')
  await store.create('old', recordOf({ user: 'Harry' }))
  const replaced = await replaceInTwoSteps({
    read: (key) => store.read(key),
    create: (...args) => store.create(...args),
    patch: (...args) => store.patch(...args),
    async remove (key, nextKey) {
      // Another request changes the session, and then a third one ends every session of the user.
      await store.patch(key, changesOf({ set: { late: '1' } }))
      const last = await store.remove(key, nextKey)
      await store.removeOfUser('Harry')
      return last
    }
  }, 'old', 'next', replacementOf())
  t.strictSame(replaced, { outcome: 'gone' })
})
