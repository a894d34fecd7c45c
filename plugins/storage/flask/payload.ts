import { deflateSync, inflateSync } from 'node:zlib'

/** A payload that begins with this is compressed. */
const COMPRESSED = '.'
/** The length that Flask allows for the mark: a compressed text must be shorter by more than this. */
const MARK_BYTES = 1

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Writes a text in base64url, and compresses it with zlib if that makes it shorter, by Flask's rule. */
export function toPayload (text: string): string {
  const bytes = Buffer.from(text)
  const compressed = deflateSync(bytes)
  return compressed.length < bytes.length - MARK_BYTES
    ? COMPRESSED + compressed.toString('base64url')
    : bytes.toString('base64url')
}

/**
 * Reads the text of a payload.
 *
 * @param maxBytes the longest text in bytes. Nothing is decompressed beyond it.
 * @returns null if the payload is damaged, or its text too long.
 */
export function fromPayload (payload: string, maxBytes: number): string | null {
  const isCompressed = payload.startsWith(COMPRESSED)
  const bytes = Buffer.from(isCompressed ? payload.slice(COMPRESSED.length) : payload, 'base64url')
  try {
    if (isCompressed) return utf8.decode(inflateSync(bytes, { maxOutputLength: maxBytes }))
    return bytes.length > maxBytes ? null : utf8.decode(bytes)
  } catch {
    return null
  }
}
