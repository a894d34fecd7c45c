import { createHmac } from 'node:crypto'
import { indexOfMac } from '../../common/index-of-mac.js'
import { LONGEST_VALUE } from '../../store/carried.js'

/** A signed text and when it was signed. */
interface Signed {
  readonly payload: string
  /** In seconds since the epoch. */
  readonly signedAt: number
  /** Whether a fallback key has signed it. */
  readonly isStale: boolean
}

/** Signs texts as Flask signs its session cookie, `payload.time.signature`. The first secret signs, all verify. */
interface FlaskSigner {
  /** @param signedAt in whole seconds since the epoch */
  sign (payload: string, signedAt: number): string
  /** Returns the signed text and its time; null if no secret verifies the value. */
  verify (value: string): Signed | null
}

/** The salt of Flask's session cookie. */
const SALT = 'cookie-session'

const FORMAT = /^(\.?[\w-]+)\.([\w-]{1,8})\.([\w-]{27})$/

/**
 * Makes the signer of a Flask application with these secrets: HMAC-SHA1 with a key that HMAC-SHA1 derives from a secret.
 *
 * Source: https://itsdangerous.palletsprojects.com/en/stable/concepts/
 */
export function createFlaskSigner (secrets: readonly Buffer[]): FlaskSigner {
  const keys = secrets.map((secret) => mac(secret, SALT))
  const signingKey = keys[0]
  if (signingKey === undefined) throw new TypeError('at least one secret is required')

  return {
    sign (payload, signedAt) {
      const text = `${payload}.${timeText(signedAt)}`
      return `${text}.${mac(signingKey, text).toString('base64url')}`
    },
    verify (value) {
      const [, payload, time, signature] = value.length > LONGEST_VALUE ? [] : FORMAT.exec(value) ?? []
      if (payload === undefined || time === undefined || signature === undefined) return null
      const match = indexOfMac(signature, keys.map((key) => mac(key, `${payload}.${time}`).toString('base64url')))
      if (match === -1) return null
      const signedAt = timeIn(time)
      return timeText(signedAt) === time ? { payload, signedAt, isStale: match > 0 } : null
    }
  }
}

/** Tells whether a value has the form of a signed text. Only {@link FlaskSigner.verify} proves that it is one. */
export function isSignedLike (value: string): boolean {
  return value.length <= LONGEST_VALUE && FORMAT.test(value)
}

/** Writes a time as its bytes, the highest first, without leading zeros. */
function timeText (seconds: number): string {
  const hex = seconds.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url')
}

/** Eight characters are six bytes, which a number holds exactly. */
function timeIn (text: string): number {
  return Number.parseInt(Buffer.from(text, 'base64url').toString('hex'), 16)
}

function mac (key: Buffer, text: string): Buffer {
  return createHmac('sha1', key).update(text).digest()
}
