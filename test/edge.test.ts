import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, request as httpRequest, ServerResponse, type IncomingHttpHeaders } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { hatcheck, requireLogin } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { Client } from './client.js'
import { sessionCookieOf, testKey } from './helper.js'
import { openStore, watched } from './watched-store.js'

type Bag = Record<string, any>
type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

interface Answer {
  /** 0 if the connection ended without a whole answer. */
  status: number
  headers: IncomingHttpHeaders
  body: string
  /** The session cookie after the request: the new one, or the one that was sent. */
  cookie: string | undefined
  /** The line that sets it. */
  set: string | undefined
}

interface Host {
  fastify: FastifyInstance
  /** Log lines of warnings and errors, parsed. */
  log: Bag[]
  /**
   * Sends a request and answers what has come when the connection ends, be it a part of an answer or nothing (0): a Client
   * takes whole answers only.
   */
  ask (path: string, cookie?: string, options?: { method?: string, headers?: Record<string, string>, leave?: Promise<unknown> }): Promise<Answer>
  /** The user of a cookie, and the value `n`. */
  me (cookie: string | undefined): Promise<{ user: string | null, n: unknown }>
  stored (): Promise<number>
}

const STORES = ['memory, at once', 'memory, with promises'] as const
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
/** Also resolves on an error, for which `once` would reject. */
const closed = (stream: NodeJS.EventEmitter): Promise<unknown> => new Promise((resolve) => { stream.once('close', resolve) })
const bag = (request: FastifyRequest): Bag => request.session as unknown as Bag

/** An application on its own port, since `inject` hides what happens to a connection. */
async function host (t: Test, routes: (fastify: FastifyInstance) => void, { store = 'memory, at once', options = {}, server = {}, before = () => {} }: {
  store?: typeof STORES[number]
  options?: Pick<HatcheckOptions, 'sessionStore' | 'sessionCookieSecure'>
  server?: FastifyServerOptions
  /** Runs before hatcheck is registered. */
  before?: (fastify: FastifyInstance) => void
} = {}): Promise<Host> {
  const log: Bag[] = []
  const fastify = Fastify({ ...server, logger: { level: 'warn', stream: { write (line: string) { log.push(JSON.parse(line) as Bag) } } } }) as unknown as FastifyInstance
  t.teardown(() => {
    fastify.server.closeAllConnections?.()
    return fastify.close()
  })
  // Nothing about it is in the log.
  fastify.server.maxHeadersCount = 0
  before(fastify)
  const sessions = openStore(t, 'memory:')
  const sessionStore = store === 'memory, at once' ? sessions : watched(sessions, async () => { await sleep(1) }, false)
  await fastify.register(hatcheck, { sessionStore, secretKey: testKey, ...options } as never)
  fastify.get('/in/:name', async (request) => {
    await request.login((request.params as { name: string }).name)
    return 'in'
  })
  fastify.get('/out', async (request) => {
    await request.logout()
    return 'out'
  })
  fastify.get('/me', async (request) => ({ user: request.user?.name ?? null, n: bag(request)['n'] ?? null }))
  routes(fastify)
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  const { port } = fastify.server.address() as AddressInfo

  const ask: Host['ask'] = (path, cookie, { method = 'GET', headers = {}, leave } = {}) => new Promise((resolve) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, method, agent: false, headers: { ...cookie !== undefined && { cookie }, ...headers } })
    const ended = (status: number, headers: IncomingHttpHeaders, body: string): void => {
      const set = sessionCookieOf({ headers } as never)
      resolve({ status, headers, body, set, cookie: set?.split(';')[0] ?? cookie })
    }
    request.on('response', (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => { body += chunk.toString() })
      response.on('error', () => {})
      response.on('close', () => { ended(response.statusCode ?? 0, response.headers, body) })
    })
    request.on('error', () => {})
    // A promise resolves once: with the response first, if there is one.
    request.on('close', () => { ended(0, {}, '') })
    leave?.then(() => { request.destroy() }, () => {})
    request.end()
  })
  return {
    fastify,
    log,
    ask,
    me: async (cookie) => JSON.parse((await ask('/me', cookie)).body) as { user: string | null, n: unknown },
    stored: async () => await sessions.count()
  }
}

/** The calls of a handler on its session. */
const ACTS = {
  logout: async (request: FastifyRequest) => { await request.logout() },
  destroy: async (request: FastifyRequest) => { await request.session.destroy() },
  set: (request: FastifyRequest) => { bag(request)['n'] = 1 },
  save: async (request: FastifyRequest) => {
    bag(request)['n'] = 1
    await request.session.save()
  },
  login: async (request: FastifyRequest) => { await request.login('ann') }
}

type Act = () => Promise<void>
/** The moment at which the client disconnects, for those kinds of answer in which it does. */
type Leave = () => Promise<void>

/** Every way to answer, each with the call somewhere in it. */
const ANSWERS: Record<string, (request: FastifyRequest, reply: FastifyReply, act: Act, leave: Leave) => unknown> = {
  'returns a text': async (_request, _reply, act) => {
    await act()
    return 'x'
  },
  'returns an object': async (_request, _reply, act) => {
    await act()
    return { x: 1 }
  },
  'acts after reply.send()': async (_request, reply, act) => {
    reply.send('x')
    await act()
    return reply
  },
  'hijacks the reply before it acts': async (_request, reply, act) => {
    reply.hijack()
    await act()
    reply.raw.end('x')
  },
  'hijacks the reply after it has acted': async (_request, reply, act) => {
    await act()
    reply.hijack()
    reply.raw.end('x')
  },
  'hijacks the reply, and acts once it has ended': async (_request, reply, act) => {
    reply.hijack()
    reply.raw.end('x')
    await act()
  },
  'hijacks the reply, and acts once the connection is closed': async (_request, reply, act) => {
    reply.hijack()
    reply.raw.end('x')
    await closed(reply.raw)
    await sleep(5)
    await act()
  },
  'ends reply.raw without hijack()': async (_request, reply, act) => {
    await act()
    reply.raw.end('x')
  },
  'writes reply.raw in pieces': async (_request, reply, act) => {
    reply.hijack()
    reply.raw.write('x')
    await act()
    reply.raw.end('y')
  },
  'pipes into reply.raw': async (_request, reply, act) => {
    await act()
    reply.hijack()
    Readable.from(['x', 'y']).pipe(reply.raw)
  },
  'sends events by reply.raw': async (_request, reply, act) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
    await act()
    reply.raw.end('data: 2\n\n')
  },
  'streams, and acts before the first chunk': (_request, reply, act) => reply.type('text/plain').send(Readable.from((async function * () {
    await act()
    yield 'x'
  })())),
  'streams, and acts between two chunks': (_request, reply, act) => reply.type('text/plain').send(Readable.from((async function * () {
    yield 'x'
    await sleep(5)
    await act()
    yield 'y'
  })())),
  'answers a Web stream': (_request, reply, act) => reply.type('text/plain').send(new ReadableStream({
    async start (controller) {
      controller.enqueue(new TextEncoder().encode('x'))
      await sleep(5)
      await act()
      controller.close()
    }
  })),
  'answers a Web Response whose body acts': async (_request, _reply, act) => new Response(new ReadableStream({
    async pull (controller) {
      await sleep(5)
      await act()
      controller.enqueue(new TextEncoder().encode('x'))
      controller.close()
    }
  })),
  'answers a Web Response': async (_request, _reply, act) => {
    await act()
    return new Response('x', { headers: { 'set-cookie': 'other=1' } })
  },
  'throws afterwards': async (_request, _reply, act) => {
    await act()
    throw Object.assign(new Error('on purpose'), { statusCode: 418 })
  },
  'has its payload replaced on the way out': async (_request, reply, act) => {
    await act()
    return await reply.header('x-replace', 'yes').send('x')
  },
  redirects: async (_request, reply, act) => {
    await act()
    return await reply.redirect('/me')
  },
  'answers 304': async (_request, reply, act) => {
    await act()
    return await reply.code(304).send()
  },
  'says that there is nothing': async (_request, reply, act) => {
    await act()
    reply.callNotFound()
    return reply
  },
  'sends early hints': async (_request, reply, act) => {
    reply.writeEarlyHints({ link: '</style.css>; rel=preload' })
    await act()
    return 'x'
  },
  'acts in a trailer': async (_request, reply, act) => await reply.trailer('x-done', async () => {
    await act()
    return 'yes'
  }).send('x'),
  'is too slow for handlerTimeout': async (_request, _reply, act) => {
    await sleep(60)
    await act()
    return 'x'
  },
  'acts when the client has gone': async (_request, _reply, act, leave) => {
    await leave()
    await act()
    return 'x'
  },
  'hijacks the reply, and acts when the client has gone': async (_request, reply, act, leave) => {
    reply.hijack()
    await leave()
    await act()
    reply.raw.end('x')
  },
  'sends events, and acts when the client has gone': async (_request, reply, act, leave) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
    await leave()
    await act()
  }
}

for (const store of STORES) {
  test(`login and logout hold for every way to answer and every way to fail, with ${store}`, async (t) => {
    const moment = { leave: () => {}, error: '', done: Promise.resolve(), id: '' }
    const h = await host(t, (fastify) => {
      fastify.addHook('onSend', async (_request, reply, payload) => reply.hasHeader('x-replace') ? Readable.from(['y']) : payload)
      for (const [act, work] of Object.entries(ACTS)) {
        Object.values(ANSWERS).forEach((answer, i) => {
          fastify.get(`/${i}/${act}`, { handlerTimeout: answer.name.startsWith('is too slow') ? 30 : 5_000 }, (request, reply) => {
            moment.id = request.id
            let done = (): void => {}
            moment.done = new Promise((resolve) => { done = resolve })
            return answer(request, reply, async () => {
              try {
                await work(request)
              } catch (error) {
                moment.error = (error as { code: string }).code
              } finally {
                setTimeout(done, 5)
              }
            }, async () => {
              moment.leave()
              await closed(request.raw.socket)
              await sleep(5)
            })
          })
        })
      }
    }, { store })

    for (const [i, what] of Object.keys(ANSWERS).entries()) {
      await t.test(`a handler that ${what}`, async (t) => {
        async function run (act: keyof typeof ACTS, cookie?: string): Promise<Answer> {
          moment.error = ''
          h.log.length = 0
          moment.done = new Promise(() => {})
          const leave = new Promise<void>((resolve) => { moment.leave = resolve })
          const answer = await h.ask(`/${i}/${act}`, cookie, { leave })
          await moment.done
          return answer
        }
        const warnings = (): Bag[] => h.log.filter(({ msg, reqId }) => reqId === moment.id && /session/i.test(msg as string))

        for (const act of ['logout', 'destroy'] as const) {
          const { cookie } = await h.ask('/in/harry')
          await run(act, cookie)
          t.equal(moment.error, '')
          t.strictSame(await h.me(cookie), { user: null, n: null }, `${act} is final`)
        }

        const { cookie } = await h.ask('/in/harry')
        await run('set', cookie)
        const isStored = (await h.me(cookie)).n === 1
        if (!isStored && moment.error === '') await sleep(150)
        t.equal([isStored, moment.error === 'HATCHECK_SESSION_COMMITTED', warnings().length === 1].filter(Boolean).length, 1,
          `a value is stored, or there is an error or one warning: ${isStored} ${moment.error} ${JSON.stringify(warnings())}`)

        for (const act of ['save', 'login'] as const) {
          const before = await h.stored()
          const answer = await run(act)
          if (moment.error === '') {
            t.ok(answer.set, `${act}: the visitor has the cookie`)
            t.match(await h.me(answer.cookie), act === 'login' ? { user: 'ann' } : { n: 1 })
          } else {
            t.match(moment.error, /^HATCHECK_(?:NO_COOKIE|SESSION_COMMITTED)$/)
            t.equal(await h.stored(), before, `${act}: nothing is stored`)
            t.equal(answer.set, undefined)
          }
        }
      })
    }
  })
}

const LATER: Record<string, (fastify: FastifyInstance, early: boolean, work: (request: FastifyRequest) => void) => void> = {
  'an onSend hook': (fastify, _early, work) => { fastify.addHook('onSend', async (request) => { work(request) }) },
  'an onSend hook with a callback': (fastify, _early, work) => {
    fastify.addHook('onSend', (request, _reply, _payload, done) => {
      try {
        work(request)
        done()
      } catch (error) {
        done(error as Error)
      }
    })
  }
}

test('a late change is stored before hatcheck has answered, and refused with a named error after that', async (t) => {
  for (const [where, add] of Object.entries(LATER)) {
    for (const isUsed of [false, true]) {
      for (const isEarly of [true, false]) {
        await t.test(`a change ${where} ${isEarly ? 'before' : 'after'} hatcheck, in a session that ${isUsed ? 'was used' : 'was not used'} before`, async (t) => {
          let outcome = ''
          const work = (request: FastifyRequest): void => {
            if (!request.url.startsWith('/x')) return
            try {
              bag(request)['n'] = 1
            } catch (error) {
              outcome = (error as { code: string }).code
            }
          }
          const h = await host(t, (fastify) => {
            if (!isEarly) add(fastify, isEarly, work)
            fastify.get('/x', async (request) => {
              if (isUsed) bag(request)['m'] = 1
              return 'x'
            })
          }, { before (fastify) { if (isEarly) add(fastify, isEarly, work) } })
          const { cookie } = await h.ask('/in/harry')
          t.match((await h.ask('/x', cookie)).headers, { 'cache-control': 'no-store', vary: 'Cookie' })
          t.equal(outcome, isEarly ? '' : 'HATCHECK_SESSION_COMMITTED')
          t.equal((await h.me(cookie)).n, isEarly ? 1 : null)
        })
      }
    }
  }

  t.test('a change in preSerialization, an error handler or a later hook is stored or refused as well', async (t) => {
    const outcomes = new Map<string, string>()
    const attempt = (place: string, request: FastifyRequest): void => {
      try {
        bag(request)[place] = 1
        outcomes.set(place, 'set')
      } catch (error) {
        outcomes.set(place, (error as { code: string }).code)
      }
    }
    const users: unknown[] = []
    const h = await host(t, (fastify) => {
      fastify.setErrorHandler(async (_error, request) => {
        attempt('errorHandler', request)
        return 'failed'
      })
      fastify.get('/x', {
        preSerialization: async (request, _reply, payload) => {
          attempt('preSerialization', request)
          return payload
        },
        onSend: async (request) => { attempt('routeOnSend', request) },
        onResponse: async (request) => {
          users.push(request.user?.name)
          attempt('onResponse', request)
        }
      }, async () => ({ x: 1 }))
      fastify.get('/fails', { onError: async (request) => { attempt('onError', request) } }, async () => { throw new Error('on purpose') })
    })
    const { cookie } = await h.ask('/in/harry')
    await h.ask('/x', cookie)
    await h.ask('/fails', cookie)
    await sleep(20)
    t.strictSame(Object.fromEntries(outcomes), {
      preSerialization: 'set', errorHandler: 'set', onError: 'set', routeOnSend: 'HATCHECK_SESSION_COMMITTED', onResponse: 'HATCHECK_SESSION_COMMITTED'
    })
    t.strictSame(users, ['harry'], 'a log line of the response can name the user')
  })
})

test('with an asynchronous store, the getters answer only after the session was read', async (t) => {
  let attempt: ((request: FastifyRequest, reply: FastifyReply) => unknown) = () => {}
  const h = await host(t, (fastify) => {
    fastify.setErrorHandler(async (error: Error & { code?: string }, request, reply) => {
      await request.loadSession()
      return await reply.code(500).send(`${error.code} ${request.user?.name}`)
    })
    fastify.get('/x', async (request) => ({ user: request.user?.name ?? null, n: bag(request)['n'] ?? null }))
  }, {
    store: 'memory, with promises',
    before (fastify) {
      fastify.addHook('onRequest', async (request, reply) => { if (/^\/(?:x|nowhere)/.test(request.url)) await attempt(request, reply) })
    }
  })
  const { cookie } = await h.ask('/in/harry')

  const getters: Record<string, (request: FastifyRequest) => unknown> = {
    'request.session': (request) => request.session,
    'request.user': (request) => request.user,
    'a value that is set': (request) => { bag(request)['n'] = 1 },
    'request.flash': (request) => { request.flash('info', 'x') }
  }
  for (const [what, get] of Object.entries(getters)) {
    for (const sent of [cookie, undefined]) {
      let code
      attempt = (request) => {
        try {
          get(request)
        } catch (error) {
          code = (error as { code: string }).code
        }
      }
      await h.ask('/x', sent)
      t.equal(code, 'HATCHECK_SESSION_NOT_READ', `${what}, ${sent === undefined ? 'without' : 'with'} a cookie`)
    }
  }

  const calls: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
    'loadSession()': async (request) => {
      const [one, other] = await Promise.all([request.loadSession(), request.loadSession()])
      t.equal(one, other)
      t.equal(request.user?.name, 'harry')
      bag(request)['n'] = 1
    },
    'requireLogin()': async (request) => {
      await requireLogin(request)
      bag(request)['n'] = 1
    },
    'login()': async (request) => {
      await request.login('harry')
      bag(request)['n'] = 1
    },
    'flashes()': async (request) => {
      t.strictSame(await request.flashes(), [])
      bag(request)['n'] = 1
    }
  }
  for (const [what, call] of Object.entries(calls)) {
    attempt = call
    const { cookie } = await h.ask('/in/harry')
    const answer = await h.ask('/x', cookie)
    t.equal(answer.body, '{"user":"harry","n":1}', `after ${what} the getters answer`)
    attempt = () => {}
    t.strictSame(await h.me(answer.cookie), { user: 'harry', n: 1 })
  }

  attempt = async (request) => { await request.logout() }
  t.equal((await h.ask('/x', cookie)).body, '{"user":null,"n":null}')
  attempt = () => {}
  t.strictSame(await h.me(cookie), { user: null, n: null }, 'a logout there is final')
  attempt = async (request, reply) => {
    await request.login('ann')
    await reply.send('early')
  }
  t.strictSame(await h.me((await h.ask('/x')).cookie), { user: 'ann', n: null }, 'a login that is answered there sends the cookie')
  attempt = (request) => request.user
  t.equal((await h.ask('/x', cookie)).body, 'HATCHECK_SESSION_NOT_READ undefined', 'in an error handler')
  t.equal((await h.ask('/nowhere', cookie)).status, 500, 'where there is no route')
})

test('while the store is down, no call to it causes an unhandled rejection', async (t) => {
  for (const isSync of [true, false]) {
    let isDown = false
    const sessions = openStore(t, 'memory:')
    const sessionStore = watched(sessions, () => { if (isDown) throw new Error('connect ECONNREFUSED') }, isSync)
    let attempt: ((request: FastifyRequest) => unknown) = () => {}
    const h = await host(t, (fastify) => {
      fastify.get('/x', async (request) => {
        await attempt(request)
        return 'x'
      })
    }, { options: { sessionStore }, before (fastify) { fastify.addHook('onRequest', async (request) => { if (request.headers['x-early'] !== undefined) await attempt(request) }) } })
    const { cookie } = await h.ask('/in/harry')
    isDown = true
    const what: Record<string, (request: FastifyRequest) => unknown> = {
      'loadSession()': (request) => request.loadSession(),
      'loadSession() that is not awaited': (request) => { request.loadSession() },
      'request.login() that is not awaited': (request) => { request.login('ann') },
      'request.logout() that is not awaited': (request) => { request.logout() },
      'request.flashes() that is not awaited': (request) => { request.flashes() },
      'requireLogin() that is not awaited': (request) => { requireLogin(request) }
    }
    for (const [name, work] of Object.entries(what)) {
      attempt = work
      for (const headers of [{}, { 'x-early': '1' }]) t.equal((await h.ask('/x', cookie, { headers: headers as Record<string, string> })).status, 503, `${name}, ${isSync ? 'at once' : 'with promises'}`)
    }
    attempt = async (request) => {
      await t.rejects(request.loadSession())
      isDown = false
      // The logout above is not stored yet.
      t.equal((await request.loadSession()).isSaved(), false, 'another call reads again')
    }
    t.equal((await h.ask('/x', cookie)).status, 200)
  }
})

test('a call that is not awaited runs, and its failure becomes the error of the response', async (t) => {
  const errors: Bag[] = []
  const calls: Record<string, (request: FastifyRequest) => unknown> = {
    'save()': (request) => { request.session.save() },
    'save() twice': (request) => {
      request.session.save()
      request.session.save()
    },
    'save() with a callback': (request) => { request.session.save(() => {}) },
    'regenerate() and save()': (request) => {
      request.session.regenerate(['n'])
      request.session.save()
    },
    'login()': (request) => { request.login('ann') },
    'login() twice': (request) => {
      request.login('ann')
      request.login('ann')
    },
    'login() after save()': (request) => {
      request.session.save()
      request.login('ann')
    },
    'login().then()': (request) => { request.login('ann').then(() => { errors.push({}) }) }
  }
  const ends: Record<string, (reply: FastifyReply) => unknown> = {
    text: () => 'x',
    redirect: (reply) => reply.redirect('/me'),
    throw () { throw Object.assign(new Error('on purpose'), { statusCode: 418 }) }
  }
  const expected: Record<string, number> = { text: 200, redirect: 302, throw: 418 }
  for (const store of STORES) {
    const h = await host(t, (fastify) => {
      Object.values(calls).forEach((call, i) => {
        for (const [end, answer] of Object.entries(ends)) {
          fastify.get(`/${i}/${end}`, async (request, reply) => {
            bag(request)['n'] = 2
            call(request)
            return answer(reply)
          })
        }
      })
      const failing: Record<string, (request: FastifyRequest) => unknown> = {
        login: (request) => { request.login('') },
        'login-then': (request) => { request.login('').then(() => {}) },
        'login-finally': (request) => { request.login('').finally(() => {}) },
        save: (request) => {
          bag(request)['big'] = 'x'.repeat(20_000)
          request.session.save()
        },
        'throwing-callback': (request) => {
          request.session.save(() => { throw new Error('in a callback') })
        }
      }
      for (const [name, fail] of Object.entries(failing)) {
        fastify.get(`/fails/${name}`, async (request) => {
          fail(request)
          return 'x'
        })
        fastify.get(`/fails-raw/${name}`, (request, reply) => {
          reply.hijack()
          fail(request)
          reply.raw.end('x')
        })
      }
      fastify.get('/guarded', async (request) => {
        requireLogin(request)
        return 'the secret'
      })
    }, { store })
    for (const [i, call] of Object.keys(calls).entries()) {
      for (const end of Object.keys(ends)) {
        for (const before of [undefined, (await h.ask('/in/harry')).cookie]) {
          const answer = await h.ask(`/${i}/${end}`, before)
          t.equal(answer.status, expected[end], `${call}, then ${end}, in a ${before === undefined ? 'new' : 'stored'} session, ${store}`)
          t.equal((await h.me(answer.cookie)).n, call.startsWith('login') && before !== undefined ? null : 2)
        }
      }
    }
    for (const [name, status] of Object.entries({ login: 500, 'login-then': 500, 'login-finally': 500, save: 413, 'throwing-callback': 200 })) {
      t.equal((await h.ask(`/fails/${name}`)).status, status, `${name} that fails`)
      h.log.length = 0
      t.equal((await h.ask(`/fails-raw/${name}`)).body, 'x')
      await sleep(20)
      t.equal(h.log.filter(({ level }) => level === 50).length, 1, `${name} that fails is one error in the log where Fastify does not answer`)
    }
    const guarded = await h.ask('/guarded')
    t.equal(guarded.status, 401, 'a guard that is not awaited keeps visitors out all the same')
    t.notMatch(guarded.body, 'the secret')
    t.equal((await h.ask('/guarded', (await h.ask('/in/harry')).cookie)).body, 'the secret')
  }
})

test('a handler that answers twice sends its first answer', async (t) => {
  const twice: Record<string, { handler: Handler, status: number, body: string, location?: string, onlyChanged?: true }> = {
    'send, then return': { handler: async (_request, reply) => { reply.send('a'); return 'b' }, status: 200, body: 'a' },
    'send an object, then return': { handler: async (_request, reply) => { reply.send({ a: 1 }); return 'b' }, status: 200, body: '{"a":1}' },
    'send, then throw': { handler: async (_request, reply) => { reply.send('a'); throw Object.assign(new Error('b'), { statusCode: 418 }) }, status: 200, body: 'a' },
    'send, then throw at once': { handler: (_request, reply) => { reply.send('a'); throw new Error('b') }, status: 200, body: 'a' },
    'send twice': { handler: (_request, reply) => { reply.send('a'); reply.code(404).header('x-b', 'b').send('b') }, status: 200, body: 'a' },
    'send a stream, then throw': { handler: async (_request, reply) => { reply.type('text/plain').send(Readable.from(['a'])); throw new Error('b') }, status: 200, body: 'a', onlyChanged: true },
    'redirect, then return': { handler: async (_request, reply) => { reply.redirect('/a'); return 'b' }, status: 302, body: '', location: '/a' },
    'redirect twice': { handler: (_request, reply) => { reply.redirect('/a'); reply.redirect('/b', 307) }, status: 302, body: '', location: '/a' },
    'hijack, then return': { handler: async (_request, reply) => { reply.hijack(); reply.raw.end('a'); return 'b' }, status: 200, body: 'a' },
    'hijack, then throw': { handler: async (_request, reply) => { reply.hijack(); reply.raw.end('a'); throw new Error('b') }, status: 200, body: 'a' },
    'send, then end reply.raw': { handler: (_request, reply) => { reply.send('a'); reply.raw.end('b') }, status: 200, body: '', onlyChanged: true },
    'send, then hijack': { handler: (_request, reply) => { reply.send('a'); reply.hijack(); reply.raw.end('b') }, status: 200, body: '', onlyChanged: true },
    // Fastify cannot send two answers, and breaks the connection off.
    'write reply.raw, then return': { handler: async (_request, reply) => { reply.raw.write('a'); return 'b' }, status: 0, body: '' },
    'write reply.raw, then throw': { handler: async (_request, reply) => { reply.raw.write('a'); throw new Error('b') }, status: 0, body: '' },
    'send what cannot be sent': { handler: async (_request, reply) => { reply.header('x-bad', 'a\nb').send('a') }, status: 500, body: '' }
  }
  for (const store of STORES) {
    const h = await host(t, (fastify) => {
      Object.values(twice).forEach(({ handler }, i) => {
        for (const change of ['none', 'value', 'call'] as const) {
          fastify.get(`/${i}/${change}`, (request, reply) => {
            if (change === 'value') bag(request)['n'] = Math.random()
            if (change === 'call') request.session.save()
            return handler(request, reply)
          })
        }
      })
    }, { store })
    const { cookie } = await h.ask('/in/harry')
    for (const [i, [name, { status, body, location, onlyChanged }]] of Object.entries(twice).entries()) {
      // Fastify alone sends the error instead of the stream, and a write after the end is an error that ends the process.
      for (const change of onlyChanged === true ? ['value', 'call'] : ['none', 'value', 'call']) {
        const answer = await h.ask(`/${i}/${change}`, cookie)
        t.equal(answer.status, status, `${name}, changing ${change}, ${store}`)
        if (body !== '') t.equal(answer.body, body)
        if (location !== undefined) t.equal(answer.headers.location, location)
        t.equal(answer.headers['x-b'], undefined)
        t.equal((await h.ask('/me', cookie)).status, 200, 'the process stays alive')
      }
    }
  }
})

test('every kind of answer that depends on the session is kept out of shared caches', async (t) => {
  const upstream = createHttpServer((request, response) => {
    response.writeHead(request.url === '/204' ? 204 : 200, { 'cache-control': 'public, max-age=99', vary: 'Accept', 'set-cookie': 'other=1', 'netlify-cdn-cache-control': 'max-age=99' }).end()
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.teardown(() => upstream.close())
  const away = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const shared = { 'cache-control': 'public, max-age=99', vary: 'Accept', 'cdn-cache-control': 'max-age=99', 'surrogate-control': 'max-age=99', 'x-accel-expires': '99' }
  const constant = new Response(null, { status: 304, headers: shared })

  const answers: Record<string, Handler> = {
    'a text': async () => 'x',
    'an object': async () => ({ x: 1 }),
    'a buffer': async () => Buffer.from('x'),
    'a stream': async () => Readable.from(['x']),
    'a Web stream': async () => new Response('x').body,
    'nothing, by send()': (_request, reply) => { reply.code(204).send() },
    'a redirect': async (_request, reply) => await reply.redirect('/'),
    'its own headers': async (_request, reply) => await reply.headers(shared).send('x'),
    'an error': async () => { throw new Error('on purpose') },
    'a Web Response': async () => new Response('x', { headers: shared }),
    'a Web Response without headers': async (_request, reply) => {
      reply.headers(shared)
      return new Response('x')
    },
    'a Web Response with a cookie': async () => new Response('x', { headers: { ...shared, 'set-cookie': 'other=1' } }),
    'a Web Response of fetch()': async () => await fetch(away),
    'a Web Response of fetch() without a body': async () => await fetch(`${away}/204`),
    'a Web Response that is used again': async () => constant,
    'a Web Response that redirects': async () => Response.redirect('http://127.0.0.1/'),
    'a Web Response that is consumed': async () => {
      const response = new Response('x', { headers: shared })
      await response.text()
      return response
    },
    'Response.error()': async () => Response.error(),
    'reply.raw': async (_request, reply) => {
      reply.hijack()
      reply.raw.end('x')
    },
    'reply.raw without hijack()': async (_request, reply) => { reply.raw.end('x') },
    'reply.raw with its own head': async (_request, reply) => { reply.hijack().raw.writeHead(200, shared).end('x') },
    'reply.raw with its own head, and a text': async (_request, reply) => { reply.hijack().raw.writeHead(200, 'Fine', { ...shared, 'Cache-Control': 'public, max-age=99' }).end('x') },
    'reply.raw with its own head as a list': async (_request, reply) => { reply.hijack().raw.writeHead(200, ['Cache-Control', 'public', ...Object.entries(shared).flat()]).end('x') },
    'reply.raw with its own headers': async (_request, reply) => {
      reply.hijack()
      for (const [name, value] of Object.entries(shared)) reply.raw.setHeader(name, value)
      reply.raw.end('x')
    },
    'reply.raw with its own head, without hijack()': async (_request, reply) => { reply.raw.writeHead(200, shared).end('x') },
    'reply.raw that sends its headers first': async (_request, reply) => {
      reply.hijack()
      reply.raw.flushHeaders()
      reply.raw.end('x')
    },
    'headers of a later hook': async (_request, reply) => await reply.header('x-late', 'yes').send('x'),
    'a header of a later hook for one cache': async (_request, reply) => await reply.header('x-late-cdn', 'yes').send('x'),
    'a header of a later hook for one cache, by reply.raw': async (_request, reply) => await reply.header('x-late-raw', 'yes').send('x'),
    'a Web Response, and headers of a later hook': async () => new Response('x', { headers: { 'x-late': 'yes' } })
  }
  const reads: Record<string, (request: FastifyRequest) => unknown> = {
    user: (request) => request.user,
    has: (request) => request.session.has('n'),
    set: (request) => { bag(request)['n'] = Math.random() },
    login: (request) => request.login('ann'),
    flashes: (request) => request.flashes()
  }
  const h = await host(t, (fastify) => {
    fastify.addHook('onSend', async (_request, reply, payload) => {
      if (reply.hasHeader('x-late-raw')) reply.raw.setHeader('surrogate-control', 'max-age=99')
      if (reply.hasHeader('x-late-cdn')) reply.header('cdn-cache-control', 'max-age=99')
      if (reply.hasHeader('x-late') || (payload instanceof Response && payload.headers.has('x-late'))) reply.headers(shared)
    })
    Object.values(answers).forEach((answer, i) => {
      for (const [name, read] of Object.entries(reads)) {
        fastify.get(`/${i}/${name}`, async (request, reply) => {
          await read(request)
          return await answer(request, reply)
        })
      }
      fastify.get(`/${i}/late`, { onSend: async (request) => { t.ok(request.user !== undefined) } }, answer)
      fastify.get(`/${i}/public`, answer)
    })
    fastify.get('/stream/begins', (request, reply) => reply.type('text/plain').send(Readable.from((async function * () { yield `hi ${request.user?.name}` })())))
    fastify.get('/stream/late', (request, reply) => reply.type('text/plain').send(Readable.from((async function * () {
      yield 'x'
      await sleep(5)
      try {
        yield `hi ${request.user?.name}`
      } catch (error) {
        yield (error as { code: string }).code
      }
      try {
        yield `n is ${bag(request)['n']}`
      } catch (error) {
        yield ` ${(error as { code: string }).code}`
      }
    })())))
  })
  const { cookie } = await h.ask('/in/harry')
  const isPrivate = ({ headers }: Answer): boolean => /no-store|private/.test(headers['cache-control'] ?? '') && /cookie/i.test(headers.vary ?? '') && !/max-age=99|"99"/.test(JSON.stringify(headers))
  for (const [i, answer] of Object.keys(answers).entries()) {
    // The hook of "late" does not run for reply.raw.
    const asked = answer.startsWith('reply.raw') ? Object.keys(reads) : [...Object.keys(reads), 'late']
    for (const read of asked) {
      // A login ends the session before it.
      for (const sent of [read === 'login' ? (await h.ask('/in/harry')).cookie : cookie, undefined]) {
        const seen = await h.ask(`/${i}/${read}`, sent)
        t.ok(isPrivate(seen), `${answer}, ${read}: ${seen.headers['cache-control']}; ${seen.headers.vary}`)
        if (read === 'login' || (read === 'set' && sent === undefined)) {
          if (!answer.startsWith('reply.raw') || read === 'login') t.ok(seen.set, `${answer} sets the cookie of ${read}`)
          if (/cookie|fetch/.test(answer)) t.match(String(seen.headers['set-cookie']), 'other=1')
        }
        if (answer === 'a Web Response' || answer === 'a Web Response without headers' || answer.includes('its own head')) t.match(seen.headers.vary, /Accept/, 'the application\'s own value stays')
      }
    }
    t.notOk(/no-store/.test((await h.ask(`/${i}/public`, cookie)).headers['cache-control'] ?? ''), `${answer} that does not depend on the session is left as it is`)
  }
  const head = await h.ask('/0/login', undefined, { method: 'HEAD' })
  t.ok(isPrivate(head) && head.set !== undefined, 'HEAD')
  const early = await h.ask('/stream/begins', cookie)
  t.equal(early.body, 'hi harry')
  t.ok(isPrivate(early), 'a stream that asks before its first chunk')
  t.equal((await h.ask('/stream/late', cookie)).body, 'xHATCHECK_SESSION_COMMITTED HATCHECK_SESSION_COMMITTED')
})

test('a logout ends every live session that the request presents', async (t) => {
  const outs: Record<string, (request: FastifyRequest) => unknown> = {
    'request.logout': (request) => request.logout(),
    'session.destroy': (request) => request.session.destroy(),
    'session.clear': (request) => { request.session.clear() },
    'session.pop': (request) => { request.session.pop('client_name') },
    'session.pop that leaves a value': (request) => {
      bag(request)['n'] = 1
      request.session.pop('client_name')
    },
    'session.regenerate': async (request) => { await request.session.regenerate() }
  }
  const headers: Record<string, (ask: Host['ask']) => Promise<string[]>> = {
    'two of other users': async (ask) => [(await ask('/in/ann')).cookie ?? '', (await ask('/in/bob')).cookie ?? ''],
    'three, two of them of one user': async (ask) => [(await ask('/in/ann')).cookie ?? '', (await ask('/in/bob')).cookie ?? '', (await ask('/in/ann')).cookie ?? ''],
    'a dead one first': async (ask) => {
      const { cookie = '' } = await ask('/in/eve')
      await ask('/out', cookie)
      return [cookie, (await ask('/in/ann')).cookie ?? '', (await ask('/in/bob')).cookie ?? '']
    },
    'a forged one first': async (ask) => [`hatcheck=${'a'.repeat(43)}.${'b'.repeat(43)}`, (await ask('/in/ann')).cookie ?? '', (await ask('/in/bob')).cookie ?? '']
  }
  for (const store of STORES) {
    const h = await host(t, (fastify) => {
      Object.values(outs).forEach((out, i) => {
        fastify.get(`/out/${i}`, async (request) => {
          await out(request)
          return 'out'
        })
      })
    }, { store })
    for (const [i, out] of Object.keys(outs).entries()) {
      for (const [what, presented] of Object.entries(headers)) {
        const cookies = await presented(h.ask)
        t.equal((await h.ask(`/out/${i}`, cookies.join('; '))).status, 200)
        for (const cookie of cookies) t.equal((await h.me(cookie)).user, null, `${out}, ${what}, ${store}`)
      }
    }
  }
})

test('a cookie whose session has ended is not cleared', async (t) => {
  const h = await host(t, (fastify) => {
    fastify.get('/slow', async (request) => {
      const { user } = request
      await sleep(30)
      bag(request)['n'] = 1
      return user
    })
    fastify.get('/renews', async (request) => {
      request.session.regenerate(['client_name'])
      await sleep(30)
      return 'x'
    })
  })
  const { cookie } = await h.ask('/in/harry')
  for (const path of ['/slow', '/renews']) {
    const { cookie } = await h.ask('/in/harry')
    const late = h.ask(path, cookie)
    await sleep(10)
    await h.ask('/out', cookie)
    t.equal((await late).headers['set-cookie'], undefined, `${path}: a late answer neither clears nor sets it`)
  }
  await h.ask('/out', cookie)
  t.equal((await h.ask('/me', cookie)).headers['set-cookie'], undefined)
})

test('every listener is called, even if another one fails', async (t) => {
  const kinds: Record<string, () => unknown> = {
    'throws an error': () => { throw new Error('on purpose') },
    // eslint-disable-next-line no-throw-literal -- a listener can throw anything
    'throws no error': () => { throw null },
    rejects: async () => { throw new Error('on purpose') },
    'returns a thenable that rejects': () => ({ then: (_resolve: unknown, reject: (error: Error) => void) => { reject(new Error('on purpose')) } }),
    'returns a thenable that throws': () => ({ then () { throw new Error('on purpose') } }),
    'returns what fails to be looked at': () => Object.defineProperty({}, 'then', { get () { throw new Error('on purpose') } }),
    'never settles': () => new Promise(() => {})
  }
  for (const [what, listener] of Object.entries(kinds)) {
    const h = await host(t, () => {})
    const { sessions } = h.fastify
    const told: string[] = []
    for (const event of ['created', 'renewed', 'destroyed', 'revoked'] as const) {
      const removesItself = (): void => {
        told.push(`${event} once`)
        sessions.off(event, removesItself)
      }
      sessions.on(event, removesItself)
      sessions.on(event, listener as () => void)
      sessions.on(event, listener as () => void)
      sessions.on(event, () => { told.push(event) })
    }
    h.fastify.log.level = 'error'
    const { cookie } = await h.ask('/in/ann')
    const again = await h.ask('/in/ann', cookie)
    t.equal((await h.ask('/out', again.cookie)).status, 200)
    await h.ask('/in/bob')
    await sessions.revokeUser('bob')
    await sleep(5)
    t.strictSame(told, ['created once', 'created', 'renewed once', 'renewed', 'destroyed once', 'destroyed', 'created', 'revoked once', 'revoked'], `a listener that ${what}`)
    t.equal(h.log.filter(({ msg }) => / failed$/.test(msg as string)).length, what === 'never settles' ? 0 : 10)
  }
})

test('each session end that cannot be stored is retried until the application closes', async (t) => {
  const sessions = openStore(t, 'memory:')
  const failing = new Map<string, 'fails' | 'hangs'>()
  let isDown = false
  let removals = 0
  const sessionStore = watched(sessions, (call, key) => {
    if (call !== 'remove') return
    removals++
    const way = failing.get(key as string)
    if (way === 'hangs') return new Promise(() => {})
    if (isDown || way === 'fails') throw new Error('connect ECONNREFUSED')
  }, false)
  const h = await host(t, () => {}, { options: { sessionStore } })
  const cookies: string[] = []
  for (let i = 0; i < 150; i++) cookies.push((await h.fastify.inject(`/in/user${i}`)).cookies.map(({ name, value }) => `${name}=${value}`)[0] ?? '')
  const keys: string[] = []
  h.fastify.sessions.store.remove = ((remove) => (key: string) => {
    keys.push(key)
    return remove(key)
  })(sessionStore.remove)
  isDown = true
  for (const cookie of cookies) t.equal((await h.fastify.inject({ url: '/out', headers: { cookie } })).statusCode, 503)
  const refused = [...new Set(keys)]
  t.equal(refused.length, 150)
  refused.slice(0, 120).forEach((key) => { failing.set(key, 'fails') })
  refused.slice(120, 125).forEach((key) => { failing.set(key, 'hangs') })
  isDown = false
  const until = performance.now() + 8_000
  while (await sessions.count() > 125 && performance.now() < until) await sleep(50)
  t.equal(await sessions.count(), 125, 'the ends that can be stored are stored')
  refused.slice(0, 120).forEach((key) => { failing.delete(key) })
  while (await sessions.count() > 5 && performance.now() < until) await sleep(50)
  t.equal(await sessions.count(), 5, 'and those that can be stored later')
  for (const cookie of cookies) t.equal((await h.me(cookie)).user, null)
  await h.fastify.close()
  const atEnd = removals
  await sleep(1_100)
  t.equal(removals, atEnd, 'there is no retry after the close')
})

test('a connection without a socket or an address has sessions', async (t) => {
  for (const sessionCookieSecure of ['true', 'false', 'auto'] as const) {
    for (const trustProxy of [false, true, '127.0.0.1']) {
      const h = await host(t, () => {}, { options: { sessionCookieSecure }, server: { trustProxy } })
      const answer = async (socket: Socket | undefined, url: string, cookie?: string): Promise<{ status: number, cookie: string | undefined }> => {
        const raw: Bag = { method: 'GET', url, headers: { host: 'app.example', ...cookie !== undefined && { cookie } }, httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1, ...socket !== undefined && { socket }, on () {}, removeListener () {} }
        const response = new ServerResponse(raw as never)
        h.fastify.routing(raw as never, response)
        while (!response.writableEnded) await sleep(1)
        return { status: response.statusCode, cookie: [response.getHeader('set-cookie') ?? []].flat().map((line) => String(line).split(';')[0])[0] ?? /set-cookie: ([^;]+)/i.exec((response as unknown as Bag)['_header'] as string)?.[1] }
      }
      for (const socket of [undefined, {} as Socket]) {
        const what = `${socket === undefined ? 'no socket' : 'no address'}, secure ${sessionCookieSecure}, trustProxy ${trustProxy}`
        const login = await answer(socket, '/in/harry')
        t.equal(login.status, sessionCookieSecure === 'true' ? 400 : 200, what)
        if (login.status === 400) continue
        t.equal((await answer(socket, '/me', login.cookie)).status, 200)
        t.equal((await answer(socket, '/out', login.cookie)).status, 200)
        t.strictSame(await h.me(login.cookie), { user: null, n: null })
      }
    }
  }

  t.test('a request over a Unix socket has a session', async (t) => {
    // The path of a Unix socket must be short.
    const folder = mkdtempSync(join(tmpdir(), 'hatcheck-'))
    t.teardown(() => { rmSync(folder, { recursive: true }) })
    const path = join(folder, 's')
    const fastify = Fastify() as unknown as FastifyInstance
    t.teardown(() => fastify.close())
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate: (name, password) => password === 'x' ? { name } : null })
    await fastify.listen({ path })
    const client = new Client('http://localhost', { socketPath: path })
    const accept = 'application/json'
    t.equal((await client.post('/login', { client_name: 'harry', password: 'y' }, { accept })).statusCode, 401)
    t.equal((await client.post('/login', { client_name: 'harry', password: 'x' }, { accept })).statusCode, 200)
    const cookie = client.cookieHeader
    t.equal((await client.get('/sessions', { accept })).statusCode, 200)
    t.equal((await client.post('/logout', {}, { accept })).statusCode, 200)
    t.equal((await client.get('/sessions', { cookie, accept })).statusCode, 401)
  })
})

test('on an upgraded connection, calls that need a new cookie are refused, and other calls work', async (t) => {
  const outcomes: Record<string, string> = {}
  const note = async (name: string, work: () => unknown): Promise<void> => {
    try {
      await work()
      outcomes[name] = 'done'
    } catch (error) {
      outcomes[name] = (error as { code: string }).code
    }
  }
  const h = await host(t, (fastify) => {
    fastify.get('/socket', async (request, reply) => {
      const socket = request.raw.socket
      reply.hijack()
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
      await note('login', () => request.login('ann'))
      await note('save', async () => {
        bag(request)['n'] = 1
        await request.session.save()
      })
      if (request.user !== null) await note('logout', () => request.logout())
      await note('set', () => { bag(request)['m'] = 1 })
      socket.end('bye')
      await closed(socket)
      await sleep(5)
      await note('set when closed', () => { bag(request)['m'] = 2 })
    })
    fastify.server.on('upgrade', (raw, socket) => {
      const response = new ServerResponse(raw)
      response.assignSocket(socket as Socket)
      fastify.routing(raw, response)
    })
  })
  // An upgrade has no answer, so that a Client would fail.
  const upgrade = (cookie?: string): Promise<void> => new Promise((resolve, reject) => {
    const { port } = h.fastify.server.address() as AddressInfo
    const request = httpRequest({ port, host: '127.0.0.1', path: '/socket', headers: { connection: 'upgrade', upgrade: 'echo', ...cookie !== undefined && { cookie } } })
    request.on('upgrade', (_response, socket) => {
      socket.resume()
      socket.on('end', () => { socket.end() })
      socket.on('close', () => { resolve() })
    })
    request.on('error', reject)
    request.end()
  })
  await upgrade()
  await sleep(150)
  t.strictSame(outcomes, { login: 'HATCHECK_NO_COOKIE', save: 'HATCHECK_NO_COOKIE', set: 'done', 'set when closed': 'done' }, 'a stranger')
  t.equal(await h.stored(), 0)
  t.equal(h.log.length, 1, 'one warning')
  h.log.length = 0
  for (const key of Object.keys(outcomes)) delete outcomes[key]
  const { cookie } = await h.ask('/in/harry')
  await upgrade(cookie)
  await sleep(150)
  t.strictSame(outcomes, { login: 'HATCHECK_NO_COOKIE', save: 'done', logout: 'done', set: 'done', 'set when closed': 'done' }, 'a user')
  t.strictSame(await h.me(cookie), { user: null, n: null })
  t.equal(h.log.length, 1, 'one warning')
})

test('sessions work over HTTP/2', async (t) => {
  const log: Bag[] = []
  const fastify = Fastify({ http2: true, logger: { level: 'warn', stream: { write (line: string) { log.push(JSON.parse(line) as Bag) } } } }) as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  const sessions = openStore(t, 'memory:')
  await fastify.register(hatcheck, { sessionStore: sessions, secretKey: testKey })
  let seen = ''
  fastify.get('/in', async (request) => { await request.login('harry'); return 'in' })
  fastify.get('/me', async (request) => request.user?.name ?? 'nobody')
  fastify.get('/out', async (request, reply) => { reply.hijack(); await request.logout(); reply.raw.end('out') })
  fastify.get('/set', (request, reply) => { bag(request)['n'] = 1; reply.hijack(); reply.raw.end('x') })
  fastify.get('/save', async (request, reply) => { bag(request)['n'] = 1; reply.hijack(); await request.session.save(); reply.raw.end('x') })
  const shared = ['cache-control', 'public', 'set-cookie', 'own=1', 'x-own', '1']
  fastify.get('/head/list', async (request, reply) => { await request.login('harry'); reply.hijack().raw.writeHead(200, shared).end('x') })
  fastify.get('/head/pairs', async (request, reply) => {
    await request.login('harry')
    reply.hijack().raw.writeHead(200, [shared.slice(0, 2), shared.slice(2, 4), shared.slice(4)] as never).end('x')
  })
  fastify.get('/gone', async (request, reply) => {
    reply.raw.on('close', () => {
      request.login('ann').then(() => { seen = 'in' }, (error: { code: string }) => { seen = error.code })
    })
    await sleep(200)
    return 'x'
  })
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(`http://127.0.0.1:${(fastify.server.address() as AddressInfo).port}`)
  t.teardown(() => { client.destroy() })
  const ask = async (path: string, cookie?: string): Promise<{ headers: Bag, body: string, cookie: string | undefined }> => {
    const stream = client.request({ ':path': path, ...cookie !== undefined && { cookie } })
    const [headers] = await once(stream, 'response') as [Bag]
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    return { headers, body, cookie: ([headers['set-cookie'] ?? []].flat() as string[])[0]?.split(';')[0] }
  }
  const { cookie } = await ask('/in')
  t.equal((await ask('/me', cookie)).body, 'harry')
  await ask('/set', cookie)
  await sleep(20)
  t.equal(log.length, 1, 'one warning')
  await ask('/out', cookie)
  t.equal((await ask('/me', cookie)).body, 'nobody')
  const saved = await ask('/save')
  t.ok(saved.cookie)
  t.match(saved.headers, { 'cache-control': 'no-store', vary: 'Cookie' })
  for (const form of ['list', 'pairs']) {
    const { headers } = await ask(`/head/${form}`)
    t.match(headers, { 'cache-control': 'no-store', vary: 'Cookie', 'x-own': '1', 'set-cookie': [/^hatcheck=/, 'own=1'] }, `a head of its own as a ${form}`)
  }
  const before = await sessions.count()
  const stream = client.request({ ':path': '/gone' })
  stream.on('error', () => {})
  await sleep(30)
  stream.close(8)
  await sleep(60)
  t.equal(seen, 'HATCHECK_NO_COOKIE')
  t.equal(await sessions.count(), before)
})
