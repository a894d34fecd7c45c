import type { Test } from 'tap'
import { Accounts, type AccountsOptions } from '../../plugins/accounts/accounts.js'
import type { AccountStore } from '../../plugins/store/accounts.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { openEngine, type Kind } from '../stores/watched-store.js'

export const START = recordOf().createdAt

export interface Office {
  accounts: Accounts
  store: AccountStore
  sessions: SessionStore
}

export function openOffice (t: Test, kind: Kind, options: Partial<Pick<AccountsOptions, 'signup' | 'passwordMinLength' | 'commonPasswords'>> = {}): Office {
  const { accounts: store, sessions } = openEngine(t, kind, { now: () => START })
  return { accounts: accountsOver(store, sessions, options), store, sessions }
}

export function revokerOf (sessions: SessionStore): (name: string) => Promise<number> {
  return async (name) => await sessions.removeOfUser(name)
}

export function accountsOver (accounts: AccountStore, sessions: SessionStore, options: Partial<AccountsOptions> = {}): Accounts {
  return new Accounts({ accounts, revokeUser: revokerOf(sessions), realm: 'hatcheck', signup: 'closed', passwordMinLength: 15, commonPasswords: 'refused', now: () => START, ...options })
}
