import { createError } from '@fastify/error'
import { accountKeys, newName, normalName } from './name.js'
import { BusyError, assertNewPassword, assertPassword, hashPassword, isOutdated, verifyPassword, type PasswordPolicy } from './password.js'
import { DamagedAccountError, storeUnavailable } from '../store/errors.js'
import { accountKey, isPasswordHash, type Account, type AccountStore } from '../store/accounts.js'

/** A new account has the name of an existing one, or one that differs only in its spelling. */
export const AccountExistsError = createError<[string]>('HATCHECK_ACCOUNT_EXISTS', 'There is already an account %s.', 409)
/** No account has this name. */
export const NoSuchAccountError = createError<[string]>('HATCHECK_NO_SUCH_ACCOUNT', 'There is no account %s.', 404)

export interface AccountsOptions extends PasswordPolicy {
  accounts: AccountStore
  /** The realm of this registration. Others may share its accounts. */
  realm: string
  /** Ends every session that a user has in a realm. Returns how many. */
  revokeUser (name: string, realm: string): Promise<number>
  /** Whether a login with a new name creates the account. */
  signup: 'open' | 'closed'
  now: () => number
}

interface AuthenticateOptions {
  /** Called before the password of a new account is checked. An error that it throws prevents the account. */
  onSignup?: () => Promise<void>
  /** Whether the attempt comes from a known device or network; these are hashed before all others. */
  isFamiliar?: boolean
}

/** Keeps hatcheck's own accounts: names and argon2id hashes. Its methods throw StoreUnavailableError (503) if the store cannot answer. */
export class Accounts {
  readonly #options: AccountsOptions
  /** The hash that each result of {@link authenticate} was checked against. */
  readonly #verified = new WeakMap<object, string>()

  constructor (options: AccountsOptions) {
    this.#options = options
  }

  /**
   * Checks a name and a password. Resolves to null for an unknown name, a wrong password and a disabled account, after the same
   * time. With open signup, a new name becomes an account.
   *
   * @throws PasswordError if the password of a new account breaks the rules.
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
    // The account may have been disabled, or its password changed, while the password was checked.
    const user = this.#answer({ ...account, passwordHash })
    return await this.isStillValid(user) ? user : null
  }

  /**
   * Tells whether a user may log in: the account has exactly this name and is not disabled, and if this is a result of
   * {@link authenticate}, its password is the one that was checked. Called after the session is stored, it leaves no gap: an account
   * is changed before its sessions are ended, so either the session ends with them or this check sees the change.
   */
  async isStillValid (user: { name: string }): Promise<boolean> {
    // Also at each login: the store may have been emptied since the start, or not have answered then.
    await this.noteRealm()
    const account = await this.#options.accounts.read(accountKey(user.name))
    // A call that ends the sessions of the account does not find sessions under another spelling.
    if (account === null || account.name !== user.name || account.disabled) return false
    return account.passwordHash === (this.#verified.get(user) ?? account.passwordHash)
  }

  /**
   * Sets another password for a result of {@link authenticate}. Resolves to false and sets nothing if the account's password is
   * no longer the one that was checked: of two changes at once, only one succeeds. Ends no session: the caller keeps one.
   *
   * @param assertWanted called at the last moment; an error that it throws prevents the change.
   * @throws PasswordError if this cannot be the account's new password.
   */
  async changePassword (user: { name: string }, password: string, assertWanted: () => Promise<void>): Promise<boolean> {
    const checked = this.#verified.get(user)
    await this.assertNewPassword(user.name, password)
    // The user has given the current password, so the new one is hashed before those of strangers.
    const passwordHash = await hashPassword(password, true)
    await assertWanted()
    if (checked === undefined || !await this.#options.accounts.update(accountKey(user.name), { passwordHash }, checked)) return false
    this.#verified.set(user, passwordHash)
    return true
  }

  /**
   * Returns a text that changes with the password of an account, for a MAC that must become invalid with it: the hash that a
   * result of {@link authenticate} was checked against, else the hash of the account with this name. Empty without an account.
   */
  async versionOf (user: { name: string }): Promise<string> {
    return this.#verified.get(user) ?? (await findAccount(this.#options.accounts, user.name))?.passwordHash ?? ''
  }

  /** Checks a new password against the rules. @throws PasswordError if this cannot be the account's new password. */
  async assertNewPassword (name: string, password: string): Promise<void> {
    await assertNewPassword(password, normalName(name), this.#options)
  }

  /** Creates an account. @throws AccountExistsError (409), NameError, PasswordError (400), BusyError (503) */
  async add (name: string, password: string): Promise<void> {
    if (await this.#create(name, password) === null) throw new AccountExistsError(normalName(name))
  }

  /** Sets another password and ends every session of the account. @throws NoSuchAccountError (404), NameError, PasswordError (400), BusyError (503) */
  async setPassword (name: string, password: string): Promise<void> {
    await this.assertNewPassword(name, password)
    // A missing account is an error before the work of the hash.
    await this.#read(name)
    await this.#update(name, { passwordHash: await hashPassword(password) })
  }

  /**
   * Prevents further logins to the account and ends all its sessions. If a session cannot be ended, the account is disabled all the
   * same, and the call fails.
   *
   * @throws NoSuchAccountError (404), NameError (400)
   */
  async disable (name: string): Promise<void> {
    await this.#update(name, { disabled: true }, { isUrgent: true })
  }

  /** Allows logins to the account again and ends all its sessions. @throws NoSuchAccountError (404), NameError (400) */
  async enable (name: string): Promise<void> {
    await this.#update(name, { disabled: false })
  }

  /**
   * Notes that this realm has sessions of the accounts. A change of an account that another realm makes ends them too: it looks at the
   * noted realms after it has changed the account.
   */
  async noteRealm (): Promise<void> {
    await this.#options.accounts.noteRealm?.(this.#options.realm)
  }

  /**
   * Ends every session of an account, in each realm that shares the accounts. Returns how many.
   *
   * @param endHere ends those of this realm; all of them by default
   */
  async endSessions (name: string, endHere = () => this.#options.revokeUser(name, this.#options.realm)): Promise<number> {
    return await total([endHere(), this.#endElsewhere(name)])
  }

  /** Lists all accounts. */
  list (): Promise<Account[]> {
    return Promise.resolve(this.#options.accounts.list())
  }

  /**
   * Hashes the password with the current parameters. Returns the old hash if hatcheck is busy or the password has been changed
   * meanwhile.
   *
   * @throws BusyError if hatcheck is too busy to check the password against the hash that another login has made meanwhile.
   */
  async #renewHash ({ name, passwordHash }: Account, password: string, isFamiliar: boolean): Promise<string> {
    const { accounts } = this.#options
    const renewed = await hashPassword(password, isFamiliar).catch((error: unknown) => {
      if (error instanceof BusyError) return null
      throw error
    })
    if (renewed !== null && await accounts.update(accountKey(name), { passwordHash: renewed }, passwordHash)) return renewed
    // Another login may have renewed it at the same time, such as the second of a double click.
    const now = await accounts.read(accountKey(name))
    if (now === null || now.passwordHash === passwordHash) return passwordHash
    return await verifyPassword(now.passwordHash, password, isFamiliar) ? now.passwordHash : passwordHash
  }

  /** Makes a result of {@link authenticate} and remembers the hash that it was checked against. */
  #answer ({ name, passwordHash }: Account): { name: string } {
    const user = { name }
    this.#verified.set(user, passwordHash)
    return user
  }

  /** Creates an account. Resolves to null if the name is taken. */
  async #create (name: string, password: string, onSignup?: () => Promise<void>): Promise<Account | null> {
    const { accounts, now } = this.#options
    if (await this.#isTaken(name)) return null
    // Before the checks: a refused sign-up counts as well.
    await onSignup?.()
    const kept = newName(name)
    await this.assertNewPassword(kept, password)
    const account = { name: kept, passwordHash: await hashPassword(password), createdAt: now(), disabled: false }
    return await accounts.create(accountKey(kept), account) ? account : null
  }

  /** Treats a damaged account as missing, so that `add` replaces it. Logins never get here: {@link authenticate} has failed on it before. */
  async #isTaken (name: string): Promise<boolean> {
    try {
      return await findAccount(this.#options.accounts, name) !== null
    } catch (error) {
      if ((error as Error).cause instanceof DamagedAccountError) return false
      throw error
    }
  }

  async #endElsewhere (name: string): Promise<number> {
    const { accounts, realm, revokeUser } = this.#options
    const others = (await accounts.realms?.() ?? []).filter((other) => other !== realm)
    return await total(others.map((other) => revokeUser(name, other)))
  }

  async #read (name: string): Promise<Account> {
    const account = await findAccount(this.#options.accounts, name)
    if (account === null) throw new NoSuchAccountError(normalName(name))
    return account
  }

  /** Changes an account, and ends its sessions. @param isUrgent whether the change is made even if a session cannot be ended */
  async #update (name: string, changes: Partial<Account>, { isUrgent = false } = {}): Promise<void> {
    const account = await this.#read(name)
    try {
      // Also before: a process that is killed after the change must not leave the sessions of a thief alive.
      await this.endSessions(account.name)
    } catch (error) {
      // The call after the change fails as well, unless the store works again by then.
      if (!isUrgent) throw error
    }
    await this.#options.accounts.update(accountKey(account.name), changes)
    await this.endSessions(account.name)
  }
}

/** Adds up numbers of ended sessions. A session that cannot be ended keeps no other alive: it fails once all calls are done. */
async function total (calls: ReadonlyArray<Promise<number>>): Promise<number> {
  await Promise.allSettled(calls)
  return (await Promise.all(calls)).reduce((sum, ended) => sum + ended, 0)
}

/** Finds the account of a name as a user typed it. An account created under exactly this spelling comes before the one of the unified spelling. @throws NameError */
export async function findAccount (accounts: AccountStore, name: string): Promise<Account | null> {
  for (const key of accountKeys(name)) {
    const account = await accounts.read(key)
    if (account !== null) return account
  }
  return null
}
