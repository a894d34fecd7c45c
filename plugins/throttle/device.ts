import { randomBytes, timingSafeEqual } from 'node:crypto'

/** The MACs of a text by every secret; the first is by the one that signs. */
export type MacsOf = (text: string) => readonly Buffer[]

/** What the cookie of a known device is for. */
export interface DeviceOf {
  /** The key of the account. */
  account: string
  /** What changes with the account's password: a new one makes every device unknown. */
  version: string
}

/** How long a device is known after its last login, in seconds. */
export const DEVICE_SECONDS = 180 * 86_400

const NONCE_BYTES = 16
/** A nonce, the time in seconds since the epoch, and a MAC. */
const VALUE = /^([\w-]{22})\.(\d{1,12})\.([\w-]{43})$/

/**
 * What a browser keeps that has logged in to an account. It opens nothing: with it, a login is counted apart from those
 * of strangers, so that they cannot keep the owner out.
 *
 * Source: https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 *
 * @param now in ms since the epoch
 */
export function newDevice (of: DeviceOf, now: number, macsOf: MacsOf): string {
  const nonce = randomBytes(NONCE_BYTES).toString('base64url')
  const seconds = String(Math.floor(now / 1_000))
  return `${nonce}.${seconds}.${macsOf(textOf(nonce, seconds, of))[0]?.toString('base64url')}`
}

/** Whether a value has the form of a device's cookie and its time is not over. Says nothing about its MAC. */
export function mayBeDevice (value: string, now: number): boolean {
  const [, , seconds] = VALUE.exec(value) ?? []
  return seconds !== undefined && now < (Number(seconds) + DEVICE_SECONDS) * 1_000
}

/** Which device of this account the value stands for, or null if it does not, or not any more. */
export function deviceOf (value: string, of: DeviceOf, now: number, macsOf: MacsOf): string | null {
  const [, nonce, seconds, mac] = VALUE.exec(value) ?? []
  if (nonce === undefined || seconds === undefined || mac === undefined || !mayBeDevice(value, now)) return null
  const presented = Buffer.from(mac)
  const matches = macsOf(textOf(nonce, seconds, of)).map((expected) => timingSafeEqual(presented, Buffer.from(expected.toString('base64url'))))
  return matches.includes(true) ? nonce : null
}

/** No part but the last can have a line break in it. */
function textOf (nonce: string, seconds: string, { account, version }: DeviceOf): string {
  return [nonce, seconds, version, account].join('\n')
}
