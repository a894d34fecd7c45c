import { isTime } from '../../common/is-time.js'
import { iso } from '../../common/iso.js'
import { isUserName } from '../../common/user-name.js'
import { LOGIN_TIME_FIELD, USER_FIELD } from '../../store/identity.js'
import type { SessionRecord } from '../../store/sessions.js'
import { UserNameError } from './errors.js'
import { fromJson, kindOf } from './json.js'
import type { Values } from './values.js'

/** The user who is logged in. */
export interface User {
  /** The name that was given to `request.login`. */
  readonly name: string
  /** When the user logged in, in ms since the epoch. */
  readonly authenticatedAt: number
}

/** Returns the user as hatcheck's own routes send it: `HatcheckUser` in the OpenAPI document. */
export function userJson ({ name, authenticatedAt }: User): { name: string, authenticatedAt: string } {
  return { name, authenticatedAt: iso(authenticatedAt) }
}

/** Checks the name of a user. @param caller the method that the application has called @throws UserNameError */
export function assertUserName (user: unknown, caller: string): asserts user is string {
  if (!isUserName(user)) throw new UserNameError(caller, user === '' ? 'an empty string' : kindOf(user) + hintFor(user, caller))
}

/** A login with the answer of a check that nobody has awaited must not look like a bug of hatcheck. */
function hintFor (user: unknown, caller: string): string {
  return caller === 'request.login' && (user === undefined || user instanceof Promise) ? ': is "await" missing, as in "await request.authenticate(…)"?' : ''
}

const storedUsers = new WeakMap<SessionRecord, User | null>()

/** Returns the user of a record with the values of a request over it. */
export function currentUser (record: SessionRecord, values: Values): User | null {
  if (record.user === null) return null
  return values.mayDiffer(USER_FIELD) || values.mayDiffer(LOGIN_TIME_FIELD)
    ? userOf(record, values.get(USER_FIELD), values.get(LOGIN_TIME_FIELD))
    : storedUser(record)
}

/** Parses the user once for each record, since a store may return the same record many times. */
export function storedUser (record: SessionRecord): User | null {
  let user = storedUsers.get(record)
  if (user === undefined) {
    const { [USER_FIELD]: name, [LOGIN_TIME_FIELD]: loginTime } = record.fields
    user = userOf(record, fromJson(name), fromJson(loginTime))
    storedUsers.set(record, user)
  }
  return user
}

function userOf ({ user, createdAt }: SessionRecord, name: unknown, authenticatedAt: unknown): User | null {
  if (user === null || name !== user) return null
  return Object.freeze({ name, authenticatedAt: isTime(authenticatedAt) ? authenticatedAt : createdAt })
}
