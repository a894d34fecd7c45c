import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { ServiceOptions } from '../../app.js'
import type { GivenOptions } from '../../plugins/config/options.js'
import { Client, type Answer, type Headers, type Sending } from '../clients/client.js'
import { build, buildHost } from '../helper.js'
import type { StoreCall } from '../stores/watched-store.js'

/** The values of a session have at most this many bytes of JSON. */
export const MOST = 16_384
/** The time after which a login is too old to end other sessions. */
const OLD_MS = 11 * 60_000

const JSON_BODY = { 'content-type': 'application/json' }

export const CREDENTIALS = { client_name: 'Harry', password: 'correct horse battery' }

/** A plain request of every operation, by its ID in the OpenAPI document. */
export const REQUESTS: Readonly<Record<string, Sending>> = {
  getHome: { method: 'GET', url: '/' },
  checkHealth: { method: 'GET', url: '/healthz' },
  checkReadiness: { method: 'GET', url: '/readyz' },
  getOpenApi: { method: 'GET', url: '/openapi.json' },
  getLogin: { method: 'GET', url: '/login' },
  logIn: { method: 'POST', url: '/login', headers: JSON_BODY, payload: JSON.stringify(CREDENTIALS) },
  followLogout: { method: 'GET', url: '/logout', headers: { 'sec-fetch-site': 'same-origin' } },
  logOut: { method: 'POST', url: '/logout' },
  getPassword: { method: 'GET', url: '/password' },
  changePassword: { method: 'POST', url: '/password', headers: JSON_BODY, payload: JSON.stringify({ current_password: CREDENTIALS.password, new_password: 'staple of something else' }) },
  listSessions: { method: 'GET', url: '/sessions' },
  endSessions: { method: 'POST', url: '/sessions', headers: JSON_BODY, payload: JSON.stringify({ others: '1', password: CREDENTIALS.password }) },
  endOtherSessions: { method: 'DELETE', url: '/sessions' },
  endSession: { method: 'DELETE', url: '/sessions/other' },
  verify: { method: 'GET', url: '/verify' },
  whoAmI: { method: 'GET', url: '/whoami' },
  getSession: { method: 'GET', url: '/session' },
  getSessionValue: { method: 'GET', url: '/session/cart' },
  setSessionValue: { method: 'PUT', url: '/session/cart', headers: JSON_BODY, payload: '["apple"]' },
  popSessionValue: { method: 'DELETE', url: '/session/cart' }
}

/** Returns a request with further headers. */
export function withHeaders (request: Sending, headers: Headers): Sending {
  return { ...request, headers: { ...request.headers, ...headers } }
}

/** Begins a scene. Without options it shares its service with others, and must leave it as it is. */
export type Begin = (options?: Partial<ServiceOptions>, server?: FastifyServerOptions) => Promise<Scene>
/** Begins a scene in an application with the routes of hatcheck. */
export type BeginHost = (options: GivenOptions) => Promise<Scene>

/** Returns a function that makes those by which scenes begin. Their clients want pages, or JSON. */
export function stage (t: Test): (as: Headers) => { begin: Begin, beginHost: BeginHost } {
  let shared: Promise<Service> | undefined
  return (as) => ({
    async begin (options, server) {
      if (options !== undefined) return new Scene(await service((now) => newService(t, { now, ...options }, server)), as)
      shared ??= service((now) => newService(t, { now }))
      return new Scene(await shared, as)
    },
    beginHost: async (options) => new Scene(await service((now) => buildHost(t, { now, routes: true, ...options })), as)
  })
}

interface Service {
  fastify: FastifyInstance
  clock: { time: number }
}

async function service (make: (now: () => number) => Promise<FastifyInstance>): Promise<Service> {
  const clock = { time: Date.now() }
  return { fastify: await make(() => clock.time), clock }
}

/** Makes a service that answers invalid addresses as in production. */
async function newService (t: Test, options: Partial<ServiceOptions>, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const fastify = await build(t, options, {
    frameworkErrors: (error, request, reply) => { fastify.hatcheck.http.handleAddressError(error, request as never, reply as never) },
    ...server
  })
  return fastify
}

/** A service and its client. */
export class Scene {
  readonly fastify: FastifyInstance
  readonly client: Client
  readonly #clock: { time: number }
  readonly #as: Headers

  constructor ({ fastify, clock }: Service, as: Headers) {
    this.fastify = fastify
    this.client = new Client(fastify)
    this.#clock = clock
    this.#as = as
  }

  /** Sends the request of an operation, changed. */
  send (operation: string, change: Partial<Sending> = {}): Promise<Answer> {
    const request = REQUESTS[operation] as Sending
    return this.client.send(withHeaders({ ...request, ...change }, { ...request.headers, ...change.headers, ...this.#as }))
  }

  /** Sends it with a body of JSON. */
  sendJson (operation: string, body: object): Promise<Answer> {
    return this.send(operation, { headers: JSON_BODY, payload: JSON.stringify(body) })
  }

  /** Logs in. The headers are those of every later request. */
  async logIn (headers: Headers = {}): Promise<this> {
    const { statusCode, body } = await this.client.post('/login', CREDENTIALS, headers)
    if (statusCode !== 303) throw new Error(`no login: ${statusCode} ${body}`)
    return this
  }

  async put (value: unknown, headers: Headers = {}): Promise<this> {
    const { statusCode, body } = await this.client.put('/session/cart', value, headers)
    if (statusCode >= 300) throw new Error(`no value: ${statusCode} ${body}`)
    return this
  }

  /** Lets so much time pass that ending other sessions needs the password. */
  growOld (): this {
    this.#clock.time += OLD_MS
    return this
  }

  /** Fills the session to the last byte. */
  async fill (): Promise<this> {
    const [, size] = /too large: (\d+) bytes/.exec((await this.client.put('/session/most', 'x'.repeat(MOST - 2))).body) ?? []
    await this.client.put('/session/most', 'x'.repeat(2 * MOST - 2 - Number(size)))
    return this
  }

  /** Makes a call of the session store fail. */
  break (...calls: StoreCall[]): this {
    const { store } = this.fastify.sessions
    for (const call of calls) store[call] = () => { throw new Error('the disk is gone') }
    return this
  }

  /** Does something just before, or instead of, the check of a password. */
  atCheck (act: (goOn: () => Promise<{ name: string } | null>) => Promise<{ name: string } | null>): this {
    const { accounts } = this.fastify
    if (accounts === undefined) throw new Error('the accounts are not those of hatcheck')
    const check = accounts.authenticate.bind(accounts)
    accounts.authenticate = (...args) => act(() => check(...args))
    return this
  }
}
