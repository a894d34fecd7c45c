import type { RootDatabase } from 'lmdb'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { assertWritable, checkLmdbFiles } from './check.js'
import type { Lmdb } from './driver.js'
import { assertOneNamespace, hasOpen } from './processes.js'

/** Room for the databases of today and of later versions. */
export const MOST_DATABASES = 16
/** The mode of the files that LMDB creates, since the folder may be open to others. The types of lmdb lack this option. */
const FOR_THE_OWNER = { permissionsMode: 0o600 }

interface Opened {
  readonly env: RootDatabase
  /** The identity of its data file. A file in its place is another environment. */
  readonly identity: string | undefined
  /** How many have it open. */
  users: number
}

/** An open LMDB environment. */
export interface Environment {
  readonly env: RootDatabase
  /** Closes the environment once every user of it has released it. */
  release (): Promise<void>
}

// For all of the process: hatcheck/session is a bundle, and has a copy of this module.
const kOpened = Symbol.for('hatcheck.lmdb')
const ofProcess = globalThis as { [kOpened]?: Set<Opened> }
const opened = ofProcess[kOpened] ??= new Set<Opened>()

/**
 * Opens the environment of a folder, or shares the one that this process already has open, such as for another application.
 * Two in one process could wait for each other forever: a write of the first holds the lock until the event loop runs, and
 * opening the second holds the event loop until the lock is free.
 *
 * @throws ConfigError if the files are damaged, or in use by a process of another PID namespace or by one that hangs in a write.
 */
export function openEnvironment ({ open }: Lmdb, folder: string): Environment {
  const data = join(folder, 'data.mdb')
  const found = identityOf(data)
  for (const shared of opened) {
    if (found === undefined || shared.identity !== found) continue
    shared.users++
    return environment(shared)
  }
  checkLmdbFiles(folder)
  assertWritable(folder)
  const lock = join(folder, 'lock.mdb')
  const wasOpen = hasOpen('self', lock) !== false
  const env = open({ path: folder, maxDbs: MOST_DATABASES, noSubdir: false, ...FOR_THE_OWNER })
  try {
    assertOneNamespace(env, folder, lock, wasOpen)
  } catch (error) {
    env.close().catch(() => {})
    throw error
  }
  const own = { env, identity: identityOf(data), users: 1 }
  opened.add(own)
  return environment(own)
}

function environment (of: Opened): Environment {
  return {
    env: of.env,
    async release () {
      of.users--
      if (of.users > 0) return
      opened.delete(of)
      await of.env.close()
    }
  }
}

/** Returns the identity of a file; undefined if it is missing. */
export function identityOf (file: string): string | undefined {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stats && `${stats.dev}:${stats.ino}`
}
