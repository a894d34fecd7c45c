import Fastify, { type FastifyInstance } from 'fastify'
import assert from 'node:assert/strict'
import { hatcheck } from '../app.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { OWN_PREFIX } from '../plugins/session/fields.js'
import type { MaybePromise } from '../plugins/store/sessions.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { storeKey } from '../plugins/tickets/ticket.js'
import { openStorage } from '../plugins/storage/open.js'
import { testKey } from './helper.js'
import { silentLog } from './redis.js'
import { NOTHING, addSessionRoutes, type Seen } from './session-routes.js'

/** An application that can be restarted on the same store. */
export class Restartable {
  time = Date.now()
  readonly #url: string
  readonly #sessionsPerUser: number
  #fastify!: FastifyInstance
  #storage!: Awaited<ReturnType<typeof openStorage>>
  #error: Error | null = null
  #noting: Array<MaybePromise<boolean>> = []

  constructor (url: string, sessionsPerUser: number) {
    this.#url = url
    this.#sessionsPerUser = sessionsPerUser
  }

  get store (): SessionStore { return this.#storage.sessions }

  async start (): Promise<void> {
    const now = (): number => this.time
    this.#storage = await openStorage(resolveConfig({ sessionStore: this.#url, now }, 'plugin'), silentLog)
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
