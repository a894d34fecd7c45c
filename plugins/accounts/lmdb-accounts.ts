import type { Database, RootDatabase } from 'lmdb'
import { storeUnavailable } from '../session/errors.js'
import { FORMATS, isKnownFormat } from '../storage/formats.js'
import { LmdbWriter } from '../storage/lmdb-writer.js'
import { UnknownFormatError, type Account, type AccountStore } from './store.js'

type Stored = Account & { format?: number }

/** Accounts in LMDB, beside the sessions: every process of the machine that opens the folder shares them. */
export class LmdbAccounts implements AccountStore {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #onUnknownFormat: (key: string) => void
  readonly #accounts: Database<Stored, string>

  /** @param onUnknownFormat told of each account that this version cannot read. */
  constructor (env: RootDatabase, onUnknownFormat: (key: string) => void = () => {}) {
    this.#env = env
    this.#writer = new LmdbWriter(env)
    this.#onUnknownFormat = onUnknownFormat
    this.#accounts = env.openDB({ name: 'accounts', encoding: 'json' })
  }

  read (key: string): Account | null {
    try {
      this.#env.resetReadTxn()
      return this.#decode(key, this.#accounts.get(key))
    } catch (error) {
      throw storeUnavailable(error, 'account')
    }
  }

  create (key: string, account: Account): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      if (this.#accounts.doesExist(key)) return false
      this.#put(key, account)
      return true
    })
  }

  update (key: string, changes: Partial<Account>, ifHash?: string): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      const account = this.#decode(key, this.#accounts.get(key))
      if (account === null || (ifHash !== undefined && account.passwordHash !== ifHash)) return false
      this.#put(key, { ...account, ...changes })
      return true
    })
  }

  list (): Account[] {
    this.#env.resetReadTxn()
    const accounts: Account[] = []
    for (const { key, value } of this.#accounts.getRange()) {
      if (isKnownFormat('accounts', value.format)) accounts.push(accountOf(value))
      else this.#onUnknownFormat(key)
    }
    return accounts
  }

  #put (key: string, account: Account): void {
    this.#accounts.put(key, { format: FORMATS.accounts, ...account })
  }

  #decode (key: string, stored: Stored | undefined): Account | null {
    if (stored === undefined) return null
    if (isKnownFormat('accounts', stored.format)) return accountOf(stored)
    this.#onUnknownFormat(key)
    throw new UnknownFormatError(key)
  }
}

function accountOf ({ format: _format, ...account }: Stored): Account {
  return account
}
