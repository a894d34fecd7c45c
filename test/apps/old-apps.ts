import fastifyCookie from '@fastify/cookie'
import expressSession from 'express-session'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyRequest } from 'fastify'
import { createRequire } from 'node:module'
import type { Test } from 'tap'
import type { AdoptOptions, OldValues } from '../../plugins/config/adopt.js'
import type { ExpressSessionStore } from '../../plugins/store/express-store.js'
import { cookiesSetBy } from '../clients/client.js'

// Not imported, since its types conflict with those of hatcheck.
const fastifySession = createRequire(import.meta.url)('@fastify/session') as FastifyPluginCallback<Record<string, unknown>> & { MemoryStore: new () => ExpressSessionStore }

export const oldSecret = 'keyboard cat, as every example has it'

export const libraries = ['express-session', '@fastify/session'] as const
export type Library = typeof libraries[number]

/** An application that keeps its sessions with another library. */
export interface OldApp {
  readonly store: ExpressSessionStore
  /** How hatcheck adopts its sessions. */
  readonly adopt: AdoptOptions
  /** Begins a session with these values. Returns its Cookie header. */
  begin (values: OldValues): Promise<string>
  /** Returns the values of a session; they are empty if it has ended. */
  valuesOf (cookie: string): Promise<OldValues>
}

export interface OldAppOptions {
  store?: ExpressSessionStore
  secret?: string | string[]
  cookie?: Record<string, unknown>
}

/** Makes an application with the real library, which is injected into. */
export async function oldApp (t: Test, library: Library, { store = memoryStoreOf(library), secret = oldSecret, cookie = {} }: OldAppOptions = {}): Promise<OldApp> {
  const fastify = Fastify() as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  let valuesOf: (request: FastifyRequest) => OldValues
  if (library === 'express-session') {
    const middleware = expressSession({ secret, store: store as expressSession.Store, cookie, resave: false, saveUninitialized: false })
    fastify.addHook('onRequest', (request, reply, done) => { middleware(request.raw as never, reply.raw as never, done as never) })
    valuesOf = (request) => (request.raw as unknown as { session: OldValues }).session
  } else {
    await fastify.register(fastifyCookie)
    await fastify.register(fastifySession, { secret, store, cookie: { secure: false, ...cookie }, saveUninitialized: false })
    valuesOf = (request) => request.session as OldValues
  }
  fastify.post('/', async (request) => { Object.assign(valuesOf(request), request.body) })
  fastify.get('/', async (request) => {
    const { cookie: _, ...values } = valuesOf(request)
    return values
  })
  const name = library === 'express-session' ? 'connect.sid' : 'sessionId'
  return {
    store,
    adopt: { cookie: name, secret, store, user: (values) => values['user'] },
    async begin (values) {
      const [{ value } = { value: '' }] = cookiesSetBy(await fastify.inject({ method: 'POST', url: '/', payload: values }))
      return `${name}=${value}`
    },
    valuesOf: async (cookie) => (await fastify.inject({ url: '/', headers: { cookie } })).json()
  }
}

function memoryStoreOf (library: Library): ExpressSessionStore {
  return library === 'express-session' ? new expressSession.MemoryStore() : new fastifySession.MemoryStore()
}

/** The same store with a function before each of its calls: the call continues when the promise resolves, and fails if it rejects. */
export function watchedOldStore (store: ExpressSessionStore, lookOut: (call: 'get' | 'set' | 'destroy', sid: string) => Promise<void> | void): ExpressSessionStore {
  const pass = (name: 'get' | 'set' | 'destroy') => (sid: string, ...rest: unknown[]): void => {
    const callback = rest.at(-1) as (error: unknown) => void
    Promise.resolve().then(() => lookOut(name, sid)).then(() => (store[name] as (...args: unknown[]) => unknown)(sid, ...rest)).catch(callback)
  }
  // The events of a store are for express-session alone.
  return Object.assign(Object.create(store) as ExpressSessionStore, { get: pass('get'), set: pass('set'), destroy: pass('destroy') })
}
