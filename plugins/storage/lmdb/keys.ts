import type { Database } from 'lmdb'

const LONGEST = 256

/**
 * Whether a key may be looked up. Lmdb decodes one that is damaged to something else: to another kind of value, or to text that
 * goes on with what lies behind it in memory, such as a password hash.
 */
export function isPlainKey (key: unknown): key is string {
  return typeof key === 'string' && key.length <= LONGEST
}

/** What people may be told of a key: of a damaged one nothing, for there is no record under what it is decoded to. */
export function keyText (key: unknown, database: Pick<Database<unknown, string>, 'doesExist'>): string {
  return isPlainKey(key) && database.doesExist(key) ? key : KEY_DAMAGED
}

export const KEY_DAMAGED = '(key damaged)'
