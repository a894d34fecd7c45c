import type { Database } from 'lmdb'
import { LONGEST_KEY } from '../common/store-key.js'

/**
 * Tells whether a key may be looked up. lmdb decodes a damaged key to something else: another kind of value, or text that goes on
 * with the memory behind it, such as a password hash.
 */
export function isPlainKey (key: unknown): key is string {
  return typeof key === 'string' && key.length <= LONGEST_KEY
}

/** Returns a key as people may see it. A damaged key is hidden: no record is under the text that it decodes to. */
export function keyText (key: unknown, database: Pick<Database<unknown, string>, 'doesExist'>): string {
  return isPlainKey(key) && database.doesExist(key) ? key : KEY_DAMAGED
}

/** The text that people see instead of a damaged key. */
export const KEY_DAMAGED = '(key damaged)'
