import { SHORT_KEYS } from './index-entries.js'

/** The databases in the environment of a folder. The values are bytes, since one that cannot be decoded must not hide the others. */
export const DATABASES = {
  /** The sessions: records and tombstones by key, keys by user and by expiry. */
  records: { name: 'sessions', encoding: 'binary' },
  tombstones: { name: 'session tombstones', encoding: 'binary' },
  keysOfUser: { name: 'sessions by user', dupSort: true, ...SHORT_KEYS },
  keysByExpiry: { name: 'sessions by expiry', dupSort: true, ...SHORT_KEYS },
  accounts: { name: 'accounts', encoding: 'binary' },
  realms: { name: 'realms of accounts', encoding: 'binary' },
  attempts: { name: 'attempts', encoding: 'binary' },
  revocations: { name: 'revocations', encoding: 'binary' }
} as const
