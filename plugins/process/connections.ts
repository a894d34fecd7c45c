import { readFileSync, readdirSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Descriptors that are kept for everything else: files, the store, and connections that are accepted only to be closed. */
const RESERVE = 24
/** Fewer would be no service. */
const LEAST_CONNECTIONS = 8

/**
 * Keeps connections from taking every descriptor of the process. When there are as many as there may be, a new one takes the place
 * of the oldest on which no request has come in; else of all that wait for their next request; and if there are none of these
 * either, of the oldest.
 *
 * @param most connections; by default what the system lets the process have.
 */
export function boundConnections (server: Server, most = mostConnections()): void {
  if (most === Infinity) return
  const open = new Set<Socket>()
  const asked = new WeakSet<Socket>()

  server.on('request', ({ socket }) => { asked.add(socket) })
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => { open.delete(socket) })
    if (open.size > most) makeRoom(socket)
  })

  function makeRoom (newest: Socket): void {
    // What is destroyed is closed already, and told of a moment later.
    const living = [...open].filter((socket) => !socket.destroyed && socket !== newest)
    if (living.length < most) return
    const silent = living.find((socket) => !asked.has(socket))
    if (silent !== undefined) {
      silent.destroy()
      return
    }
    server.closeIdleConnections()
    if (living.every(({ destroyed }) => !destroyed)) living[0]?.destroy()
  }
}

/** Infinity where the system does not tell. */
function mostConnections (): number {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    if (limit === undefined) return Infinity
    return Math.max(LEAST_CONNECTIONS, Number(limit) - readdirSync('/proc/self/fd').length - RESERVE)
  } catch {
    return Infinity
  }
}
