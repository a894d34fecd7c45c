import type { MaybePromise } from './maybe-promise.js'

/** Someone who may log in. */
export interface Account {
  /** The name as it was given first; what a session says. */
  readonly name: string
  /** argon2id, with its parameters, as a PHC string. */
  readonly passwordHash: string
  /** In ms since the epoch. */
  readonly createdAt: number
  readonly disabled: boolean
}

/** The account has a format that this version does not know. It can neither log in nor be changed. */
export class UnknownFormatError extends Error {
  constructor (key: string) {
    super(`the account ${key} has a format that this version of hatcheck does not know`)
  }
}

/** The account cannot be read. It can neither log in nor be changed, but {@link AccountStore.create} makes it anew. */
export class DamagedAccountError extends Error {
  constructor (key: string) {
    super(`the account ${key} cannot be read`)
  }
}

/** Told of each account that cannot be read: by its key, since its name may be what is damaged. */
export interface AccountLog {
  onUnknownFormat (key: string): void
  onCorrupt (key: string): void
}

/** What two names of one account have in common: the case folded. */
export function accountKey (name: string): string {
  // Upper case in between folds what lower case alone leaves apart, such as ß, ẞ and ss.
  return name.toLowerCase().toUpperCase().toLowerCase().normalize('NFC')
}

/** Whether what a store has read under a key is the account of it. With another name, its user would be logged in as somebody else. */
export function isAccount (key: string, value: object): value is Account {
  const { name, passwordHash, createdAt, disabled } = value as Record<string, unknown>
  return typeof name === 'string' && accountKey(name) === key && typeof passwordHash === 'string' && passwordHash !== '' &&
    Number.isFinite(createdAt) && typeof disabled === 'boolean'
}

/** Whether argon2 can verify a password by this. */
export function isPasswordHash (text: string): boolean {
  const [, salt = '', hash = ''] = PHC.exec(text) ?? []
  return [salt, hash].every((part) => part !== '' && Buffer.from(part, 'base64').toString('base64').replace(/=+$/, '') === part)
}

/** With at most seven digits of memory, which are in KiB. */
const PHC = /^\$argon2(?:id|i|d)\$v=(?:16|19)\$m=[1-9]\d{0,6},t=[1-9]\d{0,3},p=[1-9]\d{0,2}\$([\w+/]{11,86})\$([\w+/]{16,172})$/

/** Where accounts are kept. The key is the name with its case folded; each call is atomic and durable when it answers. */
export interface AccountStore {
  read (key: string): MaybePromise<Account | null>
  /** Inserts. False, and nothing written, if the key exists, unless what it has cannot be read. */
  create (key: string, account: Account): MaybePromise<boolean>
  /**
   * Changes what is given. False, and nothing written, if there is no such account, or if its hash is not `ifHash`
   * any more.
   */
  update (key: string, changes: Partial<Pick<Account, 'passwordHash' | 'disabled'>>, ifHash?: string): MaybePromise<boolean>
  /** Every account that can be read, in the order of the keys. */
  list (): MaybePromise<Account[]>
}
