import { readFileSync, readdirSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Descriptors that are kept for everything else: files, the store, and connections that are accepted only to be closed. */
const RESERVE = 24
/** Fewer would be no service. */
const LEAST_CONNECTIONS = 8
/** A client sends at once; a busy service may not have read it yet. In ms. */
const SILENT_MS = 250

/**
 * Keeps connections from taking every descriptor of the process. When there are as many as there may be, a new one takes the place
 * of the oldest that sends nothing; else of the oldest that has not got an answer yet, since an honest request gets one in a moment;
 * else of all that wait for their next request; and if there are none of these either, of the oldest.
 *
 * @param most connections; by default what the system lets the process have.
 */
export function boundConnections (server: Server, most = mostConnections()): void {
  const begunAt = new Map<Socket, number>()

  server.on('connection', (socket: Socket) => {
    begunAt.set(socket, performance.now())
    socket.once('close', () => { begunAt.delete(socket) })
    if (begunAt.size > most) makeRoom(socket)
  })

  function makeRoom (newest: Socket): void {
    // What is destroyed is closed already, and told of a moment later.
    const living = [...begunAt.keys()].filter((socket) => !socket.destroyed && socket !== newest)
    if (living.length < most) return
    const silentSince = performance.now() - SILENT_MS
    const idle = living.find((socket) => socket.bytesRead === 0 && (begunAt.get(socket) ?? 0) < silentSince) ??
      living.find((socket) => socket.bytesWritten === 0)
    if (idle !== undefined) {
      idle.destroy()
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
