import { test, type Test } from 'tap'
import { steadyClock } from '../plugins/common/clock.js'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { HandlerApp, currentUser, login, type Handler } from './apps/handler-app.js'
import { Client } from './clients/client.js'
import { fastFolder } from './stores/fast-folder.js'
import { kinds, openStore, watched } from './stores/watched-store.js'
import { DAY, HOUR, SECOND, START } from './time/units.js'

test('session.permanent takes only true and false', async (t) => {
  const { run } = (await HandlerApp.start(t)).visitor()
  await run((session) => { session['a'] = 1 })
  await run((session) => {
    for (const value of ['false', 'true', 'on', 1, 0, null, undefined, {}, [], NaN]) {
      t.throws(() => { session['permanent'] = value }, { code: 'HATCHECK_SESSION_VALUE', message: /session\.permanent must be true or false/ })
      t.throws(() => Object.assign(session, { permanent: value }), { code: 'HATCHECK_SESSION_VALUE' })
      t.equal(session['permanent'], false)
    }
  })
})

test('a session ends by its idle timeout and by its lifetime', async (t) => {
  const clocked = async (t: Test, options: HatcheckOptions = {}): Promise<{ visitor: ReturnType<HandlerApp['visitor']>, host: HandlerApp, pass: (ms: number) => void }> => {
    let time = START
    const host = await HandlerApp.start(t, { now: () => time, ...options })
    return { host, visitor: host.visitor(), pass: (ms) => { time += ms } }
  }

  t.test('a session ends after the idle timeout', async (t) => {
    for (const [ms, user] of [[HOUR - SECOND, 'Harry'], [HOUR, null], [HOUR + SECOND, null]] as const) {
      const { visitor: { run }, pass } = await clocked(t)
      await run(login)
      pass(ms)
      t.equal((await run(currentUser)).value, user, `${ms / SECOND} s`)
    }
  })

  for (const sessionStore of ['memory:', 'lmdb:']) {
    t.test(`activity postpones the end, with ${sessionStore}`, async (t) => {
      const { visitor: { run }, pass } = await clocked(t, { sessionStore, dataDir: fastFolder(t) })
      await run(login)
      for (let i = 0; i < 5; i++) {
        pass(HOUR - SECOND)
        t.equal((await run(currentUser)).value, 'Harry')
      }
      pass(HOUR + SECOND)
      t.equal((await run(currentUser)).value, null)
    })
  }

  const outside: Record<string, Handler> = {
    'reply.hijack()': (_session, _request, reply) => {
      reply.hijack()
      reply.raw.end()
    },
    'reply.raw': (_session, _request, reply) => {
      reply.raw.writeHead(200)
      reply.raw.end()
      return reply
    },
    'a hijacked response that saves once more': async (session, _request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200)
      await session['save']()
      reply.raw.end()
    }
  }
  for (const [what, answer] of Object.entries(outside)) {
    for (const sessionStore of ['memory:', 'lmdb:']) {
      t.test(`a request that is answered by ${what} is activity, with ${sessionStore}`, async (t) => {
        const { visitor: { run }, pass } = await clocked(t, { sessionStore, dataDir: fastFolder(t) })
        await run(login)
        pass(HOUR - SECOND)
        const { value } = await run((session, request, reply) => {
          const { user } = request
          return Promise.resolve(answer(session, request, reply)).then(() => user?.name)
        })
        t.equal(value, 'Harry')
        pass(HOUR - SECOND)
        t.equal((await run(currentUser)).value, 'Harry')
      })
    }
  }

  t.test('save() on a response that has begun records activity, and what touch() has asked for', async (t) => {
    const store = openStore(t, 'memory:')
    const { visitor: { run }, pass } = await clocked(t, { sessionStore: store })
    await run(login)
    const seen = async (): Promise<number | undefined> => (await store.ofUser('Harry'))[0]?.record.seenAt
    const times: unknown[] = []
    await run(async (session, request, reply) => {
      t.equal(request.user?.name, 'Harry')
      reply.hijack()
      reply.raw.writeHead(200)
      for (const [ms, isForced] of [[HOUR / 2, false], [SECOND, false], [SECOND, true], [SECOND, false]] as const) {
        pass(ms)
        if (isForced) session['touch']()
        await session['save']()
        times.push(await seen())
      }
      reply.raw.end()
    })
    const half = START + HOUR / 2
    t.strictSame(times, [half, half, half + 2 * SECOND, half + 2 * SECOND])
  })

  t.test('activity does not postpone the end beyond the lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run(login)
    for (let minutes = 30; minutes < 24 * 60; minutes += 30) {
      pass(HOUR / 2)
      const { value } = await run((session, request) => {
        session['minutes'] = minutes
        return request.user?.name
      })
      if (value !== 'Harry') t.fail(`after ${minutes} minutes`)
    }
    pass(HOUR / 2 - SECOND)
    t.equal((await run(currentUser)).value, 'Harry', 'a second before')
    pass(2 * SECOND)
    t.equal((await run(currentUser)).value, null, 'a second after')
  })

  t.test('a permanent session has its own idle timeout and lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(14 * DAY - SECOND)
    t.equal((await run(currentUser)).value, 'Harry')
    pass(14 * DAY - SECOND)
    t.equal((await run(currentUser)).value, 'Harry')
    pass(2 * DAY)
    t.equal((await run(currentUser)).value, 'Harry')
    pass(3 * SECOND)
    t.equal((await run(currentUser)).value, null)

    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(14 * DAY + SECOND)
    t.equal((await run(currentUser)).value, null)
  })

  t.test('turning permanent off restores the shorter idle timeout and lifetime', async (t) => {
    const { visitor: { run }, pass } = await clocked(t)
    await run((_session, request) => request.login('Harry', { permanent: true }))
    pass(HOUR)
    await run((session) => { session['permanent'] = false })
    pass(HOUR - SECOND)
    t.equal((await run(currentUser)).value, 'Harry')
    pass(HOUR + SECOND)
    t.equal((await run(currentUser)).value, null)
  })

  for (const sessionStore of [...kinds, 'cookie:memory:']) {
    t.test(`turning permanent off ends a session that is older than the shorter lifetime, with ${sessionStore}`, async (t) => {
      const { host, visitor, pass } = await clocked(t, { sessionStore, dataDir: fastFolder(t) })
      const ended: Array<string | null> = []
      host.fastify.sessions.on('destroyed', ({ user }) => { ended.push(user) })
      const saves: Handler = async (session) => {
        session['permanent'] = false
        await session['save']()
      }
      const renews: Handler = async (session) => {
        session['permanent'] = false
        await session['regenerate'](['client_name'])
      }
      for (const turnOff of [(session) => { session['permanent'] = false }, saves, renews] satisfies Handler[]) {
        await visitor.run((_session, request) => request.login('Harry', { permanent: true }))
        pass(2 * DAY)
        t.equal((await visitor.run(currentUser)).value, 'Harry')
        const copy = visitor.cookie()
        t.match((await visitor.run(turnOff)).cookie, /^hatcheck=; Max-Age=0/)
        t.strictSame(ended.splice(0), ['Harry'])
        t.equal((await host.run(new Client(host.fastify), currentUser, { cookie: copy })).value, null)
      }
    })
  }

  t.test('a new ID does not extend the lifetime, a login does', async (t) => {
    for (const [renewal, lives] of [['regenerate', false], ['login', true], ['destroy and set', true]] as const) {
      const { visitor: { run }, pass } = await clocked(t, { sessionIdleTimeout: 86_400 })
      await run((session) => { session['a'] = 1 })
      pass(12 * HOUR)
      await run(async (session, request) => {
        if (renewal === 'regenerate') await session['regenerate'](['a'])
        else if (renewal === 'login') await request.login('Harry')
        else {
          await session['destroy']()
          session['a'] = 1
        }
      })
      pass(12 * HOUR - SECOND)
      t.equal((await run((session) => session['a'])).value, 1)
      pass(2 * SECOND)
      t.equal((await run((session) => session['a'])).value, lives ? 1 : undefined, renewal)
    }
  })

  t.test('after a new ID the store keeps the session no longer than its lifetime', async (t) => {
    for (const kind of kinds) {
      let time = START
      const now = (): number => time
      const store = openStore(t, kind, { now })
      const { run } = (await HandlerApp.start(t, { sessionStore: store, now, sessionIdleTimeout: 86_400 })).visitor()
      await run(login)
      time += 12 * HOUR
      await run((session) => session['regenerate'](['client_name', 'authenticatedAt']))
      const [stored] = await store.ofUser('Harry')
      t.equal(stored?.record.expiresAt, START + 24 * HOUR, kind)
    }
  })

  t.test('a shorter configured timeout applies to existing sessions', async (t) => {
    let time = START
    const now = (): number => time
    const store = openStore(t, 'memory:', { now })
    const visitor = (await HandlerApp.start(t, { sessionStore: store, now })).visitor()
    await visitor.run(login)
    time += HOUR / 2
    const stricter = await HandlerApp.start(t, { sessionStore: store, now, sessionIdleTimeout: 600 })
    const { cookieHeader: cookie } = visitor
    t.equal((await stricter.visitor().run(currentUser, { cookie })).value, null)
    t.equal((await visitor.run(currentUser)).value, 'Harry')
  })

  t.test('a longer configured timeout applies to existing sessions from their next activity on', async (t) => {
    for (const isActive of [true, false]) {
      let time = START
      const now = (): number => time
      const store = openStore(t, 'memory:', { now })
      const visitor = (await HandlerApp.start(t, { sessionStore: store, now })).visitor()
      await visitor.run(login)
      const { cookieHeader: cookie } = visitor
      const { run } = (await HandlerApp.start(t, { sessionStore: store, now, sessionIdleTimeout: 2 * HOUR / SECOND })).visitor()
      time += HOUR / 2
      if (isActive) t.equal((await run(currentUser, { cookie })).value, 'Harry')
      time += 2 * HOUR - SECOND
      t.equal((await run(currentUser, { cookie })).value, isActive ? 'Harry' : null)
    }
  })

  t.test('activity is recorded at most once per twentieth of the idle timeout', async (t) => {
    for (const sync of [true, false]) {
      let time = START
      const now = (): number => time
      let touches = 0
      const store = watched(openStore(t, 'memory:', { now }), (call) => { if (call === 'touch') touches++ }, sync)
      const host = await HandlerApp.start(t, { sessionStore: store, now })
      const visitor = host.visitor()
      await visitor.run(login)
      time += 180 * SECOND
      await visitor.run(currentUser)
      t.equal(touches, 0, 'not yet')
      time += 1
      await Promise.all(Array.from({ length: 1_000 }, () => host.run(visitor, currentUser)))
      t.equal(touches, 1, 'once for a thousand requests')
      touches = 0
      for (let second = 0; second < 3_600; second += 10) {
        time += 10 * SECOND
        await visitor.get('/untouched')
        await visitor.run(currentUser)
      }
      t.ok(touches >= 18 && touches <= 20, `${touches} times in an hour of a click each ten seconds`)
      touches = 0
      await visitor.run((session) => session['touch']())
      t.equal(touches, 1, 'or when requested')
    }
  })

  t.test('a request that does not read the session is not activity', async (t) => {
    const { visitor: { run, get }, visitor, pass } = await clocked(t)
    await run(login)
    for (let i = 0; i < 4; i++) {
      pass(HOUR / 2)
      await get.call(visitor, '/untouched')
    }
    t.equal((await run(currentUser)).value, null)
  })
})

test('a steady clock never goes back', async (t) => {
  let [wall, elapsed] = [1_000_000, 0]
  const now = steadyClock(() => wall, () => elapsed)
  t.equal(now(), 1_000_000)
  wall += 500
  elapsed += 500
  t.equal(now(), 1_000_500, 'it follows the clock')
  wall -= HOUR
  elapsed += 1_000
  t.equal(now(), 1_001_500, 'after a step back, it continues by the elapsed time')
  wall += 1_000
  elapsed += 1_000
  t.equal(now(), 1_002_500)
  wall += 2 * HOUR
  elapsed += 1
  t.equal(now(), wall, 'after a step forward, it follows the clock')
  const forward = wall
  wall -= HOUR
  elapsed += 0.6
  t.equal(now(), forward, 'in whole milliseconds')
  wall += 1
  elapsed += 0.6
  t.equal(now(), forward + 1, 'without losing fractions')
  wall -= HOUR
  elapsed += 0.4
  now()
  elapsed += 5
  t.equal(now(), forward + 1, 'it stands still while the clock shows the same millisecond')
  wall += 1
  t.equal(now(), forward + 6, 'and has lost nothing then')

  const real = steadyClock()
  t.ok(Math.abs(real() - Date.now()) < 60_000)
})

test('a session does not live longer when the clock is set back', async (t) => {
  let [wall, elapsed] = [START, 0]
  const { run } = (await HandlerApp.start(t, { now: steadyClock(() => wall, () => elapsed) })).visitor()
  await run(login)
  wall -= DAY
  elapsed += HOUR + SECOND
  t.equal((await run(currentUser)).value, null)
})
