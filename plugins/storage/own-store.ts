import { assertRule } from '../common/rule.js'
import type { AccountStore } from '../store/accounts.js'
import type { AttemptStore } from '../store/attempts.js'
import { guarded } from '../store/errors.js'
import type { SessionStore } from '../store/sessions.js'
import { hasTrait, lossesOf, withEveryTrait } from '../store/traits.js'
import { boundedStore } from './bounded-store.js'
import type { Storage, StorageLog } from './common/storage.js'
import { MemoryAttempts } from './memory/attempts.js'

/**
 * Opens a store that the application has brought, with the accounts and the counters of failed logins that it brings. Logs
 * each trait that the store lacks.
 *
 * @throws ConfigError if it brings accounts and cannot end the sessions of one.
 */
export function openOwnStore (store: SessionStore, name: string, log: StorageLog): Storage {
  const { accounts, attempts } = store
  assertRule(accounts === undefined || hasTrait(store, 'removeOfUser'),
    `${name} brings accounts, so it must have the method removeOfUser: a new password ends the sessions of its account.`)
  for (const loss of lossesOf(store)) log.warn(loss)
  return {
    sessions: withEveryTrait(store.sync ? store : boundedStore(store)),
    accounts: accounts === undefined ? null : guardedAccounts(accounts),
    attempts: attempts === undefined ? new MemoryAttempts() : guardedAttempts(attempts),
    description: 'the store of the application',
    // The application opened it and closes it.
    close: async () => {}
  }
}

/** The accounts, whose failures are those of a store: 503 and not 500. */
function guardedAccounts (accounts: AccountStore): AccountStore {
  return {
    read: (...args) => guarded('account', () => accounts.read(...args)),
    create: (...args) => guarded('account', () => accounts.create(...args)),
    update: (...args) => guarded('account', () => accounts.update(...args)),
    list: () => guarded('account', () => accounts.list())
  }
}

function guardedAttempts (attempts: AttemptStore): AttemptStore {
  return {
    waitOf: (...args) => guarded('attempts', () => attempts.waitOf(...args)),
    admit: (...args) => guarded('attempts', () => attempts.admit(...args)),
    count: (...args) => guarded('attempts', () => attempts.count(...args)),
    uncount: (...args) => guarded('attempts', () => attempts.uncount(...args)),
    forget: (...args) => guarded('attempts', () => attempts.forget(...args)),
    sweep: (...args) => guarded('attempts', () => attempts.sweep(...args))
  }
}
