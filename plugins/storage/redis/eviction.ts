import type { Cluster, Redis } from 'ioredis'
import type { StorageLog } from '../common/storage.js'
import { primariesOf } from './nodes.js'

/** What Redis would drop with its memory full, and the policies with which that does no harm. */
export interface EvictionRisk {
  readonly harmless: readonly string[]
  readonly loss: string
}

/** With volatile-ttl the indexes by user, which live longest, go last. */
export const SESSIONS_EVICTED: EvictionRisk = { harmless: ['noeviction', 'volatile-ttl'], loss: 'drop sessions, what says which sessions a user has and, with an allkeys policy, accounts' }

/** Sessions in cookies: Redis keeps the ends of sessions for a time. */
export const ENDS_EVICTED: EvictionRisk = { harmless: ['noeviction'], loss: 'forget which sessions have ended, and copies of their cookies would be logged in again' }

/** Warns if Redis is configured to drop what hatcheck needs. */
export async function warnOfEviction (client: Redis | Cluster, { harmless, loss }: EvictionRisk, log: StorageLog): Promise<void> {
  const memory = await Promise.all((await primariesOf(client)).map((node) => node.info('memory')))
  const policies = memory.map((text) => /^maxmemory_policy:(\S+)/m.exec(text)?.[1])
  const policy = policies.find((policy) => policy !== undefined && !harmless.includes(policy))
  if (policy !== undefined) log.warn(`maxmemory-policy of Redis is ${policy}: with its memory full it would ${loss}. Set it to noeviction.`)
}
