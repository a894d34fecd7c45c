import { accessSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'
import type { EngineChoice } from '../config/store-choice.js'
import { ConfigError } from '../common/rule.js'
import type { Examination, HandleOf, Tell } from './common/findings.js'
import type { StorageLog } from './common/storage.js'
import { examineLmdb } from './lmdb/doctor.js'
import { loadLmdb } from './lmdb/driver.js'
import { faultsOfRights } from './rights.js'

/** An engine whose records outlive the process. */
export type LastingEngine = Exclude<EngineChoice, { name: 'memory' }>

/**
 * Examines everything that hatcheck keeps, even while the service runs: rights and owners, formats, every page and record,
 * the indexes, and readers that were killed. Changes nothing but the list of readers.
 *
 * @param log says why a store cannot be reached
 * @param tell called with a line about each fault
 * @throws ConfigError if the store does not exist.
 */
export async function examine (config: Config, engine: LastingEngine, handleOf: HandleOf, log: StorageLog, tell: Tell): Promise<Examination> {
  for (const fault of faultsOfRights(config)) tell(fault)
  switch (engine.name) {
    case 'redis': {
      // It takes longer to load than everything else together.
      const { examineRedis } = await import('./redis/doctor.js')
      return await examineRedis(engine.target, handleOf, log, tell)
    }
    case 'lmdb':
      assertStoreIn(engine.folder)
      return examineLmdb(await loadLmdb(), engine.folder, handleOf, tell)
  }
}

/** Checks that a folder has a store of LMDB; opening it would create one. @throws ConfigError */
export function assertStoreIn (folder: string): void {
  if (!hasStoreIn(folder)) throw new ConfigError(`There is no store in ${folder}: check DATA_DIR and SESSION_STORE.`)
}

/** @throws ConfigError if that cannot be known, since the folder is that of another user. */
export function hasStoreIn (folder: string): boolean {
  try {
    accessSync(join(folder, 'data.mdb'))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') return false
    throw new ConfigError(`The data folder cannot be read (DATA_DIR, SESSION_STORE): ${(error as Error).message}.`)
  }
}
