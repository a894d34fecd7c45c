import type { FastifyBaseLogger } from 'fastify'
import type { AccountStore } from '../accounts/store.js'
import type { SessionStore } from '../session/store.js'
import type { AttemptStore } from '../throttle/store.js'

/** One engine that keeps sessions, accounts and failed logins. */
export interface Storage {
  sessions: SessionStore
  /** Null when the host brought its own session store: that keeps no accounts. */
  accounts: AccountStore | null
  attempts: AttemptStore
  /** Where it is, for people. */
  description: string
  close (): Promise<void>
}

export interface StorageOptions {
  /** The source of time, in ms since the epoch. */
  now: () => number
  /** JSON bytes that the fields of one session may take. */
  maxBytes: number
}

export type StorageLog = Pick<FastifyBaseLogger, 'info' | 'warn'> & Partial<Pick<FastifyBaseLogger, 'debug'>>

/** Says of each session once that it cannot be read. */
export function corruptionLog (log: StorageLog): (key: string) => void {
  const told = new Set<string>()
  return (key) => {
    if (told.has(key)) return
    told.add(key)
    log.warn({ key }, 'a stored session cannot be read and counts as absent')
  }
}

/** Says of each account once that its format is not known. */
export function unknownFormatLog (log: StorageLog): (key: string) => void {
  const told = new Set<string>()
  return (key) => {
    if (told.has(key)) return
    told.add(key)
    log.warn({ account: key }, `the account ${key} has a format that this version of hatcheck does not know: it cannot log in and is left as it is. Use the version that wrote it.`)
  }
}
