import type { RootDatabase } from 'lmdb'
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { ConfigError } from '../../common/rule.js'
import { pause } from './pause.js'

/** A reader that has just ended stays listed until LMDB checks the list. */
const LOOKS = 3
const BETWEEN_LOOKS_MS = 50

/**
 * Refuses a folder that a process of another PID namespace has open, such as that of another container. LMDB tells
 * processes apart by their IDs: two processes with the same ID wait for each other's locks, or take them for their own.
 *
 * It must be called before the first read, which would wait ten seconds for such a process. It relies on the table of
 * readers in lock.mdb, whose dead entries LMDB recognizes by locks that the kernel drops. So it finds every running process
 * that has read. It cannot find one on another machine, and on systems without /proc only one with the same ID.
 *
 * @param wasOpen whether this process had the folder open before.
 * @throws ConfigError
 */
export function assertOneNamespace (env: RootDatabase, folder: string, lock: string, wasOpen: boolean): void {
  for (let look = 1; readersOf(env).some((pid) => pid === process.pid ? !wasOpen : isElsewhere(pid, lock)); look++) {
    if (look === LOOKS) {
      throw new ConfigError(`${folder} is in use by a process in another PID namespace, such as another container or its host. ` +
        'Stop that process, or run this one in the same container, or let both share one PID namespace. Several containers can share a Redis store.')
    }
    pause(BETWEEN_LOOKS_MS)
    env.readerCheck()
  }
}

/** Tells whether a process has a file open; null if that is unknown. */
export function hasOpen (pid: number | 'self', file: string): boolean | null {
  const folder = `/proc/${pid}/fd`
  try {
    const { dev, ino } = statSync(file, { bigint: true })
    return readdirSync(folder).some((fd) => {
      const stats = statSync(`${folder}/${fd}`, { bigint: true, throwIfNoEntry: false })
      return stats?.dev === dev && stats.ino === ino
    })
  } catch {
    return null
  }
}

/** Returns a process that has a file open; undefined if none is known. */
export function processWith (file: string): number | undefined {
  return isOwnProc() ? readdirSync('/proc').map(Number).find((pid) => pid > 0 && hasOpen(pid, file) === true) : undefined
}

/**
 * Returns a process that has the lock file of a folder open, and another data file than the one that is there; undefined if none
 * is known. It must be called before the folder is opened.
 */
export function processWithOtherData (data: string, lock: string): number | undefined {
  if (!isOwnProc()) return undefined
  const pids = hasOpen('self', lock) === false ? listedReaders(lock).map(({ pid }) => pid) : [process.pid]
  return pids.find((pid) => hasOpen(pid, lock) === true && hasOpen(pid, data) !== true)
}

function readersOf (env: RootDatabase): number[] {
  return env.readerList().split('\n').flatMap((line) => /^\s*(\d+) /.exec(line)?.[1] ?? []).map(Number)
}

function isElsewhere (pid: number, lock: string): boolean {
  // Without this, /proc is missing or shows the processes of another namespace.
  if (!isOwnProc()) return false
  // Only the list tells processes from threads: a thread of this process may have the ID as well.
  return !readdirSync('/proc').includes(String(pid)) || hasOpen(pid, lock) === false
}

function isOwnProc (): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid)
  } catch {
    return false
  }
}

/** How many readers LMDB has room for by default. */
const MOST_READERS = 126
const READER_BYTES = 64
const NOT_READING = 2n ** 64n - 1n

/**
 * Returns the processes that ended within a read and are still listed. LMDB keeps every page that they might need until it
 * checks the list, which happens when the folder is opened and in the sweep of a running service. Pass only a file that this
 * process does not have open.
 *
 * Source: MDB_txninfo and MDB_reader in the mdb.c of the npm package lmdb. The table is the end of the file.
 */
export function deadReaders (lock: string): number[] {
  return listedReaders(lock).filter(({ pid, isReading }) => isReading && !isRunning(pid)).map(({ pid }) => pid)
}

function listedReaders (lock: string): Array<{ pid: number, isReading: boolean }> {
  const bytes = readFileSync(lock)
  const table = bytes.length - MOST_READERS * READER_BYTES
  if (table < READER_BYTES) return []
  const readers: Array<{ pid: number, isReading: boolean }> = []
  for (let at = table; at < bytes.length; at += READER_BYTES) {
    const pid = bytes.readInt32LE(at + 8)
    if (pid > 0) readers.push({ pid, isReading: bytes.readBigUInt64LE(at) !== NOT_READING })
  }
  return readers
}

/** The process that has the write lock of a folder, and the number of the last transaction. */
interface Writer {
  pid: number
  transaction: bigint
}

/** Where the lock file has the write lock: behind the first lock, whose size depends on the machine, and on a new cache line. */
const WRITE_LOCK_AT = process.arch === 'arm64' ? 128 : 64
/** A lock of glibc has the ID of its thread twice: beside two flags, and alone. */
const OWNER_AT = WRITE_LOCK_AT + 8
const THREAD_OF_LOCK = 0x3fffffff

/**
 * Returns the process that writes now; undefined if none is known. Pass only a file that this process does not have open.
 *
 * Source: MDB_txninfo in the mdb.c of the npm package lmdb, and the robust mutexes of glibc. Those of musl begin with a constant,
 * which can be the ID of any thread.
 */
export function writerOf (lock: string): Writer | undefined {
  if (!isOwnProc()) return undefined
  const bytes = readFileSync(lock)
  if (bytes.length < OWNER_AT + 4) return undefined
  const thread = bytes.readUInt32LE(OWNER_AT)
  if (thread === 0 || thread !== (bytes.readUInt32LE(WRITE_LOCK_AT) & THREAD_OF_LOCK)) return undefined
  const pid = processOfThread(thread)
  return pid !== undefined && hasOpen(pid, lock) === true ? { pid, transaction: bytes.readBigUInt64LE(8) } : undefined
}

function processOfThread (thread: number): number | undefined {
  try {
    return Number(/^Tgid:\s*(\d+)$/m.exec(readFileSync(`/proc/${thread}/status`, 'latin1'))?.[1])
  } catch {
    return undefined
  }
}

function isRunning (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
