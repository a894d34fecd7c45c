import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DOT_ENV } from '../config/dot-env.js'
import type { Config } from '../config/resolve.js'
import { keyFileOf } from '../tickets/secrets.js'
import type { StorageLog } from './common/storage.js'

/** Logs each fault of {@link faultsOfRights}. */
export function warnOfRights (config: Config, log: StorageLog): void {
  for (const fault of faultsOfRights(config)) log.warn(fault)
}

/**
 * Tells of each file and folder of hatcheck that anybody but the user of this process and root can write, or replace in its
 * folder; and of each file with a secret key, or the password of the store, that every user can read. Each text says what to do.
 */
export function faultsOfRights (config: Config): string[] {
  const givenKeyFile = keyFileOf(config)
  const keyFile = givenKeyFile === undefined ? undefined : resolve(givenKeyFile)
  const settings = config.mode === 'plugin' ? [] : settingsFiles(config)
  const files = [...kept(config, keyFile), ...settings].filter((path) => existsSync(path))
  // A link can be replaced, and so can what it leads to.
  const folders = new Set(files.flatMap((path) => [dirname(path), dirname(targetOf(path))]).filter((folder) => !files.includes(folder)))
  return [
    ...files.map((file) => faultOfWriting(file)),
    ...[...folders].map((folder) => faultOfWriting(folder, replacersIn(folder))),
    ...files.filter((path) => path === keyFile || (settings.includes(path) && hasSecret(path))).map(faultOfReading)
  ].filter((fault) => fault !== null)
}

/** Returns the path of what a link leads to, or the given path if it is no link. */
function targetOf (path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // What is open under /dev/fd may have no name any more.
    return path
  }
}

/** Returns the paths of the files and folders that hatcheck keeps, whether they exist or not. */
function kept ({ dataDir, sessionStore }: Config, keyFile: string | undefined): string[] {
  const folder = sessionStore.kind === 'engine' && sessionStore.engine.name === 'lmdb' ? sessionStore.engine.folder : undefined
  const files = [
    ...folder === undefined ? [] : [folder, join(folder, 'data.mdb'), join(folder, 'lock.mdb')],
    ...keyFile === undefined ? [] : [keyFile]
  ]
  return files.some((path) => path.startsWith(join(dataDir, '/'))) ? [dataDir, ...files] : files
}

/** Returns the files from which the service has its settings, whether they exist or not. */
function settingsFiles ({ sessionStoreFile }: Config): string[] {
  return [DOT_ENV, ...sessionStoreFile === undefined ? [] : [sessionStoreFile]].map((file) => resolve(file))
}

/**
 * Tells who else can write a file or folder, and what to do. Returns null if nobody can, or if that is unknown.
 *
 * @param writers the bits of its mode that let others write it
 */
function faultOfWriting (path: string, writers = 0o022): string | null {
  const { uid, mode } = statSync(path)
  const user = process.getuid?.()
  if (user === undefined) return null
  if (uid !== user && uid !== 0) {
    return `${path} belongs to user ${uid}, who can change it, and this process runs as user ${user}. Run as user ${uid}, or, if the service runs as user ${user}, run "chown ${user} ${path}".`
  }
  if ((mode & writers) === 0) return null
  const others = (mode & 0o002) === 0 ? 'the group of its owner' : 'every user of this machine'
  return `${path} can be written by ${others}, who could then log in as any user. Run "chmod go-w ${path}".`
}

/**
 * Returns the bits of those who can replace what is in a folder of others. In a sticky one, such as /tmp, only owners can; and
 * where new folders are open to the group, each user has a group alone, with the same number.
 */
function replacersIn (folder: string): number {
  const { uid, gid, mode } = statSync(folder)
  if ((mode & 0o1000) !== 0) return 0
  return uid === gid ? 0o002 : 0o022
}

/** The line with a key, and the one with the password of a store: each of them lets its reader log in as any user. */
const SECRET_LINES = [
  /^\s*(?:export\s+)?SECRET_KEY(?:_FALLBACKS)?\s*=/m,
  /^\s*(?:(?:export\s+)?SESSION_STORE\s*=\s*["']?)?(?:cookie:|flask:)?rediss?(?:\+\w+)?:\/\/[^@/\s]*:\S+@/m
]

function hasSecret (file: string): boolean {
  // A pipe can be read only once.
  if (!statSync(file).isFile()) return false
  const text = readFileSync(file, 'utf8')
  return SECRET_LINES.some((line) => line.test(text))
}

/** Tells of a file that every user can read, and what to do. Returns null if a folder on the way to it is closed. */
function faultOfReading (file: string): string | null {
  const isOpen = (statSync(file).mode & 0o004) !== 0 && foldersOf(targetOf(file)).every((folder) => (statSync(folder).mode & 0o001) !== 0)
  return isOpen ? `${file} can be read by every user of this machine, who could then log in as any user. Run "chmod o-r ${file}".` : null
}

function foldersOf (path: string): string[] {
  const folder = dirname(path)
  return folder === path ? [] : [folder, ...foldersOf(folder)]
}
