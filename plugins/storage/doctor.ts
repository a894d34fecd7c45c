import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'
import { ConfigError } from '../common/rule.js'
import type { Examination, NameOf, Tell } from './common/findings.js'
import { examineLmdb } from './lmdb/doctor.js'
import { lmdbFolder } from './lmdb/folder.js'
import { isRedisUrl, parseRedisUrl } from './redis/url.js'
import { faultOfRights, kept } from './rights.js'

/**
 * Looks at all that hatcheck keeps, also while the service runs: rights and owners, the format, every page and record, the
 * indexes, and readers that were killed. Changes no record and no file but the list of readers.
 *
 * @param tell told of each fault.
 * @throws ConfigError if there is no such store.
 */
export async function examine (config: Config, nameOf: NameOf, tell: Tell): Promise<Examination> {
  const store = String(config.sessionStore)
  for (const path of kept(config)) {
    const fault = faultOfRights(path)
    if (fault !== null) tell(fault)
  }
  if (isRedisUrl(store)) {
    // It takes longer to load than all the rest together.
    const { examineRedis } = await import('./redis/doctor.js')
    return await examineRedis(parseRedisUrl(store, 'SESSION_STORE'), nameOf, tell)
  }
  const folder = lmdbFolder(store, config.dataDir)
  assertStoreIn(folder)
  return examineLmdb(folder, nameOf, tell)
}

/** @throws ConfigError if nothing is stored in the folder: opening it would make a store. */
export function assertStoreIn (folder: string): void {
  if (!existsSync(join(folder, 'data.mdb'))) throw new ConfigError(`There is no store in ${folder}: check DATA_DIR and SESSION_STORE.`)
}
