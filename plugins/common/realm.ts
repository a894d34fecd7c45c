import { createHmac, hash } from 'node:crypto'

/** The realm of an application that names neither a realm nor a cookie. What it stores has no mark of a realm. */
export const DEFAULT_REALM = 'hatcheck'

/** Separates a text from the realm it belongs to. No realm contains it. */
export const REALM_SEPARATOR = '\0'

const COOKIE_PREFIX = /^__(?:host|secure)-(?=.)/i
/** 66 bits: two realms of one store do not share a prefix by chance. */
const PREFIX_LENGTH = 11
const PREFIX_END = '.'

/** Returns the suffix that keeps texts of several realms apart in one store; empty for the default realm. */
export function realmSuffix (realm: string): string {
  return realm === DEFAULT_REALM ? '' : REALM_SEPARATOR + realm
}

/** The realm of an application that names none: two applications with the same cookie share their logins. */
export function realmOfCookie (cookieName: string | undefined): string {
  return cookieName?.replace(COOKIE_PREFIX, '') ?? DEFAULT_REALM
}

/**
 * Tells whether the name of a user ends as an entry of the index of another realm does. Such a name is refused: its sessions
 * would be those of another user there. A realm may be the name of any cookie.
 */
export function namesRealm (user: string): boolean {
  return /\0[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(user)
}

/** The SHA-256 of a text, base64url; every realm has another one. Source: RFC 2104. */
export function hashIn (realm: string, text: string): string {
  return realm === DEFAULT_REALM ? hash('sha256', text, 'base64url') : createHmac('sha256', realm).update(text).digest('base64url')
}

/** The prefix of the store keys of a realm: of an expired session, only the key still tells the realm. */
export function keyPrefix (realm: string): string {
  return realm === DEFAULT_REALM ? '' : hashIn(DEFAULT_REALM, realm).slice(0, PREFIX_LENGTH) + PREFIX_END
}

/** Tells whether a store key belongs to the realm with this prefix. */
export function hasKeyPrefix (key: string, prefix: string): boolean {
  return prefix === '' ? !key.includes(PREFIX_END) : key.startsWith(prefix)
}
