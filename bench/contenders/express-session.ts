import type { RequestHandler, Request } from 'express'
import { importPeer } from '../peers.js'
import { connectedStore } from './connect-redis.js'
import type { Contender, Resources, Running } from './contender.js'
import { expressApplication } from './on-express.js'
import { newSecret } from './secret.js'

interface ExpressSession {
  client_name?: string
  visits?: number
  regenerate (done: (error?: unknown) => void): void
  destroy (done: (error?: unknown) => void): void
}

export const expressSessions: Contender[] = [
  {
    name: 'express-session (memory)',
    packages: ['express', 'express-session'],
    start: async () => await serve({})
  },
  {
    name: 'express-session (connect-redis)',
    packages: ['express', 'express-session', 'redis', 'connect-redis'],
    usesRedis: true,
    async start ({ redisUrl }: Resources) {
      const { store, disconnect } = await connectedStore(redisUrl)
      const { port, close } = await serve({ store })
      return {
        port,
        async close () {
          await close()
          await disconnect()
        }
      }
    }
  }
]

/** Serves on Express 5, with the options that the README of connect-redis recommends. */
async function serve (options: object): Promise<Running> {
  const { default: session } = await importPeer('express-session') as { default: (options: object) => RequestHandler }
  const { app, listen, sendPage } = await expressApplication()
  app.use(session({ secret: newSecret(), resave: false, saveUninitialized: false, ...options }))
  const sessionOf = (request: Request): ExpressSession => (request as unknown as { session: ExpressSession }).session
  app.get('/', (request, response) => { sendPage(response, sessionOf(request).client_name) })
  app.get('/verify', (request, response) => { response.status(sessionOf(request).client_name === undefined ? 401 : 204).end() })
  app.post('/visits', (request, response) => {
    sessionOf(request).visits = request.body.visits
    response.status(204).end()
  })
  app.get('/visits', (request, response) => { response.json({ visits: sessionOf(request).visits }) })
  // A new ID, as in the example "User login" of its README.
  app.post('/login', (request, response, next) => {
    sessionOf(request).regenerate((error) => {
      if (error !== undefined && error !== null) return next(error)
      sessionOf(request).client_name = request.body.client_name
      response.end()
    })
  })
  // Differs from that example, as a favor: it saves the session without the user, and then makes another one.
  app.post('/logout', (request, response, next) => {
    sessionOf(request).destroy((error) => {
      if (error !== undefined && error !== null) next(error)
      else response.status(204).end()
    })
  })
  return await listen()
}
