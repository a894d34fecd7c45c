import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { DeadlineError } from '../plugins/common/deadline.js'
import type { AdoptOptions } from '../plugins/config/adopt.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { hatcheckSession } from '../plugins/session/standalone.js'
import { expressStore } from '../plugins/storage/express/open.js'
import type { CompleteSessionStore } from '../plugins/store/traits.js'
import { logInto } from './apps/log-lines.js'
import { libraries, oldApp, oldSecret, watchedOldStore, type OldApp, type OldAppOptions } from './apps/old-apps.js'
import { Client, cookiesSetBy, type Answer } from './clients/client.js'
import { buildHost, formerKey, gate, needs, newFastify, testKey } from './helper.js'
import { startRedis } from './programs/redis.js'
import { breakable, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'
import { DAY } from './time/units.js'

interface New {
  readonly fastify: FastifyInstance
  readonly store: CompleteSessionStore
  /** Sends a request as a browser with these cookies would. */
  send (cookie: string, url?: string, method?: 'GET' | 'POST'): Promise<Answer>
  count (): Promise<number>
}

/** The new application, with hatcheck. */
async function newApp (t: Test, adopt: AdoptOptions[], options: Omit<GivenOptions, 'sessionStore'> & { sessionStore?: CompleteSessionStore, logger?: object } = {}): Promise<New> {
  const { sessionStore: store = openStore(t, 'memory:'), logger, ...others } = options
  const fastify = await buildHost(t, { sessionStore: store, adopt, ...others } as never, logger === undefined ? {} : { logger } as never)
  fastify.get('/', async ({ user, session }) => {
    const { client_name: _, authenticatedAt, ...values } = { ...session } as Record<string, unknown>
    return { user: user?.name ?? null, since: authenticatedAt, permanent: session.permanent, values }
  })
  fastify.get('/plain', async (_request, reply) => { reply.header('cache-control', 'public, max-age=60').send('style') })
  fastify.post('/set/:key', async ({ session, params }) => { session.set((params as { key: string }).key as 'client_name', 'new') })
  fastify.post('/in', async (request) => { await request.login('Sally') })
  fastify.post('/clear', async ({ session }) => { session.clear() })
  fastify.post('/empty', async ({ session }) => { await session.regenerate(['cart' as 'client_name']) })
  fastify.post('/out', async (request) => { await request.logout() })
  return {
    fastify,
    store,
    send: (cookie, url = '/', method = 'GET') => fastify.inject({ method, url, headers: { cookie } }),
    count: async () => await store.count()
  }
}

/** The Cookie header of a browser after an answer. */
function browserAfter (cookie: string, answer: Answer): string {
  const jar = new Map(cookie.split('; ').map((pair) => [pair.split('=')[0] as string, pair]))
  for (const { name, value, isRemoval } of cookiesSetBy(answer)) {
    if (isRemoval) jar.delete(name)
    else jar.set(name, `${name}=${value}`)
  }
  return [...jar.values()].join('; ')
}

test('an answer of /verify brings the new cookie, and does not remove the old one beside it', async (t) => {
  const old = await oldApp(t, libraries[0])
  const fastify = await buildHost(t, { adopt: [old.adopt], routes: true, authenticate: () => null } as never)
  const cookie = await old.begin({ user: 'Harry' })
  const answer = await fastify.inject({ url: '/verify', headers: { cookie } })
  t.equal(answer.statusCode, 204)
  t.strictSame(cookiesSetBy(answer).map(({ name, isRemoval }) => [name, isRemoval]), [['hatcheck', false]])
})

async function oldAndNew (t: Test, library: typeof libraries[number], oldOptions: OldAppOptions = {}, options: Parameters<typeof newApp>[2] = {}): Promise<{ old: OldApp } & New> {
  const old = await oldApp(t, library, oldOptions)
  return { old, ...await newApp(t, [old.adopt], options) }
}

for (const library of libraries) {
  for (const sync of [true, false]) {
    test(`a live session of ${library} continues in a ${sync ? 'synchronous' : 'asynchronous'} store, under a new ID, and ends in its own`, async (t) => {
      const sessionStore = watched(openStore(t, 'memory:'), () => {}, sync)
      const { old, send, count } = await oldAndNew(t, library, {}, { sessionStore })
      const before = await old.begin({ user: 'Harry', cart: ['apple', { size: 2 }], theme: 'dark' })
      const answer = await send(before)
      t.strictSame(answer.json(), { user: 'Harry', since: 0, permanent: false, values: { user: 'Harry', cart: ['apple', { size: 2 }], theme: 'dark' } })
      t.equal(answer.headers['cache-control'], 'no-store')
      t.strictSame(cookiesSetBy(answer).map(({ name, isRemoval }) => [name, isRemoval]), [['hatcheck', false], [old.adopt.cookie, true]])
      t.strictSame(await old.valuesOf(before), {})

      const after = browserAfter(before, answer)
      t.match(after, /^hatcheck=[\w-]{43}\.[\w-]{43}$/)
      const second = await send(after)
      t.match(second.json(), { user: 'Harry', values: { theme: 'dark' } })
      t.strictSame(cookiesSetBy(second), [])
      t.equal(await count(), 1)

      await send(after, '/out', 'POST')
      for (const cookie of [before, after, `${before}; ${after}`]) t.match((await send(cookie)).json(), { user: null, values: {} })
      t.equal(await count(), 0)
    })
  }

  test(`parallel requests with one cookie of ${library} all succeed, in one session that has what each has set`, async (t) => {
    const crowd = 20
    const [all, reads] = [gate(), { count: 0 }]
    const old = await oldApp(t, library)
    const store = watchedOldStore(old.store, async (call) => {
      // Every request has found no session of hatcheck and reads the old one before any goes on.
      if (call === 'get' && ++reads.count === crowd) all.open()
      if (call === 'get') await all.passed
    })
    const { send, count, fastify } = await newApp(t, [{ ...old.adopt, store }])
    const began: string[] = []
    fastify.sessions.on('created', ({ user }) => { began.push(String(user)) })
    const before = await old.begin({ user: 'Harry' })
    const answers = await Promise.all(Array.from({ length: crowd }, (_, i) => send(before, `/set/x${i}`, 'POST')))
    t.ok(answers.every(({ statusCode }) => statusCode === 200))
    t.equal(new Set(answers.map((answer) => browserAfter(before, answer))).size, 1, 'every response brings the same cookie')
    t.strictSame(began, ['Harry'])
    t.equal(await count(), 1)
    const { user, values } = (await send(browserAfter(before, answers[0] as Answer))).json()
    t.equal(user, 'Harry')
    t.equal(Object.keys(values).length, crowd + 1)
  })
}

test('two processes that adopt one session at once begin one, also while the secret key is replaced', async (t) => {
  const old = await oldApp(t, 'express-session')
  const sessionStore = openStore(t, 'memory:')
  const [both, reads] = [gate(), { count: 0 }]
  const store = watchedOldStore(old.store, async () => {
    if (++reads.count === 2) both.open()
    await both.passed
  })
  const adopt = [{ ...old.adopt, store }]
  const one = await newApp(t, adopt, { sessionStore, secretKey: formerKey, secretKeyFallbacks: [testKey] })
  const other = await newApp(t, adopt, { sessionStore, secretKeyFallbacks: [formerKey] })
  const before = await old.begin({ user: 'Harry' })
  const answers = await Promise.all([one.send(before), other.send(before)])
  for (const answer of answers) {
    t.equal(answer.json().user, 'Harry')
    t.equal((await one.send(browserAfter(before, answer))).json().user, 'Harry')
  }
  t.equal(await one.count(), 1)
})

const ends: Record<string, (app: New, cookie: string) => Promise<unknown>> = {
  'a logout': (app, cookie) => app.send(cookie, '/out', 'POST'),
  'a logout by values': (app, cookie) => app.send(cookie, '/clear', 'POST'),
  'revokeUser()': (app) => app.fastify.sessions.revokeUser('Harry')
}

for (const [what, end] of Object.entries(ends)) {
  test(`${what} is final for a request that has read the old session before it`, async (t) => {
    const old = await oldApp(t, 'express-session')
    const slow = stop()
    let isFirst = true
    const sessionStore = watched(openStore(t, 'memory:'), async (call) => {
      if (call !== 'create' || !isFirst) return
      isFirst = false
      await slow.here()
    }, false)
    const app = await newApp(t, [old.adopt], { sessionStore })
    const before = await old.begin({ user: 'Harry', cart: 1 })
    const late = app.send(before)
    await slow.reached
    await end(app, browserAfter(before, await app.send(before)))
    slow.go()
    t.match((await late).json(), { user: null, values: {} })
    t.equal(await app.count(), 0)
    t.match((await app.send(before)).json(), { user: null })
  })
}

test('a request that reads the old session after its end finds the new one', async (t) => {
  const old = await oldApp(t, 'express-session')
  const slow = stop()
  let isFirst = true
  const store = watchedOldStore(old.store, async () => {
    if (!isFirst) return
    isFirst = false
    await slow.here()
  })
  const { send, count } = await newApp(t, [{ ...old.adopt, store }])
  const before = await old.begin({ user: 'Harry' })
  const late = send(before)
  await slow.reached
  const first = await send(before)
  t.strictSame(await old.valuesOf(before), {})
  slow.go()
  const second = await late
  t.equal(second.json().user, 'Harry')
  t.equal(browserAfter(before, second), browserAfter(before, first))
  t.equal(await count(), 1)
})

test('a logout is final although the old application saves its session once more', async (t) => {
  const { old, send, count, store } = await oldAndNew(t, 'express-session')
  const before = await old.begin({ user: 'Harry' })
  const sid = decodeURIComponent(before).replace(/^.*s:|\..*$/g, '')
  const revive = (): void => { old.store.set(sid, { cookie: {}, user: 'Harry' }) }
  const after = browserAfter(before, await send(before))
  revive()
  t.match((await send(`${before}; ${after}`)).json(), { user: 'Harry' })
  // The old cookie came along, so its session ends as well.
  await send(`${before}; ${after}`, '/out', 'POST')
  t.strictSame(await old.valuesOf(before), {})
  revive()
  t.match((await send(before)).json(), { user: null })
  t.strictSame(await old.valuesOf(before), {}, 'a session that is ended in hatcheck is ended in its store too')
  t.equal(await count(), 0)
  t.ok(store)
})

for (const url of ['/out', '/clear', '/empty']) {
  test(`a logout ends the old session that a request presents beside its own (${url})`, async (t) => {
    const { old, send } = await oldAndNew(t, '@fastify/session')
    const [harry, sally] = [await old.begin({ user: 'Harry', cart: 1 }), await old.begin({ user: 'Sally' })]
    const after = browserAfter(harry, await send(harry))
    t.equal((await send(`${sally}; ${after}`)).json().user, 'Harry', 'its own comes first')
    const out = await send(`${sally}; ${after}`, url, 'POST')
    t.equal(out.statusCode, 200)
    t.notMatch(browserAfter(`${sally}; ${after}`, out), old.adopt.cookie)
    t.match((await send(sally)).json(), { user: null, values: {} })
    t.strictSame(await old.valuesOf(sally), {})
  })
}

test('a browser that did not get the response stays logged in by its old cookie, for a day', async (t) => {
  let time = Date.now()
  const { old, send, count } = await oldAndNew(t, 'express-session', { cookie: { maxAge: 90 * DAY } }, { now: () => time })
  const before = await old.begin({ user: 'Harry' })
  const lost = await send(before, '/set/x', 'POST')
  time += DAY - 1
  const found = await send(before)
  t.match(found.json(), { user: 'Harry', values: { x: 'new' } })
  t.equal(browserAfter(before, found), browserAfter(before, lost))
  time += 2
  t.match((await send(before)).json(), { user: null })
  t.match((await send(browserAfter(before, found))).json(), { user: 'Harry' })
  t.equal(await count(), 1)
})

test('a login takes the session to an ID that the old cookie does not lead to', async (t) => {
  const { old, send } = await oldAndNew(t, 'express-session')
  const before = await old.begin({ cart: 1 })
  const after = browserAfter(before, await send(before, '/in', 'POST'))
  t.match((await send(after)).json(), { user: 'Sally', values: { cart: 1 } })
  t.match((await send(before)).json(), { user: null, values: {} })
})

test('a failure of the old store is a 503, and the next request succeeds', async (t) => {
  const old = await oldApp(t, 'express-session')
  let failing = ''
  const store = watchedOldStore(old.store, (call) => { if (call === failing) throw new Error('down') })
  const { send, count } = await newApp(t, [{ ...old.adopt, store }])
  const before = await old.begin({ user: 'Harry', cart: 1 })
  for (failing of ['get', 'destroy', 'destroy']) {
    const answer = await send(before)
    t.match(answer, { statusCode: 503, headers: { 'retry-after': /\d/ } })
    t.equal(answer.json().code, 'HATCHECK_STORE_UNAVAILABLE')
    t.strictSame(cookiesSetBy(answer), [], 'no cookie before the old session has ended')
    t.equal((await send(before, '/plain')).statusCode, 200)
  }
  failing = ''
  t.match((await send(before)).json(), { user: 'Harry', values: { cart: 1 } })
  t.equal(await count(), 1)
  t.strictSame(await old.valuesOf(before), {})
})

test('an old store that never answers is a 503', async (t) => {
  const old = await oldApp(t, 'express-session')
  const { send } = await newApp(t, [{ ...old.adopt, store: watchedOldStore(old.store, () => new Promise(() => {})) }])
  t.equal((await send(await old.begin({ user: 'Harry' }))).statusCode, 503)
})

test('a failure of the store of hatcheck is a 503, and the next request succeeds', async (t) => {
  const old = await oldApp(t, 'express-session')
  const { store: sessionStore, down, up } = breakable(openStore(t, 'memory:'), false)
  const { send, count } = await newApp(t, [old.adopt], { sessionStore })
  const before = await old.begin({ user: 'Harry' })
  down('create')
  t.equal((await send(before)).json().code, 'HATCHECK_STORE_UNAVAILABLE')
  t.strictSame(await old.valuesOf(before), { user: 'Harry' })
  up()
  // Longer than it takes to end a session that may have begun.
  await new Promise((resolve) => { setTimeout(resolve, 1_200) })
  const answer = await send(before)
  t.equal(answer.json().user, 'Harry')
  down('read')
  for (const cookie of [before, browserAfter(before, answer)]) t.equal((await send(cookie)).json().code, 'HATCHECK_STORE_UNAVAILABLE')
  up()
  t.equal((await send(before)).json().user, 'Harry')
  t.equal(await count(), 1)
})

test('a logout that the old store cannot take is unconfirmed, refused from then on, and tried again', async (t) => {
  const old = await oldApp(t, '@fastify/session')
  let isDown = false
  const store = watchedOldStore(old.store, (call) => { if (isDown && call === 'destroy') throw new Error('down') })
  const { send, count } = await newApp(t, [{ ...old.adopt, store }])
  const before = await old.begin({ user: 'Harry' })
  isDown = true
  const out = await send(before, '/out', 'POST')
  t.match(out, { statusCode: 503 })
  t.equal(out.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  t.equal(browserAfter(before, out), '', 'this browser is signed out')
  t.match((await send(before)).json(), { user: null })
  isDown = false
  await until('the old session ends', async () => Object.keys(await old.valuesOf(before)).length === 0)
  t.match((await send(before)).json(), { user: null })
  t.equal(await count(), 0)
})

test('a logout waits once for a store that does not answer in time, be it the old one or that of hatcheck', async (t) => {
  for (const late of ['the old one', 'that of hatcheck']) {
    const old = await oldApp(t, 'express-session')
    const calls: string[] = []
    let isSilent = true
    const store = watchedOldStore(old.store, (call) => {
      if (!isSilent) return
      calls.push(`old ${call}`)
      if (late === 'the old one') return new Promise(() => {})
    })
    const sessionStore = watched(openStore(t, 'memory:'), (call) => {
      if (!isSilent) return
      calls.push(call)
      throw new DeadlineError('no answer within 5000 ms')
    })
    const { send, count } = await newApp(t, [{ ...old.adopt, store }], { sessionStore })
    const before = await old.begin({ user: 'Harry' })
    t.equal((await send(before, '/out', 'POST')).json().code, 'HATCHECK_LOGOUT_UNCONFIRMED', late)
    const expected = [...late === 'the old one' ? ['old get'] : ['old get', 'create'], 'old destroy']
    t.strictSame(calls.slice(0, expected.length), expected, `${late}: the end is begun, and not waited for`)
    isSilent = false
    t.equal((await send(before)).json().user, null, `${late}, refused`)
    await until('the old session ends', async () => Object.keys(await old.valuesOf(before)).length === 0)
    t.equal((await send(before)).json().user, null, `${late}, ended`)
    t.equal(await count(), 0, late)
  }
})

test('a session that has expired, or that no secret has signed, is not adopted', async (t) => {
  let time = Date.now()
  const { old, send, count } = await oldAndNew(t, 'express-session', { cookie: { maxAge: 60_000 } }, { now: () => time })
  const good = await old.begin({ user: 'Harry' })
  const [sid = '', signature = ''] = decodeURIComponent(good).replace('connect.sid=s:', '').split('.')
  const bad = [
    sid, `s:${sid}`, `s:${sid}.`, `s:.${signature}`, `.${signature}`, '.', '', 's:', '%', '%E0%A4%A', 's%3A', `s:${sid}.${signature.slice(1)}`,
    `s:${sid}.${signature}=`, `s:${sid}x.${signature}`, `s:s:${sid}.${signature}`, `j:${sid}.${signature}`, `${'x'.repeat(500)}.${signature}`
  ]
  for (const value of bad) {
    const answer = await send(`connect.sid=${value}`)
    t.match(answer.json(), { user: null, values: {} }, value)
    t.strictSame(cookiesSetBy(answer), [])
  }
  time += 61_000
  t.match((await send(good)).json(), { user: null, values: {} })
  t.equal(await count(), 0)
  time -= 61_000
  t.match((await send(`connect.sid=x; ${good}; connect.sid=y`)).json(), { user: 'Harry' })
})

test('every secret of a list verifies, as text or bytes', async (t) => {
  const secrets = ['new secret of the old application', oldSecret]
  const former = await oldApp(t, '@fastify/session', { secret: oldSecret })
  const old = await oldApp(t, '@fastify/session', { secret: secrets, store: former.store })
  const { send } = await newApp(t, [{ ...old.adopt, secret: secrets.map((secret) => Buffer.from(secret)) }])
  for (const app of [former, old]) t.equal((await send(await app.begin({ user: 'Harry' }))).json().user, 'Harry')
})

test('sessions of two kinds are adopted side by side', async (t) => {
  const apps = await Promise.all(libraries.map((library) => oldApp(t, library)))
  const { send, count } = await newApp(t, apps.map(({ adopt }) => adopt))
  for (const app of apps) t.equal((await send(await app.begin({ user: app.adopt.cookie }))).json().user, app.adopt.cookie)
  t.equal(await count(), 2)
})

test('an old session without a user continues as an anonymous one, and one without values is left alone', async (t) => {
  for (const none of [null, undefined]) {
    const old = await oldApp(t, 'express-session')
    const { send, count } = await newApp(t, [{ ...old.adopt, user: () => none }], { anonymousSessionsPerMinute: 1 })
    for (const cart of [1, 2]) t.match((await send(await old.begin({ cart }))).json(), { user: null, values: { cart } }, 'it counts for no limit')
    const dropsAll = await newApp(t, [{ ...old.adopt, user: () => none, data: () => ({}) }])
    const before = await old.begin({ cart: 1 })
    t.match((await dropsAll.send(before)).json(), { user: null, values: {} })
    t.strictSame(await old.valuesOf(before), { cart: 1 })
    t.strictSame([await count(), await dropsAll.count()], [2, 0])
  }
})

test('with anonymousSessions: false, only the sessions of users are adopted', async (t) => {
  const { old, send, count } = await oldAndNew(t, 'express-session', {}, { anonymousSessions: false })
  const before = await old.begin({ cart: 1 })
  t.match((await send(before)).json(), { user: null, values: {} })
  t.strictSame(await old.valuesOf(before), { cart: 1 })
  t.match((await send(await old.begin({ user: 'Harry', cart: 1 }))).json(), { user: 'Harry', values: { cart: 1 } })
  t.equal(await count(), 1)
})

test('data chooses the values, and user and data can be asynchronous', async (t) => {
  const old = await oldApp(t, 'express-session')
  const { send } = await newApp(t, [{ ...old.adopt, user: async ({ number }) => `user ${number}`, data: async ({ cart }) => ({ basket: cart }) }])
  t.match((await send(await old.begin({ number: 7, cart: 1, theme: 'dark' }))).json(), { user: 'user 7', values: { basket: 1 } })
})

test('a mistake in user or data is an error of the request, and the old session stays', async (t) => {
  const old = await oldApp(t, 'express-session')
  const mistakes: Array<[Partial<AdoptOptions>, string | undefined, RegExp]> = [
    [{ user: (({ number }) => number) as AdoptOptions['user'] }, 'HATCHECK_ADOPT', /it returned a number\.$/],
    [{ user: () => '' }, 'HATCHECK_ADOPT', /it returned a string\.$/],
    [{ user: () => { throw new Error('no such column') } }, undefined, /no such column/],
    [{ data: () => [] }, 'HATCHECK_SESSION_VALUE', /got an Array/],
    [{ data: () => undefined as never }, 'HATCHECK_SESSION_VALUE', /got undefined/]
  ]
  const before = await old.begin({ number: 7 })
  for (const [mistake, code, text] of mistakes) {
    const { send, count } = await newApp(t, [{ ...old.adopt, ...mistake }])
    const answer = await send(before)
    t.equal(answer.statusCode, 500)
    t.equal(answer.json().code, code)
    t.match(answer.json().message, text)
    t.equal(await count(), 0)
    t.strictSame(await old.valuesOf(before), { number: 7 })
  }
})

test('a value that hatcheck cannot hold, or that is too large, is left out with a line in the log', async (t) => {
  const lines: string[] = []
  const old = await oldApp(t, '@fastify/session')
  const data: AdoptOptions['data'] = (values) => ({ ...values, ...JSON.parse('{"__proto__": { "admin": true }}'), missing: undefined, map: new Map() })
  const { send } = await newApp(t, [{ ...old.adopt, data }], { sessionMaxBytes: 1_000, ...logInto(lines, 'warn') })
  const before = await old.begin({ user: 'Harry', small: 1, large: 'x'.repeat(600), larger: 'y'.repeat(700), count: 1, 'hatcheck:client': 'forged' })
  t.strictSame((await send(before)).json().values, { user: 'Harry', small: 1, count: 1, large: 'x'.repeat(600) })
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] as string), { keys: ['hatcheck:client', '__proto__', 'map', 'larger'], msg: /continues without these values/ })
})

test('the new session has the lifetimes of hatcheck, and is permanent if the old cookie was to live longer than a session', async (t) => {
  for (const [maxAge, permanent] of [[undefined, false], [23 * 3_600_000, false], [25 * 3_600_000, true]] as const) {
    let time = Date.now()
    const { old, send } = await oldAndNew(t, 'express-session', { cookie: { maxAge } }, { now: () => time })
    const before = await old.begin({ user: 'Harry' })
    const answer = await send(before)
    t.match(answer.json(), { user: 'Harry', permanent })
    t.match(answer.headers['set-cookie'], permanent ? /Max-Age=2592000/ : /hatcheck=[^;]+; Path=\/; HttpOnly; SameSite=Lax/)
    const after = browserAfter(before, answer)
    time += 3_600_000 - 1
    t.equal((await send(after)).json().user, 'Harry')
    time += 2 * 3_600_000
    t.equal((await send(after)).json().user, permanent ? 'Harry' : null)
  }
})

test('a response brings the new cookie even if no handler asks for the session, and no cache keeps it', async (t) => {
  for (const sync of [true, false]) {
    const { old, send } = await oldAndNew(t, 'express-session', {}, { sessionStore: watched(openStore(t, 'memory:'), () => {}, sync) })
    const before = await old.begin({ user: 'Harry' })
    const answer = await send(before, '/plain')
    t.equal(answer.headers['cache-control'], 'no-store')
    t.equal((await send(browserAfter(before, answer))).json().user, 'Harry')
    t.equal((await send(browserAfter(before, answer), '/plain')).headers['cache-control'], 'public, max-age=60')
  }
})

test('only a request with an old cookie and without a live session reads the old store', async (t) => {
  const old = await oldApp(t, 'express-session')
  const calls: string[] = []
  const { send } = await newApp(t, [{ ...old.adopt, store: watchedOldStore(old.store, (call) => { calls.push(call) }) }])
  const before = await old.begin({ user: 'Harry' })
  await send('')
  await send('connect.sid.other=x; xconnect.sid=y')
  t.strictSame(calls, [])
  const after = browserAfter(before, await send(before))
  t.strictSame(calls.splice(0), ['get', 'destroy'])
  for (const cookie of [after, `${before}; ${after}`]) t.equal((await send(cookie)).json().user, 'Harry')
  t.strictSame(calls, [])
})

test('a session is not adopted over a connection that cannot carry the cookie', async (t) => {
  const { old, send, count } = await oldAndNew(t, 'express-session', {}, { sessionCookieSecure: true } as never)
  const before = await old.begin({ user: 'Harry' })
  t.equal((await send(before)).json().code, 'HATCHECK_INSECURE_TRANSPORT')
  t.strictSame(await old.valuesOf(before), { user: 'Harry' })
  t.equal(await count(), 0)
})

test('the new cookie can have the name of the old one', async (t) => {
  const { old, send } = await oldAndNew(t, 'express-session', {}, { sessionCookieName: 'connect.sid' })
  const before = await old.begin({ user: 'Harry' })
  const answer = await send(before)
  t.strictSame(cookiesSetBy(answer).map(({ name, isRemoval }) => [name, isRemoval]), [['connect.sid', false]])
  t.equal((await send(browserAfter(before, answer))).json().user, 'Harry')
  t.equal((await send(before)).json().user, 'Harry')
})

test('the old cookie is cleared by its own path and domain', async (t) => {
  const old = await oldApp(t, 'express-session')
  const { send } = await newApp(t, [{ ...old.adopt, path: '/shop', domain: 'example.com' }])
  const line = [(await send(await old.begin({ user: 'Harry' }))).headers['set-cookie']].flat().find((line) => line?.startsWith('connect.sid='))
  t.match(line, /^connect\.sid=; Max-Age=0; Domain=example\.com; Path=\/shop; Expires=Thu, 01 Jan 1970/)
})

test('request.session can be read before the hooks of hatcheck by loadSession', async (t) => {
  const { old, fastify } = await oldAndNew(t, 'express-session')
  fastify.get('/early', { onRequest: async (request) => { await request.loadSession() } }, async ({ user }) => user?.name)
  const client = new Client(fastify)
  const [name = '', value = ''] = (await old.begin({ user: 'Harry' })).split('=')
  client.cookies.set(name, value)
  t.equal((await client.get('/early')).body, 'Harry')
  t.match(client.cookieHeader, /^hatcheck=/)
})

test('the new sessions can be in the same store as the old ones', async (t) => {
  const old = await oldApp(t, 'express-session')
  const fastify = await buildHost(t, { sessionStore: expressStore(old.store), adopt: [old.adopt] } as never)
  fastify.get('/', async ({ user }) => user?.name)
  const before = await old.begin({ user: 'Harry' })
  const answers = await Promise.all(Array.from({ length: 5 }, () => fastify.inject({ url: '/', headers: { cookie: before } })))
  t.strictSame(answers.map(({ body }) => body), Array(5).fill('Harry'))
  t.equal(new Set(answers.map((answer) => browserAfter(before, answer))).size, 1)
  t.equal(await fastify.sessions.store.count(), 1)
})

test('hatcheck/session adopts sessions as well', async (t) => {
  const old = await oldApp(t, '@fastify/session')
  const fastify = newFastify(t)
  await fastify.register(hatcheckSession, { secretKey: testKey, sessionStore: 'memory:', adopt: [{ ...old.adopt, user: () => null }] })
  fastify.get('/', async ({ session }) => ({ ...session }))
  const before = await old.begin({ user: 'Harry', cart: 1 })
  const answer = await fastify.inject({ url: '/', headers: { cookie: before } })
  t.strictSame(answer.json(), { user: 'Harry', cart: 1 })
  t.strictSame((await fastify.inject({ url: '/', headers: { cookie: browserAfter(before, answer) } })).json(), { user: 'Harry', cart: 1 })
})

test('sessions of connect-redis are adopted', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const [{ RedisStore }, { createClient }] = await Promise.all([import('connect-redis'), import('redis')])
  const client = await createClient({ url }).connect()
  t.teardown(() => client.close())
  const { old, send, count } = await oldAndNew(t, 'express-session', { store: new RedisStore({ client }) })
  const before = await old.begin({ user: 'Harry', cart: [1] })
  const answers = await Promise.all(Array.from({ length: 10 }, () => send(before)))
  for (const answer of answers) t.match(answer.json(), { user: 'Harry', values: { cart: [1] } })
  t.equal(await count(), 1)
  t.strictSame(await client.keys('sess:*'), [])
})

test('a mistake in adopt stops the registration, with its rule as the message', async (t) => {
  const good = { cookie: 'sid', secret: oldSecret, store: (await oldApp(t, 'express-session')).store, user: () => null }
  const rules: Array<[unknown, string]> = [
    [good, 'adopt must be a list of { cookie, secret, store, user }.'],
    [[null], 'adopt must be a list of { cookie, secret, store, user }.'],
    [[good, 'sid'], 'adopt must be a list of { cookie, secret, store, user }.'],
    [[good, { ...good, name: 'sid' }], 'adopt[1].name is not an option of hatcheck.'],
    [[{ ...good, cookie: 'a b' }], 'adopt[0].cookie must be the name of the old cookie; got "a b".'],
    [[{ ...good, secret: [] }], 'adopt[0].secret must be the secret of the old sessions, as text or bytes, or the list of its secrets.'],
    [[{ ...good, secret: [''] }], 'adopt[0].secret must be the secret of the old sessions, as text or bytes, or the list of its secrets.'],
    [[{ ...good, store: { get () {} } }], 'adopt[0].store must be the store of the old sessions; it has no method destroy.'],
    [[{ ...good, store: undefined }], 'adopt[0].store must be the store of the old sessions; it has no method get.'],
    [[{ ...good, user: 'user' }], 'adopt[0].user must be a function: (values) => the name of the user, or null; got "user".'],
    [[{ ...good, data: [] }], 'adopt[0].data must be a function: (values) => the values to keep; got [].'],
    [[{ ...good, path: 1 }], 'adopt[0].path must be the path of the old cookie; got 1.'],
    [[{ ...good, domain: false }], 'adopt[0].domain must be the domain of the old cookie; got false.']
  ]
  for (const [adopt, rule] of rules) {
    await t.rejects(buildHost(t, { adopt } as never), { code: 'HATCHECK_CONFIG', message: rule }, rule)
  }
})
