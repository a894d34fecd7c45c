import type { Cluster, Redis } from 'ioredis'
import type { BoundedCall } from '../common/bounded-calls.js'
import { batchesOf } from './batches.js'
import { primariesOf } from './nodes.js'

/**
 * Finds the keys that match a pattern, in batches. It looks at every key of Redis, so it is for operations and not for requests.
 * While Redis resizes its table, a key can come several times: to remember all of them could take too much memory.
 */
export async function * scanKeys (client: Redis | Cluster, call: BoundedCall, doing: string, pattern: string): AsyncGenerator<string[]> {
  for (const node of await call(doing, () => primariesOf(client))) {
    let cursor = '0'
    do {
      const [next, keys] = await call(doing, () => node.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000))
      yield * batchesOf(keys)
      cursor = next
    } while (cursor !== '0')
  }
}
