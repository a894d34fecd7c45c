import fc from 'fast-check'
import type { FastifyReply, FastifyRequest, LightMyRequestResponse } from 'fastify'
import type { Redis } from 'ioredis'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import type { Bag } from '../apps/bag.js'
import { logEach } from '../apps/log-lines.js'
import { buildHost, needs } from '../helper.js'
import { sequence } from '../models/call-sequences.js'
import { Stage } from '../models/call-stage.js'
import { connect, startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { inTwoSteps, openStore, stop, watched, type StoreCall } from '../stores/watched-store.js'
import { until } from '../time/loop-clock.js'

/** The same sequences each time; another seed plays others. */
const SEED = Number(process.env['HATCHECK_SEED'] ?? 7)

/** Unhandled rejections would end the process. */
const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => { unhandled.push(error) })

test('every promise holds for any calls on a session in memory, awaited or not', async (t) => {
  const store = openStore(t, 'memory:')
  for (const stage of await stages(t, store, [true, false])) await keeps(t, stage, 2_500)
})

test('every promise holds for any calls on a session in LMDB, awaited or not', async (t) => {
  const store = openStore(t, 'lmdb:', { folder: fastFolder(t) })
  const waiting = await stages(t, store, [true, false])
  await Promise.all(waiting.map((stage) => keeps(t, stage, 250)))
})

test('every promise holds for any calls on a session in Redis, awaited or not', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const store = new RedisStore(await connect(t, url) as Redis, { now: Date.now, maxBytes: 16_384, onCorrupt () {}, deadlineMs: 60_000 })
  const waiting = await stages(t, store, [false])
  await Promise.all(waiting.map((stage) => keeps(t, stage, 500)))
})

/** One after another: each replaces the timers of its application. */
async function stages (t: Test, store: SessionStore, syncs: readonly boolean[]): Promise<Stage[]> {
  const opened: Stage[] = []
  for (const sync of syncs) for (const inTwoSteps of [false, true]) opened.push(await Stage.open(t, store, { sync, inTwoSteps }))
  return opened
}

async function keeps (t: Test, stage: Stage, sequences: number): Promise<void> {
  await fc.assert(fc.asyncProperty(sequence, async (sequence) => {
    await stage.play(sequence)
    assert.deepEqual(unhandled.splice(0), [], 'no rejection is left unhandled')
  }), { numRuns: sequences, seed: SEED })
  // A test that never meets a situation proves nothing about it; a short run need not meet them all.
  if (sequences >= 100) for (const what of ['fault', 'met', 'value 200', 'send 200', 'hijack 200']) assert.ok(stage.tally.has(what), what)
  t.pass(`${sequences} sequences, ${stage.name}`)
}

type Handler = (request: FastifyRequest & { bag: Bag }, reply: FastifyReply) => unknown

/** An application with one handler, in front of a store whose calls are recorded and can fail. */
class Scene {
  /** The writing calls of the store, in their order. */
  readonly calls: StoreCall[] = []
  readonly logged: string[] = []
  readonly store: SessionStore
  /** Throws, or delays a call. */
  lookOut: (call: StoreCall) => Promise<void> | void = () => {}
  readonly #fastify: Awaited<ReturnType<typeof buildHost>>

  private constructor (store: SessionStore, fastify: Awaited<ReturnType<typeof buildHost>>) {
    this.store = store
    this.#fastify = fastify
  }

  static async open (t: Test, handler: Handler, { twoSteps = false } = {}): Promise<Scene> {
    const store = openStore(t, 'memory:')
    const seen = watched(store, (call) => {
      if (call !== 'read') scene.calls.push(call)
      return scene.lookOut(call)
    }, false)
    const fastify = await buildHost(t, { sessionStore: twoSteps ? inTwoSteps(seen) : seen }, logEach('warn', (line) => { scene.logged.push(line) }))
    const scene = new Scene(store, fastify)
    fastify.post('/', async (request, reply) => await handler(Object.defineProperty(request, 'bag', { get: () => request.session }) as never, reply))
    fastify.post('/login', async (request) => {
      Object.assign(request.session, { apple: 1 })
      await request.login('Harry')
    })
    fastify.get('/', async (request) => ({ user: request.user?.name ?? null, ...request.session }))
    return scene
  }

  /** Runs the handler, and returns the cookie that the response sets. */
  async send (cookie = ''): Promise<LightMyRequestResponse & { cookie: string | null }> {
    this.calls.length = 0
    const response = await this.#fastify.inject({ method: 'POST', url: '/', headers: { cookie } })
    // Work after the response, and unhandled rejections, are finished by then.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => { setImmediate(resolve) })
    this.lookOut = () => {}
    return Object.assign(response, { cookie: cookieOf(response) })
  }

  async login (): Promise<string> {
    return cookieOf(await this.#fastify.inject({ method: 'POST', url: '/login' })) as string
  }

  async see (cookie: string | null): Promise<Bag> {
    const { client_name: _name, authenticatedAt: _time, ...seen } = (await this.#fastify.inject({ url: '/', headers: { cookie: cookie ?? '' } })).json<Bag>()
    return seen
  }

  /** The number of sessions. */
  async count (): Promise<number> {
    return await this.store.count()
  }

  fail (...calls: StoreCall[]): void {
    this.lookOut = (call) => {
      if (calls.includes(call)) throw new Error('the store is down')
    }
  }
}

/** Empty if the cookie is cleared; null if it is unchanged. */
function cookieOf ({ cookies }: LightMyRequestResponse): string | null {
  const cookie = cookies.find(({ name }) => name === 'hatcheck')
  return cookie === undefined ? null : cookie.value === '' ? '' : `hatcheck=${cookie.value}`
}

const NOBODY = { user: null }

test('the calls of one request take effect one after another', async (t) => {
  t.afterEach(() => { t.strictSame(unhandled.splice(0), [], 'no rejection is left unhandled') })

  t.test('save() and logout() at once end the session', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.bag['pear'] = 1
      await Promise.all([request.session.save(), request.logout()])
    })
    const cookie = await scene.login()
    t.equal((await scene.send(cookie)).cookie, '')
    t.strictSame(scene.calls, ['patch', 'remove'])
    t.strictSame(await scene.see(cookie), NOBODY)
    t.equal(await scene.count(), 0)
  })

  t.test('calls take effect in the order of the program, even if the first is slow', async (t) => {
    const pause = stop()
    const scene = await Scene.open(t, (request) => {
      request.bag['pear'] = 1
      request.session.save()
      request.session.regenerate(['pear'])
      request.bag['plum'] = 1
      request.session.destroy()
      request.bag['fig'] = 1
      return 'done'
    })
    const cookie = await scene.login()
    scene.lookOut = (call) => call === 'patch' ? pause.here() : undefined
    const answer = scene.send(cookie)
    await pause.reached
    t.strictSame(scene.calls, ['patch'])
    pause.go()
    const { cookie: next } = await answer
    t.strictSame([...new Set(scene.calls)], ['patch', 'replace', 'remove', 'create'])
    t.strictSame(await scene.see(next), { user: null, fig: 1 })
    t.equal(await scene.count(), 1)
  })

  t.test('of two logins that are not awaited, the last one counts, without values of the other user', async (t) => {
    const scene = await Scene.open(t, (request) => {
      request.login('Harry', { data: { apple: 2 } as never })
      request.login('Sally')
      return 'in'
    })
    const former = await scene.login()
    const { cookie } = await scene.send(former)
    t.strictSame(await scene.see(cookie), { user: 'Sally' })
    t.strictSame(await scene.see(former), NOBODY)
    t.equal(await scene.count(), 1)
  })

  t.test('after a regenerate() that is not awaited, later values are kept and earlier ones are not', async (t) => {
    const scene = await Scene.open(t, (request) => {
      request.bag['pear'] = 1
      request.session.regenerate(['client_name'])
      request.bag['plum'] = 1
      return 'done'
    })
    const former = await scene.login()
    const { cookie } = await scene.send(former)
    t.strictSame(await scene.see(cookie), { user: 'Harry', plum: 1 })
    t.strictSame(await scene.see(former), NOBODY)
  })

  t.test('a value that is set and saved after destroy() begins a session of its own', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.bag['pear'] = 1
      await request.session.save()
      await request.session.destroy()
      request.bag['pear'] = 2
      await request.session.save()
    })
    const { statusCode, cookie } = await scene.send()
    t.equal(statusCode, 200)
    t.strictSame(await scene.see(cookie), { user: null, pear: 2 })
    t.equal(await scene.count(), 1)
  })

  t.test('a value that is set after a login as another user is kept, even if the other user had the same', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.session.save()
      request.login('Sally')
      request.bag['apple'] = 1
      await request.session.save()
    })
    const { cookie } = await scene.send(await scene.login())
    t.strictSame(await scene.see(cookie), { user: 'Sally', apple: 1 })
  })

  t.test('a login keeps what is set after it for the user and for permanent', async (t) => {
    const scene = await Scene.open(t, (request) => {
      request.session.save()
      request.login('Harry', { permanent: true, data: { pear: 1 } as never })
      request.session.permanent = false
      request.session.pop('client_name', null)
      return 'out'
    })
    const response = await scene.send()
    t.notMatch(response.headers['set-cookie'], 'Max-Age')
    t.strictSame(await scene.see(response.cookie), { user: null, pear: 1 })
  })

  t.test('reload() drops values that were set before it, and not those set after it', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.bag['apple'] = 2
      const reloading = request.session.reload()
      request.bag['pear'] = 1
      await reloading
    })
    const cookie = await scene.login()
    await scene.send(cookie)
    t.strictSame(await scene.see(cookie), { user: 'Harry', apple: 1, pear: 1 })
  })

  t.test('flashes() takes the messages that were left before it, and fails no response after which it is called', async (t) => {
    let taken: Promise<unknown> | undefined
    const scene = await Scene.open(t, (request) => {
      request.flash('info', 'before')
      request.session.save()
      const taking = request.flashes()
      request.flash('info', 'after')
      taken = Promise.prototype.then.call(taking) as never
      return 'done'
    })
    t.equal((await scene.send()).statusCode, 200)
    t.strictSame(await taken, [{ kind: 'info', text: 'before' }])
  })
})

test('a failed call is reported and leaves a consistent session', async (t) => {
  t.afterEach(() => { t.strictSame(unhandled.splice(0), [], 'no rejection is left unhandled') })

  t.test('a failed call that is not awaited is the error of the response', async (t) => {
    const scene = await Scene.open(t, (request) => {
      request.bag['pear'] = 1
      request.session.save()
      return 'saved'
    })
    const cookie = await scene.login()
    scene.fail('patch')
    const response = await scene.send(cookie)
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'HATCHECK_STORE_UNAVAILABLE')
    t.strictSame(await scene.see(cookie), { user: 'Harry', apple: 1 })
  })

  t.test('a failed call does not stop the next call, which stores its changes', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.bag['apple'] = 2
      request.bag['pear'] = 2
      const first = request.session.save()
      request.bag['apple'] = 1
      const [failed, done] = await Promise.allSettled([first, request.session.save()])
      t.equal(failed.status, 'rejected')
      t.equal(done.status, 'fulfilled')
    })
    const cookie = await scene.login()
    let patches = 0
    scene.lookOut = (call) => {
      if (call === 'patch' && patches++ === 0) throw new Error('the store is down')
    }
    await scene.send(cookie)
    t.strictSame(scene.calls, ['patch', 'patch'], 'and the response has nothing left to write')
    t.strictSame(await scene.see(cookie), { user: 'Harry', apple: 1, pear: 2 }, 'a newer value wins')
  })

  t.test('a failed call leaves an ID that is not reused, and a session that may have begun under it ends', async (t) => {
    const scene = await Scene.open(t, async (request) => {
      request.bag['pear'] = 1
      await request.session.save().catch(() => {})
    })
    let creations = 0
    scene.lookOut = (call) => {
      if (call === 'create' && creations++ === 0) throw new Error('the store is down')
    }
    const { cookie } = await scene.send()
    await until('it is ended', () => scene.calls.includes('remove'))
    t.strictSame(await scene.see(cookie), { user: null, pear: 1 }, 'the session of the cookie stays live')
  })

  t.test('a call that fails after the response is logged; a failed logout refuses its ticket and is stored later', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      reply.send('sent')
      await new Promise((resolve) => { setImmediate(resolve) })
      request.logout()
      return reply
    })
    const cookie = await scene.login()
    scene.fail('remove')
    t.equal((await scene.send(cookie)).statusCode, 200)
    t.match(scene.logged.join(''), /HATCHECK_LOGOUT_UNCONFIRMED/)
    t.strictSame(await scene.see(cookie), NOBODY)
    t.equal(await scene.count(), 1)
    await until('it has ended', async () => await scene.count() === 0)
  })

  t.test('a response is never a success if a logout has failed, even if the handler fails after its answer', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      const leaving = [request.logout(), request.session.destroy()]
      reply.send('sent')
      await Promise.all(leaving)
      return reply
    })
    const cookie = await scene.login()
    scene.fail('remove')
    t.equal((await scene.send(cookie)).statusCode, 503)
    t.strictSame(await scene.see(cookie), NOBODY)
  })

  t.test('a failed call in a handler that fails as well gives one response, and the process continues', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      request.bag['pear'] = 1
      reply.send('sent')
      await request.session.regenerate(['pear'])
    })
    const cookie = await scene.login()
    scene.fail('patch', 'replace')
    t.equal((await scene.send(cookie)).statusCode, 503)
    t.strictSame(await scene.see(cookie), { user: 'Harry', apple: 1 })
  })

  t.test('a call that fails after it took effect sends no cookie of the session that it ended', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      reply.hijack()
      await request.session.regenerate(['client_name'])
      await request.login('Sally').catch(() => {})
      reply.raw.end('raw')
    })
    const cookie = await scene.login()
    const { replace } = scene.store
    let replaced = 0
    scene.store.replace = async (...args) => {
      const answer = await replace.call(scene.store, ...args)
      if (++replaced === 2) throw new Error('the store is down')
      return answer
    }
    t.equal((await scene.send(cookie)).cookie, null)
  })
})

test('calls around the end of a response leave the cookie and the store consistent', async (t) => {
  t.afterEach(() => { t.strictSame(unhandled.splice(0), [], 'no rejection is left unhandled') })

  t.test('a login in a hijacked reply sends its cookie if it is awaited before the headers leave', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      reply.hijack()
      await request.login('Harry')
      reply.raw.end('raw')
    })
    const { cookie } = await scene.send()
    t.strictSame(await scene.see(cookie), { user: 'Harry' })
  })

  for (const call of ['login', 'regenerate', 'save'] as const) {
    t.test(`${call}() that resolves after the headers leaves no session without a ticket`, async (t) => {
      const scene = await Scene.open(t, (request, reply) => {
        request.bag['pear'] = 1
        if (call === 'login') request.login('Harry')
        else if (call === 'regenerate') request.session.regenerate(['apple'])
        else request.session.save()
        reply.hijack()
        reply.raw.end('raw')
      })
      const former = call === 'regenerate' ? await scene.login() : ''
      t.equal((await scene.send(former)).cookie, null)
      t.equal(await scene.count(), 0)
      t.match(scene.logged.join(''), /HATCHECK_NO_COOKIE/)
    })
  }

  t.test('a session without a ticket ends later if the store is down when the headers leave', async (t) => {
    const scene = await Scene.open(t, (request, reply) => {
      request.login('Harry')
      reply.hijack()
      reply.raw.end('raw')
    })
    scene.fail('remove')
    await scene.send()
    t.equal(await scene.count(), 1)
    await until('it has ended', async () => await scene.count() === 0)
  })

  for (const twoSteps of [false, true]) {
    t.test(`a login after reply.send(), while values are written, delays the response${twoSteps ? ', in two steps' : ''}`, async (t) => {
      const scene = await Scene.open(t, async (request, reply) => {
        request.bag['pear'] = 1
        reply.send('sent')
        await request.session.save()
        await request.login('Harry')
        return reply
      }, { twoSteps })
      const { cookie, body } = await scene.send()
      t.equal(body, 'sent')
      t.strictSame(await scene.see(cookie), { user: 'Harry', pear: 1 })
      t.equal(await scene.count(), 1)
    })
  }

  t.test('a logout after reply.send() ends the session that the response begins', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      request.bag['pear'] = 1
      reply.send('sent')
      await request.logout()
      return reply
    })
    t.not((await scene.send()).cookie, /=/)
    t.equal(await scene.count(), 0)
  })

  t.test('a call that fails after a hijacked response is logged at once', async (t) => {
    const scene = await Scene.open(t, async (request, reply) => {
      reply.hijack()
      reply.raw.end('raw')
      await new Promise((resolve) => { setImmediate(resolve) })
      request.logout()
    })
    const cookie = await scene.login()
    scene.fail('remove')
    await scene.send(cookie)
    t.match(scene.logged.join(''), /HATCHECK_LOGOUT_UNCONFIRMED/)
  })

  t.test('a change after the response is refused with a named error, even if the session was not read before', async (t) => {
    let code: unknown
    const scene = await Scene.open(t, (request, reply) => {
      reply.send('sent')
      try {
        request.bag['pear'] = 1
      } catch (error) {
        code = (error as { code: string }).code
      }
      return reply
    })
    await scene.send()
    t.equal(code, 'HATCHECK_SESSION_COMMITTED')
  })
})
