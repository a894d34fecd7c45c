import type { Cluster, Redis } from 'ioredis'
import { plainError } from '../common/bounded-calls.js'
import type { StorageLog } from '../common/storage.js'
import type { Demotion } from './demotion.js'
import { IdleConnections } from './idle.js'

/** The shortest time between two log lines about one node of a cluster, in ms. */
const NODE_LOG_EVERY_MS = 60_000

/** The shortest time between two log lines about a connection that was closed and can be opened at once, in ms. */
const CLOSED_LOG_EVERY_MS = 60_000

/** Logs one line when the store is lost and one when it is back, however many attempts lie between. */
export function logOutages (client: Redis | Cluster, log: StorageLog, demotion: Demotion): { idle: IdleConnections, stop: () => void } {
  let isDown = false
  let isStopped = false
  let toldOfCloseAt = -Infinity
  const down = (error: Error): void => {
    if (isDown || isStopped) return
    isDown = true
    log.warn({ reason: reasonOf(error) }, 'the Redis store cannot be reached; requests that need it get a 503 until it can')
  }
  /** If it cannot be opened again, an error tells. */
  const closed = (): void => {
    const now = performance.now()
    if (isDown || isStopped || now - toldOfCloseAt < CLOSED_LOG_EVERY_MS) return
    toldOfCloseAt = now
    down(demotion.reason ?? new Error('the connection was closed'))
  }
  const idle = new IdleConnections(client, {
    onReopened () { log.debug?.('an idle connection to Redis was closed; it is open again') },
    onLost: down
  })
  client.on('error', down)
  client.on('close', () => { if (!isStopped && !idle.closed()) closed() })
  client.on('ready', () => {
    if (isDown) log.info('the Redis store can be reached again')
    isDown = false
  })
  const toldAt = new Map<string, number>()
  client.on('node error', (error: Error, address: string) => {
    const now = performance.now()
    if (isStopped || now - (toldAt.get(address) ?? -Infinity) < NODE_LOG_EVERY_MS) return
    toldAt.set(address, now)
    log.warn({ node: address, reason: reasonOf(error) }, 'a node of the Redis cluster cannot be reached')
  })
  return {
    idle,
    stop () {
      isStopped = true
      idle.stop()
    }
  }
}

function reasonOf (error: Error): string {
  const { lastNodeError } = error as { lastNodeError?: Error }
  return plainError(lastNodeError ?? error).message
}
