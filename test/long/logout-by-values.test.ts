import type { FastifyInstance, FastifyRequest } from 'fastify'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { GivenOptions } from '../../plugins/config/options.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import { CLIENT_FIELD } from '../../plugins/store/identity.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { bag, type Bag } from '../apps/bag.js'
import { logInto } from '../apps/log-lines.js'
import { Client, type Answer } from '../clients/client.js'
import { buildHost, needs } from '../helper.js'
import { connect, startRedis } from '../programs/redis.js'
import { inTwoSteps, openStore, stop, watched, type StoreCall } from '../stores/watched-store.js'

type Ending = (request: FastifyRequest, session: Bag) => unknown

/** Calls that remove or overwrite the name in a session, and whether other values stay. */
const endings: Record<string, { end: Ending, leaves?: Bag }> = {
  'clear()': { end: (_request, session) => session['clear']() },
  'clear() and save()': {
    end: async (_request, session) => {
      session['clear']()
      await session['save']()
    }
  },
  "pop('client_name')": { end: (_request, session) => session['pop']('client_name'), leaves: { cart: ['hat'] } },
  'delete client_name': { end: (_request, session) => delete session['client_name'], leaves: { cart: ['hat'] } },
  'client_name = undefined': { end: (_request, session) => { session['client_name'] = undefined }, leaves: { cart: ['hat'] } },
  "client_name = ''": { end: (_request, session) => { session['client_name'] = '' }, leaves: { cart: ['hat'], client_name: '' } },
  'client_name = another name': { end: (_request, session) => { session['client_name'] = 'Sally' }, leaves: { cart: ['hat'], client_name: 'Sally' } },
  'update()': { end: (_request, session) => session['update']({ client_name: undefined, cart: undefined }) },
  'Object.assign': { end: (_request, session) => Object.assign(session, { client_name: null }), leaves: { cart: ['hat'], client_name: null } },
  'every key deleted': { end: (_request, session) => { for (const key of session['keys']()) delete session[key] } },
  'pop() of the name and the time': {
    end: (_request, session) => {
      session['pop']('client_name')
      session['pop']('authenticatedAt')
      session['pop']('cart')
    }
  },
  'a value in its place': {
    end: (_request, session) => {
      session['clear']()
      session['theme'] = 'dark'
    },
    leaves: { theme: 'dark' }
  }
}

interface Setting {
  app: FastifyInstance
  client: Client
  told: string[]
  /** The audit lines since the last call. */
  ended (): Bag[]
  run (handler: Ending, client?: Client): Promise<Answer>
}

async function setting (t: Test, options: GivenOptions): Promise<Setting> {
  const lines: string[] = []
  const app = await buildHost(t, options, logInto(lines, 'info'))
  const told: string[] = []
  for (const event of ['created', 'renewed', 'destroyed', 'expired', 'revoked'] as const) app.sessions.on(event, ({ user }) => { told.push(`${event} ${user ?? '-'}`) })
  const handlers: Ending[] = []
  app.get<{ Params: { at: string } }>('/run/:at', async (request) => ({ value: await handlers[Number(request.params.at)]?.(request, bag(request)) ?? null }))
  const own = new Client(app)
  return {
    app,
    client: own,
    told,
    ended: () => lines.splice(0).map((line) => JSON.parse(line) as Bag).filter(({ event }) => event === 'session_ended'),
    run: async (handler, client = own) => await client.get(`/run/${handlers.push(handler) - 1}`)
  }
}

const begin: Ending = async (request) => { await request.login('Harry', { data: { cart: ['hat'] } as never }) }
const dataOf: Ending = (request, session) => ({ user: request.user?.name ?? null, ...session })

/** On every kind of store: removing the name from the session is a logout. */
async function promises (t: Test, open: () => Promise<SessionStore> | SessionStore): Promise<void> {
  for (const [what, { end, leaves }] of Object.entries(endings)) {
    await t.test(what, async (t) => {
      const store = await open()
      const { client, told, ended, run } = await setting(t, { sessionStore: store })
      await run(begin)
      told.length = 0
      ended()
      const seen: unknown[] = []
      const response = await run(async (request, session) => {
        await end(request, session)
        seen.push(request.user)
      })
      t.equal(response.statusCode, 200)
      t.same(seen, [null], 'no user is logged in from then on')
      t.same(told, ['destroyed Harry'])
      t.match(ended(), [{ event: 'session_ended', reason: 'logout', user: 'Harry', session: /./ }])
      t.same(await store.ofUser('Harry'), [])
      t.same(await store.ofUser('Sally'), [])
      if (leaves === undefined) {
        t.match(response.headers['set-cookie'], /^hatcheck=; Max-Age=0/, 'nothing is left, so the session ends')
        t.equal(client.cookies.size, 0)
        t.equal(await store.count(), 0)
      } else {
        t.equal(response.headers['set-cookie'], undefined)
        t.equal(await store.count(), 1)
        t.same((await run(dataOf)).json().value, { user: null, ...leaves }, 'without the time of the login')
        const record = await store.read(await keyOf(run))
        t.match(record, { user: null })
        t.notOk(CLIENT_FIELD in (record?.fields ?? {}), 'the device details are removed')
      }
      told.length = 0
      await run(() => {})
      t.same(told, [], 'emitted once')
    })
  }

  await t.test('a login and a logout by values in one request leave no user logged in', async (t) => {
    for (const { end, leaves } of Object.values(endings)) {
      const store = await open()
      const { client, told, run } = await setting(t, { sessionStore: store })
      const response = await run(async (request, session) => {
        await begin(request, session)
        await end(request, session)
      })
      t.same([response.statusCode, told], [200, ['created Harry', 'destroyed Harry']])
      t.same(await store.ofUser('Harry'), [])
      t.equal(await store.count(), leaves === undefined ? 0 : 1)
      t.equal(client.cookies.size, leaves === undefined ? 0 : 1)
      t.same((await run(dataOf)).json().value, { user: null, ...leaves })
    }
  })

  await t.test('a logout by values before another login in one request ends the first session', async (t) => {
    const store = await open()
    const { told, run } = await setting(t, { sessionStore: store })
    await run(begin)
    told.length = 0
    await run(async (request, session) => {
      session['clear']()
      await request.login('Sally')
    })
    t.same(told, ['destroyed Harry', 'created Sally'])
    const { authenticatedAt: _time, ...data } = (await run(dataOf)).json().value
    t.same(data, { user: 'Sally', client_name: 'Sally' })
    t.same(await store.ofUser('Harry'), [])
    t.equal((await store.ofUser('Sally')).length, 1)
  })

  await t.test('a message that is left in the same request is shown on the next page', async (t) => {
    const store = await open()
    const { client, told, run } = await setting(t, { sessionStore: store })
    await run(begin)
    told.length = 0
    await run((request, session) => {
      session['clear']()
      request.flash('info', 'See you')
    })
    t.same(told, ['destroyed Harry'])
    t.equal(client.cookies.size, 1)
    t.same((await run((request) => request.flashes())).json().value, [{ kind: 'info', text: 'See you' }])
    t.same(await store.ofUser('Harry'), [])
  })

  await t.test('the session is in no list, and cannot be revoked any more', async (t) => {
    const { app, run } = await setting(t, { sessionStore: await open() })
    await run(begin)
    const [{ handle = '' } = {}] = await app.sessions.ofUser('Harry')
    await run((_request, session) => session['pop']('client_name'))
    t.same(await app.sessions.ofUser('Harry'), [])
    t.equal(await app.sessions.revoke('Harry', handle), false)
    t.same((await run(dataOf)).json().value, { user: null, cart: ['hat'] }, 'it has no user')
  })

  await t.test('a simultaneous write of another request is not lost, unless the session has ended', async (t) => {
    for (const { first, leaves } of [{ first: 'writer', leaves: true }, { first: 'logout', leaves: true }, { first: 'writer', leaves: false }, { first: 'logout', leaves: false }]) {
      const store = await open()
      const writes: StoreCall[] = ['patch', 'replace']
      let pause: ReturnType<typeof stop> | null = null
      const { app, client, told, run } = await setting(t, {
        sessionStore: watched(store, (call) => {
          if (!writes.includes(call) || pause === null) return
          const held = pause
          pause = null
          return held.here()
        }, store.sync)
      })
      await run(begin)
      const write: Ending = (_request, session) => { session['seen'] = true }
      const leave: Ending = (_request, session) => leaves ? session['pop']('client_name') : session['clear']()
      const other = new Client(app)
      for (const [name, value] of client.cookies) other.cookies.set(name, value)
      told.length = 0
      const held = pause = stop()
      const slow = run(first === 'writer' ? leave : write, first === 'writer' ? client : other)
      await held.reached
      const quick = await run(first === 'writer' ? write : leave, first === 'writer' ? other : client)
      held.go()
      t.same([quick.statusCode, (await slow).statusCode], [200, 200])
      const now = (await run(dataOf)).json().value
      const expected = leaves ? { user: null, cart: ['hat'], seen: true } : first === 'writer' ? { user: null, seen: true } : { user: null }
      t.same(now, expected, `the ${first} first, ${leaves ? 'values left' : 'nothing left'}`)
      t.same(await store.ofUser('Harry'), [])
      t.ok(told.includes('destroyed Harry'))
    }
  })
}

/** The key under which the session of the client is stored. */
async function keyOf (run: Setting['run']): Promise<string> {
  let key = ''
  await run((request) => { key = request.server.hatcheck.session.sessionFor(request).stored?.ticket.key ?? '' })
  return key
}

for (const steps of ['one step', 'two steps'] as const) {
  const within = (store: SessionStore): SessionStore => steps === 'one step' ? store : inTwoSteps(store)
  test(`removing the name from the session is a logout, on the memory store, in ${steps}`, async (t) => { await promises(t, () => within(openStore(t, 'memory:'))) })
  test(`removing the name from the session is a logout, on LMDB, in ${steps}`, async (t) => {
    const folder = t.testdir()
    let stores = 0
    await promises(t, () => within(openStore(t, 'lmdb:', { folder: join(folder, String(stores++)) })))
  })
}

test('removing the name from the session is a logout, on Redis', needs('redis-server'), async (t) => {
  const { url, client } = await startRedis(t)
  const store = new RedisStore(await connect(t, url), { now: Date.now, maxBytes: 16_384, onCorrupt () {} })
  await promises(t, async () => {
    await client.flushall()
    return store
  })
})

test('emptying a session without a user does not end it', async (t) => {
  const store = openStore(t, 'memory:')
  const { told, run } = await setting(t, { sessionStore: store })
  await run((_request, session) => { session['cart'] = ['hat'] })
  told.length = 0
  const response = await run((_request, session) => session['clear']())
  t.same([told, response.headers['set-cookie'], await store.count()], [[], undefined, 1])
})
