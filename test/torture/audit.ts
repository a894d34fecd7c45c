import { open, type RootDatabase } from 'lmdb'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { isJson } from '../inputs/is-json.js'

/** A record that was found. */
interface Found {
  user: string | null
  seenAt: number
  expiresAt: number
}

/** The contents of an LMDB folder, read from outside and without the store's code. */
export interface Audit {
  /** By store key. */
  records: Map<string, Found>
  tombstones: Map<string, number>
  /** Inconsistencies; empty if there are none. */
  faults: string[]
  /** The bytes of all keys and values. */
  liveBytes: number
  fileBytes: number
  /** The number of reader slots in use. */
  readers: number
}

/** Opens the folder read-only, beside any process that writes in it. */
export function openForAudit (folder: string): RootDatabase {
  return open({ path: folder, maxDbs: 16, noSubdir: false, readOnly: true })
}

export function audit (env: RootDatabase, folder: string): Audit {
  env.resetReadTxn()
  const values = env.openDB<unknown, string>({ name: 'sessions', encoding: 'msgpack' })
  const ends = env.openDB<number | [until: number, nextKey: string], string>({ name: 'session tombstones', encoding: 'msgpack' })
  const byUser = env.openDB<Buffer, string>({ name: 'sessions by user', dupSort: true, encoding: 'binary' })
  const byExpiry = env.openDB<Buffer, number>({ name: 'sessions by expiry', dupSort: true, encoding: 'binary' })
  const faults: string[] = []
  const records: Audit['records'] = new Map()
  let liveBytes = 0

  for (const key of values.getKeys()) {
    const bytes = values.getBinary(key)
    liveBytes += key.length + (bytes?.length ?? 0)
    const record = recordOf(() => values.get(key))
    if (record === null) faults.push(`the record ${key} is no whole record: ${bytes?.toString('hex')}`)
    else records.set(key, record)
  }
  const tombstones = new Map([...ends.getRange()].map(({ key, value }) => [key, typeof value === 'number' ? value : value[0]]))
  const users = pairs(byUser.getRange())
  const expiries = pairs(byExpiry.getRange())
  liveBytes += 100 * (tombstones.size + users.size + expiries.size)

  const timeOf = new Map([...byExpiry.getRange()].map(({ key: time, value: key }) => [storeKeyIn(key), time]))
  const expected = { users: new Set<string>(), expiries: new Set<string>() }
  for (const [key, { user, seenAt, expiresAt }] of records) {
    if (user !== null) expected.users.add(pair(user, key))
    const time = timeOf.get(key) ?? expiresAt
    expected.expiries.add(pair(time <= expiresAt && time >= expiresAt - (expiresAt - seenAt) / 20 ? time : expiresAt, key))
    if (tombstones.has(key)) faults.push(`${key} is both there and removed`)
  }
  for (const [key, until] of tombstones) expected.expiries.add(pair(until, key))
  for (const name of ['users', 'expiries'] as const) {
    const found = name === 'users' ? users : expiries
    for (const entry of found) if (!expected[name].has(entry)) faults.push(`the index of ${name} has ${entry}, which is not there`)
    for (const entry of expected[name]) if (!found.has(entry)) faults.push(`the index of ${name} lacks ${entry}`)
  }
  return { records, tombstones, faults, liveBytes, fileBytes: statSync(join(folder, 'data.mdb')).size, readers: readersOf(env) }
}

function recordOf (read: () => unknown): Found | null {
  let value
  try {
    value = read()
  } catch {
    return null
  }
  if (!Array.isArray(value) || value[0] !== 2 || value.length % 2 !== 0) return null
  const [, createdAt, seen, expires, permanent, user, ...fields] = value
  const isName = (name: unknown): boolean => typeof name === 'string' || [0, 1, 2].includes(name as number)
  const isWhole = [createdAt, seen, expires].every(Number.isSafeInteger) && typeof permanent === 'boolean' && (user === null || typeof user === 'string') &&
    fields.every((field, index) => index % 2 === 0 ? isName(field) : field === null || (typeof field === 'string' && isJson(field)))
  return isWhole ? { user, seenAt: createdAt + seen, expiresAt: createdAt + expires } : null
}

function pairs (entries: Iterable<{ key: string | number, value: Buffer }>): Set<string> {
  return new Set([...entries].map(({ key, value }) => pair(key, storeKeyIn(value))))
}

/** An entry of an index holds a hash as 32 bytes behind a 1, or text. */
function storeKeyIn (value: Buffer): string {
  const head = value.length - 33
  return head >= 0 && value[head] === 1 ? value.toString('latin1', 0, head) + value.toString('base64url', head + 1) : value.toString('latin1')
}

function pair (name: string | number, key: string): string {
  return `${name} → ${key}`
}

/** The first line is a heading; each further line is a reader. */
export function readersOf (env: RootDatabase): number {
  return env.readerList().split('\n').filter((line) => /^\s*\d+\s+[\da-f]+/.test(line)).length
}
