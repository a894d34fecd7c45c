import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { requireLogin } from '../app.js'
import { appOnPort, STORES } from './apps/app-on-port.js'
import { bag } from './apps/bag.js'
import { until } from './time/loop-clock.js'

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

const setList = async (request: FastifyRequest): Promise<string> => {
  bag(request)['list'] = []
  return 'x'
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
          const h = await appOnPort(t, (fastify) => {
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
    const h = await appOnPort(t, (fastify) => {
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
    await until('every hook has run', () => outcomes.size === 5)
    t.strictSame(Object.fromEntries(outcomes), {
      preSerialization: 'set', errorHandler: 'set', onError: 'set', routeOnSend: 'HATCHECK_SESSION_COMMITTED', onResponse: 'HATCHECK_SESSION_COMMITTED'
    })
    t.strictSame(users, ['harry'], 'a log line of the response can name the user')
  })
})

test('with an asynchronous store, the getters answer only after the session was read', async (t) => {
  let attempt: ((request: FastifyRequest, reply: FastifyReply) => unknown) = () => {}
  const h = await appOnPort(t, (fastify) => {
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

test('the log warns of a change within an object that is never stored', async (t) => {
  const push = (request: FastifyRequest): void => { bag(request)['list'].push(1) }
  const read = (request: FastifyRequest): void => { t.strictSame(bag(request)['list'], []) }
  const savedPush = async (request: FastifyRequest): Promise<void> => {
    push(request)
    await request.session.save()
    bag(request)['list'].pop()
    await request.session.save()
  }
  const ways: Record<string, (request: FastifyRequest, reply: FastifyReply, act: typeof push | typeof savedPush) => unknown> = {
    'reply.hijack()': async (request, reply, act) => {
      await act(request)
      reply.hijack().raw.end('x')
    },
    'reply.hijack(), after the head': async (request, reply, act) => {
      read(request)
      reply.hijack().raw.write('x')
      await act(request)
      reply.raw.end()
    },
    'reply.raw': async (request, reply, act) => {
      await act(request)
      reply.raw.end('x')
    },
    'a stream': async (request, _reply, act) => {
      const { session } = request
      return Readable.from((async function * () {
        yield 'x'
        await act({ session } as FastifyRequest)
      })())
    },
    'a web stream, beside a value that is stored': async (request, _reply, act) => {
      const { session } = request
      bag(request)['n'] = 1
      return new ReadableStream({
        async pull (controller) {
          await act({ session } as FastifyRequest)
          controller.enqueue('x')
          controller.close()
        }
      }, { highWaterMark: 0 })
    }
  }
  let act: typeof push | typeof savedPush = read
  for (const store of STORES) {
    const h = await appOnPort(t, (fastify) => {
      fastify.get('/list', setList)
      for (const [i, way] of Object.values(ways).entries()) fastify.get(`/${i}`, (request, reply) => way(request, reply, act))
      fastify.get('/socket', { websocket: true }, async (socket, request) => {
        await act(request)
        socket.close()
      })
      fastify.get('/next', async (request) => bag(request)['list'])
    }, { store, before (fastify) { fastify.register(websocket) } })
    const { cookie } = await h.ask('/list')
    const open = async (): Promise<void> => {
      const { port } = h.fastify.server.address() as AddressInfo
      await once(new WebSocket(`ws://127.0.0.1:${port}/socket`, { headers: { cookie } }), 'close')
    }
    const requests = { ...Object.fromEntries(Object.keys(ways).map((what, i) => [what, async () => { t.equal((await h.ask(`/${i}`, cookie)).body, 'x', what) }])), 'a WebSocket': open }
    for (const [what, ask] of Object.entries(requests)) {
      act = push
      await ask()
      await until('the warning is logged', () => h.log.length > 0)
      t.match(h.log.splice(0), [{ level: 40, msg: /^The session has changes that are not stored, because / }], `${what}, ${store}`)
      t.strictSame((await h.ask('/next', cookie)).body, '[]')
      for (const quiet of [read, savedPush]) {
        act = quiet
        await ask()
        await h.ask('/next', cookie)
        t.strictSame(h.log, [], `${what}, ${store}, ${quiet.name}`)
      }
    }
  }
})

test('the log tells what is lost with a client that has gone: a new session, or changes of a session in its cookie', async (t) => {
  let begun = (): void => {}
  const h = await appOnPort(t, (fastify) => {
    fastify.get('/x', async (request, { raw }) => {
      bag(request)['n'] = 1
      const gone = once(raw, 'close')
      begun()
      await gone
      return 'x'
    })
  }, { options: { sessionStore: 'cookie:memory:' } })
  h.log.length = 0
  const { cookie } = await h.ask('/in/harry')
  for (const [sent, lost] of [[undefined, 'The session of a new visitor is'], [cookie, 'The changes of this request are']] as const) {
    const leave = new Promise<void>((resolve) => { begun = resolve })
    t.equal((await h.ask('/x', sent, { leave })).status, 0)
    await until('the warning is logged', () => h.log.length > 0)
    t.match(h.log.splice(0), [{ level: 40, msg: `${lost} not stored, because the response has begun or the client has gone.`, err: { code: 'HATCHECK_NO_COOKIE' } }])
  }
  t.strictSame(await h.me(cookie), { user: 'harry', n: null })
})

test('if a hook before hatcheck changes a session and then answers without Fastify, the log warns of the loss', async (t) => {
  let act: (request: FastifyRequest) => unknown = () => {}
  let answer: (reply: FastifyReply) => unknown = () => {}
  const h = await appOnPort(t, (fastify) => {
    fastify.get('/x', async () => 'x')
    fastify.get('/list', setList)
  }, {
    before (fastify) {
      fastify.addHook('onRequest', async (request, reply) => {
        if (request.url !== '/x') return
        await act(request)
        await answer(reply)
      })
    }
  })
  const { cookie: listed } = await h.ask('/list')
  const acts: Record<string, (request: FastifyRequest) => unknown> = {
    'a value that is set': (request) => { bag(request)['n'] = 1 },
    'save()': async (request) => {
      bag(request)['n'] = 1
      await request.session.save()
    },
    'login()': async (request) => { await request.login('ann') },
    'login() that is not awaited': (request) => { request.login('ann') }
  }
  const answers: Record<string, (reply: FastifyReply) => unknown> = {
    'reply.hijack()': (reply) => { reply.hijack().raw.end('early') },
    'reply.raw': (reply) => { reply.raw.end('early') }
  }
  for (const [way, by] of Object.entries(answers)) {
    answer = by
    const changes = { ...acts, 'a change within an object': (request: FastifyRequest) => { bag(request)['list'].push(1) } }
    for (const [what, call] of Object.entries(changes)) {
      act = call
      t.equal((await h.ask('/x', call === acts[what] ? undefined : listed)).body, 'early')
      await until('the warning is logged', () => h.log.length > 0)
      t.match(h.log.splice(0), [{ level: 40, msg: /Register hatcheck before this hook\.$/ }], `${what}, ${way}`)
    }
  }

  const quiet: Record<string, (request: FastifyRequest) => unknown> = {
    'a value that is read': (request) => bag(request)['n'],
    'a logout': (request) => request.logout()
  }
  const { cookie } = await h.ask('/in/harry')
  for (const call of Object.values(quiet)) {
    act = call
    t.equal((await h.ask('/x', cookie)).body, 'early')
  }
  answer = (reply) => reply.send('through Fastify')
  for (const call of Object.values(acts)) {
    act = call
    t.ok((await h.ask('/x')).set)
  }
  answer = () => {}
  for (const call of Object.values(acts)) {
    act = call
    t.ok((await h.ask('/x')).set)
  }
  t.strictSame(h.log, [])
})
