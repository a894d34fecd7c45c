import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { randomBytes } from 'node:crypto'
import type { Contender, Resources } from './contender.js'
import { onFastify, sendPage, sendVerdict } from './on-fastify.js'
import { registerService } from './hatcheck.js'

/** What the others are measured by: the page and nothing else. */
export const bareFastify: Contender = {
  name: 'bare Fastify',
  start: onFastify(async (fastify) => {
    fastify.get('/', (request, reply) => { sendPage(reply, nameOf(request)) })
    fastify.get('/verify', (request, reply) => { sendVerdict(reply, nameOf(request) !== undefined) })
    fastify.post('/visits', (_request, reply) => { reply.code(204).send() })
    fastify.post('/login', giveCookie)
    fastify.post('/logout', (_request, reply) => { reply.code(204).send() })
  }),
  // It keeps nothing.
  requests: { value: null }
}

/** Shows what the headers of the service cost: it sends the same ones, and does nothing else for them. */
export const bareFastifyWithHeaders: Contender = {
  name: 'bare Fastify, headers of hatcheck',
  start: onFastify(async (fastify, resources) => {
    const headers = await headersOfService(resources)
    fastify.get('/', (request, reply) => { sendPage(reply.headers(headers), nameOf(request)) })
    fastify.post('/login', giveCookie)
  }),
  requests: { verify: null, change: null, value: null, logout: null }
}

export const bareExpress: Contender = {
  name: 'bare Express',
  packages: ['express'],
  async start () {
    const { expressApplication } = await import('./on-express.js')
    const { app, listen, sendPage } = await expressApplication()
    app.get('/', (request, response) => { sendPage(response, nameOf(request)) })
    app.get('/verify', (request, response) => { response.status(nameOf(request) === undefined ? 401 : 204).end() })
    app.post('/visits', (_request, response) => { response.status(204).end() })
    app.post('/login', (_request, response) => { response.setHeader('set-cookie', newCookie()).end() })
    app.post('/logout', (_request, response) => { response.status(204).end() })
    return await listen()
  },
  requests: { value: null }
}

function nameOf ({ headers }: { headers: { cookie?: string | undefined } }): string | undefined {
  return headers.cookie === undefined ? undefined : 'Harry'
}

function giveCookie (_request: FastifyRequest, reply: FastifyReply): void {
  reply.header('set-cookie', newCookie()).send()
}

/** Makes a cookie as long as that of hatcheck: a server reads it with every request. */
function newCookie (): string {
  return `hatcheck=${randomBytes(65).toString('base64url')}`
}

async function headersOfService ({ dataDir }: Resources): Promise<Record<string, string>> {
  const { default: Fastify } = await import('fastify')
  const service = Fastify() as unknown as FastifyInstance
  await registerService(service, { dataDir })
  const { headers } = await service.inject({ url: '/', headers: { accept: 'text/html' } })
  await service.close()
  for (const name of ['content-type', 'content-length', 'date', 'connection']) delete headers[name]
  return headers as Record<string, string>
}
