import type { FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { importPeer } from '../peers.js'
import type { Contender } from './contender.js'
import { onFastify, sendPage, sendVerdict } from './on-fastify.js'
import { newSecret } from './secret.js'

interface Auth {
  handler (request: Request): Promise<Response>
  api: {
    getSession (from: { headers: Headers }): Promise<{ user: { name: string }, session: { visits?: number | null } } | null>
    signUpEmail (user: { body: { name: string, email: string, password: string } }): Promise<unknown>
  }
}

const ORIGIN = 'http://127.0.0.1'
const HARRY = { name: 'Harry', email: 'harry@example.com', password: 'a phrase that is on no list' }

export const betterAuths: Contender[] = [
  { name: 'better-auth (SQLite)', cookieCache: { enabled: false } },
  { name: 'better-auth (SQLite, cookie cache)', cookieCache: { enabled: true, maxAge: 5 * 60 } }
].map(({ name, cookieCache }): Contender => ({
  name,
  packages: ['better-auth', 'better-sqlite3'],
  start: onFastify(async (fastify, { dataDir }) => {
    const { betterAuth } = await importPeer('better-auth') as { betterAuth: (options: object) => Auth }
    const { fromNodeHeaders } = await importPeer('better-auth/node') as { fromNodeHeaders: (headers: IncomingHttpHeaders) => Headers }
    const { getMigrations } = await importPeer('better-auth/db/migration') as { getMigrations: (options: object) => Promise<{ runMigrations: () => Promise<void> }> }
    const { default: Database } = await importPeer('better-sqlite3') as { default: new (file: string) => { pragma: (text: string) => void, close: () => void } }
    const database = new Database(join(dataDir, 'sqlite.db'))
    // Differs from the README of better-auth, as a favor: that of better-sqlite3 recommends it.
    database.pragma('journal_mode = WAL')
    fastify.addHook('onClose', async () => { database.close() })
    const options = {
      database,
      secret: newSecret(),
      baseURL: ORIGIN,
      // Differs from the README: a login without hashing, as for the others.
      emailAndPassword: { enabled: true, password: { hash: async (password: string) => password, verify: async () => true } },
      session: { cookieCache, additionalFields: { visits: { type: 'number', required: false } } },
      // Differs from the README: one address logs in more often than a user does. (It would be on in production only.)
      rateLimit: { enabled: false },
      telemetry: { enabled: false },
      logger: { disabled: true }
    }
    await (await getMigrations(options)).runMigrations()
    const auth = betterAuth(options)
    await auth.api.signUpEmail({ body: HARRY })
    const sessionOf = async ({ headers }: FastifyRequest) => await auth.api.getSession({ headers: fromNodeHeaders(headers) })

    fastify.get('/', async (request, reply) => {
      sendPage(reply, (await sessionOf(request))?.user.name)
      return reply
    })
    fastify.get('/verify', async (request, reply) => {
      sendVerdict(reply, await sessionOf(request) !== null)
      return reply
    })
    fastify.get('/visits', async (request) => ({ visits: (await sessionOf(request))?.session.visits }))
    // As in its guide for Fastify.
    fastify.route({
      method: ['GET', 'POST'],
      url: '/api/auth/*',
      async handler ({ url, method, headers, body }, reply: FastifyReply) {
        const response = await auth.handler(new Request(new URL(url, ORIGIN), {
          method,
          headers: fromNodeHeaders(headers),
          ...body === undefined ? {} : { body: JSON.stringify(body) }
        }))
        reply.code(response.status)
        response.headers.forEach((value, name) => { reply.header(name, value) })
        return reply.send(response.body === null ? null : await response.text())
      }
    })
  }),
  requests: {
    change: ofApi('update-session', (visits) => `{"visits":${visits}}`),
    // One user: it keeps any number of sessions of a user.
    login: ofApi('sign-in/email', () => JSON.stringify(HARRY)),
    logout: ofApi('sign-out', () => '{}')
  }
}))

/** Makes a request to its API, with the origin, which it checks. */
function ofApi (path: string, body: (word: string) => string) {
  return { method: 'POST', path: `/api/auth/${path}`, headers: { accept: 'application/json', origin: ORIGIN }, body } as const
}
