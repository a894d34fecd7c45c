import type { FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { STORES, appOnPort, closed, type Received } from './apps/app-on-port.js'
import { bag, type Bag } from './apps/bag.js'
import { until } from './time/loop-clock.js'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

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
    await pause(5)
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
    await pause(5)
    await act()
    yield 'y'
  })())),
  'answers a Web stream': (_request, reply, act) => reply.type('text/plain').send(new ReadableStream({
    async start (controller) {
      controller.enqueue(new TextEncoder().encode('x'))
      await pause(5)
      await act()
      controller.close()
    }
  })),
  'answers a Web Response whose body acts': async (_request, _reply, act) => new Response(new ReadableStream({
    async pull (controller) {
      await pause(5)
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
    await pause(60)
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
    const h = await appOnPort(t, (fastify) => {
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
              await pause(5)
            })
          })
        })
      }
    }, { store })

    for (const [i, what] of Object.keys(ANSWERS).entries()) {
      await t.test(`a handler that ${what}`, async (t) => {
        async function run (act: keyof typeof ACTS, cookie?: string): Promise<Received> {
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
        if (!isStored && moment.error === '') await until('the loss is in the log', () => warnings().length > 0)
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
    const h = await appOnPort(t, (fastify) => {
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

test('a handler that ends without a second answer is not reported as one', async (t) => {
  const handlers: Record<string, { handler: Handler, isReported: boolean }> = {
    'send, then end': { handler: async (_request, reply) => { reply.send('a') }, isReported: false },
    'redirect, then end': { handler: async (_request, reply) => { reply.redirect('/me') }, isReported: false },
    'send, then return': { handler: async (_request, reply) => { reply.send('a'); return 'b' }, isReported: true },
    'send twice': { handler: (_request, reply) => { reply.send('a'); reply.send('b') }, isReported: true }
  }
  for (const store of STORES) {
    const h = await appOnPort(t, (fastify) => {
      Object.values(handlers).forEach(({ handler }, i) => {
        fastify.get(`/${i}`, (request, reply) => {
          bag(request)['n'] = Math.random()
          return handler(request, reply)
        })
      })
    }, { store })
    for (const [i, [name, { isReported }]] of Object.entries(handlers).entries()) {
      const { cookie, body } = await h.ask(`/${i}`)
      t.type((await h.me(cookie)).n, 'number', `${name}, ${store}`)
      if (!name.startsWith('redirect')) t.equal(body, 'a')
      t.equal(h.log.splice(0).some(({ msg }) => /second answer/.test(String(msg))), isReported)
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
  const h = await appOnPort(t, (fastify) => {
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
      await pause(5)
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
  const isPrivate = ({ headers }: Received): boolean => /no-store|private/.test(headers['cache-control'] ?? '') && /cookie/i.test(headers.vary ?? '') && !/max-age=99|"99"/.test(JSON.stringify(headers))
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
