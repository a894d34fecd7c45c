import { randomBytes } from 'node:crypto'
import { indexOfMac } from '../common/index-of-mac.js'

/** Computes the MACs of a text with every secret key; the first is by the key that signs. */
export type MacsOf = (text: string) => readonly Buffer[]

/** The account and the password that a device cookie is bound to. */
interface DeviceOf {
  /** The key of the account. */
  account: string
  /** A text that changes with the account's password: a new password makes every device unknown. */
  version: string
}

/** How long a device stays known after its last login, in seconds. */
export const DEVICE_SECONDS = 180 * 86_400

const NONCE_BYTES = 16
/** A nonce, the time in seconds since the epoch, and a MAC. */
const VALUE = /^([\w-]{22})\.(\d{1,12})\.([\w-]{43})$/

/**
 * Makes the device cookie of a browser that has logged in to an account. It grants no access: attempts with it are counted apart
 * from those of strangers, so that strangers cannot keep the owner out.
 *
 * Source: https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 *
 * @param now the time, in ms since the epoch
 */
export function newDevice (of: DeviceOf, now: number, macsOf: MacsOf): string {
  const nonce = randomBytes(NONCE_BYTES).toString('base64url')
  const seconds = String(Math.floor(now / 1_000))
  return `${nonce}.${seconds}.${macsOf(textOf(nonce, seconds, of))[0]?.toString('base64url')}`
}

/** The parts of a device cookie whose MAC is not checked yet. */
interface UnverifiedDevice {
  nonce: string
  seconds: string
  mac: string
}

/** Reads the value of a device cookie. Returns null if it has another form or has expired. */
export function unverifiedDevice (value: string, now: number): UnverifiedDevice | null {
  const [, nonce = '', seconds = '', mac = ''] = VALUE.exec(value) ?? []
  return mac !== '' && now < (Number(seconds) + DEVICE_SECONDS) * 1_000 ? { nonce, seconds, mac } : null
}

/** Returns the device of this account that a cookie stands for; null if the MAC is wrong or of another account. */
export function verifiedDevice ({ nonce, seconds, mac }: UnverifiedDevice, of: DeviceOf, macsOf: MacsOf): string | null {
  const macs = macsOf(textOf(nonce, seconds, of)).map((expected) => expected.toString('base64url'))
  return indexOfMac(mac, macs) === -1 ? null : nonce
}

/** Joins the parts of the signed text. Only the last part can contain a line break. */
function textOf (nonce: string, seconds: string, { account, version }: DeviceOf): string {
  return [nonce, seconds, version, account].join('\n')
}
