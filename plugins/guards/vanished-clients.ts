import type { FastifyInstance } from 'fastify'
import type { Socket } from 'node:net'

/**
 * Closes a connection whose client has reset it before Node accepts it. The system still has the request that the client sent, but
 * no longer the address: the attempts of such a client would count for no network, and have no address in the log.
 */
export function dropVanishedClients ({ server }: Pick<FastifyInstance, 'server'>): void {
  // Several scopes with hatcheck have one server.
  if (!server.listeners('connection').includes(drop)) server.on('connection', drop).on('secureConnection', drop)
}

/** Reads the address of every other client, so that Node keeps it: the client may reset the connection later. */
function drop (socket: Socket): void {
  // A Unix socket has neither address.
  if (socket.remoteAddress === undefined && socket.localAddress !== undefined) socket.destroy()
}
