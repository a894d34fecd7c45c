import { REALM_SEPARATOR } from '../../common/realm.js'
import { isPasswordHash, type Account } from '../../store/accounts.js'
import type { Unreadable } from './formats.js'

/** Takes one line for people: what is wrong, and what to do. */
export type Tell = (finding: string) => void

/** How many records of each kind were examined. */
export type Counts = Record<'sessions' | 'tombstones' | 'accounts' | 'counters', number>

/** Returns the handle of the session with a key: its name for people. */
export type HandleOf = (key: string) => string

/** The scope of an examination. */
export interface Examination {
  /** The engine and its place. */
  description: string
  counts: Counts
}

/** The consequence of each kind of damage, and what to do. */
export const REMEDIES = {
  session: 'It counts as missing, and is dropped when it would have expired.',
  tombstone: 'Its session stays ended. It is dropped when its time is over.',
  counter: 'It counts as none, and is dropped by the next sweep of the service.',
  end: 'Its session stays ended.',
  endOfAll: 'The user of that name can neither log in nor stay logged in. "hatcheck sessions revoke-all" with the name repairs it.',
  unindexed: 'The end of all sessions of the user does not reach it until it is used again. Have the user log out there, or replace SECRET_KEY, which ends every session.',
  entry: 'It is passed over.',
  realms: 'A new password may not end the sessions of each realm, until every application has started again.'
} as const

/** Tells what is wrong with an account, if anything. */
export function examineAccount (key: string, account: Account | Unreadable, tell: Tell): void {
  if (account === 'damaged') tell(`The account ${key} is damaged. It cannot log in. "hatcheck user add" with its name creates it again; its key is ${JSON.stringify(key)}.`)
  else if (account === 'of an unknown format') tell(`The account ${key} has an unknown format. Start the version that wrote it.`)
  else if (!isPasswordHash(account.passwordHash)) tell(`The password hash of ${account.name} is damaged. Nobody can log in with it. Run "hatcheck user passwd ${account.name}".`)
}

/** Returns the name of a user for people, and the realm, which is stored behind it. */
export function userText (user: string): string {
  return user.replace(REALM_SEPARATOR, ' in the realm ')
}
