import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'
import { ConfigError } from '../config/rule.js'
import { examineLmdb } from './doctor-lmdb.js'
import { lmdbFolder } from './lmdb-folder.js'
import { isRedisUrl, parseRedisUrl } from './redis-url.js'
import { faultOfRights, kept } from './rights.js'

/** One line for people: what is wrong, and what to do. */
export type Tell = (finding: string) => void

/** How many records of each kind were looked at. */
export type Counts = Record<'sessions' | 'tombstones' | 'accounts' | 'counters', number>

/** How a session is called. */
export type NameOf = (key: string) => string

export interface Examination {
  /** What was looked at. */
  description: string
  counts: Counts
}

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
    const { examineRedis } = await import('./doctor-redis.js')
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

/** What to do about records that are damaged. */
export const REMEDIES = {
  session: 'It counts as absent, and is dropped when it would have expired.',
  tombstone: 'Its session stays ended. It is dropped when its time is over.',
  account: (key: string) => `It cannot log in. "hatcheck user add" with its name makes it anew; its key is ${JSON.stringify(key)}.`,
  hash: (name: string) => `Nobody can log in with it. Run "hatcheck user passwd ${name}".`,
  counter: 'It counts as none, and is dropped by the next sweep of the service.',
  unindexed: 'A logout everywhere does not reach it until it is used again. Have the user log out there, or replace SECRET_KEY, which ends every session.',
  entry: 'It is passed over.',
  unknownFormat: 'Start the version that wrote it.'
} as const
