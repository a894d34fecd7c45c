import { makeDataFolder } from '../common/data-folder.js'
import { ConfigError, assertRule } from '../common/rule.js'
import { engineUrlOf, isCookieUrl, isFlaskUrl } from '../config/engine-url.js'
import type { Config } from '../config/resolve.js'
import type { Engine, Storage, StorageLog } from './common/storage.js'
import { lmdbFolder } from './lmdb/folder.js'
import { openMemory } from './memory/open.js'
import { openOwnStore } from './own-store.js'
import { inRealm } from './realm.js'
import { isRedisUrl, parseRedisUrl } from './redis/url.js'

type StorageConfig = Pick<Config, 'nameOf' | 'realm' | 'sessionStore' | 'sessionRevocation' | 'dataDir' | 'sessionMaxBytes' | 'lifetimes' | 'now'>

/**
 * Opens the store that `sessionStore` names, with the sessions of the realm of this configuration.
 *
 * @param handleOf returns how the log names the session under a key; the default is its key
 * @throws ConfigError if the store cannot be opened.
 */
export async function openStorage (config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Storage> {
  const { sessionStore: store, realm, nameOf } = config
  const name = nameOf('sessionStore')
  if (typeof store === 'string' && isCookieUrl(store)) {
    const engine = await open(engineUrlOf(store), name, config, log, handleOf)
    if (isFlaskUrl(store)) {
      const { openFlask } = await import('./flask/open.js')
      return openFlask(engine, config)
    }
    const { openCookie } = await import('./cookie/open.js')
    return openCookie(engine, config)
  }
  const storage = typeof store === 'object' ? openOwnStore(store, name, log) : await open(store, name, config, log, handleOf)
  return { ...storage, sessions: inRealm(storage.sessions, realm) }
}

// The engines are imported where they are opened: each loads a driver, LMDB a native one, that other stores do not need.
async function open (store: string, name: string, config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Engine> {
  const { dataDir, sessionMaxBytes: maxBytes, lifetimes, now } = config
  if (store === 'memory:') return openMemory({ now, maxBytes })
  if (isRedisUrl(store)) {
    const longestLifeMs = 1_000 * Math.max(lifetimes.browser.lifetimeSeconds, lifetimes.permanent.lifetimeSeconds)
    const { openRedis } = await import('./redis/open.js')
    return await openRedis(parseRedisUrl(store, name), { now, maxBytes, longestLifeMs, handleOf, keepsEnds: isCookieUrl(String(config.sessionStore)) && config.sessionRevocation === 'store' }, log)
  }
  assertRule(store.startsWith('lmdb:'), `${name} must be memory:, lmdb:, lmdb:./some/folder, a redis url, or cookie: or flask: before one of these; got "${schemeOf(store)}".`)
  const folder = lmdbFolder(store, dataDir)
  try {
    // The outer folder first, so that Git ignores everything in it.
    if (folder === lmdbFolder('lmdb:', dataDir)) makeDataFolder(dataDir)
    makeDataFolder(folder)
  } catch (error) {
    throw new ConfigError(`The data folder cannot be written (${config.nameOf('dataDir')}, ${name}): ${(error as Error).message}.`)
  }
  const [{ openLmdb }, { loadLmdb }] = await Promise.all([import('./lmdb/open.js'), import('./lmdb/driver.js')])
  return openLmdb(await loadLmdb(), folder, { now, maxBytes, handleOf }, log)
}

/** Returns a url without what may be a password in it. */
function schemeOf (url: string): string {
  return url.replace(/:.*$/s, ':…')
}
