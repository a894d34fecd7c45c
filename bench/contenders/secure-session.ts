import type { FastifyPluginCallback, FastifyRequest } from 'fastify'
import { randomBytes } from 'node:crypto'
import { importPeer } from '../peers.js'
import type { Contender } from './contender.js'
import { onFastify, sendPage, sendVerdict, type ChangeBody, type LoginBody } from './on-fastify.js'

interface SecureSession {
  get (key: 'client_name'): string | undefined
  get (key: 'visits'): number | undefined
  set (key: string, value: unknown): void
  delete (): void
}

export const secureSession: Contender = {
  name: '@fastify/secure-session',
  packages: ['@fastify/secure-session'],
  start: onFastify(async (fastify) => {
    const { default: plugin } = await importPeer('@fastify/secure-session') as { default: FastifyPluginCallback<Record<string, unknown>> }
    await fastify.register(plugin, { key: randomBytes(32), cookie: { path: '/' } })
    const sessionOf = (request: FastifyRequest): SecureSession => request.session as unknown as SecureSession
    fastify.get('/', (request, reply) => { sendPage(reply, sessionOf(request).get('client_name')) })
    fastify.get('/verify', (request, reply) => { sendVerdict(reply, sessionOf(request).get('client_name') !== undefined) })
    fastify.post<ChangeBody>('/visits', (request, reply) => {
      sessionOf(request).set('visits', request.body.visits)
      reply.code(204).send()
    })
    fastify.get('/visits', (request, reply) => { reply.send({ visits: sessionOf(request).get('visits') }) })
    fastify.post<LoginBody>('/login', (request, reply) => {
      sessionOf(request).set('client_name', request.body.client_name)
      reply.send()
    })
    fastify.post('/logout', (request, reply) => {
      sessionOf(request).delete()
      reply.code(204).send()
    })
  })
}
