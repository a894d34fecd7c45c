/** The object that bytes from a store are as JSON, or null: they may be damaged. */
export function objectIn (bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}

/**
 * What people may be told of a key. Lmdb decodes one that is damaged to something else, up to what lies behind it in memory,
 * such as a password hash; then nothing is found under it.
 *
 * @param isThere whether something is.
 */
export function keyText (key: unknown, isThere: boolean): string {
  return isThere && typeof key === 'string' ? key : '(key damaged)'
}
