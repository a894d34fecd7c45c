import type { FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { importPeer } from '../peers.js'
import type { Contender } from './contender.js'
import { onFastify, sendPage, sendVerdict, type ChangeBody, type LoginBody } from './on-fastify.js'
import { newSecret } from './secret.js'

interface IronSession {
  client_name?: string
  visits?: number
  save (): Promise<void>
  destroy (): void
}

type GetIronSession = (request: IncomingMessage, response: ServerResponse, options: Record<string, unknown>) => Promise<IronSession>

export const ironSession: Contender = {
  name: 'iron-session',
  packages: ['iron-session'],
  start: onFastify(async (fastify) => {
    const { getIronSession } = await importPeer('iron-session') as { getIronSession: GetIronSession }
    const options = {
      password: newSecret(),
      cookieName: 'session',
      // Differs from the README: the bench speaks plain http.
      cookieOptions: { secure: false }
    }
    const sessionOf = async (request: FastifyRequest, reply: FastifyReply): Promise<IronSession> =>
      await getIronSession(request.raw, reply.raw, options)

    fastify.get('/', async (request, reply) => {
      sendPage(reply, (await sessionOf(request, reply)).client_name)
      return reply
    })
    fastify.get('/verify', async (request, reply) => {
      sendVerdict(reply, (await sessionOf(request, reply)).client_name !== undefined)
      return reply
    })
    fastify.post<ChangeBody>('/visits', async (request, reply) => {
      const session = await sessionOf(request, reply)
      session.visits = request.body.visits
      await session.save()
      return reply.code(204).send()
    })
    fastify.get('/visits', async (request, reply) => ({ visits: (await sessionOf(request, reply)).visits }))
    fastify.post<LoginBody>('/login', async (request, reply) => {
      const session = await sessionOf(request, reply)
      session.client_name = request.body.client_name
      await session.save()
      return reply.send()
    })
    fastify.post('/logout', async (request, reply) => {
      (await sessionOf(request, reply)).destroy()
      return reply.code(204).send()
    })
  })
}
