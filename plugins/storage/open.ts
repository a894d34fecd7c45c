import type { Config } from '../config/resolve.js'
import { ConfigError, assertRule } from '../common/rule.js'
import { inRealm } from './realm.js'
import { MemoryAttempts } from './memory/attempts.js'
import { makeDataFolder } from '../common/data-folder.js'
import { openLmdb } from './lmdb/open.js'
import { lmdbFolder } from './lmdb/folder.js'
import { openMemory } from './memory/open.js'
import { isRedisUrl, parseRedisUrl } from './redis/url.js'
import type { Storage, StorageLog } from './common/storage.js'

type StorageConfig = Pick<Config, 'mode' | 'realm' | 'sessionStore' | 'dataDir' | 'sessionMaxBytes' | 'lifetimes' | 'now'>

/**
 * Opens what `sessionStore` names, with the sessions of the realm of this configuration.
 *
 * @param handleOf what the log calls the session under a key; its key if not given.
 * @throws ConfigError if nothing can be opened there.
 */
export async function openStorage (config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Storage> {
  const storage = await open(config, log, handleOf)
  return { ...storage, sessions: inRealm(storage.sessions, config.realm) }
}

async function open (config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Storage> {
  const { sessionStore: store, dataDir, sessionMaxBytes: maxBytes, lifetimes, now } = config
  if (typeof store === 'object') {
    // Whoever has opened it closes it.
    return { sessions: store, accounts: null, attempts: new MemoryAttempts(), description: 'the store of the application', close: async () => {} }
  }
  if (store === 'memory:') return openMemory({ now, maxBytes })
  const name = config.mode === 'plugin' ? 'sessionStore' : 'SESSION_STORE'
  if (isRedisUrl(store)) {
    const longestLifeMs = 1_000 * Math.max(lifetimes.browser.lifetimeSeconds, lifetimes.permanent.lifetimeSeconds)
    // It takes longer to load than all the rest together, and mostly nobody needs it.
    const { openRedis } = await import('./redis/open.js')
    return await openRedis(parseRedisUrl(store, name), { now, maxBytes, longestLifeMs, handleOf }, log)
  }
  assertRule(store.startsWith('lmdb:'), `${name} must be memory:, lmdb:, lmdb:./some/folder or a redis url; got "${schemeOf(store)}".`)
  const folder = lmdbFolder(store, dataDir)
  try {
    // First that around it, so that Git ignores all that is made.
    if (folder === lmdbFolder('lmdb:', dataDir)) makeDataFolder(dataDir)
    makeDataFolder(folder)
  } catch (error) {
    const names = config.mode === 'plugin' ? 'dataDir, sessionStore' : 'DATA_DIR, SESSION_STORE'
    throw new ConfigError(`The data folder cannot be written (${names}): ${(error as Error).message}.`)
  }
  return openLmdb(folder, { now, maxBytes, handleOf }, log)
}

/** A url may carry a password, and not always where one looks for it. */
function schemeOf (url: string): string {
  return url.replace(/:.*$/s, ':…')
}
