import { open } from 'lmdb'
import { LmdbAccounts } from '../accounts/lmdb-accounts.js'
import { LmdbStore } from '../session/lmdb-store.js'
import { LmdbAttempts } from '../throttle/lmdb-attempts.js'
import { makeDataFolder } from './data-folder.js'
import { corruptionLog, type Storage, type StorageLog, type StorageOptions } from './storage.js'

/** Room for what is there now and what is to come. */
const MOST_DATABASES = 16
/** The mode of files that LMDB creates, an option that its types have left out: the folder may be open to others. */
const FOR_THE_OWNER = { permissionsMode: 0o600 }

/** @throws what the system says if the folder cannot be written. */
export function openLmdb (folder: string, options: StorageOptions, log: StorageLog): Storage {
  makeDataFolder(folder)
  const env = open({ path: folder, maxDbs: MOST_DATABASES, noSubdir: false, ...FOR_THE_OWNER })
  const sessions = new LmdbStore(env, { ...options, onCorrupt: corruptionLog(log) })
  return {
    sessions,
    accounts: new LmdbAccounts(env),
    attempts: new LmdbAttempts(env),
    description: `lmdb:${folder}`,
    async close () {
      await sessions.close()
      await env.close()
    }
  }
}
