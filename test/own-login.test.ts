import type { FastifyInstance, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { WebSocket } from 'ws'
import { LoginRequiredError, SessionOffError, ThrottledError, nextPageOf, refuseCrossOrigin, requireLogin, type Authenticated, type HatcheckOptions } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { bag } from './apps/bag.js'
import { logEach, parsedLogInto } from './apps/log-lines.js'
import { AS_BROWSER } from './clients/accept.js'
import { Client, type Answer } from './clients/client.js'
import { buildHost, newFastify, sessionCookieOf, testKey, turn } from './helper.js'
import { pageAt } from './pages/pages.js'
import { blocksOf } from './pages/walk.js'
import { startProgram } from './processes/child.js'
import { breakable, openEngine, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const PASSWORD = 'correct horse battery'

type Log = Array<{ event?: string, user?: string | null, reason?: string }>
interface Host { app: FastifyInstance, events: () => string[] }

/** An application with a login of its own: two lines, as docs/own-login.md shows. */
async function hostOf (t: Test, options: GivenOptions = {}): Promise<Host> {
  const log: Log = []
  const app = await buildHost(t, options, parsedLogInto(log, 'info'))
  app.post<{ Body: { name: string, password: string } }>('/sign-in', { onRequest: refuseCrossOrigin }, async (request, reply) => {
    const user = await request.authenticate(request.body.name, request.body.password)
    if (user === null) return await reply.code(401).send('wrong')
    await request.login(user.name, { data: user.data })
    return await reply.redirect(nextPageOf(request), 303)
  })
  app.get('/me', async (request) => ({ name: request.requireUser().name }))
  return {
    app,
    events: () => log.splice(0).flatMap(({ event, user, reason }) => event === undefined ? [] : [[event, user, reason].filter((part) => part !== undefined && part !== null).join(' ')])
  }
}

function signIn (client: Client, name: unknown, password: unknown, url = '/sign-in'): Promise<Answer> {
  return client.send({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ name, password }) })
}

async function withHarry (t: Test, options: GivenOptions = {}): Promise<Host & { client: Client }> {
  const host = await hostOf(t, options)
  await host.app.accounts?.add('Harry', PASSWORD)
  return { ...host, client: new Client(host.app) }
}

test('a login of the application, in two lines, does what POST /login does', async (t) => {
  const { app, client, events } = await withHarry(t)
  t.equal((await signIn(client, 'Harry', 'a wrong password')).statusCode, 401)
  t.strictSame(events(), ['authn_login_fail Harry credentials'])
  const answer = await signIn(client, ' harry ', PASSWORD)
  t.equal(answer.statusCode, 303)
  t.equal(answer.headers['location'], '/')
  t.ok(sessionCookieOf(answer))
  t.ok(client.cookie('hatcheck-device'), 'the browser is a known device')
  t.strictSame(events(), ['session_created Harry', 'authn_login_success Harry'])
  t.strictSame((await client.get('/me')).json(), { name: 'Harry' })
  t.equal((await app.sessions.ofUser('Harry')).length, 1)
})

test('a login without request.authenticate makes no known device and no event of its own', async (t) => {
  const { app, client, events } = await withHarry(t)
  app.post('/by-link', async (request) => { await request.login('Harry') })
  t.equal((await client.send({ method: 'POST', url: '/by-link' })).statusCode, 200)
  t.equal(client.cookie('hatcheck-device'), '')
  t.strictSame(events(), ['session_created Harry'])
})

test('a check that is not awaited logs no user in, whatever it answers and whenever', async (t) => {
  const { here, go } = stop()
  const answers = {
    'a right password': [PASSWORD, { authenticate: (name: string) => ({ name }) }],
    'a wrong password': [PASSWORD, { authenticate: () => null }],
    'an answer that comes late': [PASSWORD, { authenticate: async (name: string) => { await here(); return { name } } }],
    'no password, which is refused at once': ['', { authenticate: (name: string) => ({ name }) }]
  } as const
  for (const [what, [password, options]] of Object.entries(answers)) {
    for (const hasAwait of [true, false]) {
      const { app, events } = await hostOf(t, options)
      app.post<{ Body: { name: string, password: string } }>('/hasty', async (request) => {
        const isRight: unknown = request.authenticate(request.body.name, request.body.password)
        if (isRight) {
          const login = request.login(request.body.name)
          if (hasAwait) await login
        }
        return 'welcome'
      })
      const client = new Client(app)
      const answer = await signIn(client, 'Harry', password, '/hasty')
      t.equal(answer.statusCode, 500, what)
      t.match(answer.json(), { code: 'HATCHECK_NOT_AWAITED', message: /await request\.authenticate/ })
      t.equal(client.cookie(), '')
      t.notOk(events().some((event) => event.startsWith('session_created')))
    }
  }
  go()
})

test('a refusal that is expected has no stack in the log of the application', async (t) => {
  const errors: Array<{ code: string, stack?: string }> = []
  const app = await buildHost(t, { authenticate: () => null }, logEach('info', (line) => { errors.push(...[JSON.parse(line).err ?? []].flat()) }))
  app.get('/mine', { onRequest: requireLogin }, async () => 'mine')
  app.post('/form', { onRequest: refuseCrossOrigin }, async () => 'done')
  app.post<{ Body: { name: string, password: string } }>('/sign-in', async (request) => await request.authenticate(request.body.name, request.body.password))
  app.get('/bug', async () => { throw Object.assign(new Error('a bug'), { statusCode: 400 }) })
  await app.inject('/mine')
  await app.inject({ method: 'POST', url: '/form', headers: { origin: 'https://other.example' } })
  for (const [name, password] of [['', 'x'], ['Harry', ''], ['Harry', 1]]) await signIn(new Client(app), name, password)
  t.strictSame(errors.map(({ code }) => code), ['HATCHECK_LOGIN_REQUIRED', 'HATCHECK_CROSS_ORIGIN', 'HATCHECK_NAME', 'HATCHECK_CREDENTIALS', 'HATCHECK_PASSWORD'])
  for (const { code, stack } of errors) t.notOk(stack, code)
  await app.inject('/bug')
  t.match(errors.at(-1)?.stack, /own-login/, 'an error of the application has one')
})

test('a check for one name vouches for no other', async (t) => {
  const { app, client, events } = await withHarry(t)
  app.post<{ Body: { name: string, password: string } }>('/as', async (request) => {
    await request.authenticate(request.body.name, request.body.password)
    await request.login('Sally')
  })
  await signIn(client, 'Harry', PASSWORD, '/as')
  t.strictSame(events(), ['session_created Sally'])
  t.equal(client.cookie('hatcheck-device'), '')
})

test('data of the authenticator comes along', async (t) => {
  const { app, client } = await hostOf(t, { authenticate: (name, password) => password === PASSWORD ? { name, data: { role: 'admin' } as never } : null }).then((host) => ({ ...host, client: new Client(host.app) }))
  app.get('/role', async ({ session }) => ({ role: (session as unknown as { role: string }).role }))
  await signIn(client, 'Harry', PASSWORD)
  t.strictSame((await client.get('/role')).json(), { role: 'admin' })
})

test('an invalid name or password is refused with the rule and is never checked', async (t) => {
  let checks = 0
  const { app, events } = await hostOf(t, { authenticate: (name) => { checks++; return { name } } })
  for (const [name, password, code] of [
    ['Harry', '', 'HATCHECK_CREDENTIALS'], ['Harry', undefined, 'HATCHECK_PASSWORD'], ['Harry', ['a'], 'HATCHECK_PASSWORD'], ['Harry', 'x'.repeat(2_000), 'HATCHECK_PASSWORD'],
    ['', PASSWORD, 'HATCHECK_NAME'], [undefined, PASSWORD, 'HATCHECK_NAME'], [{ a: 1 }, PASSWORD, 'HATCHECK_NAME']
  ] as const) {
    const answer = await signIn(new Client(app), name, password)
    t.equal(answer.statusCode, 400)
    t.equal(answer.json().code, code)
    t.match(events(), [/^authn_login_fail .*input$|^authn_login_fail input$/])
  }
  t.equal(checks, 0)
})

test('too many failures are a 429 with the time to wait, and no password is checked then', async (t) => {
  let checks = 0
  // The clock stands still: the wait must not end on a busy machine.
  const time = Date.now()
  const { app, events } = await hostOf(t, { authenticate: () => { checks++; return null }, now: () => time })
  let refused: Answer | undefined
  for (let i = 0; i < 200 && refused === undefined; i++) {
    const answer = await signIn(new Client(app), 'Harry', PASSWORD)
    if (answer.statusCode !== 401) refused = answer
  }
  const before = checks
  t.equal(refused?.statusCode, 429)
  t.equal(refused?.json().code, new ThrottledError().code)
  t.ok(Number(refused?.headers['retry-after']) > 0)
  t.match(events().at(-1), /^authn_login_throttled Harry/)
  await signIn(new Client(app), 'Harry', PASSWORD)
  t.equal(checks, before)
})

test('a store that fails is a 503, and nobody is logged in', async (t) => {
  const { store, down } = breakable(openStore(t, 'memory:'))
  const { app, events } = await hostOf(t, { authenticate: (name) => ({ name }), sessionStore: store })
  const client = new Client(app)
  down()
  const answer = await signIn(client, 'Harry', PASSWORD)
  t.equal(answer.statusCode, 503)
  t.equal(client.cookie(), '')
  t.notOk(events().includes('authn_login_success Harry'))
})

test('a login is refused if the account changes after the check of its password', async (t) => {
  const changes = {
    'the account is disabled': (app: FastifyInstance) => app.accounts?.disable('Harry'),
    'the account gets another password': (app: FastifyInstance) => app.accounts?.setPassword('Harry', 'another horse battery')
  }
  for (const [what, change] of Object.entries(changes)) {
    for (const sync of [true, false]) {
      for (const moment of ['between authenticate and login', 'as the session is stored']) {
        await t.test(`${what} ${moment}, on ${sync ? 'a synchronous' : 'an asynchronous'} store`, async (t) => {
          const { here, reached, go } = stop()
          const engine = openEngine(t, 'memory:')
          const store = watched(engine.sessions, (call) => moment === 'as the session is stored' && call === 'create' ? here() : undefined, sync)
          const { app, client, events } = await withHarry(t, { sessionStore: Object.assign(store, { accounts: engine.accounts }) })
          app.post<{ Body: { name: string, password: string } }>('/slow', async (request) => {
            const user = await request.authenticate(request.body.name, request.body.password)
            if (moment !== 'as the session is stored') await here()
            await request.login((user as Authenticated).name)
          })
          const asked = signIn(client, 'Harry', PASSWORD, '/slow')
          await reached
          await change(app)
          go()
          const answer = await asked
          t.equal(answer.statusCode, 401)
          t.equal(answer.json().code, 'HATCHECK_WRONG_CREDENTIALS')
          t.equal(client.cookie(), '')
          t.equal(client.cookie('hatcheck-device'), '')
          t.strictSame(await app.sessions.ofUser('Harry'), [])
          t.notOk(events().includes('authn_login_success Harry'))
        })
      }
    }
  }
})

test('a login fails and leaves no session if its account cannot be read again', async (t) => {
  const { app, client } = await withHarry(t)
  app.hatcheck.login.isStillValid = async () => { throw Object.assign(new Error('no answer'), { statusCode: 503 }) }
  t.equal((await signIn(client, 'Harry', PASSWORD)).statusCode, 503)
  t.strictSame(await app.sessions.ofUser('Harry'), [])
  t.equal(client.cookie(), '')
})

test('what a handler has set before a login is in no session if the account was disabled meanwhile, even if it calls save()', async (t) => {
  const { app, client } = await withHarry(t)
  app.post<{ Body: { name: string, password: string } }>('/cart', async (request) => {
    const user = await request.authenticate(request.body.name, request.body.password)
    await app.accounts?.disable('Harry')
    bag(request)['cart'] = 1
    const login = request.login((user as Authenticated).name)
    const saving = request.session.save()
    await t.rejects(login, { code: 'HATCHECK_WRONG_CREDENTIALS' })
    await saving
    t.strictSame(Object.keys(request.session), [])
    return 'sorry'
  })
  t.equal((await signIn(client, 'Harry', PASSWORD, '/cart')).statusCode, 200)
  t.equal(client.cookie(), '')
  t.equal(await app.sessions.store.count(), 0)
})

test('a user who has logged out by values while giving the password once more is not logged in again', async (t) => {
  const { app, client } = await withHarry(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, false) })
  const { here, reached, go } = stop()
  app.get('/login', async (request) => { await request.login('Harry') })
  app.get('/once-more', async (request) => {
    request.requireUser()
    await here()
    return await app.hatcheck.login.renewLogin(request, { name: 'Harry' } as Authenticated, false)
  })
  app.get('/out', async (request) => {
    bag(request)['cart'] = 1
    request.session.pop('client_name')
  })
  await client.get('/login')
  const asked = client.get('/once-more')
  await reached
  await client.get('/out')
  go()
  t.equal((await asked).statusCode, 409)
  t.strictSame(await app.sessions.ofUser('Harry'), [])
})

test('a login that nobody awaits fails the response if the account was disabled', async (t) => {
  const { app, client } = await withHarry(t)
  app.post<{ Body: { name: string, password: string } }>('/hasty', async (request) => {
    await request.authenticate(request.body.name, request.body.password)
    await app.accounts?.disable('Harry')
    request.login('Harry')
    return 'welcome'
  })
  t.equal((await signIn(client, 'Harry', PASSWORD, '/hasty')).statusCode, 401)
  t.strictSame(await app.sessions.ofUser('Harry'), [])
})

test('a logout between authenticate and login ends the session before, and the login begins a new one', async (t) => {
  const { here, reached, go } = stop()
  const { app, client } = await withHarry(t)
  app.post<{ Body: { name: string, password: string } }>('/slow', async (request) => {
    const user = await request.authenticate(request.body.name, request.body.password)
    await here()
    await request.login((user as Authenticated).name)
  })
  app.post('/out', async (request) => { await request.logout() })
  await signIn(client, 'Harry', PASSWORD)
  const former = client.cookie()
  const asked = signIn(client, 'Harry', PASSWORD, '/slow')
  await reached
  t.equal((await app.inject({ method: 'POST', url: '/out', headers: { cookie: former } })).statusCode, 200)
  go()
  t.equal((await asked).statusCode, 200)
  t.equal((await app.inject({ url: '/me', headers: { cookie: former } })).statusCode, 401)
  t.equal((await client.get('/me')).statusCode, 200)
})

test('requireUser returns the user, or leads a browser to the login page as requireLogin does', async (t) => {
  for (const [options, page] of [[{ loginPath: '/sign-in' }, '/sign-in?next=%2Fme%3Fa%3D1'], [{ routes: ['login'] }, '/login?next=%2Fme%3Fa%3D1'], [{ routes: true, loginPath: '/sign-in' }, '/sign-in?next=%2Fme%3Fa%3D1']] as const) {
    const { app } = await hostOf(t, options as GivenOptions)
    app.get('/secret', { onRequest: requireLogin }, async () => 'secret')
    for (const url of ['/me?a=1', '/secret']) {
      const led = await app.inject({ url, headers: AS_BROWSER })
      t.equal(led.statusCode, 303)
      t.equal(led.headers.location, url === '/secret' ? page.replace('%2Fme%3Fa%3D1', '%2Fsecret') : page)
      t.equal(led.body, '')
      const told = await app.inject({ url })
      t.equal(told.statusCode, 401)
      t.equal(told.json().code, new LoginRequiredError().code)
    }
  }
  const { app } = await hostOf(t)
  t.equal((await app.inject({ url: '/me', headers: AS_BROWSER })).statusCode, 401, 'there is no login page')
})

test('a login page that is guarded by mistake is a 401, and does not lead to itself for ever', async (t) => {
  const { app } = await hostOf(t, { loginPath: '/enter' })
  app.addHook('onRequest', requireLogin)
  for (const url of ['/enter', '/enter/help']) app.get(url, async () => 'a form')
  for (const url of ['/enter', '/enter?next=%2F']) t.equal((await app.inject({ url, headers: AS_BROWSER })).statusCode, 401, url)
  t.equal((await app.inject({ url: '/enter/help', headers: AS_BROWSER })).headers.location, '/enter?next=%2Fenter%2Fhelp')
})

test('without a login page, no page of hatcheck links to one', async (t) => {
  const app = await buildHost(t, { routes: ['sessions'], authenticate: (name) => ({ name }) })
  const { statusCode, body } = await app.inject({ url: '/sessions', headers: AS_BROWSER })
  t.equal(statusCode, 401)
  t.notMatch(body, 'Log in your account here')
})

test('with loginPath, hatcheck serves no login page', async (t) => {
  const app = await buildHost(t, { routes: true, loginPath: '/sign-in', prefix: '/auth', authenticate: (name) => ({ name }) })
  t.equal((await app.inject('/auth/login')).statusCode, 404)
  t.match((await app.inject({ url: '/auth/', headers: AS_BROWSER })).body, 'href="/sign-in"')
  t.equal((await app.inject({ url: '/auth/sessions', headers: AS_BROWSER })).headers.location, '/sign-in?next=%2Fauth%2Fsessions')
})

test('an impossible page is refused with the rule', async (t) => {
  const rules: Array<[GivenOptions, string]> = [
    [{ loginPath: 'sign-in' }, 'loginPath must be a path such as /sign-in, without a query; got "sign-in".'],
    [{ loginPath: '//evil.example' }, 'loginPath must be'],
    [{ loginPath: '/sign-in?a=1' }, 'loginPath must be'],
    [{ loginPath: 'https://app.example.com/' }, 'loginPath must be'],
    [{ loginPath: '/sign-in', routes: ['login'] }, 'loginPath must not be set with the page login in routes'],
    [{ afterLogin: 'start' }, 'afterLogin must be a path such as /start, or an address such as https://app.example.com/start; got "start".'],
    [{ afterLogin: '//evil.example' }, 'afterLogin must be'],
    [{ afterLogout: '/a b' }, 'afterLogout must be'],
    [{ afterLogout: 'javascript:alert(1)' }, 'afterLogout must be']
  ]
  for (const [options, rule] of rules) {
    await t.rejects(buildHost(t, options), { code: 'HATCHECK_CONFIG', message: new RegExp(rule.replace(/[.?*/()]/g, '\\$&')) })
  }
})

test('afterLogin and afterLogout say where the pages lead without next', async (t) => {
  for (const place of ['/start?tab=1', 'https://app.example.com/start']) {
    const app = await buildHost(t, { routes: true, prefix: '/auth', authenticate: (name) => ({ name }), afterLogin: place, afterLogout: `${place}/bye` })
    const client = new Client(app)
    const login = (next?: string): Promise<Answer> => client.post('/auth/login', { client_name: 'Harry', password: PASSWORD, ...next !== undefined && { next } })
    t.equal((await login()).headers['location'], place)
    t.equal((await login('https://evil.example/')).headers['location'], place)
    t.equal((await login('/cart')).headers['location'], '/cart')
    t.equal((await client.get('/auth/login', AS_BROWSER)).headers['location'], place, 'a user who is logged in already')
    t.equal((await client.post('/auth/logout')).headers['location'], `${place}/bye`)
    const page = await new Client(app).get('/auth/login', AS_BROWSER)
    const [, hidden = ''] = /name="next" value="([^"]*)"/.exec(page.body) ?? []
    t.equal((await login(hidden.replace('&#61;', '='))).headers['location'], place, 'through the form')
  }
})

test('the policy of the pages lets a form lead to afterLogin and afterLogout, which browsers check', async (t) => {
  const cases: Array<[GivenOptions, string]> = [
    [{ afterLogin: '/start', afterLogout: '/' }, ''],
    [{ afterLogin: 'https://app.example.com/start?x=;y' }, ' https://app.example.com'],
    [{ afterLogout: 'https://user:secret@App.Example.com:443' }, ' https://app.example.com'],
    [{ afterLogin: 'https://app.example.com/a', afterLogout: 'http://localhost:8080/b' }, ' https://app.example.com http://localhost:8080'],
    [{ allowedOrigins: ['https://app.example.com'], afterLogin: 'https://app.example.com/a', afterLogout: 'https://www.example.com/' }, ' https://app.example.com https://www.example.com'],
    [{ afterLogin: 'https://a;script-src/', afterLogout: 'https://%zz/' }, '']
  ]
  for (const [options, origins] of cases) {
    const app = await buildHost(t, { routes: true, authenticate: (name) => ({ name }), ...options })
    const { headers } = await new Client(app).get('/login', AS_BROWSER)
    t.match(headers['content-security-policy'], `form-action 'self'${origins};`, JSON.stringify(options))
  }
})

test('nextPageOf is a path here, an allowed origin, or afterLogin, wherever next is written', async (t) => {
  const { app } = await hostOf(t, { afterLogin: '/start', allowedOrigins: ['https://app.example.com'], authenticate: (name) => ({ name }) })
  const cases = [['/cart?a=1', '/cart?a=1'], ['https://app.example.com/x', 'https://app.example.com/x'], ['https://evil.example/', '/start'], ['//evil.example', '/start'], ['/\\evil.example', '/start'], [undefined, '/start'], [['/a', '/b'], '/start']] as const
  for (const [next, location] of cases) {
    const inBody = await app.inject({ method: 'POST', url: '/sign-in', payload: { name: 'Harry', password: PASSWORD, next } })
    t.equal(inBody.headers.location, location)
    if (typeof next !== 'string') continue
    const inQuery = await app.inject({ method: 'POST', url: `/sign-in?next=${encodeURIComponent(next)}`, payload: { name: 'Harry', password: PASSWORD } })
    t.equal(inQuery.headers.location, location)
  }
})

test('a route without a session reads nothing, touches nothing, sets no cookie, and a handler that asks for it gets an error', async (t) => {
  for (const sync of [true, false]) {
    await t.test(sync ? 'on a synchronous store' : 'on an asynchronous store', async (t) => {
      const calls: string[] = []
      const store = watched(openStore(t, 'memory:'), (call) => { calls.push(call) }, sync)
      let time = Date.now()
      const { app } = await hostOf(t, { authenticate: (name) => ({ name }), sessionStore: store, now: () => time })
      const off = { config: { session: false } } as const
      app.get('/off', off, async () => 'fast')
      const uses: Record<string, (request: FastifyRequest) => unknown> = {
        session: (request) => request.session,
        user: (request) => request.user,
        requireUser: (request) => request.requireUser(),
        loadSession: (request) => request.loadSession(),
        login: (request) => request.login('Harry'),
        logout: (request) => request.logout(),
        flash: (request) => { request.flash('info', 'x') },
        flashes: (request) => request.flashes(),
        unawaited: (request) => { request.login('Harry') }
      }
      for (const [name, use] of Object.entries(uses)) app.get(`/off/${name}`, off, async (request) => { await use(request); return 'used' })
      app.get('/off/guarded', { ...off, onRequest: requireLogin }, async () => 'guarded')
      const client = new Client(app)
      await signIn(client, 'Harry', PASSWORD)
      time += 30 * 60_000
      for (const headers of [{ cookie: client.cookieHeader }, {}]) {
        calls.length = 0
        const answer = await app.inject({ url: '/off', headers })
        t.equal(answer.body, 'fast')
        for (const header of ['set-cookie', 'vary', 'cache-control']) t.notOk(answer.headers[header])
        for (const name of [...Object.keys(uses), 'guarded']) {
          const used = await app.inject({ url: `/off/${name}`, headers })
          t.equal(used.statusCode, 500, name)
          t.equal(used.json().code, new SessionOffError().code, name)
          t.notOk(used.headers['set-cookie'], name)
        }
        t.strictSame(calls, [])
      }
      t.equal((await client.get('/me')).statusCode, 200, 'other routes have the session')
    })
  }
})

test('a hook for all routes can tell which of them have no session', async (t) => {
  const { app } = await hostOf(t, { authenticate: (name) => ({ name }) })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-user', request.routeOptions.config.session === false ? 'unknown' : String(request.user?.name))
  })
  app.get('/off', { config: { session: false } }, async () => 'fast')
  const client = new Client(app)
  await signIn(client, 'Harry', PASSWORD)
  for (const [url, user] of [['/off', 'unknown'], ['/me', 'Harry']] as const) t.equal((await client.get(url)).headers['x-user'], user)
  t.match(new SessionOffError().message, 'request.routeOptions.config.session')
})

test('a password can be checked on a route without a session', async (t) => {
  const { app } = await hostOf(t, { authenticate: (name, password) => password === PASSWORD ? { name } : null })
  app.post<{ Body: { name: string, password: string } }>('/check', { config: { session: false } }, async (request) => ({ user: await request.authenticate(request.body.name, request.body.password) }))
  t.strictSame((await signIn(new Client(app), 'Harry', PASSWORD, '/check')).json(), { user: { name: 'Harry' } })
  t.strictSame((await signIn(new Client(app), 'Harry', 'wrong', '/check')).json(), { user: null })
})

test('session.handle is the handle of the log, the events and app.sessions, and never the ID', async (t) => {
  for (const sync of [true, false]) {
    const { app } = await hostOf(t, { authenticate: (name) => ({ name }), sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })
    app.get('/handle', async ({ session }) => ({ handle: session.handle ?? null, isId: session.handle === session.sessionId }))
    app.post('/new', async ({ session }) => {
      const before = session.handle
      await session.save()
      ;(session as unknown as { a: number }).a = 1
      await session.save()
      const stored = session.handle
      await session.regenerate(['a'])
      return { before: before ?? null, stored, renewed: session.handle }
    })
    const client = new Client(app)
    t.strictSame((await client.get('/handle')).json(), { handle: null, isId: false })
    await signIn(client, 'Harry', PASSWORD)
    const { handle } = (await client.get('/handle')).json<{ handle: string }>()
    t.equal(handle, (await app.sessions.ofUser('Harry'))[0]?.handle)
    t.equal(await app.sessions.revoke('Harry', handle), true)
    const renewals: unknown[] = []
    app.sessions.on('renewed', ({ handle, previous }) => { renewals.push(previous, handle) })
    const { before, stored, renewed } = (await new Client(app).send({ method: 'POST', url: '/new' })).json()
    t.equal(before, null)
    t.strictSame(renewals, [stored, renewed])
  }
})

test('handle cannot be a key, and a stored value with that name does no harm', async (t) => {
  const store = openStore(t, 'memory:')
  const { app } = await hostOf(t, { authenticate: (name) => ({ name }), sessionStore: store })
  app.get('/values', async ({ session }) => ({ keys: session.keys(), has: session.has('handle'), got: session.get('handle' as never) ?? null, json: JSON.stringify(session), handle: session.handle }))
  app.post('/a', async ({ session }) => { (session as unknown as { a: number }).a = 1 })
  app.post('/regenerate', async ({ session }) => { await session.regenerate(['client_name', 'handle' as never]) })
  app.post('/handle', async ({ session }) => { Object.assign(session, { handle: 'mine' }) })
  const client = new Client(app)
  await signIn(client, 'Harry', PASSWORD)
  const refused = await client.send({ method: 'POST', url: '/handle' })
  t.equal(refused.json().code, 'HATCHECK_SESSION_KEY')
  const { handle } = (await client.get('/values')).json()
  let key = ''
  const { read } = store
  store.read = ((asked: string) => { key = asked; return read.call(store, asked) }) as never
  await client.get('/me')
  const record = await store.read(key)
  await store.patch(key, { set: { handle: '"mine"' }, remove: [], seenAt: record?.seenAt ?? 0, expiresAt: record?.expiresAt ?? 0 } as never)
  t.equal((await store.read(key))?.fields['handle'], '"mine"')
  const values = (await client.get('/values')).json()
  t.equal(values.handle, handle)
  t.strictSame({ has: values.has, got: values.got }, { has: false, got: null })
  t.notMatch(values.json, 'mine')
  t.notOk(values.keys.includes('handle'))
  for (const url of ['/a', '/regenerate']) t.equal((await client.send({ method: 'POST', url })).statusCode, 200)
  t.strictSame((await client.get('/me')).json(), { name: 'Harry' })
})

test('on a route outside hatcheck, each function throws an error with its name', async (t) => {
  const app = newFastify(t)
  app.post('/form', { onRequest: refuseCrossOrigin }, async () => 'done')
  app.get('/next', async (request) => nextPageOf(request))
  for (const [method, url, name] of [['POST', '/form', 'refuseCrossOrigin'], ['GET', '/next', 'nextPageOf']] as const) {
    const answer = await app.inject({ method, url })
    t.equal(answer.statusCode, 500)
    t.match(answer.json(), { code: 'HATCHECK_NOT_REGISTERED', message: new RegExp(`^${name} needs hatcheck`) })
  }
})

test('the application of docs/own-login.md is the example, and works as it stands', async (t) => {
  const [app = '', users = '', page = '', socket = '', svg = ''] = blocksOf(pageAt('docs/own-login.md'), 'js')
  const files = { 'app.js': app, 'users.js': users, 'page.js': page }
  for (const [name, block] of Object.entries(files)) t.equal(block, pageAt(`examples/own-login/${name}`), name)
  const folder = t.testdir({ ...files, 'app.js': app.replace('\nawait app.listen', `\n${socket}\n${svg}\nawait app.listen`) })
  const { address, stop } = await startProgram(process.execPath, ['app.js'], folder, { SECRET_KEY: testKey, PORT: '0' })
  const client = new Client(address)
  t.equal((await client.get('/account', AS_BROWSER)).headers['location'], '/sign-in?next=%2Faccount')
  t.match((await client.get('/sign-in?next=%2Faccount%3Fa%3D1')).body, 'name="next" value="/account?a=1"')
  const wrong = await client.post('/sign-in', { name: 'Harry', password: 'a wrong password' })
  t.equal(wrong.statusCode, 401)
  t.match(wrong.body, '<p role="alert">The name or the password is wrong.</p>')
  t.equal((await client.post('/sign-in', { name: 'Nobody', password: PASSWORD })).statusCode, 401)
  for (const empty of [await client.send({ method: 'POST', url: '/sign-in' }), await client.post('/sign-in', { name: 'Harry', password: '' })]) {
    t.equal(empty.statusCode, 400)
    t.match(empty.body, '<p role="alert">The password is missing.</p>')
  }
  t.equal((await client.post('/sign-in', { name: 'Harry', password: PASSWORD })).headers['location'], '/account')
  t.match((await client.get('/account')).body, 'Hello Harry')
  t.equal((await client.get('/logo.svg')).body, '<svg/>')
  const says = async (headers: Record<string, string>): Promise<unknown> => {
    const live = new WebSocket(address.replace('http', 'ws') + '/live', { headers })
    const [said] = await Promise.race([once(live, 'message'), once(live, 'unexpected-response').then(([, { statusCode }]) => [statusCode])])
    live.terminate()
    return String(said)
  }
  const cookie = client.cookieHeader
  t.equal(await says({ cookie, origin: address }), 'Hello Harry')
  t.equal(await says({ cookie, origin: 'https://evil.example' }), '403')
  t.equal(await says({ origin: address }), '401')
  t.equal((await client.post('/sign-out')).headers['location'], '/sign-in')
  t.equal((await client.get('/account')).statusCode, 401)
  await stop()
})

test('the types say which members exist', async (t) => {
  const options: HatcheckOptions = { secretKey: 'x', loginPath: '/sign-in', afterLogin: '/start', afterLogout: '/' }
  t.ok(options)
})

test('the name of a user of the application can be as long as an address for mail', async (t) => {
  const { app } = await hostOf(t, { authenticate: (name) => ({ name }), routes: true })
  const client = new Client(app)
  const name = `${'h'.repeat(64)}@${'example.'.repeat(22)}com`
  t.equal((await client.send({ method: 'POST', url: '/login', payload: { client_name: name, password: PASSWORD }, headers: { accept: 'application/json' } })).json().user.name, name)
  const page = await client.send({ method: 'POST', url: '/login', payload: { client_name: 'h'.repeat(257), password: PASSWORD }, headers: { accept: 'application/json' } })
  t.match(page.json(), { status: 400, code: 'HATCHECK_NAME', detail: 'A name can have at most 256 characters.' })
})

test('a check that fails ends no process, even if its handler waits for the right password only', async (t) => {
  const { app, events } = await hostOf(t, { authenticate: (name) => ({ name }) })
  const rejections: unknown[] = []
  const note = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => { process.off('unhandledRejection', note) })
  let asked = (): void => {}
  const reached = new Promise<void>((resolve) => { asked = resolve })
  app.get('/then', (request, reply) => {
    request.authenticate('', PASSWORD).then((user) => reply.send(user))
    asked()
  })
  app.inject('/then').catch(() => {})
  await reached
  const seen: string[] = []
  await until('the failure is in the log', () => {
    seen.push(...events())
    return seen.join().includes('authn_login_fail')
  })
  await turn()
  t.strictSame(rejections, [])
})

test('with two checks under way, the answer of one does not decide the other', async (t) => {
  let answer = (): void => {}
  const { app } = await hostOf(t, {
    authenticate: async (name) => {
      if (name === 'Sally') await new Promise<void>((resolve) => { answer = resolve })
      return { name }
    }
  })
  app.get('/two', async (request) => {
    const slow = request.authenticate('Sally', PASSWORD)
    await request.authenticate('Harry', PASSWORD)
    try {
      await request.login('Sally')
    } finally {
      answer()
      await slow
    }
  })
  t.equal((await app.inject('/two')).json().code, 'HATCHECK_NOT_AWAITED')
})

for (const data of [null, undefined, {}]) {
  test(`a user with the data ${JSON.stringify(data)} logs in`, async (t) => {
    const { app } = await hostOf(t, { routes: true, authenticate: async (name) => ({ name, data: data as never }) })
    const form = { method: 'POST', payload: { client_name: 'Harry', name: 'Harry', password: PASSWORD }, headers: { accept: 'application/json' } } as const
    t.equal((await app.inject({ ...form, url: '/login' })).statusCode, 200)
    t.equal((await app.inject({ ...form, url: '/sign-in' })).statusCode, 303)
    t.match(await app.sessions.begin('Harry', { data: data as never }), { handle: /^[\w-]+$/ })
  })
}

for (const thrown of [undefined, null, 'no', 5]) {
  test(`an authenticate that rejects with ${String(thrown)} is an error with a name`, async (t) => {
    const { app, events } = await hostOf(t, { routes: true, authenticate: () => Promise.reject(thrown) })
    const answer = await app.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: PASSWORD }, headers: { accept: 'application/json' } })
    t.equal(answer.statusCode, 500)
    t.equal(answer.json().code, 'HATCHECK_AUTHENTICATE')
    t.match(events().join(), 'authn_login_fail')
  })
}

test('a guard that is called instead of being passed reports the mistake', (t) => {
  const inPlaceOfRequest = [undefined, null, {}, { role: 'admin' }, 'admin', newFastify(t), () => {}]
  for (const [name, guard] of Object.entries({ requireLogin, refuseCrossOrigin })) {
    for (const given of inPlaceOfRequest) {
      t.throws(() => (guard as (given: unknown) => unknown)(given), { code: 'HATCHECK_UNSUPPORTED', message: `${name}() without a request is not supported by hatcheck: pass the function itself, as in { onRequest: ${name} }.` })
    }
  }
  t.end()
})
