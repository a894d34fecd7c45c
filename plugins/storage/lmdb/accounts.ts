import type { Database, RootDatabase } from 'lmdb'
import { FORMATS, isKnownFormat, type Unreadable } from '../common/formats.js'
import { unreadableAccount, type OnUnreadableAccount } from '../common/damage-log.js'
import { DATABASES } from './databases.js'
import { objectIn } from './json.js'
import { isPlainKey, keyText } from './keys.js'
import { readFresh } from './read-fresh.js'
import { LmdbWriter } from './writer.js'
import { isAccount, type Account, type AccountStore } from '../../store/accounts.js'

/** The value of a realm, whose key says everything. */
const NOTED = Buffer.from('1')

/** Keeps accounts in LMDB, beside the sessions. Every process of the machine that opens the folder shares them. */
export class LmdbAccounts implements AccountStore {
  readonly #env: RootDatabase
  readonly #writer: LmdbWriter
  readonly #onUnreadable: OnUnreadableAccount
  /** key → account as JSON */
  readonly #accounts: Database<Buffer, string>
  /** realm → {@link NOTED} */
  readonly #realms: Database<Buffer, string>

  constructor (env: RootDatabase, onUnreadable: OnUnreadableAccount = () => {}) {
    this.#env = env
    this.#writer = LmdbWriter.of(env)
    this.#onUnreadable = onUnreadable
    this.#accounts = env.openDB(DATABASES.accounts)
    this.#realms = env.openDB(DATABASES.realms)
  }

  read (key: string): Account | null {
    return readFresh(this.#env, 'account', () => this.#get(key))
  }

  create (key: string, account: Account): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      const stored = this.#accounts.get(key)
      if (stored !== undefined && decodeAccount(key, stored) !== 'damaged') return false
      this.#put(key, account)
      return true
    })
  }

  update (key: string, changes: Partial<Account>, ifHash?: string): Promise<boolean> {
    return this.#writer.write('account', true, () => {
      const account = this.#get(key)
      if (account === null || (ifHash !== undefined && account.passwordHash !== ifHash)) return false
      this.#put(key, { ...account, ...changes })
      return true
    })
  }

  list (): Account[] {
    return readFresh(this.#env, 'account', () => {
      const accounts: Account[] = []
      for (const { key, value } of this.#accounts.getRange()) {
        const account = decodeAccount(key, value)
        if (typeof account === 'object') accounts.push(account)
        else this.#onUnreadable(keyText(key, this.#accounts), account)
      }
      return accounts
    })
  }

  async noteRealm (realm: string): Promise<void> {
    // So that a start writes nothing, as on a full disk.
    if (readFresh(this.#env, 'account', () => this.#realms.doesExist(realm))) return
    await this.#writer.write('account', true, () => { this.#realms.put(realm, NOTED) })
  }

  realms (): string[] {
    return readFresh(this.#env, 'account', () => [...this.#realms.getKeys()].filter(isPlainKey))
  }

  #put (key: string, account: Account): void {
    this.#accounts.put(key, Buffer.from(JSON.stringify({ format: FORMATS.accounts, ...account })))
  }

  #get (key: string): Account | null {
    const stored = this.#accounts.get(key)
    if (stored === undefined) return null
    const account = decodeAccount(key, stored)
    if (typeof account === 'object') return account
    this.#onUnreadable(key, account)
    throw unreadableAccount(key, account)
  }
}

/** Decodes an account. Returns why it cannot be read if it cannot. */
export function decodeAccount (key: string, bytes: Buffer): Account | Unreadable {
  const stored = objectIn(bytes)
  if (stored === null) return 'damaged'
  const { format, ...account } = stored
  if (!isKnownFormat('accounts', format)) return 'of an unknown format'
  return isAccount(key, account) ? account : 'damaged'
}
