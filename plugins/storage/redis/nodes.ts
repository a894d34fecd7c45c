import type { Cluster, Redis } from 'ioredis'

/** How many slots a cluster has. */
const SLOTS = 16_384

/** Tells whether a client is that of a cluster. */
export function isCluster (client: Redis | Cluster): client is Cluster {
  return client.isCluster
}

/**
 * Returns the servers that have all keys between them: the primaries of a cluster, or the one server.
 *
 * @throws Error while a primary is unknown: before the cluster has answered, after a connection has ended, and if no node
 * serves a slot.
 */
export async function primariesOf (client: Redis | Cluster): Promise<Redis[]> {
  if (!isCluster(client)) return [client]
  const primaries = client.nodes('master')
  const known = new Set(primaries.map(({ options: { host, port } }) => `${host}:${port}`))
  // Until the cluster has answered, the nodes are those of the url.
  if (client.status !== 'ready' || slotsOf(client).some(([primary = '']) => !known.has(primary))) throw new Error('not every primary of the cluster is known')
  return primaries
}

/** Returns the nodes of each slot, the primary first; none for a slot that no node serves. */
function slotsOf ({ slots }: Cluster): string[][] {
  return Array.from({ length: SLOTS }, (_, slot) => slots[slot] ?? [])
}
