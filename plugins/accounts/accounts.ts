import { createError } from '@fastify/error'
import { accountKey } from '../store/accounts.js'
import { accountKeys, newName, normalName } from './name.js'
import { BusyError, assertNewPassword, assertPassword, hashPassword, isOutdated, verifyPassword, type PasswordPolicy } from './password.js'
import { storeUnavailable } from '../store/errors.js'
import { DamagedAccountError, isPasswordHash, type Account, type AccountStore } from '../store/accounts.js'

export const AccountExistsError = createError<[string]>('HATCHECK_ACCOUNT_EXISTS', 'There is an account %s already.', 409)
export const NoSuchAccountError = createError<[string]>('HATCHECK_NO_SUCH_ACCOUNT', 'There is no account %s.', 404)

export interface AccountsOptions extends PasswordPolicy {
  accounts: AccountStore
  /** Ends every session of a user. */
  revokeUser (name: string): unknown
  /** Whether signing in with a new name creates the account. */
  signup: 'open' | 'closed'
  now: () => number
}

export interface AuthenticateOptions {
  /** Called before the password of a new account is judged; what it throws prevents that. */
  onSignup?: () => Promise<void>
  /** Whether it comes from a known device or network, which goes before all others. */
  isFamiliar?: boolean
}

/** hatcheck's own accounts: names and argon2id hashes. */
export class Accounts {
  readonly #options: AccountsOptions
  /** Which hash each answer of {@link authenticate} was given by. */
  readonly #verified = new WeakMap<object, string>()

  constructor (options: AccountsOptions) {
    this.#options = options
  }

  /**
   * Who this is, or null: the same answer, after the same time, for an unknown name, a wrong password and a disabled
   * account. With open signup, a new name becomes an account.
   *
   * @throws PasswordError if a new account's password does not keep the rules.
   */
  async authenticate (name: string, password: string, { onSignup, isFamiliar = false }: AuthenticateOptions = {}): Promise<{ name: string } | null> {
    assertPassword(password)
    const { accounts, signup } = this.#options
    let account = await findAccount(accounts, name)
    if (account === null && signup === 'open') {
      const created = await this.#create(name, password, onSignup)
      if (created !== null) return this.#answer(created)
      account = await findAccount(accounts, name)
    }
    if (account !== null && !isPasswordHash(account.passwordHash)) throw storeUnavailable(new DamagedAccountError(accountKey(account.name)), 'account')
    const matches = await verifyPassword(account?.passwordHash ?? null, password, isFamiliar)
    if (account === null || !matches || account.disabled) return null
    const passwordHash = isOutdated(account.passwordHash) ? await this.#renewHash(account, password, isFamiliar) : account.passwordHash
    // It may have been disabled, or its password changed, while this one was checked.
    const user = this.#answer({ ...account, passwordHash })
    return await this.stillHolds(user) ? user : null
  }

  /**
   * Whether an answer of {@link authenticate} still holds: the account is not disabled, and its password is the one that
   * was checked. Asked once the session is stored, it leaves no gap: a change of the account comes before the end of
   * its sessions, so either the session is ended with them or the change is seen here.
   */
  async stillHolds (user: { name: string }): Promise<boolean> {
    const passwordHash = this.#verified.get(user)
    if (passwordHash === undefined) return true
    const account = await this.#options.accounts.read(accountKey(user.name))
    return account !== null && !account.disabled && account.passwordHash === passwordHash
  }

  /**
   * Sets another password for an answer of {@link authenticate}. False, and nothing is set, if the one that was checked is
   * not the account's any more; two changes at once cannot both succeed. Ends no session: the caller has one to keep.
   *
   * @param assertWanted called at the last moment; what it throws prevents the change.
   * @throws PasswordError
   */
  async changePassword (user: { name: string }, password: string, assertWanted?: () => Promise<void>): Promise<boolean> {
    const checked = this.#verified.get(user)
    await this.assertNewPassword(user.name, password)
    // Its user is known by now.
    const passwordHash = await hashPassword(password, true)
    await assertWanted?.()
    if (checked === undefined || !await this.#options.accounts.update(accountKey(user.name), { passwordHash }, checked)) return false
    this.#verified.set(user, passwordHash)
    return true
  }

  /**
   * What changes with the password of an account, for a MAC of something that must end with it: the hash that an answer of
   * {@link authenticate} was given by, or that of the account with this name. Empty if there is none.
   */
  async versionOf (of: { name: string } | string): Promise<string> {
    const passwordHash = typeof of === 'string' ? (await findAccount(this.#options.accounts, of))?.passwordHash : this.#verified.get(of)
    return passwordHash ?? ''
  }

  /** @throws PasswordError if this cannot be the account's new password. */
  async assertNewPassword (name: string, password: string): Promise<void> {
    await assertNewPassword(password, normalName(name), this.#options)
  }

  /** @throws AccountExistsError, NameError, PasswordError */
  async add (name: string, password: string): Promise<void> {
    if (await this.#create(name, password) === null) throw new AccountExistsError(normalName(name))
  }

  /** Sets another password and ends every session of the account. @throws NoSuchAccountError, PasswordError */
  async setPassword (name: string, password: string): Promise<void> {
    await this.assertNewPassword(name, password)
    await this.#read(name)
    await this.#update(name, { passwordHash: await hashPassword(password) })
  }

  /** Keeps the account from logging in and ends every session of it. @throws NoSuchAccountError */
  async disable (name: string): Promise<void> {
    await this.#update(name, { disabled: true })
  }

  /** Lets the account log in again, and ends every session of it: whoever is in has logged in since. @throws NoSuchAccountError */
  async enable (name: string): Promise<void> {
    await this.#update(name, { disabled: false })
  }

  list (): Promise<Account[]> {
    return Promise.resolve(this.#options.accounts.list())
  }

  /** The hash by today's parameters; the old one if there is no time for it, or if another has been set meanwhile. */
  async #renewHash ({ name, passwordHash }: Account, password: string, isFamiliar: boolean): Promise<string> {
    try {
      const renewed = await hashPassword(password, isFamiliar)
      return await this.#options.accounts.update(accountKey(name), { passwordHash: renewed }, passwordHash) ? renewed : passwordHash
    } catch (error) {
      if (error instanceof BusyError) return passwordHash
      throw error
    }
  }

  /** What was checked is remembered for the answer. */
  #answer ({ name, passwordHash }: Account): { name: string } {
    const user = { name }
    this.#verified.set(user, passwordHash)
    return user
  }

  /** Null if there is such an account. */
  async #create (name: string, password: string, onSignup?: () => Promise<void>): Promise<Account | null> {
    const { accounts, now } = this.#options
    if (await this.#isTaken(name)) return null
    // A refused one counts as well.
    await onSignup?.()
    const kept = newName(name)
    await this.assertNewPassword(kept, password)
    const account = { name: kept, passwordHash: await hashPassword(password), createdAt: now(), disabled: false }
    return await accounts.create(accountKey(kept), account) ? account : null
  }

  /** One that is damaged is made anew: only an administrator comes here with its name, since {@link authenticate} reads it first. */
  async #isTaken (name: string): Promise<boolean> {
    try {
      return await findAccount(this.#options.accounts, name) !== null
    } catch (error) {
      if ((error as Error).cause instanceof DamagedAccountError) return false
      throw error
    }
  }

  async #read (name: string): Promise<Account> {
    const account = await findAccount(this.#options.accounts, name)
    if (account === null) throw new NoSuchAccountError(normalName(name))
    return account
  }

  async #update (name: string, changes: Partial<Account>): Promise<void> {
    const account = await this.#read(name)
    await this.#options.accounts.update(accountKey(account.name), changes)
    await this.#options.revokeUser(account.name)
  }
}

/** The account of a name that was typed. One that was made under just this spelling comes before the one of all spellings. @throws NameError */
export async function findAccount (accounts: AccountStore, name: string): Promise<Account | null> {
  for (const key of accountKeys(name)) {
    const account = await accounts.read(key)
    if (account !== null) return account
  }
  return null
}
