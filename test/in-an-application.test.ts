import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import { createGunzip, gzipSync } from 'node:zlib'
import { test, type Test } from 'tap'
import { LoginRequiredError, hatcheck, requireLogin, type Authenticate, type HatcheckOptions } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { bag, type Bag } from './apps/bag.js'
import { logInto } from './apps/log-lines.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client, type Answer } from './clients/client.js'
import { buildHost, newFastify, sessionCookieOf, testKey } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'
import { DAY, START } from './time/units.js'

const SECRET = 'what only a user may read'

type Plugin = (scope: FastifyInstance) => void | Promise<void>

/** Nothing is awaited before the first request, as in a CommonJS application. */
function hostOf (t: Test, build: (app: FastifyInstance, options: HatcheckOptions) => void, { sync = true, ...options }: GivenOptions & { sync?: boolean } = {}): FastifyInstance {
  const app = newFastify(t)
  const store = openStore(t, 'memory:')
  const sessionStore = sync ? store : watched(store, async () => { await new Promise((resolve) => { setImmediate(resolve) }) }, false)
  build(app, { secretKey: testKey, sessionStore, ...options } as HatcheckOptions)
  return app
}

const login: Plugin = (scope) => {
  scope.post('/login', async (request) => {
    await request.login('Harry')
    return 'in'
  })
}
const secret = async (): Promise<string> => SECRET

/** The places where an application can use requireLogin. `/secret` is behind it. */
const places: Record<string, (app: FastifyInstance, options: HatcheckOptions) => void> = {
  'as onRequest' (app, options) {
    app.register(hatcheck, options)
    app.get('/secret', { onRequest: requireLogin }, secret)
  },
  'as preParsing and preValidation' (app, options) {
    app.register(hatcheck, options)
    app.get('/secret', { preParsing: (request) => requireLogin(request), preValidation: requireLogin }, secret)
  },
  'as preHandler' (app, options) {
    app.register(hatcheck, options)
    app.get('/secret', { preHandler: requireLogin }, secret)
  },
  'in a list' (app, options) {
    app.register(hatcheck, options)
    app.route({ method: 'GET', url: '/secret', onRequest: [async () => {}, requireLogin], handler: secret })
  },
  'with addHook in a scope' (app, options) {
    app.register(hatcheck, options)
    app.register(async (scope) => {
      scope.addHook('onRequest', requireLogin)
      scope.get('/secret', secret)
    })
  },
  'with addHook before hatcheck' (app, options) {
    app.addHook('onRequest', async (request, reply) => { if (request.url === '/secret') await requireLogin(request, reply) })
    app.register(hatcheck, options)
    app.get('/secret', secret)
  },
  'in a scope within a scope' (app, options) {
    app.register(hatcheck, options)
    app.register(async (scope) => { scope.register(async (inner) => { inner.get('/secret', { onRequest: requireLogin }, secret) }) })
  },
  'in a scope that is registered before hatcheck' (app, options) {
    app.register(async (scope) => { scope.get('/secret', { onRequest: requireLogin }, secret) })
    app.register(hatcheck, options)
  },
  'on a route that is added before hatcheck' (app, options) {
    app.get('/secret', { preHandler: requireLogin }, secret)
    app.register(hatcheck, options)
  },
  'beside the pages under a prefix' (app, options) {
    app.register(hatcheck, { ...options, routes: true, prefix: '/auth', authenticate: (name) => ({ name }) } as HatcheckOptions)
    app.get('/secret', { onRequest: requireLogin }, secret)
  },
  'with hatcheck in the same scope only' (app, options) {
    app.register(async (scope) => {
      scope.register(hatcheck, options)
      scope.get('/secret', { onRequest: requireLogin }, secret)
      scope.register(async (inner) => { await login(inner) })
    })
  },
  'on a route that hijacks the reply' (app, options) {
    app.register(hatcheck, options)
    app.get('/secret', { preHandler: requireLogin }, (_request, reply) => {
      reply.hijack()
      reply.raw.end(SECRET)
    })
  },
  'as app.requireLogin, where it is awaited' (app, options) {
    app.register(async (scope) => {
      await scope.register(hatcheck, options)
      scope.get('/secret', { onRequest: scope.requireLogin }, secret)
      scope.register(async (inner) => { await login(inner) })
    })
  }
}

test('requireLogin admits a user and refuses a visitor, wherever it is used', async (t) => {
  for (const sync of [true, false]) {
    for (const [place, build] of Object.entries(places)) {
      await t.test(`${place}, on ${sync ? 'a synchronous' : 'an asynchronous'} store`, async (t) => {
        const app = hostOf(t, (app, options) => {
          build(app, options)
          if (!/scope only|awaited/.test(place)) app.register(async (scope) => { await login(scope) })
        }, { sync })
        const client = new Client(app)
        for (const headers of [AS_PROGRAM, { cookie: 'hatcheck=x.y' }]) {
          const refused = await client.get('/secret', headers)
          t.equal(refused.statusCode, 401)
          t.equal(refused.json().code, 'HATCHECK_LOGIN_REQUIRED')
        }
        for (const method of ['GET', 'HEAD'] as const) t.notMatch((await app.inject({ method, url: '/secret' })).body, SECRET)
        t.equal((await client.send({ method: 'POST', url: '/login' })).statusCode, 200)
        t.equal((await client.get('/secret')).body, SECRET)
      })
    }
  }
})

test('without hatcheck around the route, requireLogin refuses every request', async (t) => {
  const nowhere: Record<string, (app: FastifyInstance, options: HatcheckOptions) => void> = {
    'it is not registered' (app) { app.get('/secret', { onRequest: requireLogin }, secret) },
    'the hook is one of all routes' (app) {
      app.addHook('preHandler', requireLogin)
      app.get('/secret', secret)
    },
    'it is registered in a scope beside' (app, options) {
      app.register(async (scope) => { scope.register(hatcheck, options) })
      app.register(async (scope) => { scope.get('/secret', { preHandler: [requireLogin] }, secret) })
    },
    'it is registered in a scope within' (app, options) {
      app.get('/secret', { onRequest: requireLogin }, secret)
      app.register(async (scope) => { await scope.register(hatcheck, options) })
    }
  }
  for (const [where, build] of Object.entries(nowhere)) {
    const app = hostOf(t, build)
    for (const headers of [{}, AS_BROWSER, { cookie: 'hatcheck=x' }]) {
      const response = await app.inject({ url: '/secret', headers })
      t.match([response.statusCode, response.json()], [500, { code: 'HATCHECK_NOT_REGISTERED', message: /app\.register\(hatcheck, …\)/ }], where)
      t.notMatch(response.body, SECRET)
    }
  }
})

test('a scope that is registered before hatcheck has sessions too', async (t) => {
  for (const sync of [true, false]) {
    const app = hostOf(t, (app, options) => {
      app.register(async (scope) => {
        await login(scope)
        scope.get('/count', async (request) => {
          bag(request)['count'] = (bag(request)['count'] ?? 0) + 1
          return [request.user?.name ?? null, bag(request)['count']]
        })
      })
      app.register(hatcheck, options)
    }, { sync })
    const client = new Client(app)
    t.same((await client.get('/count')).json(), [null, 1])
    await client.send({ method: 'POST', url: '/login' })
    const response = await client.get('/count')
    t.same([response.json(), response.headers['cache-control']], [['Harry', 2], 'no-store'])
  }
})

test('session.cookie describes the cookie that is sent', async (t) => {
  const https = { 'x-forwarded-proto': 'https', host: 'app.example.com' }
  const cases: Array<{ what: string, options: GivenOptions, headers?: Record<string, string>, is: Bag }> = [
    { what: 'Secure on https, not on http', options: { sessionCookieSecure: 'auto' }, is: { secure: false, sameSite: 'lax', path: '/', httpOnly: true } },
    { what: 'Secure on https', options: { sessionCookieSecure: 'auto' }, headers: https, is: { secure: true } },
    { what: 'always Secure', options: { sessionCookieSecure: true }, headers: https, is: { secure: true } },
    { what: 'never Secure', options: { sessionCookieSecure: false }, headers: https, is: { secure: false } },
    { what: 'Secure but on this machine', options: {}, headers: https, is: { secure: true } },
    { what: 'on this machine', options: {}, is: { secure: false } },
    { what: 'for a domain and other sites', options: { sessionCookieDomain: 'example.com', sessionCookieSecure: true, sessionCookieSamesite: 'none', sessionCookiePartitioned: true }, headers: https, is: { secure: true, sameSite: 'none', domain: 'example.com', partitioned: true } },
    { what: 'for a path and this site only', options: { sessionCookiePath: '/app', sessionCookieSamesite: 'strict' }, is: { path: '/app', sameSite: 'strict' } }
  ]
  for (const { what, options, headers = {}, is } of cases) {
    for (const permanent of [false, true]) {
      await t.test(`${what}, ${permanent ? 'permanent' : 'until the browser closes'}`, async (t) => {
        let time = START
        const app = await buildHost(t, { now: () => time, ...options }, { trustProxy: '127.0.0.1' })
        app.post('/app/begin', async (request) => {
          await request.login('Harry', { permanent })
          return request.session.cookie
        })
        app.get('/app', async ({ session }) => session.cookie)
        const begun = await app.inject({ method: 'POST', url: '/app/begin', headers })
        const sent = begun.cookies[0] as unknown as Bag
        const described = begun.json()
        t.match(described, is)
        const { path, secure = false, httpOnly, sameSite, domain, maxAge } = sent
        t.match(described, { path, secure, httpOnly, sameSite: String(sameSite).toLowerCase(), ...domain !== undefined && { domain } })
        t.equal(described.partitioned === true, /; Partitioned/.test(String(begun.headers['set-cookie'])))
        t.equal(described.maxAge, maxAge === undefined ? null : maxAge * 1_000)
        t.equal(described.originalMaxAge, permanent ? 30 * DAY : null)
        t.equal(described.expires, permanent ? new Date(START + 30 * DAY).toISOString() : null)
        time += permanent ? 10 * DAY : 60_000
        const later = (await app.inject({ url: '/app', headers: { ...headers, cookie: `${sent['name']}=${sent['value']}` } })).json()
        t.match(later, permanent
          ? { originalMaxAge: 30 * DAY, maxAge: 20 * DAY, expires: new Date(START + 30 * DAY).toISOString() }
          : { originalMaxAge: null, maxAge: null, expires: null })
      })
    }
  }
})

test('a handler cannot replace the cookie or the session of a request', async (t) => {
  const app = await buildHost(t)
  const mistakes: Record<string, [RegExp, (request: Bag) => unknown]> = {
    'cookie.maxAge = 1': [/session\.permanent/, ({ session }) => { session.cookie.maxAge = 1 }],
    'cookie.expires = …': [/session\.permanent/, ({ session }) => { session.cookie.expires = new Date() }],
    'cookie.domain, which there is not': [/session\.permanent/, ({ session }) => { session.cookie.domain = 'example.com' }],
    'cookie.signed, which no cookie has': [/session\.permanent/, ({ session }) => { session.cookie.signed = true }],
    'Object.assign(cookie, …)': [/session\.permanent/, ({ session }) => Object.assign(session.cookie, { secure: false, maxAge: 5 })],
    'Object.defineProperty(cookie, …)': [/session\.permanent/, ({ session }) => Object.defineProperty(session.cookie, 'path', { value: '/x' })],
    'delete cookie.httpOnly': [/session\.permanent/, ({ session }) => delete session.cookie.httpOnly],
    'session.cookie = {}': [/session\.permanent/, ({ session }) => { session.cookie = {} }],
    'Object.assign(session, { cookie })': [/session\.permanent/, ({ session }) => Object.assign(session, { cookie: { maxAge: 1 } })],
    'session.options()': [/session\.permanent/, ({ session }) => session.options({ maxAge: 1 })],
    'request.session = null': [/request\.session = …/, (request) => { request['session'] = null }],
    'request.session = undefined': [/request\.session = …/, (request) => { request['session'] = undefined }],
    'request.session = {}': [/request\.session = …/, (request) => { request['session'] = {} }],
    'Object.assign(request, { session })': [/request\.session = …/, (request) => Object.assign(request, { session: {} })],
    'request.user = null': [/request\.logout\(\)/, (request) => { request['user'] = null }],
    "request.user = 'Sally'": [/request\.login\(\)/, (request) => { request['user'] = 'Sally' }]
  }
  app.get<{ Params: { at: string } }>('/:at', async (request) => {
    const [what, [rule, mistake]] = Object.entries(mistakes)[Number(request.params.at)] as [string, [RegExp, (request: Bag) => unknown]]
    await request.login('Harry')
    t.throws(() => mistake(request as unknown as Bag), { code: 'HATCHECK_UNSUPPORTED', message: rule }, what)
    return [request.user?.name, bag(request)['client_name'], bag(request)['cookie'].httpOnly, bag(request)['cookie'].maxAge]
  })
  for (const [at, what] of Object.keys(mistakes).entries()) t.same((await app.inject(`/${at}`)).json(), ['Harry', 'Harry', true, null], what)
})

test('a scope can decorate its requests with the names that hatcheck uses', async (t) => {
  const ofTheScope: Record<string, Plugin> = {
    'null, and a value for each request': (scope) => {
      for (const name of ['session', 'user', 'loadSession', 'login', 'logout', 'flash', 'flashes']) scope.decorateRequest(name, null)
      scope.addHook('onRequest', async (request) => {
        for (const name of ['session', 'user', 'loadSession', 'login', 'logout', 'flash', 'flashes']) Object.assign(request, { [name]: { own: name } })
      })
    },
    'a function': (scope) => {
      for (const name of ['session', 'user', 'loadSession', 'login', 'logout', 'flash', 'flashes']) scope.decorateRequest(name, Object.assign(function () {}, { own: name }))
    },
    'a getter': (scope) => {
      for (const name of ['session', 'user', 'loadSession', 'login', 'logout', 'flash', 'flashes']) scope.decorateRequest(name, { getter: () => ({ own: name }) } as never)
    }
  }
  for (const sync of [true, false]) {
    for (const [way, decorate] of Object.entries(ofTheScope)) {
      await t.test(`${way}, on ${sync ? 'a synchronous' : 'an asynchronous'} store`, async (t) => {
        const app = hostOf(t, (app, options) => {
          app.register(hatcheck, options)
          app.register(async (scope) => { await login(scope) })
          app.register(fp(async (scope: FastifyInstance) => { await decorate(scope) }, { encapsulate: true } as never))
          app.register(async (scope) => {
            scope.register(fp(async (inner: FastifyInstance) => { await decorate(inner) }))
            scope.get('/own', async (request) => Object.fromEntries(['session', 'user', 'loadSession', 'login', 'logout', 'flash', 'flashes'].map((name) => [name, (request as unknown as Bag)[name].own])))
          })
          app.register(async (scope) => {
            scope.get('/beside', async (request) => {
              bag(request)['count'] = (bag(request)['count'] ?? 0) + 1
              return [request.user?.name ?? null, bag(request)['count']]
            })
          })
        }, { sync })
        const client = new Client(app)
        await client.send({ method: 'POST', url: '/login' })
        for (const count of [1, 2]) {
          t.same((await client.get('/own')).json(), { session: 'session', user: 'user', loadSession: 'loadSession', login: 'login', logout: 'logout', flash: 'flash', flashes: 'flashes' })
          t.same((await client.get('/beside')).json(), ['Harry', count])
        }
        const address = await app.listen({ port: 0, host: '127.0.0.1' })
        for (let i = 0; i < 3; i++) t.equal((await fetch(`${address}/own`, { headers: { cookie: client.cookieHeader } })).status, 200, 'the process stays alive')
      })
    }
  }

  for (const name of ['session', 'loadSession']) {
    const twice = newFastify(t)
    twice.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' })
    twice.register(fp(async (scope: FastifyInstance) => { scope.decorateRequest(name, null) }))
    await t.rejects(async () => { await twice.ready() }, { code: 'FST_ERR_DEC_ALREADY_PRESENT', message: new RegExp(name) }, `${name} twice in one scope`)
  }
})

test('the data that authenticate returns is stored in the session', async (t) => {
  for (const sync of [true, false]) {
    await t.test(`on ${sync ? 'a synchronous' : 'an asynchronous'} store`, async (t) => {
      const roles: Record<string, Bag> = { Harry: { role: 'admin', teams: ['a', 'b'] }, Sally: { role: 'user' }, Tom: {} }
      const authenticate = ((name: string) => name in roles ? { name, data: roles[name] } : null) as Authenticate
      const app = hostOf(t, (app, options) => {
        app.register(hatcheck, options)
        app.get('/data', async (request) => ({ ...bag(request) }))
        app.post('/cart', async (request) => { bag(request)['cart'] = ['hat'] })
      }, { sync, routes: true, authenticate })
      const client = new Client(app)
      const data = async (): Promise<Bag> => {
        const { authenticatedAt: _time, ...rest } = (await client.get('/data')).json()
        return rest
      }
      await client.send({ method: 'POST', url: '/cart' })
      t.equal((await client.login('Harry')).statusCode, 303)
      t.same(await data(), { cart: ['hat'], client_name: 'Harry', role: 'admin', teams: ['a', 'b'] }, 'beside the values of the visitor')
      roles['Harry'] = { role: 'user', teams: undefined }
      await client.login('Harry')
      t.same(await data(), { cart: ['hat'], client_name: 'Harry', role: 'user' }, 'the same user, with other values')
      await client.login('Sally')
      t.same(await data(), { client_name: 'Sally', role: 'user' }, 'over another user, whose values are dropped')
      await client.login('Tom')
      t.same(await data(), { client_name: 'Tom' })
      t.equal((await client.login('Nobody')).statusCode, 401)
      t.same(await data(), { client_name: 'Tom' })
    })
  }
})

test('confirming the password again refreshes the data of the login', async (t) => {
  let [time, role] = [START, 'admin']
  const app = await buildHost(t, { now: () => time, routes: true, authenticate: ((name: string) => ({ name, data: { role } })) as Authenticate })
  app.get('/role', async (request) => bag(request)['role'])
  const client = new Client(app)
  await client.login('Harry')
  t.equal((await client.get('/role')).body, 'admin')
  time += 11 * 60_000
  role = 'user'
  const before = client.cookieHeader
  t.equal((await client.post('/sessions', { others: '1', password: '12345678' }, AS_PROGRAM)).statusCode, 200)
  t.not(client.cookieHeader, before)
  t.equal((await client.get('/role')).body, 'user')
})

test('a login with data that a session cannot hold logs no user in', async (t) => {
  const bad: Array<[string, unknown, string | RegExp]> = [
    ['a value', { role: 1n }, 'HATCHECK_SESSION_VALUE'],
    ['a class', { role: new URL('https://example.com') }, 'HATCHECK_SESSION_VALUE'],
    ['the last of several', { a: 1, b: 2, c: () => {} }, 'HATCHECK_SESSION_VALUE'],
    ['a method name as a key', { regenerate: 1 }, 'HATCHECK_SESSION_KEY'],
    ['a key of hatcheck', { 'hatcheck:client': 'x' }, 'HATCHECK_SESSION_KEY'],
    ['__proto__', JSON.parse('{"__proto__":{"isAdmin":true}}'), 'HATCHECK_SESSION_KEY'],
    ['a symbol as a key', { [Symbol('role')]: 'admin' }, 'HATCHECK_SESSION_KEY'],
    ['permanent', { permanent: true }, 'HATCHECK_SESSION_KEY'],
    ['text', 'admin', 'HATCHECK_SESSION_VALUE'],
    ['a number', 5, 'HATCHECK_SESSION_VALUE'],
    ['a list', ['admin'], 'HATCHECK_SESSION_VALUE'],
    ['a Map', new Map([['role', 'admin']]), 'HATCHECK_SESSION_VALUE'],
    ['a Date', new Date(), 'HATCHECK_SESSION_VALUE'],
    ['a function', () => ({ role: 'admin' }), 'HATCHECK_SESSION_VALUE']
  ]
  let data: unknown
  const store = openStore(t, 'memory:')
  const app = await buildHost(t, { sessionStore: store, routes: true, authenticate: ((name: string) => ({ name, data })) as Authenticate })
  app.post('/in/:name', async (request) => {
    await request.login((request.params as Bag)['name'], { data: data as never })
  })
  app.get('/who', async (request) => [request.user?.name ?? null, bag(request)['cart'] ?? null])
  app.post('/cart', async (request) => { bag(request)['cart'] = ['hat'] })
  for (const before of ['nobody', 'Harry', 'Sally']) {
    const client = new Client(app)
    await client.send({ method: 'POST', url: '/cart' })
    data = undefined
    if (before !== 'nobody') await client.login(before)
    const [{ cookieHeader }, count] = [client, await store.count()]
    const seen = (await client.get('/who')).json()
    for (const [what, wrong, code] of bad) {
      data = wrong
      for (const url of ['/in/Harry', '/login']) {
        const response = url === '/login' ? await client.login('Harry') : await client.send({ method: 'POST', url })
        t.equal(response.statusCode, 500, what)
        if (url !== '/login') t.equal(response.json().code, code, what)
        t.equal(response.headers['set-cookie'], undefined)
        t.equal(client.cookieHeader, cookieHeader)
        t.same((await client.get('/who')).json(), seen, `${what} leaves ${before} unchanged`)
        t.equal(await store.count(), count)
      }
    }
  }
})

test('a result of authenticate that is not a user is refused with a named error', async (t) => {
  let answer: unknown
  const app = await buildHost(t, { authenticate: (() => answer) as never })
  app.get('/', async (request) => ({ user: await app.hatcheck.login.checkPassword('Harry', '12345678', request) }))
  const ask = async (): Promise<Bag> => (await app.inject('/')).json()
  for (const nobody of [null, undefined]) {
    answer = nobody
    t.same(await ask(), { user: null })
  }
  for (const [wrong, kind] of [[true, 'a boolean'], ['Harry', 'a string'], [{ id: 1, passwordHash: 'secret' }, 'an Object'], [{ name: 5 }, 'an Object'], [[], 'an Array']] as const) {
    answer = wrong
    t.match(await ask(), { statusCode: 500, code: 'HATCHECK_AUTHENTICATE', message: `authenticate must return an object with the name of the user, such as { name: 'anna' }, or null; got ${kind}.` })
  }
})

test('the data of a login cannot set the name of the user or the time of the login', async (t) => {
  const app = await buildHost(t)
  app.post('/', async (request) => {
    await request.login('Harry', { data: { client_name: 'Sally', authenticatedAt: 1, cart: ['hat'] } as never })
    return [request.user?.name, bag(request)['client_name'], bag(request)['authenticatedAt'] > 1, bag(request)['cart']]
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), ['Harry', 'Harry', true, ['hat']])
})

test('the data of a login replaces values that the handler has set or read', async (t) => {
  const app = await buildHost(t)
  app.get('/:how', async (request) => {
    const session = bag(request)
    if ((request.params as Bag)['how'] === 'set') Object.assign(session, { cart: ['apple'], gone: ['a'], kept: { a: 1 } })
    const { cart, kept: { a: before } } = session
    await request.login('Harry', { data: { cart: ['hat'], gone: undefined } as never })
    t.same([session['cart'], 'gone' in session, session['kept'].a], [['hat'], false, before])
    cart.push('late')
    session['kept'].a++
    t.same(session['cart'], ['hat'])
  })
  app.get('/data', async (request) => ({ ...bag(request) }))
  const client = new Client(app)
  await client.get('/set')
  t.match((await client.get('/data')).json(), { cart: ['hat'], kept: { a: 2 }, gone: undefined })
  await client.get('/read')
})

/** Combines guards as @fastify/auth does: the first guard that does not throw lets the request in, and the last error counts. */
function anyOf (...guards: Array<(request: FastifyRequest, reply: FastifyReply) => Promise<unknown> | unknown>) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    let failure: unknown
    for (const guard of guards) {
      try {
        await guard(request, reply)
        return
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }
}

const byKey = async (request: FastifyRequest): Promise<void> => {
  if (request.headers['x-api-key'] !== 'right') throw Object.assign(new Error('no key'), { statusCode: 401, code: 'NO_KEY' })
}

test('requireLogin can be combined with other guards', async (t) => {
  const lines: string[] = []
  const app = await buildHost(t, { routes: true, signup: 'open' }, logInto(lines, 'info'))
  const refusals = (): number => lines.splice(0).filter((line) => line.includes('"authz_fail"')).length
  app.get('/first', { onRequest: anyOf(requireLogin, byKey) }, secret)
  app.get('/second', { onRequest: anyOf(byKey, requireLogin) }, secret)
  app.get('/401', { onRequest: anyOf(requireLogin, byKey) }, async (_request, reply) => reply.code(401).send('of the handler'))
  app.get('/error', { onRequest: anyOf(requireLogin, byKey) }, async () => { throw Object.assign(new Error('of the handler'), { statusCode: 401 }) })
  app.get('/throws', async (request, reply) => {
    await t.rejects(Promise.resolve(requireLogin(request, reply)), new LoginRequiredError())
    return reply.sent
  })
  for (const headers of [AS_BROWSER, AS_PROGRAM]) {
    for (const url of ['/first', '/second']) {
      const letIn = await app.inject({ url, headers: { ...headers, 'x-api-key': 'right' } })
      t.match([letIn.statusCode, letIn.body, letIn.headers.location], [200, SECRET, undefined], url)
    }
    const own = await app.inject({ url: '/401', headers: { ...headers, 'x-api-key': 'right' } })
    t.match([own.statusCode, own.body, own.headers.location], [401, 'of the handler', undefined])
    const thrown = await app.inject({ url: '/error', headers: { ...headers, 'x-api-key': 'right' } })
    t.match([thrown.statusCode, thrown.json().message, thrown.headers.location], [401, 'of the handler', undefined])
    t.equal((await app.inject({ url: '/throws', headers })).body, 'false', 'the guard throws and sends no answer')
    const other = await app.inject({ url: '/first', headers })
    t.match([other.statusCode, other.json().code], [401, 'NO_KEY'], 'the answer is the error of the other guard')
  }
  t.equal(refusals(), 0, 'requireLogin logs none of them as a refusal')
  const page = await app.inject({ url: '/second?a=b', headers: AS_BROWSER })
  t.match([page.statusCode, page.headers.location, page.body], [303, '/login?next=%2Fsecond%3Fa%3Db', ''])
  t.equal(refusals(), 0, 'a browser is redirected to the login page')
  const program = await app.inject({ url: '/second', headers: AS_PROGRAM })
  t.match([program.statusCode, program.json().code], [401, 'HATCHECK_LOGIN_REQUIRED'])
  t.equal(refusals(), 1)
})

test('a refused browser is redirected to the login page, whatever error handler is set', async (t) => {
  const handlers: Record<string, { set (scope: FastifyInstance): void, page: number, program: number }> = {
    'the error handler of Fastify': { set () {}, page: 303, program: 401 },
    'one that sends the error on': { set (scope) { scope.setErrorHandler((error, _request, reply) => { reply.send(error) }) }, page: 303, program: 401 },
    'one that throws it': { set (scope) { scope.setErrorHandler((error) => { throw error }) }, page: 303, program: 401 },
    'one with a body of its own': { set (scope) { scope.setErrorHandler((_error, _request, reply) => { reply.code(401).send({ mine: true }) }) }, page: 303, program: 401 },
    'one with a page of its own': { set (scope) { scope.setErrorHandler((_error, _request, reply) => reply.code(403).type('text/html').send('<p>mine</p>')) }, page: 403, program: 403 },
    'one with a redirect of its own': { set (scope) { scope.setErrorHandler((_error, _request, reply) => reply.redirect('/mine', 302)) }, page: 302, program: 302 }
  }
  for (const [what, { set, page, program }] of Object.entries(handlers)) {
    for (const place of ['of the host', 'of a scope'] as const) {
      await t.test(`${what}, ${place}`, async (t) => {
        const app = await buildHost(t, { routes: true, prefix: '/auth', signup: 'open' })
        if (place === 'of the host') set(app)
        app.register(async (scope) => {
          if (place === 'of a scope') set(scope)
          scope.route({ method: ['GET', 'POST'], url: '/secret', onRequest: requireLogin, handler: secret })
        })
        const browser = await app.inject({ url: '/secret', headers: AS_BROWSER })
        t.equal(browser.statusCode, page)
        if (page === 303) t.match([browser.headers.location, browser.body], ['/auth/login?next=%2Fsecret', ''])
        t.equal((await app.inject({ url: '/secret', headers: AS_PROGRAM })).statusCode, program)
        for (const method of ['HEAD', 'POST'] as const) {
          const response = await app.inject({ method, url: '/secret', headers: AS_BROWSER })
          t.equal(response.statusCode, program, method)
          t.notMatch(response.headers.location ?? '', '/auth/login')
          t.notMatch(response.body, SECRET)
        }
      })
    }
  }
  const bare = await buildHost(t)
  bare.get('/secret', { onRequest: requireLogin }, secret)
  t.equal((await bare.inject({ url: '/secret', headers: AS_BROWSER })).statusCode, 401, 'without pages there is no login page')
})

test('a refused browser comes back to the address that it asked for, even if a rule has rewritten it', async (t) => {
  const rewriteUrl = ({ url = '' }: { url?: string | undefined }): string => url.replace(/^\/(?:v1|\/evil\.example)\//, '/')
  const app = await buildHost(t, { loginPath: '/v1/sign-in' }, { rewriteUrl } as FastifyServerOptions)
  app.get('/secret', { onRequest: requireLogin }, secret)
  for (const [asked, next] of [['/v1/secret?a=b', '/v1/secret?a=b'], ['/secret', '/secret'], ['//evil.example/secret', '/']] as const) {
    const { statusCode, headers } = await app.inject({ url: asked, headers: AS_BROWSER })
    t.match([statusCode, headers.location], [303, `/v1/sign-in?next=${encodeURIComponent(next)}`], asked)
  }
})

test('cookies that Express middleware sets on Node\'s response are sent as well', async (t) => {
  const ours: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
    'a value': (request) => { bag(request)['count'] = Math.random() },
    'a login': (request) => request.login('Harry'),
    'a new ID': (request) => request.session.regenerate(['count' as never]),
    'a saved value': async (request) => {
      bag(request)['count'] = Math.random()
      await request.session.save()
    },
    'a logout': (request) => request.logout()
  }
  const theirs: Record<string, { sets: string[], set (reply: FastifyReply): void }> = {
    'one cookie': { sets: ['theme'], set ({ raw }) { raw.setHeader('Set-Cookie', 'theme=dark; Path=/') } },
    'several cookies': { sets: ['theme', 'lang', 'theme2'], set ({ raw }) { raw.setHeader('set-cookie', ['theme=dark', 'lang=en; Path=/', 'theme2=a']) } },
    'appended cookies': {
      sets: ['theme', 'lang'],
      set ({ raw }) {
        raw.appendHeader('Set-Cookie', 'theme=dark')
        raw.appendHeader('Set-Cookie', 'lang=en')
      }
    },
    'cookies of the reply and of the response': {
      sets: ['theme', 'lang'],
      set (reply) {
        reply.header('set-cookie', 'theme=dark')
        reply.raw.setHeader('set-cookie', 'lang=en')
      }
    },
    'a cookie as Express sets it': {
      sets: ['theme'],
      set ({ raw }) { raw.setHeader('Set-Cookie', [...[raw.getHeader('Set-Cookie') ?? []].flat().map(String), 'theme=dark']) }
    }
  }
  const app = await buildHost(t)
  app.get('/:ours/:theirs/:order', async (request, reply) => {
    const { ours: mine, theirs: other, order } = request.params as Record<string, string>
    const steps = [() => ours[mine as string]?.(request, reply), () => theirs[other as string]?.set(reply)]
    for (const step of order === 'first' ? steps : steps.reverse()) await step()
    return 'done'
  })
  app.get('/begin', async (request) => { bag(request)['count'] = 0 })
  app.get('/raw/:ours', async (request, reply) => {
    await ours[(request.params as Bag)['ours']]?.(request, reply)
    reply.hijack()
    reply.raw.appendHeader('Set-Cookie', 'theme=dark')
    reply.raw.writeHead(200, { 'content-type': 'text/plain' })
    reply.raw.end('done')
  })
  for (const mine of Object.keys(ours)) {
    for (const [other, { sets }] of Object.entries(theirs)) {
      for (const order of ['first', 'last']) {
        const client = new Client(app)
        if (/ID|logout/.test(mine)) await client.get('/begin')
        const response = await client.get(`/${[mine, other, order].map(encodeURIComponent).join('/')}`)
        t.same(names(response), ['hatcheck', ...sets].sort(), `${mine}, ${other}, ours ${order}`)
      }
    }
  }
  for (const mine of ['a login', 'a saved value']) {
    const response = await new Client(app).get(`/raw/${encodeURIComponent(mine)}`)
    t.same(names(response), ['hatcheck', 'theme'], `${mine}, hijacked`)
  }
})

test('cookies set on Node\'s response are sent beside those of the pages', async (t) => {
  const app = newFastify(t)
  app.addHook('onRequest', async (_request, reply) => { reply.raw.appendHeader('Set-Cookie', 'theme=dark') })
  await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: true, authenticate: (name) => ({ name }) })
  const client = new Client(app)
  const response = await client.post('/login', { client_name: 'Harry', password: '12345678' })
  t.match(sessionCookieOf(response), /^hatcheck=/)
  t.ok(names(response).length >= 3, 'with the cookies of the device and of the notice')
  t.ok(names(response).includes('theme'))
  t.ok(names(await client.post('/logout')).includes('theme'))
})

function names ({ headers }: Answer): string[] {
  return [headers['set-cookie'] ?? []].flat().map((line) => line.split('=')[0] as string).sort()
}

test('two registrations of hatcheck in one scope reject', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' })
  await t.rejects(async () => { await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' }) }, { code: /^(?:HATCHECK_|FST_ERR_)/ })
})

test('in an application, a plugin may decode the body of a login', async (t) => {
  const app = newFastify(t)
  app.addHook('preParsing', async ({ headers }, _reply, payload) => {
    if (headers['content-encoding'] !== 'gzip') return payload
    delete headers['content-length']
    return payload.pipe(createGunzip())
  })
  await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['login'], authenticate: (name) => ({ name }) })
  const payload = gzipSync('client_name=Harry&password=12345678')
  const { statusCode } = await app.inject({ method: 'POST', url: '/login', payload, headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-encoding': 'gzip' } })
  t.equal(statusCode, 303)
})

test('a parser of the application reads no body of a login', async (t) => {
  const app = newFastify(t)
  let parsed = 0
  app.addContentTypeParser('*', async () => { parsed++ })
  await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['login'], authenticate: (name) => ({ name }) })
  t.equal((await app.inject({ method: 'POST', url: '/login', payload: 'a file', headers: { 'content-type': 'multipart/form-data' } })).statusCode, 415)
  t.equal(parsed, 0)
})

test('forwarding headers of a proxy that Fastify does not trust are logged with what to do', async (t) => {
  const lines: string[] = []
  const app = await buildHost(t, { routes: true }, logInto(lines, 'warn'))
  await app.inject({ url: '/login', headers: { 'x-forwarded-for': '192.0.2.1' } })
  t.match(lines.join('\n'), /sends X-Forwarded-For and is not trusted, .* name it in trustProxy of Fastify\./)
})
