import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import type { Redis } from 'ioredis'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { addSessionRoutes, type Seen } from '../apps/session-routes.js'
import { buildHost, keyOf, needs } from '../helper.js'
import { Director } from '../models/director.js'
import { connect, startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { kinds, openStore, watched } from '../stores/watched-store.js'

const RUNS = 60
const PER_USER = 2

for (const kind of kinds) {
  for (const sync of [true, false]) {
    test(`promises hold for simultaneous requests in every order of their calls of ${kind}, read ${sync ? 'at once' : 'with a promise'}`, async (t) => {
      const clock = { time: Date.now() }
      const director = new Director()
      const store = openStore(t, kind, { now: () => clock.time, ...kind === 'lmdb:' && { folder: fastFolder(t) } })
      await races(t, { clock, director, store, scheduled: watchedBy(director, store, sync) })
    })
  }
}

test('promises hold for simultaneous requests in every order of their commands to Redis', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  const client = await connect(t, url) as Redis
  const clock = { time: Date.now() }
  const director = new Director()
  const options = { now: () => clock.time, maxBytes: 16_384, onCorrupt () {}, deadlineMs: 60_000 }
  await races(t, { clock, director, store: new RedisStore(client, options), scheduled: new RedisStore(commandsBy(director, client), options) })
})

interface Stage {
  clock: { time: number }
  director: Director
  /** The store itself. */
  store: SessionStore
  /** The store as the application has it: each call is a step. */
  scheduled: SessionStore
}

interface Scene {
  /** A name that no other run uses. */
  user: string
  /** Sends a request, and returns the cookie that its client has afterwards. */
  send: (url: string, cookie?: string) => Promise<Outcome>
  /** Sends a request to an application where a user may have {@link PER_USER} sessions. */
  sendLimited: (url: string, cookie?: string) => Promise<Outcome>
  /** @param mayFail requests that may be answered with a 503 or a 409, and no cookie. */
  play: (requests: Record<string, () => Promise<Outcome>>, ...mayFail: string[]) => Promise<Record<string, Outcome>>
  /** Does something in a step of its own. */
  look: (action: () => Promise<void>) => Promise<void>
  see: (cookie: string) => Promise<Seen>
  /** Whether the store has a live session for this cookie. */
  lives: (cookie: string) => Promise<boolean>
  /** How many sessions the store has for the user. */
  sessionsOf: (user: string) => Promise<number>
  pass: (ms: number) => void
  log: readonly string[]
}

interface Outcome {
  cookie: string
  setsCookie: boolean
  status: number
  seen: Seen
}

async function races (t: Test, { clock, director, store, scheduled }: Stage): Promise<void> {
  const sender = async (options: HatcheckOptions = {}): Promise<Scene['send']> => {
    const fastify = await buildHost(t, { sessionStore: scheduled, now: () => clock.time, ...options })
    addSessionRoutes(fastify, async () => { await director.step('handler', () => {}) })
    return async (url, cookie = '') => {
      const response = await fastify.inject({ method: 'POST', url, headers: { cookie } })
      return { cookie: cookieAfter(cookie, response), setsCookie: response.headers['set-cookie'] !== undefined, status: response.statusCode, seen: response.json() }
    }
  }
  const send = await sender()
  const sendLimited = await sender({ sessionsPerUser: PER_USER })
  let users = 0

  const race = (sentence: string, run: (scene: Scene) => Promise<void>): void => {
    t.test(sentence, async (t) => {
      const orders = new Set<string>()
      await fc.assert(fc.asyncProperty(fc.scheduler(), async (scheduler) => {
        await run({
          user: `user ${users++}`,
          send,
          sendLimited,
          look: (action) => director.step('look', action),
          play: async (requests, ...mayFail) => {
            const answers = await director.play(scheduler, requests)
            orders.add(director.log.join())
            for (const [actor, { status, setsCookie }] of Object.entries(answers)) {
              if (mayFail.includes(actor) && (status === 503 || status === 409)) assert.equal(setsCookie, false)
              else assert.equal(status, 200, actor)
            }
            return answers
          },
          see: async (cookie) => (await send('/read', cookie)).seen,
          lives: async (cookie) => cookie !== '' && await store.read(keyOf(cookie)) !== null,
          sessionsOf: async (user) => (await store.ofUser(user)).length,
          pass: (ms) => { clock.time += ms },
          log: director.log
        })
      }), { numRuns: RUNS })
      t.pass(`${orders.size} orders`)
    })
  }

  race('a write never brings back a session that has logged out', async ({ user, send, play, lives, sessionsOf }) => {
    const { cookie } = await send(`/login/${user}`)
    let livesAfterLogout = true
    const { writer } = await play({
      writer: () => send('/set/late/1', cookie),
      logout: async () => {
        const answer = await send('/logout', cookie)
        livesAfterLogout = await lives(cookie)
        return answer
      }
    })
    assert.equal(livesAfterLogout, false, 'as soon as the logout is acknowledged')
    assert.equal(await lives(cookie), false)
    assert.equal(await sessionsOf(user), 0)
    // A write after the logout has begun a new anonymous session.
    assert.ok(writer?.cookie === cookie || writer?.seen.user === null)
  })

  race('neither recording activity nor reading brings a logged-out session back', async ({ user, send, play, lives, sessionsOf, pass, log }) => {
    const { cookie } = await send(`/login/${user}`)
    pass(600_000)
    const { reader, touch } = await play({
      reader: () => send('/read', cookie),
      touch: () => send('/touch', cookie),
      logout: () => send('/logout', cookie)
    })
    assert.equal(await lives(cookie), false)
    assert.equal(await sessionsOf(user), 0)
    assert.ok(!reader?.setsCookie && !touch?.setsCookie)
    assert.ok(log.every((step) => !/create|Create/.test(step)))
  })

  race('a login during a logout of the old session leaves the new session live and the old one ended', async ({ user, send, play, see, lives, sessionsOf }) => {
    const { cookie } = await send(`/login/${user}`)
    const { login } = await play({
      login: () => send(`/login/${user}`, cookie),
      logout: () => send('/logout', cookie)
    })
    assert.notEqual(login?.cookie, cookie)
    assert.equal((await see(login?.cookie as string)).user, user)
    assert.equal(await lives(cookie), false)
    assert.equal(await sessionsOf(user), 1)
  })

  race('two logins with one anonymous cookie never share a session, and its data goes to one of them', async ({ user, send, play, see, lives, sessionsOf }) => {
    const { cookie } = await send('/set/apple/1')
    const { one, other } = await play({
      one: () => send(`/login/${user}`, cookie),
      other: () => send(`/login/other ${user}`, cookie)
    })
    assert.equal(new Set([cookie, one?.cookie, other?.cookie]).size, 3)
    const seen = [await see(one?.cookie as string), await see(other?.cookie as string)]
    assert.deepEqual(seen.map(({ user }) => user), [user, `other ${user}`])
    assert.equal(seen.filter(({ data }) => data['apple'] === '1').length, 1)
    assert.equal(await lives(cookie), false)
    assert.deepEqual([await sessionsOf(user), await sessionsOf(`other ${user}`)], [1, 1])
  })

  race('a login keeps all earlier writes, and a later write to the old session is lost', async ({ user, send, play, see, lives }) => {
    const { cookie } = await send('/set/apple/1')
    const { login, writer } = await play({
      login: () => send(`/login/${user}`, cookie),
      writer: () => send('/set/pear/1', cookie)
    })
    const { data } = await see(login?.cookie as string)
    assert.equal(data['apple'], '1')
    assert.equal(await lives(cookie), false)
    if (writer?.cookie !== cookie) assert.ok(!('pear' in data))
  })

  race('of two simultaneous renewals one gets the session, and a reader is never told to drop its cookie', async ({ user, send, play, see, lives, sessionsOf }) => {
    const { cookie } = await send(`/login/${user}`)
    await send('/set/apple/1', cookie)
    const { one, other, reader } = await play({
      one: () => send('/rotate', cookie),
      other: () => send('/rotate', cookie),
      reader: () => send('/read', cookie)
    }, 'one', 'other')
    const successors = [one, other].filter((answer) => answer?.cookie !== cookie && answer?.cookie !== '')
    assert.equal(successors.length, 1)
    assert.deepEqual(await see(successors[0]?.cookie as string), { user, data: { apple: '1' } })
    assert.equal(await lives(cookie), false)
    assert.equal(await sessionsOf(user), 1)
    assert.equal(reader?.setsCookie, false)
    assert.ok(reader?.seen.user === user || reader?.seen.user === null)
  })

  race('the end of all sessions of a user either ends a simultaneous login or precedes it', async ({ user, send, play, lives, sessionsOf, log }) => {
    const { cookie } = await send(`/login/${user}`)
    const { login } = await play({
      login: () => send(`/login/${user}`),
      revoke: () => send(`/revoke/${user}`)
    }, 'login')
    assert.equal(await lives(cookie), false)
    const alive = await lives(login?.cookie as string)
    assert.equal(await sessionsOf(user), alive ? 1 : 0, 'the index knows of it')
    if (log.indexOf('login: done') < log.indexOf('revoke: handler ends')) assert.equal(alive, false)
    if (log.indexOf('revoke: done') < log.indexOf('login: handler ends')) assert.equal(alive, true)
  })

  race('the end of all sessions of a user ends one that is being renewed', async ({ user, send, play, lives, sessionsOf, log }) => {
    const { cookie } = await send(`/login/${user}`)
    const { renewal } = await play({
      renewal: () => send('/rotate', cookie),
      revoke: () => send(`/revoke/${user}`)
    }, 'renewal')
    assert.equal(await lives(cookie), false)
    assert.equal(await lives(renewal?.cookie as string), false, log.join('\n'))
    assert.equal(await sessionsOf(user), 0)
  })

  race('simultaneous logins never give a user more sessions than allowed, at any moment', async ({ user, sendLimited, look, play, lives, sessionsOf }) => {
    const first = await sendLimited(`/login/${user}`)
    const login = (): Promise<Outcome> => sendLimited(`/login/${user}`)
    const answers = await play({
      one: login,
      two: login,
      three: login,
      looker: async () => {
        for (let i = 0; i < 5; i++) await look(async () => { assert.ok(await sessionsOf(user) <= PER_USER) })
        return await sendLimited('/read')
      }
    }, 'one', 'two', 'three')
    assert.equal(await sessionsOf(user), PER_USER)
    const alive = await Promise.all([first, ...Object.values(answers)].map(({ cookie }) => lives(cookie)))
    assert.equal(alive.filter(Boolean).length, PER_USER, 'and somebody has the cookie of each')
  })

  race('simultaneous writes of different keys are all kept', async ({ user, send, play, see }) => {
    const { cookie } = await send(`/login/${user}`)
    await send('/set/plum/1', cookie)
    await play({
      one: () => send('/set/apple/1', cookie),
      other: () => send('/set/pear/2', cookie),
      third: () => send('/delete/plum', cookie)
    })
    assert.deepEqual(await see(cookie), { user, data: { apple: '1', pear: '2' } })
  })

  race('requests with the cookie of an ended session create nothing unless they write', async ({ user, send, play, lives, log }) => {
    const { cookie } = await send(`/login/${user}`)
    const { reader, logout } = await play({
      reader: () => send('/read', cookie),
      logout: () => send('/logout', cookie),
      again: () => send('/logout', cookie)
    })
    assert.equal(await lives(cookie), false)
    assert.ok(log.every((step) => !/create|Create|patch|Patch/.test(step)))
    assert.equal(reader?.setsCookie, false)
    assert.equal(logout?.cookie, '')
  })
}

/** The store, each call of it a step. If it is sync, reading is part of the step before it. */
function watchedBy (director: Director, store: SessionStore, sync: boolean): SessionStore {
  const scheduled = watched(store, () => {}, sync)
  for (const name of ['read', 'create', 'patch', 'take', 'touch', 'remove', 'replace', 'ofUser', 'removeOfUser'] as const) {
    if (name === 'read' && sync) continue
    const call = store[name].bind(store) as (...args: unknown[]) => unknown
    scheduled[name] = (...args: unknown[]) => director.step(name, () => call(...args)) as never
  }
  return scheduled
}

/** The client, each command of it a step. */
function commandsBy (director: Director, client: Redis): Redis {
  return new Proxy(client, {
    get (client, name: string) {
      const member = client[name as keyof Redis] as unknown
      if (typeof member !== 'function') return member
      const command = member.bind(client) as (...args: unknown[]) => unknown
      return /^(hatcheck|hgetall|zr)/.test(name) ? (...args: unknown[]) => director.step(name, () => command(...args)) : command
    }
  })
}

function cookieAfter (cookie: string, response: LightMyRequestResponse): string {
  const [change] = response.cookies
  if (change === undefined) return cookie
  return change.maxAge === 0 ? '' : `${change.name}=${change.value}`
}
