import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Requests } from '../requests.js'
import type { Contender } from './contender.js'
import { onFastify, sendPage, sendVerdict, valuesOf, type ChangeBody, type LoginBody } from './on-fastify.js'
import { newSecret } from './secret.js'

/** The variable with the secret key of the services, for a program that makes tickets for them. Without it there is a new one. */
export const SECRET_VARIABLE = 'HATCHECK_BENCH_SECRET'

type App = Pick<typeof import('../../app.js'), 'hatcheck' | 'hatcheckService'>

type StoreOptions = { dataDir: string, sessionStore?: string }

/** The URL of each store; null: that of the contender's own Redis. */
const stores = { memory: 'memory:', LMDB: 'lmdb:', Redis: null, cookie: 'cookie:' }

/**
 * Lists hatcheck as a plugin and as a service, on each store.
 *
 * @param other the folder of another checkout, which is compiled: its `dist/` is measured, with "other" in the names.
 */
export function hatcheckContenders (other?: string): Contender[] {
  const suffix = other === undefined ? '' : ', other'
  const load = async (): Promise<App> => await import(other === undefined ? '../../app.js' : pathToFileURL(join(other, 'dist/app.js')).href)
  return (['plugin', 'service'] as const).flatMap((form) => Object.entries(stores).map(([store, url]): Contender => ({
    name: `hatcheck ${form} (${store}${suffix})`,
    usesRedis: url === null,
    isOther: other !== undefined,
    start: onFastify(async (fastify, { dataDir, redisUrl }) => {
      const app = await load()
      const options = { dataDir, sessionStore: url ?? redisUrl }
      if (form === 'plugin') await plugin(fastify, app, options)
      // A login without hashing: the application's own check of the password.
      else await registerService(fastify, options, { authenticate: (name: string) => ({ name }) }, app)
    }),
    requests: form === 'service' ? requestsOfService : {}
  })))
}

/** The service with accounts of its own, whose logins hash the password, for the other measurements of this folder. */
export const services: Contender[] = [
  { name: 'hatcheck, LMDB', start: onFastify(async (fastify, { dataDir }) => { await registerService(fastify, { dataDir }) }) },
  { name: 'hatcheck, Redis', start: onFastify(async (fastify, { redisUrl, dataDir }) => { await registerService(fastify, { dataDir, sessionStore: redisUrl }) }), usesRedis: true }
]

/** The service has values of its own, as it has pages. */
const requestsOfService: Partial<Requests> = {
  change: { method: 'PUT', path: '/session/visits', headers: { accept: 'application/json' }, body: (visits) => visits },
  value: { method: 'GET', path: '/session/visits', headers: { accept: 'application/json' } }
}

/** In another application, like the others: routes that use the session. */
async function plugin (fastify: FastifyInstance, { hatcheck }: App, store: StoreOptions): Promise<void> {
  await fastify.register(hatcheck, { ...store, secretKey: newSecret() })
  fastify.get('/', (request, reply) => { sendPage(reply, request.session.client_name) })
  fastify.get('/verify', (request, reply) => { sendVerdict(reply, request.user !== null) })
  fastify.post<ChangeBody>('/visits', (request, reply) => {
    valuesOf(request).visits = request.body.visits
    reply.code(204).send()
  })
  fastify.get('/visits', (request, reply) => { reply.send({ visits: valuesOf(request).visits }) })
  fastify.post<LoginBody>('/login', async (request) => { await request.login(request.body.client_name) })
  fastify.post('/logout', async (request, reply) => {
    await request.logout()
    return reply.code(204).send()
  })
}

/** The service as it runs on loopback with a secret key, with every header and guard it has. */
export async function registerService (fastify: FastifyInstance, store: StoreOptions, logins: object = { signup: 'open', passwordMinLength: 8 }, app?: App): Promise<void> {
  const { hatcheckService } = app ?? await import('../../app.js')
  await fastify.register(hatcheckService, {
    mode: 'service',
    ...store,
    secretKey: process.env[SECRET_VARIABLE] ?? newSecret(),
    sessionCookieSecure: 'auto',
    ...logins
  })
}
