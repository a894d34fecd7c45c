import { ROUTE_NAMES } from './route-names.js'
import type { Config } from './resolve.js'

/** An origin that no real address has, to write a path as browsers do. */
export const ROOT = 'http://here.invalid'

/**
 * Whether browsers do not send the session cookie to the pages of hatcheck, where a logout then ends nothing. A proxy may change the
 * paths, so this is no error. Source: RFC 6265, section 5.1.4.
 */
export function missesPages ({ sessionCookiePath: path, base, hasRoute }: Pick<Config, 'sessionCookiePath' | 'base' | 'hasRoute'>): boolean {
  // A proxy asks /verify with the cookies of another path.
  const hasPages = ROUTE_NAMES.some((route) => route !== 'verify' && hasRoute(route))
  return hasPages && !new URL(`${base}/`, ROOT).pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}
