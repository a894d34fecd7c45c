import { Memo } from '../../common/memo.js'
import { DamagedAccountError, UnknownFormatError } from '../../store/errors.js'
import type { Unreadable } from './formats.js'
import type { StorageLog } from './storage.js'

/** The consequence of a damaged record, by its kind. */
const DAMAGE = {
  session: 'it counts as missing, and is dropped when it would have expired',
  tombstone: 'its session stays ended',
  'index by user': 'the user can neither log in nor see sessions until it is deleted. Change the secret key then: sessions that are in no index cannot be ended by name',
  'index by expiry': 'an entry of it is passed over. "hatcheck doctor" tells more',
  account: 'it cannot log in. "hatcheck user add" creates it again, with the name as the account had it',
  'counter of failed logins': 'it counts as none',
  'note of formats': 'it is replaced; each record has its own format'
} as const

/** The kind of a record that can be damaged. */
export type RecordKind = keyof typeof DAMAGE

/** Returns a function that logs a damaged record, once for each. It names a session by its handle, if that is known. */
export function damageLog (log: StorageLog, handleOf: (key: string) => string = (key) => key): (kind: RecordKind, key: string) => void {
  const isNew = onceEach()
  return (kind, key) => {
    if (!isNew(`${kind} ${key}`)) return
    const name = kind === 'session' || kind === 'tombstone' ? handleOf(key) : key
    log.warn({ record: kind, name }, `the ${[kind, name].join(' ').trim()} is damaged: ${DAMAGE[kind]}.`)
  }
}

/** Called with the key of each account that cannot be read, since its name may be damaged. */
export type OnUnreadableAccount = (key: string, why: Unreadable) => void

/** Returns a function that logs an account that cannot be read, once for each. @param onDamage of {@link damageLog} */
export function unreadableAccountLog (log: StorageLog, onDamage: ReturnType<typeof damageLog>): OnUnreadableAccount {
  const isNew = onceEach()
  return (key, why) => {
    if (why === 'damaged') onDamage('account', key)
    else if (isNew(key)) log.warn({ account: key }, `the account ${key} has a format that this version of hatcheck does not know: it cannot log in and is left as it is. Use the version that wrote it.`)
  }
}

/** Returns the error of an account that cannot be read. */
export function unreadableAccount (key: string, why: Unreadable): Error {
  return why === 'damaged' ? new DamagedAccountError(key) : new UnknownFormatError(key)
}

const REMEMBERED = 1_000

/** Returns whether a text is new. It remembers a bounded number of texts. */
function onceEach (): (text: string) => boolean {
  const told = new Memo<true>(REMEMBERED)
  return (text) => {
    if (told.get(text) === true) return false
    told.set(text, true)
    return true
  }
}
