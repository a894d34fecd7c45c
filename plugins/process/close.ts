import type { FastifyInstance } from 'fastify'

/** The open requests can take this long, in ms. Then their connections are closed. */
const GRACE_MS = 5_000
const END_EVERY_MS = 50

/** Answers the open requests of a service, and closes it. */
export async function closeService (fastify: FastifyInstance): Promise<void> {
  const { server, hatcheck } = fastify
  // A closing server no longer checks the timeouts, and one endless request would keep it open.
  const cutting = setTimeout(() => { server.closeAllConnections() }, GRACE_MS)
  await hatcheck.http.drain()
  // A connection that was busy when the closing began becomes idle after its response, and would keep it open too.
  const ending = setInterval(() => { server.closeIdleConnections() }, END_EVERY_MS)
  await fastify.close()
  clearTimeout(cutting)
  clearInterval(ending)
}
