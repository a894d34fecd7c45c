import type { Database } from 'lmdb'
import { isTime } from '../../common/is-time.js'
import type { SessionRecord } from '../../store/record.js'
import { LMDB_FORMATS } from './formats.js'
import { decodeFlat, type Flat, type Value } from './msgpack.js'

/** The layout of a stored session. {@link OLD_FORMAT} is read as well; another number reads as missing. */
const FORMAT = LMDB_FORMATS.sessions
const OLD_FORMAT = 1
const HEAD = 6

/** The fields of every login. Their place in this list is stored instead of their name, so the list is part of the format. */
const NAMES = ['client_name', 'authenticatedAt', 'hatcheck:client']
const NUMBERS = new Map(NAMES.map((name, number) => [name, number]))

/**
 * Encodes a session as a flat list: format, beginning, the other two times as ms after the beginning, permanent, user, then
 * name and text of each field. Both are shorter for the fields of a login. In format 1 all times count from the epoch, and
 * every field has its name and text.
 */
export function encodeSession (record: SessionRecord): Value[] {
  const { createdAt, seenAt, expiresAt, permanent, user, fields } = record
  const value: Value[] = [FORMAT, createdAt, seenAt - createdAt, expiresAt - createdAt, permanent, user]
  for (const name in fields) {
    const text = fields[name] as string
    value.push(NUMBERS.get(name) ?? name, text === impliedText(name, user, createdAt) ? null : text)
  }
  return value
}

/** Decodes a session. Returns null if it is damaged. */
export function decodeSession (value: unknown): SessionRecord | null {
  if (!Array.isArray(value) || (value[0] !== FORMAT && value[0] !== OLD_FORMAT) || value.length < HEAD || value.length % 2 !== 0) return null
  const [format, createdAt, seen, expires, permanent, user] = value
  if (typeof permanent !== 'boolean' || (user !== null && typeof user !== 'string')) return null
  const isShort = format === FORMAT
  const since = isShort ? createdAt : 0
  const [seenAt, expiresAt] = [since + seen, since + expires]
  if (![createdAt, seen, expires, seenAt, expiresAt].every(isTime)) return null
  const fields: Record<string, string> = {}
  for (let i = HEAD; i < value.length; i += 2) {
    const name = isShort && typeof value[i] === 'number' ? NAMES[value[i]] : value[i]
    const text = isShort && value[i + 1] === null ? impliedText(name, user, createdAt) : value[i + 1]
    if (typeof name !== 'string' || typeof text !== 'string') return null
    fields[name] = text
  }
  return { createdAt, seenAt, expiresAt, permanent, user, fields }
}

/** Returns the text that the rest of the record implies for a field; undefined if it implies none. */
function impliedText (name: string, user: string | null, createdAt: number): string | undefined {
  if (name === 'client_name' && user !== null) return JSON.stringify(user)
  return name === 'authenticatedAt' ? String(createdAt) : undefined
}

/** The rest of a session that has ended. */
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
  const bytes = database.getBinaryFast(key)
  if (bytes === undefined) return undefined
  return decode(decodeFlat(bytes))
}
