import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { Memo } from '../../common/memo.js'
import { ownText } from '../../common/own-text.js'
import { isKeepable, LONGEST_VALUE, type Carried, type CookieCodec, type Opened } from '../../store/carried.js'
import { deriveKey } from '../../tickets/ticket.js'
import { Payloads } from './payload.js'

/*
 * The value of a cookie, in base64url: the version, a random salt, the encrypted payload, and the tag that proves all of it.
 * AES-256-GCM encrypts each value with a key and a nonce of its own, which HMAC-SHA-512 makes of the derived key and the
 * salt: random nonces of 96 bits alone would limit how many cookies one secret key may write.
 *
 * Source: NIST SP 800-38D, section 8.3; NIST SP 800-108r1, section 4.1.
 */

const VERSION = 1
const SALT_BYTES = 24
const TAG_BYTES = 16
const KEY_BYTES = 32
const NONCE_BYTES = 12
const HEAD_BYTES = 1 + SALT_BYTES

const FORMAT = /^[\w-]{60,}$/

/** How many opened values are kept at least (at most twice as many are), and the length of the longest one. */
const MEMO_SIZE = 2_000
const MEMO_LONGEST = 1_024

/**
 * Makes the codec that encrypts a session into its cookie. A value that was made with another key, for another realm or under
 * another name of the cookie is worth nothing.
 *
 * @param secrets the first writes, all read
 * @param maxBytes how many bytes of JSON the fields of a session may take
 */
export function createSealedCodec (secrets: readonly Buffer[], realm: string, maxBytes: number): CookieCodec {
  const keys = secrets.map((secret) => deriveKey(secret, 'session in a cookie', realm))
  const payloads = new Payloads(maxBytes)
  const memo = new Memo<{ name: string, opened: Opened }>(MEMO_SIZE)
  /** The values that were sealed or opened before, so that a session keeps one value as long as it does not change. */
  const values = new WeakMap<Carried, { name: string, value: string }>()

  function open (value: string, name: string): Opened | null {
    const bytes = isLike(value) ? Buffer.from(value, 'base64url') : null
    // Decoding ignores bits of the last character. Only the canonical spelling is a value.
    if (bytes === null || bytes[0] !== VERSION || bytes.toString('base64url') !== value) return null
    for (const [index, key] of keys.entries()) {
      const packed = decrypted(bytes, key, contextOf(name, realm))
      const session = packed === null ? null : payloads.unpack(packed)
      if (session !== null) return { ...session, isStale: index > 0 }
    }
    return null
  }

  /** Keeps an opened value, which nobody else may change from now on. */
  function remember (value: string, name: string, opened: Opened): void {
    if (!opened.isStale) values.set(opened, { name, value })
    if (value.length <= MEMO_LONGEST && isKeepable(opened)) memo.set(value, { name, opened })
  }

  return {
    isLike,
    open (value, name) {
      const known = memo.get(value)
      if (known?.name === name) return known.opened
      const opened = open(value, name)
      if (opened !== null) remember(ownText(value), name, opened)
      return opened
    },
    lengthOf: (session) => Math.ceil((HEAD_BYTES + payloads.pack(session).length + TAG_BYTES) * 4 / 3),
    seal (session, name) {
      const known = values.get(session)
      if (known?.name === name) return known.value
      const value = encrypted(payloads.pack(session), keys[0] as Buffer, contextOf(name, realm)).toString('base64url')
      values.set(session, { name, value })
      // The browser sends it back with its next request.
      remember(value, name, openedFrom(session))
      return value
    }
  }
}

/** The result of opening the value of a session: a copy, since the record is the caller's. */
function openedFrom ({ id, endsAt, epoch, record }: Carried): Opened {
  return { id, endsAt, epoch, record: { ...record, fields: { ...record.fields } }, isStale: false }
}

function isLike (value: string): boolean {
  return value.length <= LONGEST_VALUE && FORMAT.test(value)
}

/** Returns the data that a value is bound to. */
function contextOf (name: string, realm: string): Buffer {
  return Buffer.from(`hatcheck session ${VERSION}\0${name}\0${realm}`)
}

function encrypted (payload: Buffer, key: Buffer, context: Buffer): Buffer {
  const salt = randomBytes(SALT_BYTES)
  const cipher = createCipheriv('aes-256-gcm', ...keyAndNonce(key, salt)).setAAD(context)
  return Buffer.concat([Buffer.of(VERSION), salt, cipher.update(payload), cipher.final(), cipher.getAuthTag()])
}

function decrypted (bytes: Buffer, key: Buffer, context: Buffer): Buffer | null {
  const end = bytes.length - TAG_BYTES
  if (end < HEAD_BYTES) return null
  const decipher = createDecipheriv('aes-256-gcm', ...keyAndNonce(key, bytes.subarray(1, HEAD_BYTES)), { authTagLength: TAG_BYTES })
  decipher.setAAD(context).setAuthTag(bytes.subarray(end))
  const payload = decipher.update(bytes.subarray(HEAD_BYTES, end))
  try {
    decipher.final()
    return payload
  } catch {
    return null
  }
}

function keyAndNonce (key: Buffer, salt: Buffer): [key: Buffer, nonce: Buffer] {
  const made = createHmac('sha512', key).update(salt).digest()
  return [made.subarray(0, KEY_BYTES), made.subarray(KEY_BYTES, KEY_BYTES + NONCE_BYTES)]
}
