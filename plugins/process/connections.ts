import { readFileSync, readdirSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** The file descriptors kept free for everything else: files, the store, the metrics, and connections that are accepted only to be closed. */
const RESERVE = 24
/** The service does not work with fewer connections. */
const LEAST_CONNECTIONS = 8

/**
 * Keeps connections from taking every file descriptor of the process. At the limit, a new connection closes the oldest one that
 * has not sent a request; if there is none, all idle connections; if there are none of these either, the oldest connection.
 *
 * @param most the largest number of connections; by default as many as the system allows the process.
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
    // A destroyed socket no longer counts, although its `close` event comes a moment later.
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

/** Returns the number of connections that the system allows; Infinity where it does not tell. */
function mostConnections (): number {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    if (limit === undefined) return Infinity
    return Math.max(LEAST_CONNECTIONS, Number(limit) - readdirSync('/proc/self/fd').length - RESERVE)
  } catch {
    return Infinity
  }
}
