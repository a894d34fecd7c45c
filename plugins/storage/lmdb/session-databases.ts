import { SHORT_KEYS } from './index-entries.js'

/** The databases of the sessions: records and tombstones by key, keys by user and by expiry. */
export const DATABASES = {
  records: { name: 'sessions', encoding: 'binary' },
  tombstones: { name: 'session tombstones', encoding: 'binary' },
  keysOfUser: { name: 'sessions by user', dupSort: true, ...SHORT_KEYS },
  keysByExpiry: { name: 'sessions by expiry', dupSort: true, ...SHORT_KEYS }
} as const

/** LMDB limits the length of a key; a name may be longer than that. */
const LONGEST_INDEX_NAME = 256

/** Returns the key of a user in the index by user. Long names with the same beginning share one. */
export function indexName (user: string): string {
  return user.length <= LONGEST_INDEX_NAME ? user : user.slice(0, LONGEST_INDEX_NAME)
}
