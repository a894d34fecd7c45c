import { longestLifeMs } from '../common/lifetimes.js'
import { makeDataFolder } from '../common/data-folder.js'
import { ConfigError } from '../common/rule.js'
import type { Config } from '../config/resolve.js'
import { defaultLmdbFolder, type EngineStore } from '../config/store-choice.js'
import type { AnyRealm, Engine, Storage, StorageLog } from './common/storage.js'
import { openMemory } from './memory/open.js'
import { openOwnStore } from './own/open.js'
import { otherRealmsIn } from './other-realms.js'
import { inRealm } from './realm.js'
import type { CompleteSessionStore } from '../store/traits.js'

type StorageConfig = Pick<Config, 'nameOf' | 'realm' | 'sessionStore' | 'sessionRevocation' | 'dataDir' | 'sessionMaxBytes' | 'lifetimes' | 'now'>

/**
 * Opens the store that `sessionStore` names, with the sessions of the realm of this configuration.
 *
 * @param handleOf returns how the log names the session under a key; the default is its key
 * @throws ConfigError if the store cannot be opened.
 */
export async function openStorage (config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Storage> {
  const { sessionStore, realm, nameOf } = config
  if (sessionStore.kind === 'own') {
    const storage = openOwnStore(sessionStore.store, nameOf('sessionStore'), log)
    const sessionsIn = (realm: string): CompleteSessionStore => inRealm(storage.sessions, realm)
    return { ...storage, sessions: sessionsIn(realm), sessionsIn }
  }
  const engine = await open(sessionStore, config, log, handleOf)
  const own = await openRealm(sessionStore.sessionsIn, engine, config)
  const inOther = otherRealmsIn(engine, config.now)
  return { ...own, sessionsIn: (other) => other === realm ? own.sessions : inOther(other) }
}

async function openRealm (sessionsIn: EngineStore['sessionsIn'], engine: Engine, config: StorageConfig): Promise<AnyRealm> {
  switch (sessionsIn) {
    case 'engine': return { ...engine, sessions: inRealm(engine.sessions, config.realm) }
    case 'cookie': {
      const { openCookie } = await import('./cookie/open.js')
      return openCookie(engine, config)
    }
    case 'flask': {
      const { openFlask } = await import('./flask/open.js')
      return openFlask(engine, config)
    }
  }
}

// The engines are imported where they are opened: each loads a driver, LMDB a native one, that other stores do not need.
async function open ({ sessionsIn, engine }: EngineStore, config: StorageConfig, log: StorageLog, handleOf?: (key: string) => string): Promise<Engine> {
  const { sessionMaxBytes: maxBytes, sessionRevocation, lifetimes, now } = config
  switch (engine.name) {
    case 'memory': return openMemory({ now, maxBytes })
    case 'redis': {
      const { openRedis } = await import('./redis/open.js')
      return await openRedis(engine.target, { now, maxBytes, longestLifeMs: longestLifeMs(lifetimes), handleOf, keepsEnds: sessionsIn !== 'engine' && sessionRevocation === 'store' }, log)
    }
    case 'lmdb': {
      makeFolders(engine.folder, config)
      const [{ openLmdb }, { loadLmdb }] = await Promise.all([import('./lmdb/open.js'), import('./lmdb/driver.js')])
      return openLmdb(await loadLmdb(), engine.folder, { now, maxBytes, handleOf }, log)
    }
  }
}

/** @throws ConfigError */
function makeFolders (folder: string, { dataDir, nameOf }: StorageConfig): void {
  try {
    // The outer folder first, so that Git ignores everything in it.
    if (folder === defaultLmdbFolder(dataDir)) makeDataFolder(dataDir)
    makeDataFolder(folder)
  } catch (error) {
    throw new ConfigError(`The data folder cannot be written (${nameOf('dataDir')}, ${nameOf('sessionStore')}): ${(error as Error).message}.`)
  }
}
