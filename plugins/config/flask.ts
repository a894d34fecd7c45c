import type { Lifetimes } from '../common/lifetimes.js'
import { assertRule } from '../common/rule.js'
import type { NameOf } from './option-name.js'

/** The name of Flask's session cookie. */
export const FLASK_COOKIE = 'session'

/** Flask's own default of PERMANENT_SESSION_LIFETIME: 31 days. */
const LIFETIME_SECONDS = 31 * 86_400

const OTHER_CLOCKS = ['sessionIdleTimeout', 'sessionLifetime', 'permanentSessionIdleTimeout']

/**
 * Returns the lifetimes of sessions in the cookies of a Flask application. Such a cookie has one time in it, that of its last
 * signature, and Flask lets every session live for PERMANENT_SESSION_LIFETIME from there.
 *
 * @throws ConfigError if another clock is set, or if a logout would have to be final.
 */
export function flaskLifetimes (given: Record<string, unknown>, lifetimeSeconds: number, nameOf: NameOf): Lifetimes {
  for (const option of OTHER_CLOCKS) {
    assertRule(given[option] === undefined, `${nameOf(option)} must not be set with the store flask:, since a cookie of Flask has one clock. Set ${nameOf('permanentSessionLifetime')} as in Flask.`)
  }
  assertRule(given['sessionRevocation'] === 'none',
    `The store flask: needs ${nameOf('sessionRevocation')}=none: Flask accepts a copy of a cookie after the logout, and so must hatcheck. Set it if you accept that, or use the store cookie: or lmdb:.`)
  const seconds = given['permanentSessionLifetime'] === undefined ? LIFETIME_SECONDS : lifetimeSeconds
  const lifetime = { idleSeconds: seconds, lifetimeSeconds: seconds }
  return { browser: lifetime, permanent: lifetime }
}
