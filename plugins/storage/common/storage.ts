import type { FastifyBaseLogger } from 'fastify'
import type { AccountStore } from '../../store/accounts.js'
import type { AttemptStore } from '../../store/attempts.js'
import type { CarriedSessions } from '../../store/carried.js'
import type { RevocationStore } from '../../store/revocations.js'
import type { StoreOptions } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'

/** An open engine with its sessions, accounts and failed logins. */
export interface Storage {
  sessions: CompleteSessionStore
  /** Returns what ends the sessions of a user in a realm. In that of this registration, it is {@link sessions}. */
  sessionsIn (realm: string): Pick<CompleteSessionStore, 'removeOfUser'>
  /** Set if the sessions are kept in the cookies of the browsers. {@link sessions} then only ends them. */
  carried?: CarriedSessions
  /** Null if the application brought a session store without accounts. */
  accounts: AccountStore | null
  attempts: AttemptStore
  /** The engine and its place, for people. */
  description: string
  /** Promises of hatcheck that it cannot keep, for the log of the start. */
  losses?: readonly string[]
  /** Flushes all writes and releases the engine. Does nothing for a store of the application. */
  close (): Promise<void>
}

/** An open store that knows of no other realm. */
export type AnyRealm = Omit<Storage, 'sessionsIn'>

/** An engine of hatcheck's own. It can also remember which sessions have ended, for sessions that are kept in cookies. */
export interface Engine extends AnyRealm {
  accounts: AccountStore
  openRevocations (): RevocationStore
}

/** The arguments with which every engine is opened. */
export interface StorageOptions extends StoreOptions {
  /** Returns how the log names the session under a key. */
  handleOf?: ((key: string) => string) | undefined
}

/** The part of a logger that an engine needs. */
export type StorageLog = Pick<FastifyBaseLogger, 'info' | 'warn'> & Partial<Pick<FastifyBaseLogger, 'debug'>>
