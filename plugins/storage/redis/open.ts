import type { Cluster, Redis } from 'ioredis'
import type { RedisTarget } from '../../config/redis-url.js'
import { RedisAccounts } from './accounts.js'
import { ConfigError } from '../../common/rule.js'
import { RedisStore } from './sessions.js'
import { RedisAttempts } from './attempts.js'
import { boundedCalls } from '../common/bounded-calls.js'
import { FORMATS, assertKnownFormats, isNoteOfFormats } from '../common/formats.js'
import { connectRedis } from './client.js'
import { ENDS_EVICTED, SESSIONS_EVICTED } from './eviction.js'
import { WRONG_TYPE, readHash } from './hash.js'
import { FORMATS_KEY } from './keys.js'
import { RedisRevocations } from './revocations.js'
import { damageLog, unreadableAccountLog, type RecordKind } from '../common/damage-log.js'
import type { Engine, StorageLog, StorageOptions } from '../common/storage.js'

/** How often the formats are requested until Redis answers, in ms. */
const ASK_EVERY_MS = 1_000

interface RedisOptions extends StorageOptions {
  longestLifeMs: number
  /** Whether Redis keeps the ends of sessions in cookies, instead of sessions. */
  keepsEnds?: boolean
}

/**
 * Opens a store in Redis, even while Redis is down; the log then says so.
 *
 * @throws ConfigError if it has formats that this version does not know.
 */
export async function openRedis (target: RedisTarget, options: RedisOptions, log: StorageLog): Promise<Engine> {
  const { client, use: connection, close } = await connectRedis(target, log, options.keepsEnds === true ? ENDS_EVICTED : SESSIONS_EVICTED)
  const { description } = target
  const onDamage = damageLog(log, options.handleOf)
  let asking: NodeJS.Timeout | undefined
  try {
    await checkFormats(client, description, onDamage)
  } catch (error) {
    if (error instanceof ConfigError) {
      await close()
      throw error
    }
    asking = setInterval(() => { checkFormats(client, description, onDamage).then(stopAsking, giveUp) }, ASK_EVERY_MS).unref()
  }

  function stopAsking (): void {
    clearInterval(asking)
  }

  /** Closes the store of another version. The service runs already and stays up, but each call to the store fails. */
  function giveUp (error: unknown): void {
    if (!(error instanceof ConfigError)) return
    stopAsking()
    log.warn(error.message)
    close().catch(() => {})
  }

  return {
    sessions: new RedisStore(client, { ...options, connection, onCorrupt: (key, what) => { onDamage(what, key) } }),
    accounts: new RedisAccounts(client, { connection }, unreadableAccountLog(log, onDamage)),
    attempts: new RedisAttempts(client, { connection }, (key) => { onDamage('counter of failed logins', key) }),
    openRevocations: () => new RedisRevocations(client, { now: options.now, connection }),
    description,
    async close () {
      stopAsking()
      await close()
    }
  }
}

/** Compares the formats that are noted in Redis with those of this version, and notes these if there is no note. */
async function checkFormats (client: Redis | Cluster, where: string, onDamage: (kind: RecordKind, key: string) => void): Promise<void> {
  const call = boundedCalls()
  const noted = await call('formats', () => readHash(client, FORMATS_KEY))
  if (noted !== WRONG_TYPE && isNoteOfFormats(noted)) {
    assertKnownFormats(noted, where)
    if (Object.keys(noted).length > 0) return
  } else {
    onDamage('note of formats', FORMATS_KEY)
    await call('formats', () => client.del(FORMATS_KEY))
  }
  await call('formats', () => client.hset(FORMATS_KEY, FORMATS))
}
