import type { FastifyInstance, FastifyRequest } from 'fastify'
import { bag, type Bag } from './bag.js'

export interface Seen {
  user: string | null
  data: Bag
}

/** The answer to a client without a session. */
export const NOTHING: Seen = { user: null, data: {} }

type Handler = (request: FastifyRequest, session: Bag, params: Record<string, string>) => Promise<unknown>

/** One route for each action on a session. */
const routes: Record<string, Handler> = {
  '/login/:name': async (request, _session, { name = '' }) => await request.login(name),
  '/logout': async (request) => await request.logout(),
  '/set/:key/:value': async (_request, session, { key = '', value }) => { session[key] = value },
  '/delete/:key': async (_request, session, { key = '' }) => delete session[key],
  '/touch': async (request) => request.session.touch(),
  '/rotate': async (request) => await request.session.regenerate(request.session.keys() as never[]),
  '/revoke/:name': async ({ server }, _session, { name = '' }) => await server.sessions.store.removeOfUser(name),
  '/read': async (request, session) => seenBy(request, session)
}

/**
 * Adds the routes to an application.
 *
 * @param pause called by a handler after it has read the session and before it acts.
 */
export function addSessionRoutes (fastify: FastifyInstance, pause: () => Promise<void> = async () => {}): void {
  for (const [url, handler] of Object.entries(routes)) {
    fastify.post(url, async (request) => {
      const session = bag(request)
      const seen = seenBy(request, session)
      await pause()
      await handler(request, session, request.params as Record<string, string>)
      return seen
    })
  }
}

function seenBy (request: FastifyRequest, session: Bag): Seen {
  const { client_name: _name, authenticatedAt: _time, ...data } = { ...session }
  return { user: request.user?.name ?? null, data }
}
