import Fastify, { type FastifyInstance } from 'fastify'
import assert from 'node:assert/strict'
import { hatcheck, type HatcheckOptions } from '../../app.js'
import type { MaybePromise } from '../../plugins/common/maybe-promise.js'
import { isRedisUrl, parseRedisUrl } from '../../plugins/config/redis-url.js'
import { resolveConfig } from '../../plugins/config/resolve.js'
import { openStorage } from '../../plugins/storage/open.js'
import { inRealm } from '../../plugins/storage/realm.js'
import { connectRedis } from '../../plugins/storage/redis/client.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import { OWN_PREFIX } from '../../plugins/store/identity.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { storeKey } from '../../plugins/tickets/ticket.js'
import { NOTHING, addSessionRoutes, type Seen } from '../apps/session-routes.js'
import { testKey } from '../helper.js'
import { silentLog } from '../programs/redis.js'

/** The options of the application, and what there is to know about its store. */
interface Place {
  readonly options: Pick<HatcheckOptions, 'sessionStore' | 'sessionsPerUser'>
  /** Reads what is stored for a cookie; null: nothing. */
  read (fastify: FastifyInstance, cookie: string): Promise<Seen | null>
  /** Waits for the activity that is being recorded. */
  recorded (): Promise<unknown>
  close (): Promise<void>
}

/** Opens the place of the sessions, as often as the application starts. */
type OpenPlace = (now: () => number) => Promise<Place>

/** An application that can be restarted on the same store. */
export class Restartable {
  time = Date.now()
  readonly #open: OpenPlace
  #fastify!: FastifyInstance
  #place!: Place
  #error: Error | null = null

  constructor (open: OpenPlace) {
    this.#open = open
  }

  async start (): Promise<void> {
    const now = (): number => this.time
    this.#place = await this.#open(now)
    this.#fastify = Fastify() as unknown as FastifyInstance
    await this.#fastify.register(hatcheck, { ...this.#place.options, secretKey: testKey, now })
    addSessionRoutes(this.#fastify)
    this.#fastify.addHook('onError', async (_request, _reply, error) => { this.#error = error })
    await this.#fastify.ready()
  }

  async stop (): Promise<void> {
    await this.#place.recorded()
    await this.#fastify.close()
    await this.#place.close()
  }

  /** Advances the clock, but only after activity is recorded: responses do not wait for that, and it takes no hours. */
  async pass (ms: number): Promise<void> {
    await this.#place.recorded()
    this.time += ms
  }

  async restart (): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** What is stored for a cookie. */
  async stored (cookie: string): Promise<Seen> {
    return cookie === '' ? NOTHING : await this.#place.read(this.#fastify, cookie) ?? NOTHING
  }

  /** How many sessions of a user are stored. */
  async sessionsOf (user: string): Promise<number> {
    return (await this.#fastify.sessions.store.ofUser(user)).length
  }

  async send (url: string, cookie: string): Promise<{ cookie: string, seen: Seen }> {
    const response = await this.#fastify.inject({ method: 'POST', url, headers: { cookie } })
    assert.equal(response.statusCode, 200, this.#error ?? response.body)
    const line = response.headers['set-cookie'] as string | undefined
    const after = line === undefined ? cookie : line.includes('Max-Age=0') ? '' : line.slice(0, line.indexOf(';'))
    return { cookie: after, seen: response.json() }
  }
}

/** Sessions in a store: what is stored is read from there. */
export function inStore (url: string, sessionsPerUser: number): OpenPlace {
  return async (now) => {
    const { sessions: store, close } = await openSessions(url, now)
    const noting: Array<MaybePromise<boolean>> = []
    const touch = store.touch.bind(store)
    store.touch = (...args) => {
      const noted = touch(...args)
      noting.push(noted)
      return noted
    }
    return {
      options: { sessionStore: store, sessionsPerUser },
      async read (_fastify, cookie) {
        const record = await store.read(storeKey(cookie.slice(cookie.indexOf('=') + 1, cookie.indexOf('.'))))
        if (record === null) return null
        const { client_name: _name, authenticatedAt: _time, ...fields } = record.fields
        return { user: record.user, data: Object.fromEntries(Object.entries(fields).filter(([key]) => !key.startsWith(OWN_PREFIX)).map(([key, text]) => [key, JSON.parse(text)])) }
      },
      recorded: () => Promise.all(noting.splice(0)),
      close
    }
  }
}

/** Sessions in cookies, and what has ended in an engine. */
export function inCookies (engineUrl: string): OpenPlace {
  return async () => ({
    options: { sessionStore: `cookie:${engineUrl}` },
    async read (fastify, cookie) {
      const session = await fastify.sessions.read(cookie, { secure: false })
      return session === null ? null : { user: session.user?.name ?? null, data: { ...session.data } }
    },
    // A response waits for it, since it changes the cookie.
    async recorded () {},
    async close () {}
  })
}

async function openSessions (url: string, now: () => number): Promise<{ sessions: SessionStore, close (): Promise<void> }> {
  const config = resolveConfig({ sessionStore: url, now }, 'plugin')
  if (!isRedisUrl(url)) return await openStorage(config, silentLog)
  const { client, close } = await connectRedis(parseRedisUrl(url, 'url'), silentLog)
  // A busy machine may answer later than an application would wait.
  const store = new RedisStore(client, { now, maxBytes: config.sessionMaxBytes, onCorrupt () {}, deadlineMs: 60_000 })
  return { sessions: inRealm(store, config.realm), close }
}
