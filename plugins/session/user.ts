import { fromJson } from './fields.js'
import type { SessionRecord } from '../store/sessions.js'

/** Who is logged in. */
export interface User {
  /** The name, as it was given to `request.login`. */
  readonly name: string
  /** When the login was, in ms since the epoch. */
  readonly authenticatedAt: number
}

const storedUsers = new WeakMap<SessionRecord, User | null>()

/** Who a record says is logged in; found out once for each record, since a store may give out the same one many times. */
export function storedUser (record: SessionRecord): User | null {
  let user = storedUsers.get(record)
  if (user === undefined) {
    const { client_name: name, authenticatedAt } = record.fields
    user = userOf(record.user, fromJson(name), fromJson(authenticatedAt), record)
    storedUsers.set(record, user)
  }
  return user
}

/**
 * @param user whom `request.login` has logged in
 * @param name what the session says
 */
export function userOf (user: string | null, name: unknown, authenticatedAt: unknown, record: SessionRecord | null): User | null {
  if (user === null || name !== user) return null
  return Object.freeze({ name, authenticatedAt: typeof authenticatedAt === 'number' ? authenticatedAt : record?.createdAt ?? 0 })
}
