import { fstatSync, readFileSync, readSync } from 'node:fs'
import { endianness } from 'node:os'

/** LMDB writes numbers in the byte order and the width of the machine. */
export const hasKnownLayout = endianness() === 'LE' && process.arch.endsWith('64')

/** The magic number and the versions of LMDB's source file mdb.c: MDB_MAGIC, MDB_DATA_VERSION, MDB_LOCK_VERSION. */
const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const LOCK_VERSION = 2

/** Says what is wrong with the lock file; null if it is sound. */
export function faultOfLock (fd: number): string | null {
  const head = bytesAt(fd, 0, 8)
  // Nothing but zeros: LMDB fills the file now or when it opens it.
  if (head.every((byte) => byte === 0)) return null
  if (head.length < 8 || head.readUInt32LE(0) !== MAGIC) return 'is not a lock file of LMDB'
  return (head.readUInt32LE(4) & 0xfff) === LOCK_VERSION ? null : 'is a lock file of another version of LMDB'
}

/** The content of a meta page. Page 0 has a second one in its middle: the state of the last flush. */
interface Meta {
  transaction: number
  pageSize: number
  lastPage: number
  isUnflushed: boolean
  bootId: bigint
  /** The root page of the free list and that of the databases; null for an empty tree. */
  roots: Array<number | null>
}

const PAGE_HEAD = 24
const META_BYTES = 144
/** Flags of pages and of the environment. */
const P_BRANCH = 0x01
const P_LEAF = 0x02
const P_LEAF2 = 0x20
const P_META = 0x08
const ENCRYPTED = 0x2000
const UNFLUSHED = 0x1000
/** Flags of the entries in a leaf page. */
const F_BIGDATA = 0x01
const F_SUBDATA = 0x02

/**
 * Says what is wrong with the data file; null if it is sound.
 *
 * @param isDeep whether to look at every page in use
 */
export function faultOfData (fd: number, isDeep: boolean): string | null {
  const head = bytesAt(fd, 0, PAGE_HEAD + META_BYTES)
  if (head.length === 0) return 'is empty'
  if (!isMetaPage(head)) return 'is not an LMDB database of a version that hatcheck can read'
  const first = metaOf(head)
  const { pageSize } = first
  if (pageSize < 256 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return `is damaged: a page of ${pageSize} bytes is impossible`
  const second = bytesAt(fd, pageSize, PAGE_HEAD + META_BYTES)
  if (second.length < PAGE_HEAD + META_BYTES) return 'is cut short'
  if (!isMetaPage(second) || metaOf(second).pageSize !== pageSize) return 'is damaged: one of its two meta pages is not valid'
  const meta = chosenOf(first, metaOf(bytesAt(fd, pageSize / 2, PAGE_HEAD + META_BYTES)), metaOf(second))
  // The size is read after the meta pages: the file only grows, and its data is written before its meta page.
  const fault = faultOfTrees(fd, meta, fstatSync(fd).size / pageSize, isDeep)
  // A process that writes meanwhile may have reused pages of this state.
  const isStill = head.equals(bytesAt(fd, 0, head.length)) && second.equals(bytesAt(fd, pageSize, second.length))
  return isStill ? fault : null
}

function isMetaPage (page: Buffer): boolean {
  return page.length === PAGE_HEAD + META_BYTES && (page.readUInt16LE(18) & P_META) !== 0 && page.readUInt32LE(PAGE_HEAD) === MAGIC &&
    (page.readUInt32LE(PAGE_HEAD + 4) & 0xffff) === DATA_VERSION && (page.readUInt16LE(PAGE_HEAD + 28) & ENCRYPTED) === 0
}

function metaOf (page: Buffer): Meta {
  const at = PAGE_HEAD
  return {
    pageSize: page.readUInt32LE(at + 24),
    isUnflushed: (page.readUInt16LE(at + 28) & UNFLUSHED) !== 0,
    roots: [rootAt(page, at + 64), rootAt(page, at + 112)],
    lastPage: Number(page.readBigUInt64LE(at + 120)),
    transaction: Number(page.readBigUInt64LE(at + 128)),
    bootId: page.readBigInt64LE(at + 136)
  }
}

function rootAt (bytes: Buffer, at: number): number | null {
  const root = bytes.readBigUInt64LE(at)
  return root === 2n ** 64n - 1n ? null : Number(root)
}

/**
 * Returns the state that LMDB goes on from: the newest, but after a crash of the machine the flushed one.
 *
 * Source: mdb_pick_meta in the mdb.c of the npm package lmdb.
 */
function chosenOf (...metas: [Meta, Meta, Meta]): Meta {
  const bootId = idOfBoot()
  return metas.reduce((a, b) => {
    if (b.transaction === 0) return a
    const [newer, older] = a.transaction >= b.transaction ? [a, b] : [b, a]
    return (newer.bootId !== 0n && newer.bootId === bootId) || !newer.isUnflushed ? newer : older
  })
}

function idOfBoot (): bigint {
  try {
    return BigInt(`0x${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)}`)
  } catch {
    return 0n
  }
}

/** @param pages how many the file has */
function faultOfTrees (fd: number, { pageSize, lastPage, roots }: Meta, pages: number, isDeep: boolean): string | null {
  // Free pages at the end need not be in the file. Then every page in use must be looked for.
  const looksAtAll = isDeep || pages < lastPage + 1
  const waiting = roots.filter((root) => root !== null).map((page) => ({ page, isRoot: true }))
  const seen = new Set<number>()
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { page, isRoot } = next
    if (page + 1 > pages) return 'is cut short'
    if (seen.has(page)) return `is damaged in page ${page}`
    seen.add(page)
    const bytes = bytesAt(fd, page * pageSize, pageSize)
    const entries = entriesOf(bytes, page)
    if (entries === null) return `is damaged in page ${page}`
    for (const { child, lastOf, isDatabase } of entries) {
      if (lastOf !== undefined && lastOf + 1 > pages) return 'is cut short'
      if (child !== undefined && (looksAtAll || (isRoot && isDatabase))) waiting.push({ page: child, isRoot: false })
    }
  }
  return null
}

interface Entry {
  /** The page that the entry leads to. */
  child?: number
  /** The last of the overflow pages that hold its value. */
  lastOf?: number
  /** Whether the page is the root of a tree of its own. */
  isDatabase: boolean
}

/** Returns what a page of a tree leads to; null if it is not such a page. */
function entriesOf (bytes: Buffer, page: number): Entry[] | null {
  const flags = bytes.readUInt16LE(18)
  const isBranch = (flags & P_BRANCH) !== 0
  const bytesOfPointers = bytes.readUInt16LE(20)
  if (Number(bytes.readBigUInt64LE(0)) !== page || isBranch === ((flags & P_LEAF) !== 0) || PAGE_HEAD + bytesOfPointers > bytes.length) return null
  const entries: Entry[] = []
  if ((flags & P_LEAF2) !== 0) return entries
  for (let at = PAGE_HEAD; at < PAGE_HEAD + bytesOfPointers; at += 2) {
    const node = PAGE_HEAD + bytes.readUInt16LE(at)
    if (node + 8 > bytes.length) return null
    const [low, high, kind] = [bytes.readUInt16LE(node), bytes.readUInt16LE(node + 2), bytes.readUInt16LE(node + 4)]
    const value = node + 8 + bytes.readUInt16LE(node + 6)
    if (isBranch) {
      entries.push({ child: low + high * 2 ** 16 + kind * 2 ** 32, isDatabase: true })
    } else if ((kind & F_BIGDATA) === 0 && value + low + high * 2 ** 16 > bytes.length) {
      return null
    } else if ((kind & F_SUBDATA) !== 0) {
      if (value + 48 > bytes.length) return null
      const root = rootAt(bytes, value + 40)
      if (root !== null) entries.push({ child: root, isDatabase: true })
    } else if ((kind & F_BIGDATA) !== 0) {
      if (value + 8 > bytes.length) return null
      entries.push({ lastOf: Number(bytes.readBigUInt64LE(value)) + Math.floor((PAGE_HEAD + low + high * 2 ** 16 - 1) / bytes.length), isDatabase: false })
    }
  }
  return entries
}

/** Reads bytes of a file: fewer if the file ends before. */
function bytesAt (fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, position))
}
