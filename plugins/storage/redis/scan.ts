import type { Cluster, Redis } from 'ioredis'
import type { BoundedCall } from '../common/bounded-calls.js'
import { batchesOf } from './batches.js'
import { primariesOf } from './client.js'

/** Of many keys, one large set would hold the event loop whenever it grows. */
const PARTS = 64

/**
 * Finds the keys that match a pattern, in batches. A key that is there all the while comes once, although Redis can return it
 * several times. It looks at every key of Redis, so it is for operations and not for requests.
 */
export async function * scanKeys (client: Redis | Cluster, call: BoundedCall, doing: string, pattern: string): AsyncGenerator<string[]> {
  const seen = Array.from({ length: PARTS }, () => new Set<string>())
  const isNew = (key: string): boolean => {
    // The last character of a hash has few values.
    const part = seen[key.charCodeAt(key.length - 2) % PARTS] as Set<string>
    return part.size < part.add(key).size
  }
  for (const node of await call(doing, () => primariesOf(client))) {
    let cursor = '0'
    do {
      const [next, keys] = await call(doing, () => node.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000))
      yield * batchesOf(keys.filter(isNew))
      cursor = next
    } while (cursor !== '0')
  }
}
