import type { Cluster, Redis } from 'ioredis'
import { NO_CONNECTION, plainError } from '../common/bounded-calls.js'
import type { StorageLog } from '../common/storage.js'
import type { Demotion } from './demotion.js'
import { IdleConnections } from './idle.js'

/** The shortest time between two log lines about one node of a cluster, in ms. */
const NODE_LOG_EVERY_MS = 60_000

/** The shortest time between two log lines about a connection that was closed and can be opened at once, in ms. */
const CLOSED_LOG_EVERY_MS = 60_000

/** The most reasons that the log has for one outage. */
const MOST_REASONS = 5

/**
 * Logs one line when the store is lost and one when it is back, however many attempts lie between. If the attempts fail for another
 * reason, such as a new password after a restart of Redis, one line tells that as well.
 */
export function logOutages (client: Redis | Cluster, log: StorageLog, demotion: Demotion): { idle: IdleConnections, stop: () => void } {
  /** Of the outage under way, as far as the log has them. */
  const reasons = new Set<string>()
  /** A connection that has been closed in use. What happens next shows whether there is a better reason. */
  let closing: Error | undefined
  let isStopped = false
  let toldOfCloseAt = -Infinity
  const down = (error: Error): void => {
    closing = undefined
    const reason = reasonOf(error)
    // Only the outage itself: a call that follows an error fails for want of a connection.
    const isNews = !reasons.has(reason) && (reason !== NO_CONNECTION || reasons.size === 0)
    if (isStopped || !isNews || reasons.size === MOST_REASONS) return
    reasons.add(reason)
    log.warn({ reason }, reasons.size === 1 ? 'the Redis store cannot be reached; requests that need it get a 503 until it can' : 'the Redis store still cannot be reached')
  }
  const closed = (): void => {
    const now = performance.now()
    if (closing !== undefined) down(closing)
    if (reasons.size > 0 || isStopped || now - toldOfCloseAt < CLOSED_LOG_EVERY_MS) return
    toldOfCloseAt = now
    closing = demotion.reason ?? new Error('the connection was closed')
  }
  const idle = new IdleConnections(client, {
    onReopened () { log.debug?.('an idle connection to Redis was closed; it is open again') },
    onLost: down
  })
  client.on('error', down)
  client.on('close', () => { if (!isStopped && !idle.closed()) closed() })
  client.on('ready', () => {
    if (closing !== undefined) down(closing)
    if (reasons.size > 0) log.info('the Redis store can be reached again')
    reasons.clear()
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
  // Without the time to the next attempt, which is another one each time.
  return plainError(lastNodeError ?? error).message.replace(/ Retrying from scratch after [\d.e-]+ms\./, '')
}
