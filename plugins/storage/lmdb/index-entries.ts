/** A store key ends with a SHA-256 in base64url. The pattern fits only the one text that base64url has for these bytes. */
const HASH = /[\w-]{42}[AEIMQUYcgkosw048]$/
const HASH_LENGTH = 43
const HASH_BYTES = 32
/** Stands before the bytes of a hash. No store key contains it. */
const MARK = 1

/**
 * The keys of sessions as entries of an index: the hash as bytes, which is a quarter shorter than the text. It also reads the
 * entries of format 1, which are all text. The decoder of 'ordered-binary' would not end with some damaged bytes.
 */
export const SHORT_KEYS = {
  encoding: 'string',
  // lmdb adds to it, and also passes it bytes that it has encoded already.
  encoder: {
    writeKey (key: string | Uint8Array, target: Buffer, at: number): number {
      if (typeof key !== 'string') {
        target.set(key, at)
        return at + key.length
      }
      if (!HASH.test(key)) return at + target.write(key, at, 'latin1')
      const head = key.length - HASH_LENGTH
      const mark = at + target.write(key.slice(0, head), at, 'latin1')
      target[mark] = MARK
      return mark + 1 + target.write(key.slice(head), mark + 1, 'base64url')
    },
    readKey (bytes: Buffer, from: number, to: number): string {
      const hash = to - HASH_BYTES
      if (hash <= from || bytes[hash - 1] !== MARK) return bytes.toString('latin1', from, to)
      return bytes.toString('latin1', from, hash - 1) + bytes.toString('base64url', hash, to)
    }
  }
} as const
