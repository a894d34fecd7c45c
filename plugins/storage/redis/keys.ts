import { LONGEST_KEY } from '../common/store-key.js'

/** The key under which the formats of the records are noted. */
export const FORMATS_KEY = 'hatcheck:formats'

/** The key under which the realms that have sessions of the accounts are noted. */
export const REALMS_KEY = 'hatcheck:realms'

/** The keys in Redis of everything else that hatcheck keeps there. With `*` in place of a name they are patterns. */
export const redisKey = {
  /** @throws TypeError if the key is empty or too long. */
  session (key: string): string {
    if (key === '' || key.length > LONGEST_KEY) throw new TypeError(`a session key must have 1 to ${LONGEST_KEY} characters`)
    return `hatcheck:session:${key}`
  },
  /** The index of the sessions of a user. */
  index: (user: string): string => `hatcheck:user:${user}`,
  account: (key: string): string => `hatcheck:account:${key}`,
  /** A counter of failed logins. */
  counter: (key: string): string => `hatcheck:attempts:${key}`,
  /** The record that a session in a cookie has ended. */
  end: (key: string): string => `hatcheck:ended:${key}`,
  /** The record of the last end of all sessions of a user. */
  endOfAll: (user: string): string => `hatcheck:ended-all:${user}`
}
