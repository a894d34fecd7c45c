import type { FastifyBaseLogger } from 'fastify'
import type { AccountStore } from '../../store/accounts.js'
import { Memo } from '../../common/memo.js'
import type { SessionStore } from '../../store/sessions.js'
import type { AttemptStore } from '../../store/attempts.js'

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
  /** What the log calls the session under a key. */
  handleOf?: ((key: string) => string) | undefined
}

export type StorageLog = Pick<FastifyBaseLogger, 'info' | 'warn'> & Partial<Pick<FastifyBaseLogger, 'debug'>>

/** What is said of a record that cannot be read, by its kind. */
const DAMAGE = {
  session: 'it counts as absent, and is dropped when it would have expired',
  tombstone: 'its session stays ended',
  'index by user': 'the user can neither log in nor see sessions until it is deleted. Change the secret key then: sessions that are in no index cannot be ended by name',
  'index by expiry': 'an entry of it is passed over. "hatcheck doctor" tells more',
  account: 'it cannot log in. "hatcheck user add" makes it anew, with the name as the account had it',
  'counter of failed logins': 'it counts as none',
  'note of formats': 'it is written anew; each record has its own format'
} as const

export type RecordKind = keyof typeof DAMAGE

/** Says of each record once, in one line, that it is damaged. A session is named by its handle, where that is known. */
export function damageLog (log: StorageLog, handleOf: (key: string) => string = (key) => key): (kind: RecordKind, key: string) => void {
  const isNew = onceEach()
  return (kind, key) => {
    if (!isNew(`${kind} ${key}`)) return
    const name = kind === 'session' || kind === 'tombstone' ? handleOf(key) : key
    log.warn({ record: kind, name }, `the ${[kind, name].join(' ').trim()} is damaged: ${DAMAGE[kind]}.`)
  }
}

/** Says of each account once that its format is not known. */
export function unknownFormatLog (log: StorageLog): (key: string) => void {
  const isNew = onceEach()
  return (key) => {
    if (!isNew(key)) return
    log.warn({ account: key }, `the account ${key} has a format that this version of hatcheck does not know: it cannot log in and is left as it is. Use the version that wrote it.`)
  }
}

const REMEMBERED = 1_000

/** However many there are, the memory of them is bounded. */
function onceEach (): (text: string) => boolean {
  const told = new Memo<true>(REMEMBERED)
  return (text) => {
    if (told.get(text) === true) return false
    told.set(text, true)
    return true
  }
}
