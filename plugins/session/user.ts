import type { SessionRecord } from '../store/sessions.js'
import { fromJson } from './json.js'
import type { Values } from './values.js'

/** The user who is logged in. */
export interface User {
  /** The name that was given to `request.login`. */
  readonly name: string
  /** When the user logged in, in ms since the epoch. */
  readonly authenticatedAt: number
}

const storedUsers = new WeakMap<SessionRecord, User | null>()

/** Returns the user of a record with the values of a request over it. */
export function currentUser (record: SessionRecord, values: Values): User | null {
  if (record.user === null) return null
  return values.mayDiffer('client_name') || values.mayDiffer('authenticatedAt')
    ? userOf(record, values.get('client_name'), values.get('authenticatedAt'))
    : storedUser(record)
}

/** Parses the user once for each record, since a store may return the same record many times. */
export function storedUser (record: SessionRecord): User | null {
  let user = storedUsers.get(record)
  if (user === undefined) {
    const { client_name: name, authenticatedAt } = record.fields
    user = userOf(record, fromJson(name), fromJson(authenticatedAt))
    storedUsers.set(record, user)
  }
  return user
}

function userOf ({ user, createdAt }: SessionRecord, name: unknown, authenticatedAt: unknown): User | null {
  if (user === null || name !== user) return null
  return Object.freeze({ name, authenticatedAt: typeof authenticatedAt === 'number' ? authenticatedAt : createdAt })
}
