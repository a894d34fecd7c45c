import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { visitor, type Visitor } from '../plugins/testing/index.js'
import { bag, type Bag } from './apps/bag.js'
import { Client } from './clients/client.js'
import { buildHost, newFastify, testKey } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'

/** The session as a JavaScript application sees it. */
type Handler = (request: FastifyRequest, session: () => Bag, reply: FastifyReply) => unknown

/** Every way in which a response can depend on a session. */
const touching: Record<string, Handler> = {
  get: (_request, session) => session()['get']('a'),
  'a property': (_request, session) => session()['a'],
  has: (_request, session) => session()['has']('a'),
  in: (_request, session) => 'a' in session(),
  keys: (_request, session) => session()['keys'](),
  'Object.keys': (_request, session) => Object.keys(session()),
  spread: (_request, session) => ({ ...session() }),
  pop: (_request, session) => session()['pop']('none', null),
  user: (request) => request.user,
  'the session alone': (request) => { if (request.session === null) throw new Error('no session') },
  id: (_request, session) => session()['sessionId'],
  isSaved: (_request, session) => session()['isSaved'](),
  touch: (_request, session) => session()['touch'](),
  reload: (_request, session) => session()['reload'](),
  set: (_request, session) => { session()['b'] = 1 },
  delete: (_request, session) => delete session()['a'],
  permanent: (_request, session) => { session()['permanent'] = true },
  save: async (_request, session) => {
    session()['c'] = 1
    await session()['save']()
  },
  regenerate: (_request, session) => session()['regenerate'](['client_name']),
  login: (request) => request.login('Harry'),
  'requireLogin, refusing': (request, _session, reply) => request.server.requireLogin(request, reply),
  logout: (request) => request.logout(),
  destroy: (_request, session) => session()['destroy']()
}

const untouching: Record<string, Handler> = {
  nothing: () => {},
  'the cookie header': (request) => request.headers.cookie,
  'asking whether there is a decorator': (request) => 'session' in request && 'user' in request
}

/** An application with a route for each of these. */
async function host (t: Test, handlers: Record<string, Handler>, options: HatcheckOptions = {}, headers: Record<string, string> = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options)
  fastify.get<{ Params: { name: string } }>('/run/:name', async (request, reply) => {
    reply.headers(headers)
    await handlers[request.params.name]?.(request, () => bag(request), reply)
    return 'done'
  })
  fastify.get<{ Params: { name: string } }>('/fail/:name', async (request) => {
    await handlers[request.params.name]?.(request, () => bag(request), {} as FastifyReply)
    throw new Error('after that')
  })
  return fastify
}

async function visitors (fastify: FastifyInstance): Promise<Visitor[]> {
  return [await visitor(fastify).login('Harry', { a: 1 } as object), visitor(fastify)]
}

for (const sync of [true, false]) {
  test(`a response that depends on the session has Vary and Cache-Control, with ${sync ? 'a sync' : 'an async'} store`, async (t) => {
    const fastify = await host(t, { ...touching, ...untouching }, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })
    for (const name of Object.keys(touching)) {
      for (const client of await visitors(fastify)) {
        const who = await client.isLoggedIn() ? 'logged in' : 'anonymous'
        for (const way of ['run', 'fail']) {
          const { headers } = await client.inject(`/${way}/${encodeURIComponent(name)}`)
          t.equal(headers.vary, 'Cookie', `${name}, ${who}, ${way}`)
          t.equal(headers['cache-control'], 'no-store')
        }
      }
    }
    for (const name of Object.keys(untouching)) {
      for (const client of await visitors(fastify)) {
        for (const way of ['run', 'fail']) {
          const { headers } = await client.inject(`/${way}/${encodeURIComponent(name)}`)
          t.equal(headers.vary, undefined, name)
          t.equal(headers['cache-control'], undefined)
          t.equal(headers['set-cookie'], undefined)
        }
      }
    }
  })
}

test('an error of the session itself has Vary and Cache-Control as well', async (t) => {
  const fastify = await host(t, {
    big: (_request, session) => { session()['big'] = 'x'.repeat(20_000) },
    key: (_request, session) => { session()['destroy'] = 1 },
    value: (_request, session) => { session()['a'] = 1n }
  })
  for (const [name, status] of [['big', 413], ['key', 500], ['value', 500]] as const) {
    const { statusCode, headers } = await new Client(fastify).get(`/run/${name}`)
    t.equal(statusCode, status)
    t.equal(headers.vary, 'Cookie')
    t.equal(headers['cache-control'], 'no-store')
  }
})

test('a hook or a redirect that reads the session makes the response depend on it', async (t) => {
  const fastify = await host(t, {})
  fastify.addHook('onRequest', async (request) => { if (request.user?.name === 'Mallory') throw new Error('no') })
  fastify.get('/late', async () => 'late')
  const { headers, statusCode } = await new Client(fastify).get('/late')
  t.equal(statusCode, 200)
  t.equal(headers.vary, 'Cookie')
  const redirect = await host(t, { away: (request, _session, reply) => request.user === null ? reply.redirect('/elsewhere') : null })
  const { headers: away, statusCode: found } = await new Client(redirect).get('/run/away')
  t.equal(found, 302)
  t.match(away, { vary: 'Cookie', 'cache-control': 'no-store', location: '/elsewhere' })
})

test('a hook before those of hatcheck that reads the session makes a Web Response depend on it, its own as well', async (t) => {
  const asks: Record<string, (request: FastifyRequest) => unknown> = { user: ({ user }) => user, session: ({ session }) => session.get('client_name') }
  const page = (): Response => new Response('page', { headers: { 'cache-control': 'public, max-age=60', vary: 'Accept' } })
  for (const [what, ask] of Object.entries(asks)) {
    const fastify = newFastify(t)
    fastify.addHook('onRequest', async (request, reply) => {
      ask(request)
      if (request.url === '/hook') await reply.send(page())
    })
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey })
    fastify.get('/handler', async () => page())
    fastify.get('/hook', async () => 'not this')
    for (const url of ['/handler', '/hook']) {
      t.match(await fastify.inject(url), { body: 'page', headers: { vary: 'Accept, Cookie', 'cache-control': 'no-store' } }, `${what}, ${url}`)
    }
  }
})

test('a hook of the application lets no cache keep a page of hatcheck or a refusal', async (t) => {
  const publish = async (_request: FastifyRequest, reply: FastifyReply): Promise<void> => { reply.header('cache-control', 'public, max-age=60').removeHeader('vary') }
  for (const when of ['before', 'after']) {
    const fastify = newFastify(t)
    if (when === 'before') fastify.addHook('onSend', publish)
    await fastify.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: true })
    if (when === 'after') fastify.addHook('onSend', publish)
    for (const accept of ['text/html', 'application/json']) {
      for (const [method, url, headers, status] of [
        ['GET', '/login', {}, 200], ['GET', '/sessions', {}, accept === 'text/html' ? 303 : 401], ['POST', '/login', {}, 400], ['GET', '/login', { host: 'a b' }, 400],
        ['POST', '/logout', { 'sec-fetch-site': 'cross-site' }, 403], ['POST', '/login', { 'content-type': 'text/plain' }, 415]
      ] as const) {
        const response = await fastify.inject({ method, url, headers: { accept, ...headers }, ...status === 415 && { payload: 'x' } })
        const what = `${when}: ${method} ${url}, ${status}, ${accept}`
        t.equal(response.statusCode, status, what)
        t.equal(response.headers['cache-control'], 'no-store', what)
        t.match(response.headers.vary, /Cookie/, what)
      }
    }
  }
})

test('Vary and Cache-Control of the application are kept if they are as strict', async (t) => {
  const cases: Array<[Record<string, string>, string, string]> = [
    [{ vary: 'Accept' }, 'Accept, Cookie', 'no-store'],
    [{ vary: 'Accept, Origin' }, 'Accept, Origin, Cookie', 'no-store'],
    [{ vary: 'Cookie' }, 'Cookie', 'no-store'],
    [{ vary: 'accept,COOKIE' }, 'accept,COOKIE', 'no-store'],
    [{ vary: 'Cookie-Consent' }, 'Cookie-Consent, Cookie', 'no-store'],
    [{ vary: 'X-Cookie' }, 'X-Cookie, Cookie', 'no-store'],
    [{ vary: '*' }, '*', 'no-store'],
    [{ 'cache-control': 'private' }, 'Cookie', 'private'],
    [{ 'cache-control': 'private, max-age=60' }, 'Cookie', 'private, max-age=60'],
    [{ 'cache-control': 'no-store, no-transform' }, 'Cookie', 'no-store, no-transform'],
    [{ 'cache-control': 'public' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'public, max-age=3600' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'max-age=3600' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'no-cache' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'no-cache, No-Transform' }, 'Cookie', 'no-store, no-transform'],
    [{ 'cache-control': 'public, max-age=60, x-no-transform' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'public, stale-while-revalidate=5' }, 'Cookie', 'no-store'],
    [{ 'cache-control': 'public, private="x-mine"' }, 'Cookie', 'no-store']
  ]
  for (const [given, vary, cacheControl] of cases) {
    await t.test(JSON.stringify(given), async (t) => {
      const { headers } = await new Client(await host(t, touching, {}, given)).get('/run/user')
      t.equal(headers.vary, vary)
      t.equal(headers['cache-control'], cacheControl)
      const untouched = await new Client(await host(t, untouching, {}, given)).get('/run/nothing')
      t.match(untouched.headers, given, 'and left alone on a response without a session')
    })
  }
})

test('a header for some caches alone is replaced unless it is as strict', async (t) => {
  const names = ['CDN-Cache-Control', 'Netlify-CDN-Cache-Control', 'Surrogate-Control', 'Edge-Control']
  const cases: Array<[name: string, given: string, sent: string]> = [
    ...names.flatMap((name): typeof cases => [[name, 'max-age=60', 'no-store'], [name, 'max-age=60, no-transform', 'no-store, no-transform'], [name, 'private', 'private']]),
    // It is a number, and nginx ignores any other text.
    ['X-Accel-Expires', '60', '0']
  ]
  for (const [name, given, sent] of cases) {
    const { headers } = await new Client(await host(t, touching, {}, { [name]: given, 'cache-control': 'private' })).get('/run/user')
    t.strictSame([headers[name.toLowerCase()], headers['cache-control'], headers.vary], [sent, 'private', 'Cookie'], `${name}: ${given}`)
  }
})

test('several Vary headers are kept', async (t) => {
  const fastify = await host(t, {
    list: (request, _session, reply) => {
      reply.header('vary', ['Accept', 'Origin'])
      return request.user
    }
  })
  t.match((await new Client(fastify).get('/run/list')).headers.vary, /^Accept, ?Origin, Cookie$/)
})

test('a cookie of the application is sent beside the session cookie', async (t) => {
  const fastify = await host(t, {
    both: (_request, session, reply) => {
      reply.header('set-cookie', 'theirs=1')
      session()['a'] = 1
    }
  })
  const { headers } = await new Client(fastify).get('/run/both')
  t.match(headers['set-cookie'], ['theirs=1', /^hatcheck=/])
})
