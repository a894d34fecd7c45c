import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { flashesOf, type Flash } from '../plugins/session/request/flash-messages.js'
import { OWN_PREFIX } from '../plugins/store/identity.js'
import { bag } from './apps/bag.js'
import { Client, type Answer } from './clients/client.js'
import { buildHost, needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore, watched } from './stores/watched-store.js'

async function host (t: Test, options: HatcheckOptions): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options)
  fastify.post<{ Body: Flash }>('/leave', async (request) => { request.flash(request.body.kind, request.body.text) })
  fastify.get('/take', async (request) => await request.flashes())
  fastify.get('/look', async (request) => ({ user: request.user?.name ?? null, keys: request.session.keys(), data: { ...request.session } }))
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => { await request.login(request.params.name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  return fastify
}

function leave (client: Client, kind: string, text: string): Promise<Answer> {
  return client.send({ method: 'POST', url: '/leave', payload: { kind, text } })
}

async function taken (client: Client): Promise<Flash[]> {
  return (await client.get('/take')).json()
}

async function promises (t: Test, options: HatcheckOptions): Promise<void> {
  const fastify = await host(t, options)

  t.test('a message is shown once, on the next page that asks for messages', async (t) => {
    const client = new Client(fastify)
    t.strictSame(await taken(client), [])
    t.equal(client.cookieHeader, '', 'reading messages begins no session')
    await leave(client, 'info', 'one')
    await leave(client, 'error', '<b>two</b> & ünïcode \ud83d\ude00')
    t.strictSame((await client.get('/look')).json(), { user: null, keys: [], data: {} }, 'it is no value of the session')
    t.strictSame(await taken(client), [{ kind: 'info', text: 'one' }, { kind: 'error', text: '<b>two</b> & ünïcode \ud83d\ude00' }], 'in the order in which they were left')
    t.strictSame(await taken(client), [])
  })

  t.test('of many simultaneous requests, each message is shown by one', async (t) => {
    const client = new Client(fastify)
    await leave(client, 'info', 'first')
    const texts = Array.from({ length: 60 }, (_, i) => `text ${i}`)
    const shown: string[] = []
    await Promise.all(texts.map(async (text) => {
      await leave(client, 'info', text)
      for (const { text } of await taken(client)) shown.push(text)
    }))
    for (const { text } of await taken(client)) shown.push(text)
    t.strictSame(shown.sort(), ['first', ...texts].sort())
  })

  t.test('a message survives a login and ends with a logout', async (t) => {
    const client = new Client(fastify)
    await leave(client, 'info', 'before the login')
    await client.send({ method: 'POST', url: '/login/Harry' })
    await leave(client, 'info', 'after the login')
    t.strictSame((await taken(client)).map(({ text }) => text), ['before the login', 'after the login'])
    await leave(client, 'info', 'of Harry')
    await client.send({ method: 'POST', url: '/login/Sally' })
    t.strictSame(await taken(client), [], 'a message for Harry is not shown to Sally')
    await leave(client, 'info', 'of Sally')
    await client.send({ method: 'POST', url: '/logout' })
    t.strictSame(await taken(client), [])
  })
}

test('flash messages with the memory store', async (t) => { await promises(t, {}) })

test('flash messages with LMDB', async (t) => { await promises(t, { sessionStore: openStore(t, 'lmdb:') }) })

test('flash messages with Redis', needs('redis-server'), async (t) => {
  await promises(t, { sessionStore: (await startRedis(t)).url })
})

/** One request whose handler does what the test wants. */
async function once (t: Test, handler: (request: FastifyRequest) => Promise<unknown>, client?: Client): Promise<{ client: Client, body: string, status: number }> {
  const fastify = await host(t, {})
  fastify.get('/once', handler)
  const visitor = client ?? new Client(fastify)
  const { body, statusCode } = await visitor.get('/once')
  return { client: visitor, body, status: statusCode }
}

test('a request can show a message that it left itself', async (t) => {
  const { client, body } = await once(t, async (request) => {
    request.flash('info', 'a')
    request.flash('info', 'b')
    const shown = await request.flashes()
    request.flash('info', 'c')
    return shown
  })
  t.strictSame(JSON.parse(body), [{ kind: 'info', text: 'a' }, { kind: 'info', text: 'b' }])
  t.strictSame(await taken(client), [{ kind: 'info', text: 'c' }])
})

test('a request that reads its messages twice gets the same ones, and can read them by kind', async (t) => {
  for (const sync of [true, false]) {
    const fastify = await buildHost(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })
    fastify.post('/leave', async (request) => {
      request.flash('info', 'one')
      request.flash('error', 'two')
      request.flash('warning', 'three')
    })
    const texts = (flashes: Array<{ text: string }>): string[] => flashes.map(({ text }) => text)
    fastify.get('/take', async (request) => {
      const first = texts(await request.flashes('error'))
      const [all, again, two, none] = await Promise.all([request.flashes(), request.flashes(), request.flashes('info', 'error'), request.flashes('success')])
      return [first, texts(all), texts(again), texts(two), texts(none)]
    })
    const client = new Client(fastify)
    await client.send({ method: 'POST', url: '/leave' })
    const all = ['one', 'two', 'three']
    t.strictSame((await client.get('/take')).json(), [['two'], all, all, ['one', 'two'], []])
    t.strictSame((await client.get('/take')).json(), [[], [], [], [], []], 'the next request gets none, of whatever kind')
  }
})

test('messages work together with every other change of a session in one request', async (t) => {
  const cases: Record<string, [(request: FastifyRequest) => Promise<unknown>, string[]]> = {
    'before a login': [async (request) => {
      request.flash('info', 'hello')
      await request.login('Harry')
    }, ['hello']],
    'after a login': [async (request) => {
      await request.login('Harry')
      request.flash('info', 'hello')
    }, ['hello']],
    'before a logout': [async (request) => {
      request.flash('info', 'gone')
      await request.logout()
    }, []],
    'after a logout': [async (request) => {
      await request.logout()
      request.flash('info', 'bye')
    }, ['bye']],
    'before a new id without data': [async (request) => {
      request.flash('info', 'gone')
      await request.session.regenerate()
    }, []],
    'after a new id': [async (request) => {
      await request.session.regenerate()
      request.flash('info', 'hello')
    }, ['hello']],
    'with save()': [async (request) => {
      request.flash('info', 'one')
      await request.session.save()
      request.flash('info', 'two')
    }, ['one', 'two']],
    'with values that change': [async (request) => {
      bag(request)['a'] = 1
      request.flash('info', 'hello')
      request.session.clear()
    }, ['hello']],
    'before a reload': [async (request) => {
      request.flash('info', 'gone')
      await request.session.reload()
    }, []]
  }
  for (const [what, [handler, expected]] of Object.entries(cases)) {
    const { client, status } = await once(t, handler)
    t.equal(status, 200, what)
    t.strictSame((await taken(client)).map(({ text }) => text), expected, what)
  }
})

test('changes of values leave the messages unchanged', async (t) => {
  const fastify = await host(t, {})
  fastify.get('/change', async (request) => {
    Object.assign(request.session, { a: 1 })
    request.session.clear()
    Object.assign(request.session, { b: 2 })
    await request.session.save()
    Object.assign(request.session, { c: 3 })
  })
  const client = new Client(fastify)
  await leave(client, 'info', 'stays')
  await client.get('/change')
  t.strictSame((await client.get('/look')).json().data, { b: 2, c: 3 })
  t.strictSame(await taken(client), [{ kind: 'info', text: 'stays' }])
})

test('messages come oldest first, in whatever order the store returns its fields', (t) => {
  const field = (order: number): string => `${OWN_PREFIX}flash:${String(order).padStart(9, '0')}`
  const fields = Object.fromEntries([2, 10, 1, 3].map((order) => [field(order), JSON.stringify(['info', String(order)])]))
  t.strictSame(flashesOf({ ...fields, client_name: '"Harry"' }).map(({ text }) => text), ['1', '2', '3', '10'])
  t.end()
})

test('an invalid message is refused with a named error', async (t) => {
  const fastify = await host(t, {})
  for (const [kind, text] of [['', 'a'], [1, 'a'], ['a', undefined], ['a', { html: true }], [undefined, undefined]]) {
    const response = await fastify.inject({ method: 'POST', url: '/leave', payload: { kind, text } })
    t.equal(response.statusCode, 500)
    t.match(response.json(), { code: 'HATCHECK_FLASH', message: 'A flash message needs a kind and a text, both strings; the kind must not be empty.' })
    t.equal(response.headers['set-cookie'], undefined)
  }
})

test('kinds that are not text are refused with a named error, and no message is lost', async (t) => {
  const fastify = await host(t, {})
  const odd = [[['info']], [undefined], ['info', 1], [null], [{ kind: 'info' }]] as unknown as string[][]
  fastify.get<{ Params: { at: string } }>('/odd/:at', async (request) => await request.flashes(...odd[Number(request.params.at)] ?? []))
  for (const at of odd.keys()) {
    const client = new Client(fastify)
    await leave(client, 'info', 'hello')
    const response = await client.get(`/odd/${at}`)
    t.equal(response.statusCode, 500)
    t.match(response.json(), { code: 'HATCHECK_FLASH', message: 'The kinds of flash messages must be strings, as in request.flashes("info", "error").' })
    t.strictSame(await taken(client), [{ kind: 'info', text: 'hello' }])
  }
})

test('with the store down, messages are neither shown nor lost', async (t) => {
  const { store, down, up } = breakable(openStore(t, 'memory:'))
  const fastify = await host(t, { sessionStore: store })
  const client = new Client(fastify)
  await leave(client, 'info', 'later')
  down('take')
  t.equal((await client.get('/take')).statusCode, 503)
  up()
  t.strictSame(await taken(client), [{ kind: 'info', text: 'later' }])
})
