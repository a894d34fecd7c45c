import { RedisAccounts } from '../accounts/redis-accounts.js'
import { RedisStore } from '../session/redis-store.js'
import { RedisAttempts } from '../throttle/redis-attempts.js'
import { connectRedis } from './redis-client.js'
import type { RedisTarget } from './redis-url.js'
import { corruptionLog, type Storage, type StorageLog, type StorageOptions } from './storage.js'

/** Opens it also while Redis is down, and says so in the log. */
export async function openRedis (target: RedisTarget, options: StorageOptions & { longestLifeMs: number }, log: StorageLog): Promise<Storage> {
  const { client, close } = await connectRedis(target, log)
  return {
    sessions: new RedisStore(client, { ...options, onCorrupt: corruptionLog(log) }),
    accounts: new RedisAccounts(client),
    attempts: new RedisAttempts(client),
    description: target.description,
    close
  }
}
