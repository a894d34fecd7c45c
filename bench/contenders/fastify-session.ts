import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import { importPeer } from '../peers.js'
import { connectedStore } from './connect-redis.js'
import type { Contender } from './contender.js'
import { onFastify, sendPage, sendVerdict, valuesOf, type ChangeBody, type LoginBody } from './on-fastify.js'
import { newSecret } from './secret.js'

export const fastifySessions: Contender[] = [
  {
    name: '@fastify/session (memory)',
    start: onFastify(async (fastify) => { await serve(fastify, {}) })
  },
  {
    name: '@fastify/session (connect-redis)',
    packages: ['redis', 'connect-redis'],
    usesRedis: true,
    start: onFastify(async (fastify, { redisUrl }) => {
      const { store, disconnect } = await connectedStore(redisUrl)
      fastify.addHook('onClose', disconnect)
      await serve(fastify, { store })
    })
  }
]

async function serve (fastify: FastifyInstance, options: Record<string, unknown>): Promise<void> {
  const { default: cookie } = await import('@fastify/cookie')
  const { default: session } = await importPeer('@fastify/session') as { default: FastifyPluginCallback<Record<string, unknown>> }
  await fastify.register(cookie)
  await fastify.register(session, {
    secret: newSecret(),
    // Differs from the README: the bench speaks plain http.
    cookie: { secure: false },
    // Differs from the README, as a favor: by default every anonymous request would make one more session.
    saveUninitialized: false,
    ...options
  })
  fastify.get('/', (request, reply) => { sendPage(reply, request.session.client_name) })
  fastify.get('/verify', (request, reply) => { sendVerdict(reply, request.session.client_name !== undefined) })
  fastify.post<ChangeBody>('/visits', (request, reply) => {
    valuesOf(request).visits = request.body.visits
    reply.code(204).send()
  })
  fastify.get('/visits', (request, reply) => { reply.send({ visits: valuesOf(request).visits }) })
  fastify.post<LoginBody>('/login', (request, reply) => {
    request.session.client_name = request.body.client_name
    reply.send()
  })
  fastify.post('/logout', async (request, reply) => {
    await request.session.destroy()
    return reply.code(204).send()
  })
}
