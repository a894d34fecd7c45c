import type { Account, AccountStore } from '../../store/accounts.js'

/** Keeps accounts in the memory of this process. */
export class MemoryAccounts implements AccountStore {
  readonly #accounts = new Map<string, Account>()
  readonly #realms = new Set<string>()

  read (key: string): Account | null {
    return this.#accounts.get(key) ?? null
  }

  create (key: string, account: Account): boolean {
    if (this.#accounts.has(key)) return false
    // A copy, since the account is the caller's.
    this.#accounts.set(key, { ...account })
    return true
  }

  update (key: string, changes: Partial<Account>, ifHash?: string): boolean {
    const account = this.#accounts.get(key)
    if (account === undefined || (ifHash !== undefined && account.passwordHash !== ifHash)) return false
    this.#accounts.set(key, { ...account, ...changes })
    return true
  }

  list (): Account[] {
    return [...this.#accounts].sort(([a], [b]) => a < b ? -1 : 1).map(([, account]) => account)
  }

  noteRealm (realm: string): void {
    this.#realms.add(realm)
  }

  realms (): string[] {
    return [...this.#realms]
  }
}
