import type { MaybePromise } from '../session/store.js'

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

/** Where accounts are kept. The key is the name with its case folded; each call is atomic and durable when it answers. */
export interface AccountStore {
  read (key: string): MaybePromise<Account | null>
  /** Inserts. False, and nothing written, if the key exists. */
  create (key: string, account: Account): MaybePromise<boolean>
  /**
   * Changes what is given. False, and nothing written, if there is no such account, or if its hash is not `ifHash`
   * any more.
   */
  update (key: string, changes: Partial<Pick<Account, 'passwordHash' | 'disabled'>>, ifHash?: string): MaybePromise<boolean>
  /** Every account, in the order of the keys. */
  list (): MaybePromise<Account[]>
}
