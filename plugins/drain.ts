import fp from 'fastify-plugin'
import type { Server } from 'node:net'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'

/**
 * So long the service goes on as before when it is to stop, in ms: requests that were sent before that may be on their way.
 */
const DRAIN_MS = 500
/** How many connections may wait in the system for Node to take them: `backlog` of listen(). */
const LONGEST_QUEUE = 511

declare module 'fastify' {
  interface Hatcheck {
    /** Whether the service is about to stop. */
    isDraining: boolean
    /**
     * From now on it is not ready any more, and each answer ends its connection, so that clients go elsewhere. Comes back
     * when the listening socket may be closed.
     */
    drain (): Promise<void>
  }
}

/** The time between the word that the service is to stop and its closing. */
export default fp(async function drain (fastify) {
  const { hatcheck } = fastify
  hatcheck.isDraining = false
  hatcheck.drain = async () => {
    hatcheck.isDraining = true
    // A listener and no hook: until then no request pays for it.
    fastify.server.prependListener('request', (_request, response) => { response.shouldKeepAlive = false })
    await pause(DRAIN_MS)
    // Those that wait would be reset. Node takes one of them a turn.
    for (let turns = 0; turns < LONGEST_QUEUE && await takesOne(fastify.server); turns++);
  }
}, { name: 'drain', dependencies: ['config'] })

/** Whether a connection was waiting. */
async function takesOne (server: Server): Promise<boolean> {
  let taken = false
  const note = (): void => { taken = true }
  server.once('connection', note)
  await turn()
  server.off('connection', note)
  return taken
}
