import type { SessionFields } from './record.js'

/** Fields with this prefix are hatcheck's own: no handler can see or set them. */
export const OWN_PREFIX = 'hatcheck:'

/** The name of the user, as a handler reads it. */
export const USER_FIELD = 'client_name'

/** The time of the login in ms since the epoch, as a handler reads it. */
export const LOGIN_TIME_FIELD = 'authenticatedAt'

/** Describes the client that logged in. Only a login writes it. */
export const CLIENT_FIELD = `${OWN_PREFIX}client`

/** The fields that say who is logged in. They are removed together with the user. */
export const IDENTITY_FIELDS: readonly string[] = [USER_FIELD, LOGIN_TIME_FIELD, CLIENT_FIELD]

/** Returns the fields of a login. @param client the text of {@link CLIENT_FIELD} */
export function identityFields (user: string, loginTime: number, client: string): SessionFields {
  return { [USER_FIELD]: JSON.stringify(user), [LOGIN_TIME_FIELD]: String(loginTime), [CLIENT_FIELD]: client }
}
