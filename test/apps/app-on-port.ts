import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { hatcheck } from '../../app.js'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { sessionCookieOf, testKey } from '../helper.js'
import { openStore, watched } from '../stores/watched-store.js'
import { bag, type Bag } from './bag.js'
import { parsedLogInto } from './log-lines.js'

export interface Received {
  /** 0 if the connection ended without a whole answer. */
  status: number
  headers: IncomingHttpHeaders
  body: string
  /** The session cookie after the request: the new one, or the one that was sent. */
  cookie: string | undefined
  /** The line that sets it. */
  set: string | undefined
}

export interface AppOnPort {
  fastify: FastifyInstance
  /** Log lines of warnings and errors, parsed. */
  log: Bag[]
  /**
   * Sends a request and answers what has come when the connection ends, be it a part of an answer or nothing (0): a Client
   * takes whole answers only.
   */
  ask (path: string, cookie?: string, options?: { method?: string, headers?: Record<string, string>, leave?: Promise<unknown> }): Promise<Received>
  /** The user of a cookie, and the value `n`. */
  me (cookie: string | undefined): Promise<{ user: string | null, n: unknown }>
  stored (): Promise<number>
}

export const STORES = ['memory, at once', 'memory, with promises'] as const
/** Also resolves on an error, for which `once` would reject. */
export const closed = (stream: NodeJS.EventEmitter): Promise<unknown> => new Promise((resolve) => { stream.once('close', resolve) })

/** An application on its own port, since `inject` hides what happens to a connection. */
export async function appOnPort (t: Test, routes: (fastify: FastifyInstance) => void, { store = 'memory, at once', options = {}, server = {}, before = () => {} }: {
  store?: typeof STORES[number]
  options?: Pick<HatcheckOptions, 'sessionStore' | 'sessionCookieSecure'>
  server?: FastifyServerOptions
  /** Runs before hatcheck is registered. */
  before?: (fastify: FastifyInstance) => void
} = {}): Promise<AppOnPort> {
  const log: Bag[] = []
  const fastify = Fastify({ ...server, ...parsedLogInto(log, 'warn') }) as unknown as FastifyInstance
  t.teardown(() => {
    fastify.server.closeAllConnections?.()
    return fastify.close()
  })
  // Nothing about it is in the log.
  fastify.server.maxHeadersCount = 0
  before(fastify)
  const sessions = openStore(t, 'memory:')
  const sessionStore = store === 'memory, at once' ? sessions : watched(sessions, async () => { await pause(1) }, false)
  await fastify.register(hatcheck, { sessionStore, secretKey: testKey, ...options } as never)
  fastify.get('/in/:name', async (request) => {
    await request.login((request.params as { name: string }).name)
    return 'in'
  })
  fastify.get('/out', async (request) => {
    await request.logout()
    return 'out'
  })
  fastify.get('/me', async (request) => ({ user: request.user?.name ?? null, n: bag(request)['n'] ?? null }))
  routes(fastify)
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  const { port } = fastify.server.address() as AddressInfo

  const ask: AppOnPort['ask'] = (path, cookie, { method = 'GET', headers = {}, leave } = {}) => new Promise((resolve) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, method, agent: false, headers: { ...cookie !== undefined && { cookie }, ...headers } })
    const ended = (status: number, headers: IncomingHttpHeaders, body: string): void => {
      const set = sessionCookieOf({ headers } as never)
      resolve({ status, headers, body, set, cookie: set?.split(';')[0] ?? cookie })
    }
    request.on('response', (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => { body += chunk.toString() })
      response.on('error', () => {})
      response.on('close', () => { ended(response.statusCode ?? 0, response.headers, body) })
    })
    request.on('error', () => {})
    // A promise resolves once: with the response first, if there is one.
    request.on('close', () => { ended(0, {}, '') })
    leave?.then(() => { request.destroy() }, () => {})
    request.end()
  })
  return {
    fastify,
    log,
    ask,
    me: async (cookie) => JSON.parse((await ask('/me', cookie)).body) as { user: string | null, n: unknown },
    stored: async () => await sessions.count()
  }
}
