import { statSync } from 'node:fs'
import { join } from 'node:path'
import { engineUrlOf } from '../config/engine-url.js'
import type { Config } from '../config/resolve.js'
import { keyFileOf } from '../tickets/secrets.js'
import { lmdbFolder } from './lmdb/folder.js'
import type { StorageLog } from './common/storage.js'

/** Logs each file and folder that anybody but the user of this process and root can write. */
export function warnOfRights (config: Config, log: StorageLog): void {
  for (const path of kept(config)) {
    const fault = faultOfRights(path)
    if (fault !== null) log.warn(fault)
  }
}

/** Returns the paths of the files and folders that hatcheck keeps, whether they exist or not. */
export function kept (config: Config): string[] {
  const { dataDir } = config
  const store = typeof config.sessionStore === 'string' ? engineUrlOf(config.sessionStore) : ''
  const keyFile = keyFileOf(config)
  const folder = store.startsWith('lmdb:') ? lmdbFolder(store, dataDir) : undefined
  const files = [
    ...folder === undefined ? [] : [folder, join(folder, 'data.mdb'), join(folder, 'lock.mdb')],
    ...keyFile === undefined ? [] : [keyFile]
  ]
  return files.some((path) => path.startsWith(join(dataDir, '/'))) ? [dataDir, ...files] : files
}

/** Tells who else can write a file or folder, and what to do. Returns null if nobody can, or if that is unknown. */
export function faultOfRights (path: string): string | null {
  const stats = statSync(path, { throwIfNoEntry: false })
  const user = process.getuid?.()
  if (stats === undefined || user === undefined) return null
  const { uid, mode } = stats
  if (uid !== user && uid !== 0) {
    return `${path} belongs to user ${uid}, who can change it, and this process runs as user ${user}. Run "chown ${user} ${path}", or run as its owner.`
  }
  if ((mode & 0o022) === 0) return null
  const others = (mode & 0o002) === 0 ? 'the group of its owner' : 'every user of this machine'
  return `${path} can be written by ${others}, who could then log in as any user. Run "chmod go-w ${path}".`
}
