import { namesRealm } from './realm.js'

/** Tells whether a session can have a user of this name. A lone surrogate is not text. */
export function isUserName (name: unknown): name is string {
  return typeof name === 'string' && name !== '' && !/\p{Cs}/u.test(name) && !namesRealm(name)
}
