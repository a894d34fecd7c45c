import { createHmac } from 'node:crypto'
import { indexOfMac } from '../../common/index-of-mac.js'

/** express-session marks a signed cookie with it. */
const SIGNED = 's:'

/**
 * Returns the ID in a cookie of express-session or `@fastify/session`, or null if none of the secrets has signed it. Both sign
 * with HMAC-SHA-256 in base64 without padding.
 */
export function idInOldCookie (value: string, secrets: readonly Buffer[]): string | null {
  const text = decoded(value)
  const signed = text.startsWith(SIGNED) ? text.slice(SIGNED.length) : text
  const at = signed.lastIndexOf('.')
  if (at < 1) return null
  const id = signed.slice(0, at)
  return indexOfMac(signed.slice(at + 1), secrets.map((secret) => signatureOf(id, secret))) === -1 ? null : id
}

function signatureOf (id: string, secret: Buffer): string {
  return createHmac('sha256', secret).update(id).digest('base64').replaceAll('=', '')
}

/** Cookies are percent-encoded; a text that is not cannot have a valid signature. */
function decoded (value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return ''
  }
}
