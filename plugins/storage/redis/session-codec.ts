import type { SessionFields, SessionRecord } from '../../store/record.js'
import { FORMATS } from '../common/formats.js'
import { WRONG_TYPE, type StoredHash } from './hash.js'
import { isTimeText } from './time-text.js'

/** The layout of a stored session. Another one reads as missing. */
export const FORMAT = String(FORMATS.sessions)

/** Encodes a session as fields and values of a hash, by turns. */
export function encodeSession ({ createdAt, seenAt, expiresAt, permanent, user, fields }: SessionRecord): Array<string | number> {
  const times = ['format', FORMAT, 'createdAt', createdAt, 'seenAt', seenAt, 'expiresAt', expiresAt, 'permanent', flag(permanent)]
  return [...times, ...user === null ? [] : ['user', user], ...dataOf(fields)]
}

/** Encodes the values. With a dot before its name, no session key can be taken for a field of the session itself. */
export function dataOf (fields: SessionFields): string[] {
  return Object.entries(fields).flatMap(([name, text]) => [`.${name}`, text])
}

export function flag (value: boolean): string {
  return value ? '1' : '0'
}

/** Tells whether a hash is a tombstone. */
export function isTombstone (stored: StoredHash): boolean {
  return stored !== WRONG_TYPE && 'endedAt' in stored
}

/** Decodes a session. Returns null if it is damaged. */
export function decodeSession (stored: StoredHash): SessionRecord | null {
  if (stored === WRONG_TYPE) return null
  const { format, createdAt, seenAt, expiresAt, permanent, user = null } = stored
  if (format !== FORMAT || (permanent !== '0' && permanent !== '1')) return null
  if (!isTimeText(createdAt) || !isTimeText(seenAt) || !isTimeText(expiresAt)) return null
  const fields: Record<string, string> = {}
  for (const name in stored) if (name.startsWith('.')) fields[name.slice(1)] = stored[name] as string
  return { createdAt: Number(createdAt), seenAt: Number(seenAt), expiresAt: Number(expiresAt), permanent: permanent === '1', user, fields }
}

/** Returns the fields of a hash that a script has answered as a flat list. */
export function pairsOf (flat: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (let i = 0; i < flat.length; i += 2) pairs[flat[i] as string] = flat[i + 1] as string
  return pairs
}
