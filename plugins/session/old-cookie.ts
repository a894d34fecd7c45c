import { createHmac, timingSafeEqual } from 'node:crypto'

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
  const presented = Buffer.from(signed.slice(at + 1))
  return secrets.some((secret) => isEqual(presented, signatureOf(id, secret))) ? id : null
}

function signatureOf (id: string, secret: Buffer): Buffer {
  return Buffer.from(createHmac('sha256', secret).update(id).digest('base64').replaceAll('=', ''))
}

function isEqual (a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Cookies are percent-encoded; a text that is not cannot have a valid signature. */
function decoded (value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return ''
  }
}
