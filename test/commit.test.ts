import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { test } from 'tap'
import type { SessionStore } from '../plugins/store/sessions.js'
import { logInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { buildHost, gate, turn } from './helper.js'
import { breakable, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const valuesOf = ({ session }: FastifyRequest): Record<string, unknown> => session as unknown as Record<string, unknown>

test('a synchronous store has the change before reply.send returns', async (t) => {
  const store = openStore(t, 'memory:')
  const fastify = await buildHost(t, { sessionStore: store })
  let key = ''
  const stored: Array<string | undefined> = []
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/change', (request, reply) => {
    valuesOf(request)['count'] = 2
    reply.send('changed')
    stored.push((store.read(key) as { fields: Record<string, string> }).fields['count'])
  })
  const { create } = store
  store.create = (...args) => {
    [key] = args
    return create.apply(store, args)
  }
  const client = new Client(fastify)
  await client.get('/begin')
  await client.get('/change')
  t.strictSame(stored, ['2'])
})

test('a store may answer a change with a promise of another class', async (t) => {
  const store: SessionStore = openStore(t, 'memory:')
  const patch = store.patch.bind(store)
  let isLive = true
  store.patch = (key, changes) => {
    const answer = isLive && patch(key, changes)
    return { then: (resolve: (answer: unknown) => void) => { setImmediate(resolve, answer) } } as never
  }
  const fastify = await buildHost(t, { sessionStore: store })
  fastify.get('/', async (request) => {
    const values = valuesOf(request)
    values['count'] = Number(values['count'] ?? 0) + 1
    return { count: values['count'] }
  })
  fastify.get('/save', async (request) => {
    valuesOf(request)['count'] = 9
    await request.session.save()
  })
  const client = new Client(fastify)
  await client.get('/')
  await client.get('/')
  t.strictSame((await client.get('/')).json(), { count: 3 }, 'the change before is stored')
  isLive = false
  t.equal((await client.get('/save')).json().code, 'HATCHECK_SESSION_GONE', 'its answer counts, and not that it is an object')
})

test('a cookie that the commit sets is left to Fastify: Node gets no header before all of them', async (t) => {
  const fastify = await buildHost(t, { sessionStore: openStore(t, 'memory:') })
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/permanent', async ({ session }) => { session.permanent = true })
  const passed: string[][] = []
  fastify.addHook('onSend', async (_request, reply) => { passed.push(reply.raw.getHeaderNames()) })
  const client = new Client(fastify)
  await client.get('/begin')
  const { headers } = await client.get('/permanent')
  t.match(String(headers['set-cookie']), /Max-Age=/)
  t.strictSame(passed, [[], []])
})

for (const sync of [true, false]) {
  test(`an error handler can leave a message in the session of a response that failed, on ${sync ? 'a synchronous' : 'an asynchronous'} store`, async (t) => {
    const fastify = await buildHost(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })
    fastify.setErrorHandler(async (error: Error & { code?: string }, request, reply) => {
      request.flash('error', error.code ?? error.message)
      return reply.redirect('/flashes', 303)
    })
    fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
    fastify.get('/large', async (request) => {
      valuesOf(request)['count'] = 2
      valuesOf(request)['large'] = 'x'.repeat(20_000)
    })
    fastify.get('/function', async (request) => {
      valuesOf(request)['object'] = {}
      ;(valuesOf(request)['object'] as { method?: unknown }).method = () => {}
    })
    fastify.get('/stream', async (request, reply) => {
      valuesOf(request)['count'] = 3
      return reply.send(new Readable({ read () { this.destroy(new Error('no stream')) } }))
    })
    fastify.get('/stream-and-function', async (request, reply) => {
      const object: { method?: unknown } = {}
      valuesOf(request)['count'] = 4
      valuesOf(request)['object'] = object
      return reply.send(new Readable({
        read () {
          object.method = () => {}
          this.destroy(new Error('no stream'))
        }
      }))
    })
    fastify.get('/null', async () => {
      // eslint-disable-next-line no-throw-literal -- a handler can throw anything
      throw null
    })
    fastify.get('/flashes', async (request) => [(await request.flashes()).map(({ text }) => text), { ...valuesOf(request) }])
    const client = new Client(fastify)
    await client.get('/begin')
    for (const [path, message, count] of [['/large', 'HATCHECK_SESSION_TOO_LARGE', 1], ['/function', 'HATCHECK_SESSION_VALUE', 1], ['/stream', 'no stream', 3]] as const) {
      const { statusCode, headers } = await client.get(path)
      t.strictSame([statusCode, headers['location']], [303, '/flashes'], path)
      t.strictSame((await client.get('/flashes')).json(), [[message], { count }], 'what could not be stored is dropped, and the message is there')
    }
    await client.get('/stream-and-function')
    t.strictSame((await client.get('/flashes')).json(), [['no stream'], { count: 4, object: {} }])
    t.ok((await client.get('/null')).statusCode >= 303)
  })
}

test('what a failed response could not store goes into no session that its error handler has begun', async (t) => {
  const changes: Record<string, { change: (request: FastifyRequest) => Promise<void>, user: string | null }> = {
    login: { change: (request) => request.login('Sally'), user: 'Sally' },
    logout: { change: (request) => request.logout(), user: null },
    regenerate: { change: ({ session }) => session.regenerate(['client_name']), user: 'Harry' }
  }
  for (const [name, { change, user }] of Object.entries(changes)) {
    const store = openStore(t, 'memory:')
    const patch = store.patch.bind(store)
    const fastify = await buildHost(t, { sessionStore: store })
    const seen: unknown[] = []
    const [sent, saved] = [gate(), gate()]
    fastify.get('/login', async (request) => { await request.login('Harry') })
    fastify.get('/fail', { onResponse: async () => { sent.open() } }, async (request, reply) => {
      valuesOf(request)['secret'] = 'of Harry'
      store.patch = () => { throw new Error('no store') }
      reply.send('sent')
      await sent.passed
      seen.push(valuesOf(request)['secret'])
      await request.session.save().catch(() => {})
      saved.open()
      return reply
    })
    fastify.get('/values', async (request) => ({ user: request.user?.name ?? null, secret: valuesOf(request)['secret'] }))
    fastify.setErrorHandler(async (_error, request, reply) => {
      store.patch = patch
      await change(request)
      seen.push(valuesOf(request)['secret'])
      return reply.code(503).send()
    })
    const client = new Client(fastify)
    await client.get('/login')
    t.equal((await client.get('/fail')).statusCode, 503, name)
    await saved.passed
    t.strictSame(seen, [undefined, undefined], `${name}: neither the error handler nor the handler sees it`)
    t.strictSame((await client.get('/values')).json(), { user }, `${name}: it is not stored`)
  }
})

test('a change of an error handler whose save() fails is stored with its response, or the response fails', async (t) => {
  for (const failures of [1, 2, 3]) {
    const store = openStore(t, 'memory:')
    const patch = store.patch.bind(store)
    const fastify = await buildHost(t, { sessionStore: store })
    fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
    fastify.get('/change', async (request) => {
      valuesOf(request)['count'] = 2
      return 'changed'
    })
    fastify.get('/values', async (request) => ({ ...valuesOf(request) }))
    fastify.setErrorHandler(async (error: Error & { code?: string }, request, reply) => {
      valuesOf(request)['error'] = error.code
      await request.session.save().catch(() => {})
      return await reply.code(500).send('handled')
    })
    const client = new Client(fastify)
    await client.get('/begin')
    let calls = 0
    store.patch = (...args) => {
      if (++calls <= failures) throw new Error('no store')
      return patch(...args)
    }
    const { statusCode } = await client.get('/change')
    t.equal(statusCode, failures < 3 ? 500 : 503, `${failures} failures`)
    t.strictSame((await client.get('/values')).json(), { count: 1, ...failures < 3 && { error: 'HATCHECK_STORE_UNAVAILABLE' } })
  }
})

test('an error handler that cannot store its message answers with the error of the store', async (t) => {
  const store = openStore(t, 'memory:')
  const fastify = await buildHost(t, { sessionStore: store })
  let handled = 0
  fastify.setErrorHandler(async (error: Error, request, reply) => {
    handled++
    request.flash('error', error.message)
    return reply.redirect('/', 303)
  })
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/change', async (request) => { valuesOf(request)['count'] = 2 })
  const client = new Client(fastify)
  await client.get('/begin')
  store.patch = () => { throw new Error('no store') }
  const answer = await client.get('/change')
  t.strictSame([answer.statusCode, answer.headers['location'], answer.json().code], [503, undefined, 'HATCHECK_STORE_UNAVAILABLE'])
  t.equal(handled, 1)
})

test('an error whose response cannot be stored gives way to the error of the store', async (t) => {
  const refusal = Object.assign(new Error('on purpose'), { statusCode: 418 })
  const answers: Record<string, (reply: FastifyReply) => unknown> = {
    'an error that is thrown': () => { throw refusal },
    'an error that is sent': (reply) => reply.send(refusal),
    'an error that is sent with a status': (reply) => reply.code(400).send(refusal),
    'a page of an error': (reply) => reply.code(404).send('nothing here'),
    'a path that is not found': (reply) => { reply.callNotFound() }
  }
  const handlers: Record<string, (fastify: FastifyInstance) => void> = {
    'the error handler of Fastify': () => {},
    'an error handler of the application': (fastify) => { fastify.setErrorHandler(async (error: Error, _request, reply) => await reply.code(418).send(error.message)) },
    'an error handler that throws': (fastify) => { fastify.setErrorHandler(async (error) => { throw error }) }
  }
  for (const kind of ['memory:', 'lmdb:'] as const) {
    for (const [handler, add] of Object.entries(handlers)) {
      for (const [what, answer] of Object.entries(answers)) {
        const { store, down } = breakable(openStore(t, kind))
        const logged: string[] = []
        const fastify = await buildHost(t, { sessionStore: store }, logInto(logged, 'error'))
        add(fastify)
        fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
        fastify.get('/change', async (request, reply) => {
          valuesOf(request)['count'] = 2
          await answer(reply)
          return reply
        })
        const client = new Client(fastify)
        await client.get('/begin')
        down('patch')
        const { statusCode, headers, body } = await client.get('/change')
        const label = `${what}, ${handler}, ${kind}`
        t.match(logged.join(''), /HATCHECK_STORE_UNAVAILABLE/, label)
        if (handler === 'an error handler of the application' && /page|path/.test(what)) continue
        t.strictSame([statusCode, headers['retry-after']], [503, '1'], label)
        t.match(body, /HATCHECK_STORE_UNAVAILABLE/, label)
      }
    }
  }
})

test('an error that replaces another one never makes the response a success', async (t) => {
  const fastify = await buildHost(t)
  let statusCode: unknown
  fastify.get('/', async (request) => {
    request.loadSession().then(() => { throw Object.assign(new Error('not awaited'), { statusCode }) })
    throw new Error('on purpose')
  })
  for (const [given, expected] of [[200, 500], [302, 500], [1_000, 500], ['409', 409], [409, 409], [undefined, 500]] as const) {
    statusCode = given
    const answer = await new Client(fastify).get('/')
    t.equal(answer.statusCode, expected, String(given))
    t.match(answer.body, 'not awaited', String(given))
  }
})

test('an error handler cannot turn an unconfirmed logout into a success', async (t) => {
  const store = openStore(t, 'memory:')
  const fastify = await buildHost(t, { sessionStore: store })
  fastify.setErrorHandler(async (_error, request, reply) => {
    request.flash('success', 'You are logged out.')
    return reply.redirect('/', 303)
  })
  fastify.get('/login', async (request) => { await request.login('Harry') })
  fastify.get('/logout', async (request) => { await request.logout() })
  const client = new Client(fastify)
  await client.get('/login')
  store.remove = () => { throw new Error('no store') }
  t.equal((await client.get('/logout')).json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
})

test('the cookie of a session is in a head that the handler writes itself, beside the cookies of the handler', async (t) => {
  const fastify = await buildHost(t, { sessionStore: openStore(t, 'memory:') })
  const heads: Record<string, (raw: ServerResponse) => unknown> = {
    object: (raw) => raw.writeHead(200, { 'Set-Cookie': 'a=b', 'x-kept': '1' }),
    text: (raw) => raw.writeHead(200, 'OK', { 'set-cookie': ['a=b', 'c=d'], 'x-kept': '1' }),
    list: (raw) => raw.writeHead(200, ['set-cookie', 'a=b', 'x-kept', '1']),
    setHeader: (raw) => raw.setHeader('set-cookie', 'a=b').setHeader('x-kept', '1'),
    none: (raw) => raw.writeHead(200, { 'x-kept': '1' })
  }
  for (const [name, write] of Object.entries(heads)) {
    for (const call of ['login', 'logout'] as const) {
      fastify.get(`/${call}/${name}`, async (request, reply) => {
        await request[call]('Harry')
        reply.hijack()
        write(reply.raw)
        reply.raw.end('x')
      })
    }
  }
  const address = await fastify.listen({ port: 0, host: '127.0.0.1' })
  for (const name of Object.keys(heads)) {
    const others = { none: [], text: ['a=b', 'c=d'] }[name] ?? ['a=b']
    const seen = async (call: string, cookie = ''): Promise<string[]> => {
      const { status, headers } = await fetch(`${address}/${call}/${name}`, { headers: { cookie } })
      t.strictSame([status, headers.get('x-kept')], [200, '1'], `${call}, ${name}`)
      return headers.getSetCookie()
    }
    const [own = '', ...rest] = await seen('login')
    t.match(own, /^hatcheck=[\w-]{43}\./)
    t.strictSame(rest, others)
    const [removal, ...beside] = await seen('logout', own.split(';')[0])
    t.match(removal, /^hatcheck=; Max-Age=0/)
    t.strictSame(beside, others)
  }
})

test('a client that has gone loses nothing of its session, whatever has changed', async (t) => {
  const fastify = await buildHost(t, { sessionStore: openStore(t, 'memory:') })
  const { here, reached, go } = stop()
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/change', async (request, reply) => {
    const gone = once(reply.raw, 'close')
    await here()
    await gone
    valuesOf(request)['count'] = 2
    request.session.permanent = true
    return 'changed'
  })
  fastify.get('/values', async (request) => [{ ...valuesOf(request) }, request.session.permanent])
  const address = await fastify.listen({ port: 0, host: '127.0.0.1' })
  const client = new Client(address)
  await client.get('/begin')
  const leaving = new AbortController()
  const change = client.send({ method: 'GET', url: '/change', signal: leaving.signal })
  change.catch(() => {})
  await reached
  leaving.abort()
  go()
  await until('both changes are stored', async () => JSON.stringify((await client.get('/values')).json()) === '[{"count":2},true]')
})

test('while a commit goes on, an error of the handler does not open the session again', async (t) => {
  const { here, reached, go } = stop()
  const store = watched(openStore(t, 'memory:'), async (call) => { if (call === 'patch') await here() }, false)
  const fastify = await buildHost(t, { sessionStore: store })
  let late: unknown
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/twice', async (request, reply) => {
    valuesOf(request)['count'] = 2
    reply.send('first')
    await reached
    setImmediate(() => {
      try {
        valuesOf(request)['count'] = 3
      } catch (error) {
        late = error
      }
      go()
    })
    throw new Error('after the answer')
  })
  const client = new Client(fastify)
  await client.get('/begin')
  await client.get('/twice')
  t.match(late, { code: 'HATCHECK_SESSION_COMMITTED' })
})

test('the response waits for a call that its handler makes while the commit goes on, and blocks nothing meanwhile', async (t) => {
  const { here, reached, go } = stop()
  const store = watched(openStore(t, 'memory:'), async (call) => {
    if (call === 'patch') await here()
    if (call === 'remove') await turn()
  }, false)
  const fastify = await buildHost(t, { sessionStore: store })
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/ends', async (request, reply) => {
    valuesOf(request)['count'] = 2
    reply.send('done')
    await reached
    request.logout()
    go()
    return reply
  })
  const client = new Client(fastify)
  await client.get('/begin')
  t.equal((await client.get('/ends')).statusCode, 200)
  t.notOk(client.cookies.has('hatcheck'))
  t.equal(await store.count(), 0)
})

test('of several failed calls that nobody awaits, the first is the answer and the log has the others', async (t) => {
  const lines: string[] = []
  const store = watched(openStore(t, 'memory:'), (call) => { if (call === 'replace') throw new Error('refused by the store') }, false)
  const fastify = await buildHost(t, { sessionStore: store }, logInto(lines, 'error'))
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/twice', async ({ session }) => {
    session.regenerate(['first' as never])
    session.regenerate([1 as never])
  })
  const client = new Client(fastify)
  await client.get('/begin')
  t.match((await client.get('/twice')).json(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
  t.match(lines.filter((line) => line.includes('a call on the session failed')), [/HATCHECK_SESSION_KEY/])
})

test('a handler that has caught the error of an unconfirmed logout cannot answer that it succeeded', async (t) => {
  for (const isSync of [true, false]) {
    const store = watched(openStore(t, 'memory:'), (call) => { if (call === 'remove') throw new Error('refused by the store') }, isSync)
    const fastify = await buildHost(t, { sessionStore: store })
    fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
    fastify.get('/ends', async (request) => { await request.logout().catch(() => {}) })
    const client = new Client(fastify)
    await client.get('/begin')
    const answer = await client.get('/ends')
    t.equal(answer.statusCode, 503)
    t.match(answer.json(), { code: 'HATCHECK_LOGOUT_UNCONFIRMED' })
  }
})

test('what a response could not store is stored by the save() that its handler calls after it, whatever the error handler has stored', async (t) => {
  for (const sync of [true, false]) {
    const { store, down, up } = breakable(openStore(t, 'memory:'), sync)
    const fastify = await buildHost(t, { sessionStore: store })
    const { here, reached, go } = stop()
    let saving: Promise<void> | undefined
    fastify.setErrorHandler(async (_error, request, reply) => {
      up()
      valuesOf(request)['message'] = 'failed'
      await request.session.save()
      return reply.code(503).send()
    })
    fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
    fastify.get('/values', async (request) => ({ ...valuesOf(request) }))
    fastify.get('/change', (request, reply) => {
      valuesOf(request)['count'] = 2
      down('patch')
      reply.send('changed')
      here().then(() => { saving = request.session.save() }, () => {})
    })
    const client = new Client(fastify)
    await client.get('/begin')
    t.equal((await client.get('/change')).statusCode, 503)
    await reached
    t.strictSame((await client.get('/values')).json(), { count: 1, message: 'failed' })
    go()
    await turn()
    await saving
    t.strictSame((await client.get('/values')).json(), { count: 2, message: 'failed' }, sync ? 'a synchronous store' : 'an asynchronous store')
  }
})

test('a response sends no cookie of a session that it has changed and that another request has ended since', async (t) => {
  const changes: Record<string, (request: FastifyRequest) => Promise<unknown>> = {
    renewed: ({ session }) => session.regenerate(['count']),
    'made permanent': async ({ session }) => {
      session.permanent = true
      await session.save()
    }
  }
  for (const [what, change] of Object.entries(changes)) {
    const fastify = await buildHost(t, { sessionStore: watched(openStore(t, 'memory:'), () => {}, false) })
    const { here, reached, go } = stop()
    fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
    fastify.get('/change', async (request) => {
      await change(request)
      await here()
      return 'changed'
    })
    fastify.get('/end', async (request) => { await request.logout() })
    const [slow, other] = [new Client(fastify), new Client(fastify)]
    await slow.get('/begin')
    for (const [name, value] of slow.cookies) other.cookies.set(name, value)
    const changing = slow.get('/change')
    await reached
    await other.get('/end')
    go()
    const { statusCode, headers } = await changing
    t.strictSame([statusCode, headers['set-cookie']], [200, undefined], what)
  }
})

test('a response sends no cookie of a session that its commit has ended although the store reports a failure', async (t) => {
  const store = openStore(t, 'memory:')
  const { replace } = store
  const fastify = await buildHost(t, { sessionStore: store })
  fastify.get('/', async (request) => {
    await request.login('Harry')
    store.replace = (...args) => {
      replace.apply(store, args)
      throw new Error('the answer is lost')
    }
    request.session.clear()
  })
  const { statusCode, headers } = await new Client(fastify).get('/')
  t.strictSame([statusCode, headers['set-cookie']], [503, undefined])
})
