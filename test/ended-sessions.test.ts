import type { FastifyRequest } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { STORES, appOnPort, type AppOnPort } from './apps/app-on-port.js'
import { bag } from './apps/bag.js'
import { keyOf } from './helper.js'
import { openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

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
  const headers: Record<string, (ask: AppOnPort['ask']) => Promise<string[]>> = {
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
    const h = await appOnPort(t, (fastify) => {
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

test('a logout that the store refuses is unconfirmed, whatever the store throws', async (t) => {
  const odd: Record<string, unknown> = { null: null, undefined, 'a text': 'text', 'a symbol': Symbol('odd'), 'a bare object': Object.create(null), 'an object that cannot be read': new Proxy({}, { get () { throw new Error('unreadable') } }) }
  for (const isSync of [true, false]) {
    let [isDown, thrown]: [boolean, unknown] = [false, null]
    const sessionStore = watched(openStore(t, 'memory:'), (call) => { if (isDown && call === 'remove') throw thrown }, isSync)
    const h = await appOnPort(t, () => {}, { options: { sessionStore } })
    for (const [what, error] of Object.entries(odd)) {
      const { cookie = '' } = await h.ask('/in/ann')
      ;[isDown, thrown] = [true, error]
      t.equal((await h.ask('/out', cookie)).status, 503, what)
      t.equal((await h.me(cookie)).user, null, 'and the ticket is refused')
      isDown = false
    }
  }
})

test('a logout also ends a presented session that the store cannot look up, or is unconfirmed', async (t) => {
  for (const isSync of [true, false]) {
    const sessions = openStore(t, 'memory:')
    let failing: readonly string[] = []
    let failsFor = ''
    const sessionStore = watched(sessions, (call, key) => { if (failing.includes(call) && key === failsFor) throw new Error('connect ECONNREFUSED') }, isSync)
    const h = await appOnPort(t, () => {}, { options: { sessionStore } })
    for (const [calls, status] of [[['read'], 200], [['read', 'remove'], 503]] as const) {
      const [own, other] = [(await h.ask('/in/ann')).cookie ?? '', (await h.ask('/in/bob')).cookie ?? '']
      failsFor = keyOf(other)
      failing = calls
      t.equal((await h.ask('/out', `${own}; ${other}`)).status, status, `${calls.join(' and ')} fails`)
      failing = []
      for (const cookie of [own, other]) t.equal((await h.me(cookie)).user, null)
    }
  }
})

test('a cookie whose session has ended is not cleared', async (t) => {
  let during = stop()
  const h = await appOnPort(t, (fastify) => {
    fastify.get('/slow', async (request) => {
      const { user } = request
      await during.here()
      bag(request)['n'] = 1
      return user
    })
    fastify.get('/renews', async (request) => {
      request.session.regenerate(['client_name'])
      await during.here()
      return 'x'
    })
  })
  const { cookie } = await h.ask('/in/harry')
  for (const path of ['/slow', '/renews']) {
    during = stop()
    const { cookie } = await h.ask('/in/harry')
    const late = h.ask(path, cookie)
    await during.reached
    await h.ask('/out', cookie)
    during.go()
    t.equal((await late).headers['set-cookie'], undefined, `${path}: a late answer neither clears nor sets it`)
  }
  await h.ask('/out', cookie)
  t.equal((await h.ask('/me', cookie)).headers['set-cookie'], undefined)
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
  const h = await appOnPort(t, () => {}, { options: { sessionStore } })
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
  // The hanging removals take places of their own, so the others need several rounds.
  await until('the ends that can be stored are stored', async () => await sessions.count() === 125, 20_000)
  refused.slice(0, 120).forEach((key) => { failing.delete(key) })
  await until('and those that can be stored later', async () => await sessions.count() === 5, 20_000)
  for (const cookie of cookies) t.equal((await h.me(cookie)).user, null)
  await h.fastify.close()
  const atEnd = removals
  // Longer than the time between two retries.
  await pause(1_100)
  t.equal(removals, atEnd, 'there is no retry after the close')
})

test('a session that has begun too late for its cookie ends, even if the store takes that only later', async (t) => {
  const sessions = openStore(t, 'memory:')
  const { here, reached, go } = stop()
  let isDown = true
  const sessionStore = watched(sessions, (call) => {
    if (call === 'create') return here()
    if (isDown && call === 'remove') throw new Error('no store')
  }, false)
  const h = await appOnPort(t, (fastify) => {
    fastify.get('/late', async (request, reply) => {
      reply.hijack()
      const loggingIn = request.login('harry')
      await reached
      reply.raw.writeHead(200)
      go()
      try {
        await t.rejects(loggingIn, { code: 'HATCHECK_NO_COOKIE' })
      } finally {
        reply.raw.end()
      }
    })
  }, { options: { sessionStore } })
  await h.ask('/late')
  t.equal(await sessions.count(), 1)
  isDown = false
  await until('it has ended', async () => await sessions.count() === 0)
})
