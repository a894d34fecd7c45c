import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { t } from 'tap'
import { hatcheck, requireLogin, type HatcheckOptions } from '../app.js'
import { DECORATIONS } from '../plugins/common/decorators.js'
import { hatcheckSession } from '../plugins/session/standalone.js'
import type { Bag } from './apps/bag.js'
import { Client } from './clients/client.js'
import { buildHost, newFastify, testKey } from './helper.js'

const RIGHT = 'correct horse battery'
const names = Object.keys(DECORATIONS)
const ofInstance = Object.entries(DECORATIONS).filter(([, owner]) => owner === 'instance').map(([name]) => name)

const leftOut = Object.fromEntries(names.map((name) => [name, false]))
const renamed = Object.fromEntries(names.map((name) => [name, `our_${name}`]))

const hasName = (app: FastifyInstance, name: string): boolean => ofInstance.includes(name.replace('our_', '')) ? app.hasDecorator(name) : app.hasRequestDecorator(name)

t.test('without the option, the names are the default names', async (t) => {
  for (const options of [{}, { decorators: undefined }, { decorators: {} }, { decorators: { user: undefined } as object }]) {
    const app = await buildHost(t, options)
    for (const name of names) t.ok(hasName(app, name), name)
  }
})

t.test('a decoration is left out or has another name', async (t) => {
  const [without, other] = [await buildHost(t, { decorators: leftOut }), await buildHost(t, { decorators: renamed })]
  for (const name of names) {
    t.notOk(hasName(without, name), name)
    t.notOk(hasName(other, name), name)
    t.ok(hasName(other, `our_${name}`), name)
  }
  const app = await buildHost(t, { decorators: { user: 'account', login: false } })
  for (const name of names) t.equal(hasName(app, name), name !== 'user' && name !== 'login', name)
  t.ok(hasName(app, 'account'))
  t.ok(app.hasRequestDecorator('session') && app.hasRequestDecorator('loadSession') && app.hasDecorator('sessions'))
})

t.test('a renamed decoration does what it did', async (t) => {
  const app = await buildHost(t, { decorators: renamed })
  app.post('/in', async (request) => { await (request as unknown as Bag)['our_login']('Harry', { permanent: true }) })
  app.post('/out', async (request) => { await (request as unknown as Bag)['our_logout']() })
  app.get('/', async (request) => [(request as unknown as Bag)['our_user']?.name ?? null, 'user' in request])
  app.get('/mine', { onRequest: requireLogin }, async () => 'mine')
  app.get('/mine-too', { onRequest: (app as unknown as Bag)['our_requireLogin'] }, async () => 'mine')
  app.get('/flash', async (request) => {
    (request as unknown as Bag)['our_flash']('info', 'saved')
    return await (request as unknown as Bag)['our_flashes']()
  })
  app.get('/set', async (request) => Object.assign(request, { our_user: 'Sally' }))
  const client = new Client(app)
  t.same((await client.get('/')).json(), [null, false])
  for (const url of ['/mine', '/mine-too']) t.equal((await client.get(url)).statusCode, 401)
  await client.send({ method: 'POST', url: '/in' })
  t.same((await client.get('/')).json(), ['Harry', false])
  for (const url of ['/mine', '/mine-too']) t.equal((await client.get(url)).body, 'mine')
  t.same((await client.get('/flash')).json(), [{ kind: 'info', text: 'saved' }])
  t.match((await client.get('/set')).json(), { code: 'HATCHECK_UNSUPPORTED', message: 'request.our_user = … is not supported by hatcheck: use request.our_login() and request.our_logout().' })
  await client.send({ method: 'POST', url: '/out' })
  t.same((await client.get('/')).json(), [null, false])
  await (app as unknown as Bag)['our_accounts'].add('Harry', RIGHT)
  t.match(await (app as unknown as Bag)['our_accounts'].list(), [{ name: 'Harry' }])
})

t.test('assigning to the user says what changes it, whatever is left out', async (t) => {
  for (const [decorators, rule] of [
    [{ logout: false }, 'use request.login().'],
    [{ login: false, logout: 'leave' }, 'use request.leave().'],
    [{ login: false, logout: false }, 'only a login or a logout changes it.']
  ] as const) {
    const app = await buildHost(t, { decorators })
    app.get('/', async (request) => Object.assign(request, { user: null }))
    t.match((await app.inject('/')).json(), { code: 'HATCHECK_UNSUPPORTED', message: `request.user = … is not supported by hatcheck: ${rule}` })
  }
})

t.test('the pages work under any names', async (t) => {
  for (const [what, decorators] of Object.entries({ default: {}, 'left out': leftOut, renamed, 'mixed up': { user: 'login', login: 'user', logout: 'flash', flash: 'logout' } })) {
    await t.test(what, async (t) => {
      const app = await buildHost(t, { routes: true, prefix: '/auth', decorators })
      app.get('/mine', { onRequest: requireLogin }, async () => 'mine')
      await app.hatcheck.accounts?.add('Harry', RIGHT)
      const [client, beside] = [new Client(app), new Client(app)]
      const page = { accept: 'text/html' }
      const json = { accept: 'application/json' }
      t.match(await client.get('/mine', page), { statusCode: 303, headers: { location: '/auth/login?next=%2Fmine' } })
      t.equal((await client.get('/auth/verify', json)).statusCode, 401)
      for (const visitor of [client, beside]) {
        t.match((await visitor.post('/auth/login', { client_name: 'Harry', password: RIGHT }, json)).json(), { user: { name: 'Harry', authenticatedAt: /^20/ } })
      }
      t.ok([...client.cookies.keys()].some((name) => name !== 'hatcheck'), 'the browser is a known device')
      t.equal((await client.get('/mine')).body, 'mine')
      t.match(await client.get('/auth/verify'), { statusCode: 204, headers: { 'remote-user': 'Harry' } })
      t.match((await client.get('/auth/', json)).json(), { user: { name: 'Harry' } })
      t.match((await client.get('/auth/', page)).body, /Harry.*Change your password/s)
      t.equal((await client.get('/auth/login', page)).statusCode, 303)
      t.equal((await client.get('/auth/sessions', json)).json().total, 2)
      t.match((await client.post('/auth/password', { current_password: RIGHT, new_password: `${RIGHT} staple`, new_password_again: `${RIGHT} staple` }, json)).json(), { ended: 1 })
      t.equal((await beside.get('/mine', json)).statusCode, 401)
      const { sessions } = (await client.get('/auth/sessions', json)).json()
      t.equal((await client.post('/auth/sessions', { handle: sessions[0].handle }, page)).headers['location'], '/auth/')
      t.match((await client.get('/auth/', json)).json(), { user: null })
      await client.post('/auth/login', { client_name: 'Harry', password: `${RIGHT} staple` })
      t.match((await client.post('/auth/logout', {}, json)).json(), { user: null })
      t.equal((await client.get('/mine', json)).statusCode, 401)
    })
  }
})

t.test('a wrong option is refused with the rule', async (t) => {
  const rule = "decorators must be an object of names, such as { user: 'account', login: false }; false leaves a name out; "
  const cases: Array<[unknown, string]> = [
    [null, `${rule}got null.`],
    [false, `${rule}got false.`],
    ['account', `${rule}got "account".`],
    [['user'], `${rule}got [ 'user' ].`],
    [{ session: 'visit' }, `${rule}there is no "session" among ${names.join(', ')}.`],
    [{ constructor: 'x' }, `${rule}there is no "constructor" among ${names.join(', ')}.`],
    [{ user: true }, `${rule}got true for user.`],
    [{ user: '' }, `${rule}got "" for user.`],
    [{ user: 'the user' }, `${rule}got "the user" for user.`],
    [{ user: 'login' }, 'decorators must have different names for what is on one request; "login" is there twice.'],
    [{ flash: 'session' }, 'decorators must have different names for what is on one request; "session" is there twice.'],
    [{ accounts: 'sessions' }, 'decorators must have different names for what is on one instance; "sessions" is there twice.'],
    [{ user: 'headers' }, "request.headers is taken twice, by hatcheck and by another plugin or Fastify. Rename it in the options of hatcheck (decorators: { user: '…' })"],
    [{ user: '__proto__' }, 'request.__proto__ is taken twice, '],
    [{ accounts: 'register' }, "fastify.register is taken twice, by hatcheck and by another plugin or Fastify. Rename it in the options of hatcheck (decorators: { accounts: '…' })"]
  ]
  for (const [decorators, message] of cases) {
    const app = newFastify(t)
    app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', decorators } as HatcheckOptions)
    const error: Bag = await app.ready().then(() => ({}), (error: unknown) => error as Bag)
    t.equal(error['code'], 'HATCHECK_CONFIG')
    t.ok(String(error['message']).startsWith(message), error['message'])
  }
  const app = await buildHost(t, { decorators: { user: 'accounts', accounts: 'user' } })
  t.ok(app.hasRequestDecorator('accounts') && app.hasDecorator('user'), 'a request and the instance can have the same name')
})

t.test('a name that another plugin also takes is refused; if hatcheck comes second, the error names the entry of the option', async (t) => {
  for (const name of names) {
    for (const [given, taken] of [[undefined, name], ['ours', 'ours']] as const) {
      const other = fp(async (scope: FastifyInstance) => {
        if (ofInstance.includes(name)) scope.decorate(taken, null)
        else scope.decorateRequest(taken, null)
      })
      const build = (...order: Array<'hatcheck' | 'the other'>): FastifyInstance => {
        const app = newFastify(t)
        for (const plugin of order) {
          if (plugin === 'the other') app.register(other)
          else app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', decorators: { [name]: given } } as HatcheckOptions)
        }
        return app
      }
      await t.rejects(async () => { await build('the other', 'hatcheck').ready() }, {
        code: 'HATCHECK_CONFIG',
        message: `${ofInstance.includes(name) ? 'fastify' : 'request'}.${taken} is taken twice, by hatcheck and by another plugin or Fastify. ` +
          `Rename it in the options of hatcheck (decorators: { ${name}: '…' }), or leave it out (decorators: { ${name}: false }). docs/other-plugins.md has the names beside @fastify/passport and others.`
      }, `${taken} before hatcheck`)
      await t.rejects(async () => { await build('hatcheck', 'the other').ready() }, {
        code: 'FST_ERR_DEC_ALREADY_PRESENT',
        message: `The decorator '${taken}' has already been added!`
      }, `${taken} after hatcheck`)
    }
  }
})

t.test('a name without which hatcheck cannot work is refused at once, and named', async (t) => {
  const taken: Record<string, (app: FastifyInstance) => unknown> = {
    'request.session': (app) => app.decorateRequest('session', null as never),
    'request.loadSession': (app) => app.decorateRequest('loadSession', null as never),
    'fastify.sessions': (app) => app.decorate('sessions', {} as never),
    'fastify.hatcheck': (app) => app.decorate('hatcheck', null as never),
    'request.cookies': (app) => app.decorateRequest('cookies', null as never),
    'reply.setCookie': (app) => app.decorateReply('setCookie', null as never),
    'reply.cookie': (app) => app.decorateReply('cookie', null as never),
    'reply.clearCookie': (app) => app.decorateReply('clearCookie', null as never),
    'fastify.parseCookie': (app) => app.decorate('parseCookie', (() => {}) as never),
    'fastify.serializeCookie': (app) => app.decorate('serializeCookie', (() => {}) as never)
  }
  for (const [name, take] of Object.entries(taken)) {
    for (const plugin of [hatcheck, hatcheckSession]) {
      const app = newFastify(t)
      take(app)
      const registered = async (): Promise<void> => { await app.register(plugin, { secretKey: testKey, sessionStore: 'memory:' } as never) }
      if (name === 'fastify.hatcheck' && plugin === hatcheckSession) await t.resolves(registered, 'hatcheck/session does not need it')
      else await t.rejects(registered, { code: 'HATCHECK_CONFIG', message: `${name} is taken by another plugin, and hatcheck ` }, name)
    }
  }
  const app = newFastify(t)
  await app.register(fastifyCookie)
  await t.resolves(async () => { await app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:' }) }, '@fastify/cookie is no stranger')
})

t.test('two registrations beside each other have names of their own', async (t) => {
  const app = newFastify(t)
  for (const user of ['reader', 'writer']) {
    app.register(async (scope) => {
      await scope.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', decorators: { user } } as HatcheckOptions)
      scope.get(`/${user}`, async (request) => ['user', 'reader', 'writer'].filter((name) => name in request))
    })
  }
  for (const user of ['reader', 'writer']) t.same((await app.inject(`/${user}`)).json(), [user])
})
