import { isTime } from '../common/is-time.js'
import type { MaybePromise } from '../common/maybe-promise.js'

/** An account: a user who can log in with a password. */
export interface Account {
  /** The name in its first spelling, which sessions carry. */
  readonly name: string
  /** The argon2id hash with its parameters, as a PHC string. */
  readonly passwordHash: string
  /** When the account was created, in ms since the epoch. */
  readonly createdAt: number
  /** Whether logins are refused. */
  readonly disabled: boolean
}

/**
 * The contract of a store of accounts. The key is the name with its case folded. Each call is atomic, and durable when it
 * returns. `accountContract` of `hatcheck/store-contract` tests it.
 */
export interface AccountStore {
  /**
   * Returns the account, or null if it is missing.
   *
   * @throws DamagedAccountError if it cannot be read; it can be the `cause` of another error.
   * @throws if the store fails.
   */
  read (key: string): MaybePromise<Account | null>
  /** Inserts an account. Returns false and writes nothing if the key has an account that can be read. */
  create (key: string, account: Account): MaybePromise<boolean>
  /**
   * Changes the given members. Returns false and writes nothing if the account is missing.
   *
   * @param ifHash if given, the account changes only while it has this hash
   */
  update (key: string, changes: Partial<Pick<Account, 'passwordHash' | 'disabled'>>, ifHash?: string): MaybePromise<boolean>
  /** Returns every account that can be read, in the order of the keys. */
  list (): MaybePromise<Account[]>
  /**
   * Optional: notes that a realm has sessions of these accounts. Idempotent, and called at each login. Without `noteRealm` and
   * `realms`, a change of an account ends the sessions of the realm in which it is made, and no others.
   */
  noteRealm? (realm: string): MaybePromise<void>
  /** Optional: returns every noted realm, in any order. */
  realms? (): MaybePromise<string[]>
}

/** Returns the key of an account: its name with the case folded. */
export function accountKey (name: string): string {
  // Upper case in between folds what lower case alone does not, such as ß, ẞ and ss.
  return name.toLowerCase().toUpperCase().toLowerCase().normalize('NFC')
}

/** Tells whether a value read under a key is the account of that key. With another name, its user would be logged in as somebody else. */
export function isAccount (key: string, value: object): value is Account {
  const { name, passwordHash, createdAt, disabled } = value as Record<string, unknown>
  return typeof name === 'string' && accountKey(name) === key && typeof passwordHash === 'string' && passwordHash !== '' &&
    isTime(createdAt) && typeof disabled === 'boolean'
}

/** Allows at most seven digits of memory, in KiB. */
const PHC = /^\$argon2(?:id|i|d)\$v=(?:16|19)\$m=[1-9]\d{0,6},t=[1-9]\d{0,3},p=[1-9]\d{0,2}\$([\w+/]{11,86})\$([\w+/]{16,172})$/

/** Tells whether argon2 can verify a password with this hash. */
export function isPasswordHash (text: string): boolean {
  const [, salt = '', hash = ''] = PHC.exec(text) ?? []
  return [salt, hash].every((part) => part !== '' && Buffer.from(part, 'base64').toString('base64').replace(/=+$/, '') === part)
}
