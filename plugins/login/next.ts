import { originOf } from '../config/origins.js'
import type { Config } from '../config/resolve.js'

/** An origin that no real address has: a value that resolves to it is relative. */
const HERE = 'http://next.invalid'
/** In characters, as written in an address: what nginx accepts by default. */
const LONGEST = 8_192

/** Makes what says where a login leads. */
export function createNext ({ base, home, isAllowedOrigin }: Pick<Config, 'base' | 'home' | 'isAllowedOrigin'>) {
  /**
   * Where to go on to: a path on this origin, or an address on an allowed origin. Anything else becomes the start page, or that
   * of the application.
   */
  function nextOf (value: unknown): string {
    if (typeof value !== 'string' || value.length > LONGEST) return home
    const address = addressOf(value)
    // One character may become nine in an address, and proxies limit the length of a header.
    return address === null || address.length > LONGEST ? home : address
  }

  /** The login page, which leads on to {@link nextOf} of the value. */
  function loginPathTo (value: unknown): string {
    return `${base}/login?next=${encodeURIComponent(nextOf(value))}`
  }

  function addressOf (value: string): string | null {
    // Browsers drop tabs and line breaks from an address and read a backslash as a slash.
    if (/[\p{Cc}\\]/u.test(value)) return null
    const absolute = originOf(value)
    if (absolute !== null) return isAllowedOrigin(absolute) ? new URL(value).href : null
    if (!value.startsWith('/') || value.startsWith('//')) return null
    const { origin, pathname, search, hash } = new URL(value, HERE)
    return origin === HERE && !pathname.startsWith('//') ? pathname + search + hash : null
  }

  return { nextOf, loginPathTo }
}
