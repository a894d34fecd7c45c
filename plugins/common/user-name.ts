import { namesRealm } from './realm.js'

/** Tells whether a session can have a user of this name. */
export function isUserName (name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.isWellFormed() && !namesRealm(name)
}
