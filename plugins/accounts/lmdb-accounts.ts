import type { Database, RootDatabase } from 'lmdb'
import { storeUnavailable } from '../session/errors.js'
import { LmdbWriter } from '../storage/lmdb-writer.js'
import type { Account, AccountStore } from './store.js'

/** Accounts in LMDB, beside the sessions: every process of the machine that opens the folder shares them. */
export class LmdbAccounts implements AccountStore {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #accounts: Database<Account, string>

  constructor (env: RootDatabase) {
    this.#env = env
    this.#writer = new LmdbWriter(env)
    this.#accounts = env.openDB({ name: 'accounts', encoding: 'json' })
  }

  read (key: string): Account | null {
    try {
      this.#env.resetReadTxn()
      return this.#accounts.get(key) ?? null
    } catch (error) {
      throw storeUnavailable(error, 'account')
    }
  }

  create (key: string, account: Account): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      if (this.#accounts.doesExist(key)) return false
      this.#accounts.put(key, account)
      return true
    })
  }

  update (key: string, changes: Partial<Account>, ifHash?: string): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      const account = this.#accounts.get(key)
      if (account === undefined || (ifHash !== undefined && account.passwordHash !== ifHash)) return false
      this.#accounts.put(key, { ...account, ...changes })
      return true
    })
  }

  list (): Account[] {
    this.#env.resetReadTxn()
    return [...this.#accounts.getRange().map(({ value }) => value)]
  }
}
