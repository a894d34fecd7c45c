import Fastify, { type FastifyInstance } from 'fastify'
import assert from 'node:assert/strict'
import { hatcheck } from '../app.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { OWN_PREFIX } from '../plugins/session/fields.js'
import type { MaybePromise } from '../plugins/store/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { openStorage } from '../plugins/storage/open.js'
import { connectRedis } from '../plugins/storage/redis/client.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import { isRedisUrl, parseRedisUrl } from '../plugins/storage/redis/url.js'
import { inRealm } from '../plugins/storage/realm.js'
import { testKey } from './helper.js'
import { silentLog } from './redis.js'
import { NOTHING, addSessionRoutes, type Seen } from './session-routes.js'

interface OpenSessions {
  sessions: SessionStore
  close (): Promise<void>
}

/** An application that can be restarted on the same store. */
export class Restartable {
  time = Date.now()
  readonly #url: string
  readonly #sessionsPerUser: number
  #fastify!: FastifyInstance
  #storage!: OpenSessions
  #error: Error | null = null
  #noting: Array<MaybePromise<boolean>> = []

  constructor (url: string, sessionsPerUser: number) {
    this.#url = url
    this.#sessionsPerUser = sessionsPerUser
  }

  get store (): SessionStore { return this.#storage.sessions }

  async start (): Promise<void> {
    const now = (): number => this.time
    this.#storage = await openSessions(this.#url, now)
    const { sessions } = this.#storage
    const touch = sessions.touch.bind(sessions)
    sessions.touch = (...args) => {
      const noted = touch(...args)
      this.#noting.push(noted)
      return noted
    }
    this.#fastify = Fastify() as unknown as FastifyInstance
    await this.#fastify.register(hatcheck, { sessionStore: this.store, secretKey: testKey, sessionsPerUser: this.#sessionsPerUser, now })
    addSessionRoutes(this.#fastify)
    this.#fastify.addHook('onError', async (_request, _reply, error) => { this.#error = error })
    await this.#fastify.ready()
  }

  async stop (): Promise<void> {
    await Promise.all(this.#noting.splice(0))
    await this.#fastify.close()
    await this.#storage.close()
  }

  /** Advances the clock, but only after activity is recorded: responses do not wait for that, and it takes no hours. */
  async pass (ms: number): Promise<void> {
    await Promise.all(this.#noting.splice(0))
    this.time += ms
  }

  async restart (): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** The record that is stored for a cookie. */
  async stored (cookie: string): Promise<Seen> {
    if (cookie === '') return NOTHING
    const record = await this.store.read(storeKey(cookie.slice(cookie.indexOf('=') + 1, cookie.indexOf('.'))))
    if (record === null) return NOTHING
    const { client_name: _name, authenticatedAt: _time, ...fields } = record.fields
    return { user: record.user, data: Object.fromEntries(Object.entries(fields).filter(([key]) => !key.startsWith(OWN_PREFIX)).map(([key, text]) => [key, JSON.parse(text)])) }
  }

  async send (url: string, cookie: string): Promise<{ cookie: string, seen: Seen }> {
    const response = await this.#fastify.inject({ method: 'POST', url, headers: { cookie } })
    assert.equal(response.statusCode, 200, this.#error ?? response.body)
    const line = response.headers['set-cookie'] as string | undefined
    const after = line === undefined ? cookie : line.includes('Max-Age=0') ? '' : line.slice(0, line.indexOf(';'))
    return { cookie: after, seen: response.json() }
  }
}

async function openSessions (url: string, now: () => number): Promise<OpenSessions> {
  const config = resolveConfig({ sessionStore: url, now }, 'plugin')
  if (!isRedisUrl(url)) return await openStorage(config, silentLog)
  const { client, close } = await connectRedis(parseRedisUrl(url, 'url'), silentLog)
  // A busy machine may answer later than an application would wait.
  const store = new RedisStore(client, { now, maxBytes: config.sessionMaxBytes, onCorrupt () {}, deadlineMs: 60_000 })
  return { sessions: inRealm(store, config.realm), close }
}
