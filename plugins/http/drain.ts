import type { FastifyInstance } from 'fastify'
import type { Server } from 'node:net'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'

/** How long the service answers as before when it is about to stop, in ms: earlier requests may still be on their way. */
const DRAIN_MS = 500
/** How many connections may wait in the system for Node to take them: `backlog` of listen(). */
const LONGEST_QUEUE = 511

/** Makes the step between the decision to stop and the closing of the service. */
export function createDrain (fastify: FastifyInstance) {
  let draining = false

  /** Tells whether the service is about to stop. */
  function isDraining (): boolean {
    return draining
  }

  /**
   * Reports the service as not ready, and closes each connection after its next answer, so that clients go elsewhere.
   * Resolves when the listening socket may be closed.
   */
  async function drain (): Promise<void> {
    draining = true
    // A listener instead of a hook: until now no request has paid for it.
    fastify.server.prependListener('request', (_request, response) => { response.shouldKeepAlive = false })
    await pause(DRAIN_MS)
    // Connections that still wait would be reset. Node takes one of them per turn.
    for (let turns = 0; turns < LONGEST_QUEUE && await takesOne(fastify.server); turns++);
  }

  return { isDraining, drain }
}

/** Takes a waiting connection. Returns whether there was one. */
async function takesOne (server: Server): Promise<boolean> {
  let taken = false
  const note = (): void => { taken = true }
  server.once('connection', note)
  await turn()
  server.off('connection', note)
  return taken
}
