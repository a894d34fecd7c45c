import type { Database } from 'lmdb'
import type { SessionRecord } from '../../store/record.js'
import { decodeFlat, type Flat, type Value } from './msgpack.js'

/** The layout of a stored session. Another number reads as absent. */
const FORMAT = 1
const HEAD = 6

/** Encodes a session as a flat list: format, times, permanent, user, then name and text of each field. */
export function encodeSession ({ createdAt, seenAt, expiresAt, permanent, user, fields }: SessionRecord): Value[] {
  const value: Value[] = [FORMAT, createdAt, seenAt, expiresAt, permanent, user]
  for (const key in fields) value.push(key, fields[key] as string)
  return value
}

/** Decodes a session. Returns null if it is damaged. */
export function decodeSession (value: unknown): SessionRecord | null {
  if (!Array.isArray(value) || value[0] !== FORMAT || value.length < HEAD || value.length % 2 !== 0) return null
  const [, createdAt, seenAt, expiresAt, permanent, user] = value
  if (!Number.isFinite(createdAt) || !Number.isFinite(seenAt) || !Number.isFinite(expiresAt)) return null
  if (typeof permanent !== 'boolean' || (user !== null && typeof user !== 'string')) return null
  const fields: Record<string, string> = {}
  for (let i = HEAD; i < value.length; i += 2) {
    if (typeof value[i] !== 'string' || typeof value[i + 1] !== 'string') return null
    fields[value[i]] = value[i + 1]
  }
  return { createdAt, seenAt, expiresAt, permanent, user, fields }
}

/** What is left of a session that has ended. */
export interface Tombstone {
  /** How long the key is remembered, in ms since the epoch. */
  until: number
  /** Where the session continues. */
  nextKey: string | null
}

/** Encodes a tombstone: a number, or a list with the key where the session continues. */
export function encodeTombstone (until: number, nextKey: string | undefined): Flat {
  return nextKey === undefined ? until : [until, nextKey]
}

/** Decodes a tombstone. Returns null if it is damaged. */
export function decodeTombstone (value: unknown): Tombstone | null {
  const [until, nextKey = null] = [value].flat() as unknown[]
  return Number.isFinite(until) && (nextKey === null || typeof nextKey === 'string') ? { until: until as number, nextKey } : null
}

/** Returns the decoded value of a key: undefined if it is missing, null if it is damaged. */
export function storedAs<T> (decode: (value: unknown) => T | null, database: Database<Buffer, string>, key: string): T | null | undefined {
  const bytes = database.getBinaryFast(key) as Buffer | undefined
  if (bytes === undefined) return undefined
  return decode(decodeFlat(bytes))
}
