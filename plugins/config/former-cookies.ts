import { realmOfCookie } from '../common/realm.js'
import { assertRule, shown } from '../common/rule.js'
import type { NameOf } from './option-name.js'

/** The attributes by which a browser identifies a cookie to drop. */
export interface ClearedCookie {
  readonly name: string
  readonly path: string
  readonly domain?: string
}

interface CookieOptions {
  readonly realm?: string
  readonly sessionCookieName?: string
  readonly sessionCookiePath: string
  readonly sessionCookieDomain?: string
}

/**
 * Checks the former names of the session cookie.
 *
 * A realm that is not set comes from the name of the cookie. With another name, every session would end; with the former name
 * as the default, they would end when the option is removed again. So the realm has to be set.
 *
 * @throws ConfigError
 */
export function formerCookies (names: readonly unknown[], options: CookieOptions, form: string, cookieName: RegExp, nameOf: NameOf): ClearedCookie[] {
  const { realm, sessionCookieName, sessionCookiePath: path, sessionCookieDomain: domain } = options
  return names.map((name) => {
    assertRule(typeof name === 'string' && cookieName.test(name), `${nameOf('formerCookieNames')} must be ${form}; got ${shown(name)}.`)
    const former = realmOfCookie(name)
    assertRule(realm !== undefined || former === realmOfCookie(sessionCookieName),
      `${nameOf('realm')} must be set beside ${nameOf('formerCookieNames')}, because it comes from the name of the cookie otherwise: the sessions of the cookie ${shown(name)} are in the realm ${shown(former)}.`)
    // Browsers take a cookie with this prefix for one host and the path `/` only.
    if (/^__host-/i.test(name)) return { name, path: '/' }
    return { name, path, ...domain !== undefined && { domain } }
  })
}
