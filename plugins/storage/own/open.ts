import type { MaybePromise } from '../../common/maybe-promise.js'
import { assertRule } from '../../common/rule.js'
import type { AccountStore } from '../../store/accounts.js'
import type { AttemptStore } from '../../store/attempts.js'
import { guarded } from '../../store/errors.js'
import type { SessionStore } from '../../store/sessions.js'
import { hasTrait, lossesOf, withEveryTrait } from '../../store/traits.js'
import type { AnyRealm, StorageLog } from '../common/storage.js'
import { MemoryAttempts } from '../memory/attempts.js'
import { answerInTime, boundedStore } from './bounded.js'

/** How long a call about one session, account or counter may take, in ms. It may wait for a pool of connections. */
const DEADLINE_MS = 5_000

/**
 * Opens a store that the application has brought, with the accounts and the counters of failed logins that it brings. Logs
 * each trait that the store lacks.
 *
 * @throws ConfigError if it brings accounts and cannot end the sessions of one.
 */
export function openOwnStore (store: SessionStore, name: string, log: StorageLog, deadlineMs = DEADLINE_MS): AnyRealm {
  const { accounts, attempts } = store
  assertRule(accounts === undefined || hasTrait(store, 'removeOfUser'),
    `${name} brings accounts, so it must have the method removeOfUser: a new password ends the sessions of its account.`)
  for (const loss of lossesOf(store)) log.warn(loss)
  return {
    sessions: withEveryTrait(boundedStore(store, deadlineMs)),
    accounts: accounts === undefined ? null : guardedAccounts(accounts, deadlineMs),
    attempts: attempts === undefined ? new MemoryAttempts() : guardedAttempts(attempts, deadlineMs),
    description: 'the store of the application',
    // The application opened it and closes it.
    close: async () => {}
  }
}

/** The accounts, whose failures are those of a store: 503 and not 500. A list takes longer the more there are. */
function guardedAccounts (accounts: AccountStore, deadlineMs: number): AccountStore {
  const call = <T>(action: () => MaybePromise<T>): Promise<T> => guarded('account', () => answerInTime(action(), deadlineMs))
  return {
    read: (...args) => call(() => accounts.read(...args)),
    create: (...args) => call(() => accounts.create(...args)),
    update: (...args) => call(() => accounts.update(...args)),
    list: () => guarded('account', () => accounts.list()),
    noteRealm: (realm) => call(() => accounts.noteRealm?.(realm)),
    realms: () => call(() => accounts.realms?.() ?? [])
  }
}

function guardedAttempts (attempts: AttemptStore, deadlineMs: number): AttemptStore {
  const call = <T>(action: () => MaybePromise<T>): Promise<T> => guarded('attempts', () => answerInTime(action(), deadlineMs))
  return {
    waitOf: (...args) => call(() => attempts.waitOf(...args)),
    admit: (...args) => call(() => attempts.admit(...args)),
    count: (...args) => call(() => attempts.count(...args)),
    uncount: (...args) => call(() => attempts.uncount(...args)),
    forget: (...args) => call(() => attempts.forget(...args)),
    sweep: (...args) => guarded('attempts', () => attempts.sweep(...args))
  }
}
