import { hash } from 'node:crypto'
import { Memo } from '../../common/memo.js'
import { ownText } from '../../common/own-text.js'
import { isKeepable, type Carried, type CookieCodec, type Opened } from '../../store/carried.js'
import { fromPayload, toPayload } from './payload.js'
import { membersIn, Origin, recordOf, textOf } from './session.js'
import { createFlaskSigner, isSignedLike } from './signature.js'

interface CodecOptions {
  /** The first signs, all verify. */
  readonly secrets: readonly Buffer[]
  /** How old a signature may be: Flask's PERMANENT_SESSION_LIFETIME. */
  readonly lifetimeSeconds: number
  /** The longest JSON of a session, in bytes. */
  readonly maxBytes: number
  now (): number
}

/** How many opened cookies are kept at least (at most twice as many are), and the length of the longest one. */
const MEMO_SIZE = 2_000
const MEMO_LONGEST = 1_024

/**
 * The clock of the machine with Flask may be ahead of this one by this much. Flask itself refuses every signature of the
 * future; a login in Flask would then be none here until the clocks agree.
 */
const MOST_AHEAD_SECONDS = 60

/** Makes the codec of the session cookie of a Flask application with these secrets. */
export function createFlaskCodec ({ secrets, lifetimeSeconds, maxBytes, now }: CodecOptions): CookieCodec {
  const signer = createFlaskSigner(secrets)
  const memo = new Memo<Opened>(MEMO_SIZE)
  // The size of a session is asked for first, and its cookie is made later.
  const written = new WeakMap<Carried, string>()
  const seconds = (): number => Math.floor(now() / 1000)

  function open (value: string): Opened | null {
    const signed = signer.verify(value)
    if (signed === null || signed.signedAt > seconds() + MOST_AHEAD_SECONDS) return null
    const { payload, signedAt, isStale } = signed
    const members = membersIn(fromPayload(payload, maxBytes))
    if (members === null) return null
    const record = recordOf(members, signedAt, lifetimeSeconds)
    if (Object.keys(record.fields).length === 0) return null
    // A cookie of Flask has no ID, so each signature is one.
    return { id: hash('sha256', value, 'base64url'), record, endsAt: record.expiresAt, epoch: 0, isStale, origin: new Origin(ownText(payload), members) }
  }

  return {
    isLike: isSignedLike,
    open (value) {
      const known = memo.get(value)
      if (known !== undefined) return known
      const opened = open(value)
      if (opened !== null && value.length <= MEMO_LONGEST && isKeepable(opened)) memo.set(value, opened)
      return opened
    },
    lengthOf: (session) => signer.sign(payloadOf(session), seconds()).length,
    seal: (session) => signer.sign(payloadOf(session), seconds())
  }

  function payloadOf (session: Carried): string {
    let payload = written.get(session)
    if (payload === undefined) {
      const text = textOf(session, maxBytes)
      payload = typeof text === 'string' ? toPayload(text) : text.payload
      written.set(session, payload)
    }
    return payload
  }
}
