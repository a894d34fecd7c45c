import createError from '@fastify/error'
import type { SessionStore } from '../session/store.js'
import { accountKey, normalName } from './name.js'
import { assertNewPassword, assertPassword, hashPassword, isOutdated, verifyPassword } from './password.js'
import type { Account, AccountStore } from './store.js'

export const AccountExistsError = createError<[string]>('HATCHECK_ACCOUNT_EXISTS', 'There is an account %s already.', 409)
export const NoSuchAccountError = createError<[string]>('HATCHECK_NO_SUCH_ACCOUNT', 'There is no account %s.', 404)

export interface AccountsOptions {
  accounts: AccountStore
  sessions: SessionStore
  /** Whether signing in with a new name creates the account. */
  signup: 'open' | 'closed'
  passwordMinLength: number
  now: () => number
}

/** hatcheck's own accounts: names and argon2id hashes. */
export class Accounts {
  readonly #options: AccountsOptions

  constructor (options: AccountsOptions) {
    this.#options = options
  }

  /**
   * Who this is, or null: the same answer, after the same time, for an unknown name, a wrong password and a disabled
   * account. With open signup, a new name becomes an account.
   *
   * @throws PasswordError if a new account's password is too short.
   */
  async authenticate (name: string, password: string): Promise<{ name: string } | null> {
    assertPassword(password)
    const { accounts, signup } = this.#options
    const key = accountKey(normalName(name))
    let account = await accounts.read(key)
    if (account === null && signup === 'open') {
      if (await this.#create(name, password)) return { name: normalName(name) }
      account = await accounts.read(key)
    }
    const matches = await verifyPassword(account?.passwordHash ?? null, password)
    if (account === null || !matches || account.disabled) return null
    // It may have been disabled, or its password changed, while this one was checked.
    const now = await accounts.read(key)
    if (now === null || now.disabled || now.passwordHash !== account.passwordHash) return null
    if (isOutdated(account.passwordHash)) await accounts.update(key, { passwordHash: await hashPassword(password) })
    return { name: account.name }
  }

  /** @throws AccountExistsError, NameError, PasswordError */
  async add (name: string, password: string): Promise<void> {
    assertPassword(password)
    if (!await this.#create(name, password)) throw new AccountExistsError(normalName(name))
  }

  /** Sets another password and ends every session of the account. @throws NoSuchAccountError, PasswordError */
  async setPassword (name: string, password: string): Promise<void> {
    assertPassword(password)
    assertNewPassword(password, this.#options.passwordMinLength)
    await this.#read(name)
    await this.#update(name, { passwordHash: await hashPassword(password) })
  }

  /** Keeps the account from logging in and ends every session of it. @throws NoSuchAccountError */
  async disable (name: string): Promise<void> {
    await this.#update(name, { disabled: true })
  }

  /** Lets the account log in again. @throws NoSuchAccountError */
  async enable (name: string): Promise<void> {
    await this.#update(name, { disabled: false })
  }

  list (): Promise<Account[]> {
    return Promise.resolve(this.#options.accounts.list())
  }

  async #create (name: string, password: string): Promise<boolean> {
    const { accounts, passwordMinLength, now } = this.#options
    const normal = normalName(name)
    assertNewPassword(password, passwordMinLength)
    if (await accounts.read(accountKey(normal)) !== null) return false
    const passwordHash = await hashPassword(password)
    return await accounts.create(accountKey(normal), { name: normal, passwordHash, createdAt: now(), disabled: false })
  }

  async #read (name: string): Promise<Account> {
    const account = await this.#options.accounts.read(accountKey(normalName(name)))
    if (account === null) throw new NoSuchAccountError(normalName(name))
    return account
  }

  async #update (name: string, changes: Partial<Account>): Promise<void> {
    const account = await this.#read(name)
    await this.#options.accounts.update(accountKey(account.name), changes)
    await this.#options.sessions.removeOfUser(account.name)
  }
}
