import type { Cluster } from 'ioredis'

/** How often a cluster is asked which node has which slots, in ms, so that hatcheck knows it even after a node has gone silent. */
export const SLOTS_EVERY_MS = 1_000
/** The shortest time between two such questions, in ms, however many connections end. */
const SLOTS_APART_MS = 200

/**
 * Asks the cluster for its slots at intervals, and as soon as a connection to a node has ended, because ioredis drops such a
 * node until then. The timer of ioredis starts again after a `disconnect()` during a refresh, and keeps the process from ending.
 *
 * @returns a function that stops it.
 */
export function keepSlots (client: Cluster): () => void {
  let askedAt = -Infinity
  let soon: NodeJS.Timeout | undefined
  const ask = (): void => {
    soon = undefined
    askedAt = performance.now()
    if (client.status === 'ready') client.refreshSlotsCache(() => {})
  }
  const timer = setInterval(ask, SLOTS_EVERY_MS).unref()
  const askSoon = (): void => {
    // A node that is down closes each connection at once.
    soon ??= setTimeout(ask, Math.max(0, askedAt + SLOTS_APART_MS - performance.now())).unref()
  }
  client.on('-node', askSoon)
  return () => {
    clearInterval(timer)
    clearTimeout(soon)
    client.off('-node', askSoon)
  }
}
