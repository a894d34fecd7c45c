import fastifyCookie, { Signer } from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type LightMyRequestResponse } from 'fastify'
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { test, type Test } from 'tap'
import type { SessionStore } from '../app.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { bag } from './apps/bag.js'
import { Client } from './clients/client.js'
import { buildHost, formerKey, testKey } from './helper.js'
import { fixture } from './processes/child.js'
import { breakable, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { START } from './time/units.js'

/**
 * The flaws of @fastify/session, one scenario per finding: run on @fastify/session, registered as in its README, to show
 * that it has the flaw, and on hatcheck, to show that it does not.
 */

// Not imported, since its types conflict with those of hatcheck.
const fastifySession = createRequire(import.meta.url)('@fastify/session') as FastifyPluginCallback<Record<string, unknown>>

type Callback = (error: Error | null, session?: unknown) => void

/** A store for @fastify/session that keeps JSON in a map and fails on demand. */
class Sessions {
  readonly texts = new Map<string, string>()
  readonly failing = new Set<'get' | 'set' | 'destroy'>()
  error: Error = new Error('the store is down')

  set (id: string, session: unknown, done: Callback): void {
    if (this.failing.has('set')) return done(this.error)
    this.texts.set(id, JSON.stringify(session))
    done(null)
  }

  get (id: string, done: Callback): void {
    if (this.failing.has('get')) return done(this.error)
    done(null, JSON.parse(this.texts.get(id) ?? 'null'))
  }

  destroy (id: string, done: Callback): void {
    if (this.failing.has('destroy')) return done(this.error)
    this.texts.delete(id)
    done(null)
  }
}

async function upstream (t: Test, sessions: Sessions, options: Record<string, unknown> = {}): Promise<FastifyInstance> {
  const fastify = Fastify() as unknown as FastifyInstance
  await fastify.register(fastifyCookie)
  await fastify.register(fastifySession,
    { secret: testKey, store: sessions as never, cookie: { secure: false }, ...options })
  t.teardown(() => fastify.close())
  fastify.post('/login', async (request) => {
    await request.session.regenerate()
    bag(request)['client_name'] = 'Harry'
    return 'in'
  })
  fastify.post('/logout', async (request) => {
    await request.session.destroy()
    return 'out'
  })
  fastify.get('/', async (request) => ({ user: bag(request)['client_name'] ?? null }))
  addRoutes(fastify)
  return fastify
}

async function hatchecked (t: Test, store: SessionStore, options: HatcheckOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { sessionStore: store, ...options })
  fastify.post('/login', async (request) => {
    await request.login('Harry')
    return 'in'
  })
  fastify.post('/logout', async (request) => {
    await request.logout()
    return 'out'
  })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null }))
  addRoutes(fastify)
  return fastify
}

/** The error handling of a careless application. */
function addRoutes (fastify: FastifyInstance): void {
  fastify.post('/careless-logout', async (request) => {
    await request.session.destroy().catch(() => {})
    return 'logged out'
  })
  fastify.post('/careless-renewal', async (request) => {
    await request.session.regenerate(['client_name']).catch(() => {})
    return 'renewed'
  })
}

async function login (fastify: FastifyInstance): Promise<string> {
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/login' })
  return client.cookieHeader
}

function send (fastify: FastifyInstance, method: 'GET' | 'POST', url: string, cookie = ''): Promise<LightMyRequestResponse> {
  return fastify.inject({ method, url, headers: cookie === '' ? {} : { cookie } })
}

async function userAt (fastify: FastifyInstance, cookie: string): Promise<string | null> {
  return (await send(fastify, 'GET', '/', cookie)).json().user
}

function clears (response: LightMyRequestResponse): boolean {
  return response.cookies.some(({ value }) => value === '')
}

test('U1: in @fastify/session, a request in flight brings a logged-out session back', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<string | null> => {
    const pause = stop()
    fastify.get('/slow', async (request) => {
      t.equal(bag(request)['client_name'], 'Harry')
      await pause.here()
      return 'slow'
    })
    const cookie = await login(fastify)
    const slow = send(fastify, 'GET', '/slow', cookie)
    await pause.reached
    await send(fastify, 'POST', '/logout', cookie)
    t.equal(await userAt(fastify, cookie), null)
    pause.go()
    await slow
    return await userAt(fastify, cookie)
  }
  t.equal(await scenario(await upstream(t, new Sessions())), 'Harry', '@fastify/session does')
  t.equal(await scenario(await hatchecked(t, openStore(t, 'memory:'))), null, 'hatcheck does not')
})

test('U2: in @fastify/session, one of two simultaneous writes to different keys is lost', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<unknown> => {
    const pause = stop()
    fastify.post('/slow', async (request) => {
      bag(request)['slow'] = 1
      await pause.here()
      return 'slow'
    })
    fastify.post('/fast', async (request) => {
      bag(request)['fast'] = 1
      return 'fast'
    })
    fastify.get('/both', async (request) => [bag(request)['slow'] ?? 0, bag(request)['fast'] ?? 0])
    const cookie = await login(fastify)
    const slow = send(fastify, 'POST', '/slow', cookie)
    await pause.reached
    await send(fastify, 'POST', '/fast', cookie)
    pause.go()
    await slow
    return (await send(fastify, 'GET', '/both', cookie)).json()
  }
  t.strictSame(await scenario(await upstream(t, new Sessions())), [1, 0], '@fastify/session loses one')
  t.strictSame(await scenario(await hatchecked(t, openStore(t, 'memory:'))), [1, 1], 'hatcheck keeps both')
})

test('U3: in @fastify/session, a logout leaves the cookie in the browser', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<boolean> => clears(await send(fastify, 'POST', '/logout', await login(fastify)))
  t.equal(await scenario(await upstream(t, new Sessions())), false, '@fastify/session does not clear it')
  t.equal(await scenario(await hatchecked(t, openStore(t, 'memory:'))), true, 'hatcheck clears it')
})

test('U4: in @fastify/session, a key rotation logs out every user who only reads', async (t) => {
  const scenario = async (before: FastifyInstance, after: FastifyInstance): Promise<LightMyRequestResponse> => {
    const cookie = await login(before)
    const read = await send(after, 'GET', '/', cookie)
    t.equal(read.json().user, 'Harry')
    return read
  }
  const sessions = new Sessions()
  const read = await scenario(
    await upstream(t, sessions, { secret: [formerKey], saveUninitialized: false }),
    await upstream(t, sessions, { secret: [testKey, formerKey], saveUninitialized: false })
  )
  t.ok(clears(read), '@fastify/session clears the cookie')

  const store = openStore(t, 'memory:')
  const after = await hatchecked(t, store, { secretKeyFallbacks: [formerKey] })
  const reread = await scenario(await hatchecked(t, store, { secretKey: formerKey }), after)
  t.notOk(clears(reread))
  const [{ name = '', value = '' } = {}] = reread.cookies
  t.equal(await userAt(after, `${name}=${value}`), 'Harry', 'hatcheck signs it anew')
  t.equal(await userAt(await hatchecked(t, store), `${name}=${value}`), 'Harry', 'with the current key alone')
})

test('U5: in @fastify/session, a key in a list can have any length', async (t) => {
  for (const key of ['', 'x']) {
    await t.resolves(upstream(t, new Sessions(), { secret: [key] }), `@fastify/session takes ${JSON.stringify(key)}`)
    await t.rejects(buildHost(t, { secretKey: key }), { code: 'HATCHECK_CONFIG' }, 'hatcheck does not')
    await t.rejects(buildHost(t, { secretKeyFallbacks: [key] }), { code: 'HATCHECK_CONFIG' }, 'nor as a fallback')
  }
})

test('U6: in @fastify/session, every visitor gets a stored session', async (t) => {
  const sessions = new Sessions()
  const store = openStore(t, 'memory:')
  const theirs = await upstream(t, sessions)
  const ours = await hatchecked(t, store)
  for (let i = 0; i < 10; i++) {
    t.ok((await send(theirs, 'GET', '/')).headers['set-cookie'])
    t.notOk((await send(ours, 'GET', '/')).headers['set-cookie'])
  }
  t.equal(sessions.texts.size, 10, '@fastify/session stores one each')
  t.equal(await store.count(), 0, 'hatcheck stores none')
})

test('U7: in @fastify/session, reading an expired session stores an empty one', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions, { saveUninitialized: false, rolling: false, cookie: { secure: false, maxAge: 50 } })
  const oldCookie = await login(theirs)
  const ids = [...sessions.texts.keys()]
  await new Promise((resolve) => { setTimeout(resolve, 60) })
  t.equal(await userAt(theirs, oldCookie), null)
  t.equal(sessions.texts.size, 1)
  t.notOk(sessions.texts.has(ids[0] as string), '@fastify/session writes an empty one under a new id')

  let time = START
  const now = (): number => time
  const store = openStore(t, 'memory:', { now })
  const writes: string[] = []
  const ours = await hatchecked(t, watched(store, (call) => { if (call !== 'read') writes.push(call) }), { now })
  const cookie = await login(ours)
  time += 86_400_000
  writes.length = 0
  const read = await send(ours, 'GET', '/', cookie)
  t.equal(read.json().user, null)
  t.strictSame(writes, [], 'hatcheck writes nothing')
  t.equal(read.headers['set-cookie'], undefined)
})

test('U8: in @fastify/session, a store error ENOENT logs every user out', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions, { saveUninitialized: false })
  const theirCookie = await login(theirs)
  sessions.error = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' })
  sessions.failing.add('get')
  const read = await send(theirs, 'GET', '/', theirCookie)
  t.equal(read.statusCode, 200, '@fastify/session takes it for an anonymous visitor')
  t.ok(clears(read), 'and clears the cookie')

  for (const sync of [true, false]) {
    const { store, down, up } = breakable(openStore(t, 'memory:'), sync)
    const ours = await hatchecked(t, store)
    const cookie = await login(ours)
    down()
    const answer = await send(ours, 'GET', '/', cookie)
    t.equal(answer.statusCode, 503, `hatcheck answers 503, with ${sync ? 'a sync' : 'an async'} store`)
    t.equal(answer.headers['set-cookie'], undefined, 'and leaves the cookie alone')
    up()
    t.equal(await userAt(ours, cookie), 'Harry')
  }
})

test('U9: in @fastify/session, a failing store is an ordinary 500', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions)
  const theirCookie = await login(theirs)
  sessions.failing.add('get')
  const read = await send(theirs, 'GET', '/', theirCookie)
  t.equal(read.statusCode, 500, '@fastify/session: 500')
  t.equal(read.headers['retry-after'], undefined)

  for (const sync of [true, false]) {
    const { store, down } = breakable(openStore(t, 'memory:'), sync)
    const ours = await hatchecked(t, store)
    const cookie = await login(ours)
    down('read')
    const answer = await send(ours, 'GET', '/', cookie)
    t.equal(answer.statusCode, 503, `hatcheck: 503, with ${sync ? 'a sync' : 'an async'} store`)
    t.equal(answer.json().code, 'HATCHECK_STORE_UNAVAILABLE')
    t.equal(answer.headers['retry-after'], '1')
  }
})

test('U10: in @fastify/session, a handler can say "logged out" after a failed destroy()', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions)
  const theirCookie = await login(theirs)
  sessions.failing.add('destroy')
  const theirAnswer = await send(theirs, 'POST', '/careless-logout', theirCookie)
  t.equal(theirAnswer.statusCode, 200)
  t.equal(theirAnswer.body, 'logged out')
  t.equal(await userAt(theirs, theirCookie), 'Harry', '@fastify/session: alive')

  const { store, down } = breakable(openStore(t, 'memory:'))
  const ours = await hatchecked(t, store)
  const cookie = await login(ours)
  down('remove')
  const answer = await send(ours, 'POST', '/careless-logout', cookie)
  t.equal(answer.statusCode, 503, 'hatcheck: the response says that it is not confirmed')
  t.equal(answer.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  t.ok(clears(answer))
  t.equal(await userAt(ours, cookie), null, 'and the ticket is refused')
})

test('U11: in @fastify/session, a renewal that cannot end the old ID leaves both sessions alive', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions)
  const theirCookie = await login(theirs)
  sessions.failing.add('destroy')
  const [{ name = '', value = '' } = {}] = (await send(theirs, 'POST', '/careless-renewal', theirCookie)).cookies
  t.equal(await userAt(theirs, theirCookie), 'Harry', '@fastify/session: the old one is alive')
  t.equal(await userAt(theirs, `${name}=${value}`), 'Harry', 'and the new one')

  const inner = openStore(t, 'memory:')
  const { store, down, up } = breakable(inner)
  const ours = await hatchecked(t, store)
  const cookie = await login(ours)
  down('replace')
  const answer = await send(ours, 'POST', '/careless-renewal', cookie)
  t.equal(answer.headers['set-cookie'], undefined, 'hatcheck gives out no new one')
  up()
  t.equal(await userAt(ours, cookie), 'Harry', 'the old one continues')
  await until('and it is the only session', async () => await inner.count() === 1)
})

test('U12: in @fastify/session, data can overwrite the methods of the session', async (t) => {
  const scenario = async (fastify: FastifyInstance): Promise<LightMyRequestResponse> => {
    fastify.post<{ Querystring: { key: string } }>('/keep', async (request) => {
      bag(request)[request.query.key] = 'x'
      return 'kept'
    })
    const cookie = await login(fastify)
    await send(fastify, 'POST', '/keep?key=destroy', cookie)
    return await send(fastify, 'POST', '/logout', cookie)
  }
  t.match((await scenario(await upstream(t, new Sessions()))).json(), { statusCode: 500, message: /destroy is not a function/ }, '@fastify/session: no logout any more')
  t.equal((await scenario(await hatchecked(t, openStore(t, 'memory:')))).statusCode, 200, 'hatcheck: a logout')
})

test('U12: in @fastify/session, stored JSON with __proto__ ends the process', async (t) => {
  const run = promisify(execFile)
  const script = fixture('proto-in-store.js')
  const theirs = await run(process.execPath, [script], { env: { ...process.env, NODE_OPTIONS: '' } })
    .then(() => 'survives', ({ stderr }: { stderr: string }) => stderr)
  t.match(theirs, /TypeError: this\[hash\] is not a function/, '@fastify/session: uncaught')

  const store = openStore(t, 'memory:')
  const ours = await hatchecked(t, store)
  ours.post('/write', async (request) => {
    bag(request)['b'] = 2
    return { ...bag(request) }
  })
  const cookie = await login(ours)
  const [{ key = '' } = {}] = await store.ofUser('Harry')
  const set = JSON.parse('{"__proto__":"{\\"polluted\\":true}","toString":"1","destroy":"1","a":"1"}')
  await store.patch(key, { set, remove: [], seenAt: 0, expiresAt: 0 })
  t.equal(await userAt(ours, cookie), 'Harry', 'hatcheck ignores such keys')
  const write = await send(ours, 'POST', '/write', cookie)
  t.equal(write.statusCode, 200)
  t.match(write.json(), { a: 1, b: 2 })
  t.strictSame(Object.keys(write.json()).sort(), ['a', 'authenticatedAt', 'b', 'client_name'])
  t.equal((await send(ours, 'POST', '/logout', cookie)).statusCode, 200)
})

test('U13: @fastify/session accepts a value that was signed for another cookie', async (t) => {
  const signed = new Signer(testKey)
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions)
  await login(theirs)
  const [id = ''] = sessions.texts.keys()
  t.equal(await userAt(theirs, `sessionId=${encodeURIComponent(signed.sign(id))}`), 'Harry', '@fastify/session takes it')

  const ours = await hatchecked(t, openStore(t, 'memory:'))
  const cookie = await login(ours)
  const ourId = (cookie.split('=')[1] as string).split('.')[0] as string
  t.equal(await userAt(ours, cookie), 'Harry')
  for (const value of [signed.sign(ourId), encodeURIComponent(signed.sign(ourId)), signed.sign(ourId).replaceAll('+', '-').replaceAll('/', '_')]) {
    t.equal(await userAt(ours, `hatcheck=${value}`), null, 'hatcheck does not')
  }
})

test('U14: @fastify/session silently saves no Secure cookie over http', async (t) => {
  const sessions = new Sessions()
  const theirs = await upstream(t, sessions, { cookie: { secure: true } })
  theirs.post('/write', async (request) => {
    bag(request)['a'] = 1
    return 'written'
  })
  const theirAnswer = await send(theirs, 'POST', '/write')
  t.equal(theirAnswer.statusCode, 200, '@fastify/session says yes')
  t.equal(theirAnswer.headers['set-cookie'], undefined)
  t.equal(sessions.texts.size, 0, 'and has stored nothing')

  const store = openStore(t, 'memory:')
  const ours = await hatchecked(t, store, { sessionCookieSecure: true })
  ours.post('/write', async (request) => {
    bag(request)['a'] = 1
    return 'written'
  })
  for (const url of ['/write', '/login']) {
    const answer = await send(ours, 'POST', url)
    t.equal(answer.statusCode, 400, 'hatcheck says no')
    t.equal(answer.json().code, 'HATCHECK_INSECURE_TRANSPORT')
    t.equal(answer.headers['set-cookie'], undefined)
  }
  t.equal(await store.count(), 0)
})
