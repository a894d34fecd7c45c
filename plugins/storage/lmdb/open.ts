import type { RootDatabase } from 'lmdb'
import { join } from 'node:path'
import { LmdbAccounts } from './accounts.js'
import { ConfigError } from '../../common/rule.js'
import { LmdbStore } from './sessions.js'
import { LmdbAttempts } from './attempts.js'
import type { Lmdb } from './driver.js'
import { makeDataFolder } from '../../common/data-folder.js'
import { reasonOf } from '../../store/errors.js'
import { assertKnownFormats } from '../common/formats.js'
import { identityOf, openEnvironment, type Environment } from './environment.js'
import { LMDB_FORMATS, noteFormats, notedFormats } from './formats.js'
import { hasOpen } from './processes.js'
import { LmdbRevocations } from './revocations.js'
import { LmdbWriter } from './writer.js'
import { damageLog, unreadableAccountLog, type RecordKind } from '../common/damage-log.js'
import type { Engine, StorageLog, StorageOptions } from '../common/storage.js'

/**
 * Opens a folder with LMDB, and creates it if it is missing.
 *
 * @throws ConfigError if the files of the folder are not a sound LMDB database that this process can use; an error of the
 * system if the folder cannot be written.
 */
export function openLmdb (lmdb: Lmdb, folder: string, options: StorageOptions, log: StorageLog): Engine {
  makeDataFolder(folder)
  let environment: Environment | undefined
  try {
    environment = openEnvironment(lmdb, folder)
    return storageIn(environment, folder, options, log)
  } catch (error) {
    environment?.release().catch(() => {})
    throw environment === undefined || error instanceof ConfigError ? error : new ConfigError(`${folder} cannot be read: ${reasonOf(error)}.`)
  }
}

function storageIn ({ env, release }: Environment, folder: string, options: StorageOptions, log: StorageLog): Engine {
  const onDamage = damageLog(log, options.handleOf)
  const noting = checkFormats(env, folder, onDamage)
  const sessions = new LmdbStore(env, { ...options, onCorrupt: (key, what) => { onDamage(what, key) }, assertInPlace: placeOf(folder) })
  const storage = {
    sessions,
    accounts: new LmdbAccounts(env, unreadableAccountLog(log, onDamage)),
    attempts: new LmdbAttempts(env, (key) => { onDamage('counter of failed logins', key) }),
    openRevocations: () => new LmdbRevocations(env),
    description: `lmdb:${folder}`,
    async close () {
      await noting
      await sessions.close()
      await release()
    }
  }
  // After the last database is open: the read lists this process as a reader, which processes of other namespaces look for.
  sessions.ping()
  return storage
}

/**
 * Compares the noted formats with those of this version, and notes these if there is no note or that of an older version.
 * Without a note the formats count as known, so a full disk does not keep the service from starting.
 *
 * @throws ConfigError
 */
function checkFormats (env: RootDatabase, folder: string, onDamage: (kind: RecordKind, key: string) => void): Promise<void> {
  const noted = notedFormats(env)
  if (noted === null) onDamage('note of formats', folder)
  else assertKnownFormats(noted ?? {}, folder, LMDB_FORMATS)
  if (noted?.['sessions'] === LMDB_FORMATS.sessions) return Promise.resolve()
  return LmdbWriter.of(env).write('formats', false, () => { noteFormats(env) }).catch(() => {})
}

/** Returns a function that throws once the files of the folder are no longer the ones that are there now. */
function placeOf (folder: string): () => void {
  const files = ['data.mdb', 'lock.mdb'].map((name) => {
    const file = join(folder, name)
    const identity = identityOf(file)
    // The files may have been replaced since they were opened.
    return { file, opened: hasOpen('self', file) === false ? undefined : identity }
  })
  return () => {
    for (const { file, opened } of files) {
      const found = identityOf(file)
      if (found === undefined) throw new Error(`${file} is missing: it was deleted or moved while it was open. Put it back, or restart hatcheck`)
      if (found !== opened) throw new Error(`${file} is not the file that was opened. Put that file back, or restart hatcheck`)
    }
  }
}
