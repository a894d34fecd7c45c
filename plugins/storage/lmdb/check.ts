import { accessSync, closeSync, constants, existsSync, lstatSync, openSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../../common/rule.js'
import { faultOfData, faultOfLock, hasKnownLayout } from './file-format.js'
import { pause } from './pause.js'
import { hasOpen, processWith, processWithOtherData, writerOf } from './processes.js'

/** LMDB needs this much space to create its files: on a full disk its lock file ends the process. */
const LEAST_FREE_BYTES = 2 ** 20
/** Another process may be creating or changing the files, so a fault must be seen this often. */
const LOOKS = 6
const BETWEEN_LOOKS_MS = 50
/** How long one transaction of another process may take, in ms, before opening the folder is refused. */
const LONGEST_WRITE_MS = 5_000

/**
 * Checks the files of an LMDB folder before LMDB opens them: when LMDB itself cannot open a file, it ends the process with
 * a signal and without a message.
 *
 * It finds faults of the files as a whole: type, rights, header, length, the root page of each database. It finds a damaged
 * page deeper in a tree only if it looks at every page, which takes time in a large file.
 *
 * @param isDeep whether to look at every page in use
 * @throws ConfigError that names the file and the remedy.
 */
export function checkLmdbFiles (folder: string, isDeep = false): void {
  const [data, lock] = [join(folder, 'data.mdb'), join(folder, 'lock.mdb')]
  const [hasData, hasLock] = [isUsableFile(data), isUsableFile(lock)]
  if (!hasData || !hasLock) assertSpace(folder)
  if (!hasKnownLayout) return
  if (hasLock) assertOneDataFile(data, lock)
  else if (hasData) assertUnused(data, lock)
  // A process that closes a file loses its locks on it, including those of LMDB. So a file that is open here is not opened again.
  if (hasLock && hasOpen('self', lock) === false) assertSound(lock, faultOfLock, 'Stop every process that uses the folder, delete lock.mdb and start again')
  if (hasData) assertSound(data, (fd) => faultOfData(fd, isDeep), 'Restore a backup of the folder, or move it away to begin with an empty one')
}

/**
 * Checks that no other process keeps the write lock of a folder: LMDB would wait for it without a limit, and the process that
 * waits would neither end at a signal nor say why.
 *
 * @throws ConfigError that names the process
 */
export function assertWritable (folder: string): void {
  const lock = join(folder, 'lock.mdb')
  if (!hasKnownLayout || hasOpen('self', lock) !== false) return
  const first = writerOf(lock)
  if (first === undefined) return
  const since = performance.now()
  do {
    pause(BETWEEN_LOOKS_MS)
    const writer = writerOf(lock)
    if (writer?.pid !== first.pid || writer.transaction !== first.transaction) return
  } while (performance.now() - since < LONGEST_WRITE_MS)
  throw new ConfigError(`${folder} cannot be written: process ${first.pid} has been writing to it for ${LONGEST_WRITE_MS / 1_000} s, and is stopped or hangs. Continue that process (kill -CONT ${first.pid}), or end it.`)
}

/** False if the file does not exist. */
function isUsableFile (file: string): boolean {
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return false
  const stats = statSync(file, { throwIfNoEntry: false })
  if (stats === undefined) throw new ConfigError(`${file} is a symbolic link to a file that does not exist. Remove the link, or put the file back.`)
  if (!stats.isFile()) throw new ConfigError(`${file} is not a regular file. Move it away.`)
  try {
    accessSync(file, constants.R_OK | constants.W_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EROFS') throw new ConfigError(`${file} is on a read-only file system. Mount it so that it can be written, or copy its folder elsewhere.`)
    const user = process.getuid === undefined ? '' : ` Its owner is user ${stats.uid}, and this process runs as user ${process.getuid()}.`
    throw new ConfigError(`${file} cannot be read and written (${code}).${user} Run as the owner of the file, or change its owner and mode.`)
  }
  return true
}

/** Checks that LMDB can create its files in a folder. @throws ConfigError */
export function assertSpace (folder: string): void {
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize < LEAST_FREE_BYTES) throw new ConfigError(`${folder} has no space left.`)
}

/**
 * The number of the last transaction is in the lock file: with two data files, a process would look for pages that its file does
 * not have, and crash.
 */
function assertOneDataFile (data: string, lock: string): void {
  // A process that is closing the folder has closed only one of the files.
  assertNoFault(() => {
    const pid = processWithOtherData(data, lock)
    return pid === undefined ? null : `${data} was deleted or replaced while process ${pid} uses the folder. Stop that process, then start again.`
  })
}

/** Without the lock file, nothing keeps two processes from writing at once. */
function assertUnused (data: string, lock: string): void {
  // A process that is creating the folder has made only one of the files.
  assertNoFault(() => {
    const pid = existsSync(lock) ? undefined : processWith(data)
    return pid === undefined ? null : `${lock} was deleted while process ${pid} uses the folder. Stop that process, then start again.`
  })
}

function assertSound (file: string, faultOf: (fd: number) => string | null, remedy: string): void {
  assertNoFault(() => {
    // Opened anew for each look: the file may have been replaced.
    const fd = openSync(file, 'r')
    try {
      const fault = faultOf(fd)
      return fault === null ? null : `${file} ${fault}. ${remedy}.`
    } finally {
      closeSync(fd)
    }
  })
}

/** Looks several times, until there is no fault. @throws ConfigError */
function assertNoFault (faultNow: () => string | null): void {
  for (let look = 1; ; look++) {
    const fault = faultNow()
    if (fault === null) return
    if (look === LOOKS) throw new ConfigError(fault)
    pause(BETWEEN_LOOKS_MS)
  }
}
