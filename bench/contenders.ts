import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { randomBytes } from 'node:crypto'
import { homePage } from './page.js'

/** Each serves the page at `/`, and logs Harry in at a POST to `/login`. */
export const contenders = {
  'bare Fastify': bare,
  '@fastify/session, memory': fastifySession,
  '@fastify/secure-session': secureSession,
  'bare Fastify, headers of hatcheck': bareWithHeaders,
  'hatcheck plugin, LMDB': hatcheckPlugin,
  'hatcheck plugin, cookie': hatcheckInCookie,
  'hatcheck, LMDB': hatcheck,
  'hatcheck, Redis': hatcheckOnRedis
}

export type ContenderName = keyof typeof contenders

/** Those that need nothing but a folder. */
export const contenderNames = (Object.keys(contenders) as ContenderName[]).filter((name) => name !== 'hatcheck, Redis')

/** The variable with the secret key of hatcheck, for who makes tickets for it. Without it there is a new one. */
export const SECRET_VARIABLE = 'HATCHECK_BENCH_SECRET'

/** What the others are measured by. */
export const reference: ContenderName = 'bare Fastify'

// What a contender needs is imported by itself alone, so that no process carries the code of another.

/** The page and nothing else. The logged-in request carries a cookie here too, as long as that of hatcheck. */
async function bare (fastify: FastifyInstance): Promise<void> {
  fastify.get('/', (request, reply) => { sendPage(reply, request.headers.cookie === undefined ? undefined : 'Harry') })
  fastify.get('/verify', (_request, reply) => { reply.code(204).send() })
  fastify.post('/login', giveCookie)
}

function giveCookie (_request: FastifyRequest, reply: FastifyReply): void {
  reply.header('set-cookie', `hatcheck=${randomBytes(65).toString('base64url')}`).send()
}

/** What of the service's price is that of its headers: the same ones, written out. */
async function bareWithHeaders (fastify: FastifyInstance, dataDir: string): Promise<void> {
  const { default: Fastify } = await import('fastify')
  const service = Fastify() as unknown as FastifyInstance
  await hatcheck(service, dataDir)
  const { headers } = await service.inject({ url: '/', headers: { accept: 'text/html' } })
  await service.close()
  for (const name of ['content-type', 'content-length', 'date', 'connection']) delete headers[name]
  fastify.get('/', (request, reply) => { sendPage(reply.headers(headers), request.headers.cookie === undefined ? undefined : 'Harry') })
  fastify.post('/login', giveCookie)
}

/** As its README registers it, but that it may set its cookie on http. */
async function fastifySession (fastify: FastifyInstance): Promise<void> {
  const { default: cookie } = await import('@fastify/cookie')
  const { default: session } = await import('@fastify/session' as string)
  await fastify.register(cookie)
  await fastify.register(session as unknown as FastifyPluginCallback<Record<string, unknown>>, {
    secret: newSecret(),
    cookie: { secure: false },
    // A favour: by default every anonymous request would make one more session, and the memory store never forgets.
    saveUninitialized: false
  })
  fastify.get('/', (request, reply) => { sendPage(reply, request.session.client_name) })
  fastify.post('/login', (request, reply) => {
    request.session.client_name = 'Harry'
    reply.send()
  })
}

async function secureSession (fastify: FastifyInstance): Promise<void> {
  // Imported without its types: they claim `request.session`, which in this code base is that of hatcheck.
  const name: string = '@fastify/secure-session'
  const { default: plugin } = await import(name)
  await fastify.register(plugin, { key: randomBytes(32), cookie: { path: '/' } })
  fastify.get('/', (request, reply) => { sendPage(reply, request.session.get('client_name')) })
  fastify.post('/login', (request, reply) => {
    request.session.set('client_name', 'Harry')
    reply.send()
  })
}

/** In another application, like the others: a route that reads its session. */
async function hatcheckPlugin (fastify: FastifyInstance, dataDir: string, store: 'lmdb:' | 'cookie:' = 'lmdb:'): Promise<void> {
  const { hatcheck } = await import('../app.js')
  await fastify.register(hatcheck, { dataDir, sessionStore: store, secretKey: newSecret() })
  fastify.get('/', (request, reply) => { sendPage(reply, request.session.client_name) })
  fastify.post('/login', async (request) => { await request.login('Harry') })
}

/** The same with the session in its cookie, as that of @fastify/secure-session, and its end in LMDB. */
async function hatcheckInCookie (fastify: FastifyInstance, dataDir: string): Promise<void> {
  await hatcheckPlugin(fastify, dataDir, 'cookie:')
}

async function hatcheck (fastify: FastifyInstance, dataDir: string): Promise<void> {
  await service(fastify, { dataDir })
}

async function hatcheckOnRedis (fastify: FastifyInstance, url: string): Promise<void> {
  await service(fastify, { sessionStore: url })
}

/** The service as it runs on loopback with a secret key, with every header and guard it has. */
async function service (fastify: FastifyInstance, place: { dataDir: string } | { sessionStore: string }): Promise<void> {
  const { hatcheckService } = await import('../app.js')
  await fastify.register(hatcheckService, {
    mode: 'service',
    ...place,
    secretKey: process.env[SECRET_VARIABLE] ?? newSecret(),
    sessionCookieSecure: 'auto',
    signup: 'open',
    passwordMinLength: 8
  })
}

function sendPage (reply: FastifyReply, name: string | undefined): void {
  reply.type('text/html; charset=utf-8').send(homePage(name))
}

function newSecret (): string {
  return randomBytes(32).toString('base64url')
}
