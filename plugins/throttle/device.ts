import { randomBytes, timingSafeEqual } from 'node:crypto'

/** The MACs of a text by every secret; the first is by the one that signs. */
export type MacsOf = (text: string) => readonly Buffer[]

const NONCE_BYTES = 16
/** A nonce and a MAC, both base64url. */
const VALUE = /^([\w-]{22})\.([\w-]{43})$/

/**
 * What a browser keeps that has logged in to an account. It opens nothing: with it, a login is counted apart from those
 * of strangers, so that they cannot keep the owner out.
 *
 * Source: https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
export function newDevice (account: string, macsOf: MacsOf): string {
  const nonce = randomBytes(NONCE_BYTES).toString('base64url')
  return `${nonce}.${macsOf(textOf(nonce, account))[0]?.toString('base64url')}`
}

/** Which device of this account the value stands for, or null if it does not. */
export function deviceOf (value: string, account: string, macsOf: MacsOf): string | null {
  const [, nonce, mac] = VALUE.exec(value) ?? []
  if (nonce === undefined || mac === undefined) return null
  const presented = Buffer.from(mac)
  const matches = macsOf(textOf(nonce, account)).map((expected) => timingSafeEqual(presented, Buffer.from(expected.toString('base64url'))))
  return matches.includes(true) ? nonce : null
}

function textOf (nonce: string, account: string): string {
  return `${nonce}.${account}`
}
