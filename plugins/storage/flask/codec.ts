import { SessionTooLargeError } from '../../store/errors.js'
import type { SessionFields, SessionRecord } from '../../store/record.js'
import { fromPayload, toPayload } from './payload.js'
import { readSource } from './read.js'
import { createFlaskSigner } from './signature.js'
import type { Json, Source } from './source.js'
import { escapeTag, writeTagged } from './write.js'

/** What a cookie of Flask holds. */
export interface FlaskSession {
  readonly record: SessionRecord
  /** Whether a fallback key has signed it. */
  readonly stale: boolean
  /** The payload as it was signed, and the values in it. */
  readonly origin: { readonly payload: string, readonly members: ReadonlyMap<string, Source> }
}

interface CodecOptions {
  /** The first signs, all verify. */
  readonly secrets: readonly Buffer[]
  /** How old a signature may be: Flask's PERMANENT_SESSION_LIFETIME. */
  readonly lifetimeSeconds: number
  /** The longest JSON, in bytes. */
  readonly maxBytes: number
  now (): number
}

export interface FlaskCodec {
  /** Returns the session in a cookie; null if it is forged, expired, damaged, too large or empty. Never throws. */
  open (value: string): FlaskSession | null
  /**
   * Returns the cookie of a session, signed now.
   *
   * @param before the session that it continues. Unchanged values go back to Flask as they were.
   * @throws SessionTooLargeError, FlaskDepthError
   */
  seal (record: SessionRecord, before?: FlaskSession | null): string
}

/** Where Flask keeps `session.permanent`. */
const PERMANENT = '_permanent'
const USER = 'client_name'
const AUTHENTICATED_AT = 'authenticatedAt'
/** A login of Flask does not say when it was, so it counts as one of long ago. */
const LONG_AGO = '0'
/** What hatcheck notes for its list of sessions, which a cookie cannot have. */
const CLIENT = 'hatcheck:client'

/** Reads and writes the session cookie of a Flask application. */
export function createFlaskCodec ({ secrets, lifetimeSeconds, maxBytes, now }: CodecOptions): FlaskCodec {
  const signer = createFlaskSigner(secrets)
  const seconds = (): number => Math.floor(now() / 1000)

  return {
    open (value) {
      const signed = signer.verify(value)
      if (signed === null) return null
      const { payload, signedAt, stale } = signed
      const age = seconds() - signedAt
      if (age < 0 || age > lifetimeSeconds) return null
      const members = membersIn(fromPayload(payload, maxBytes))
      if (members === null) return null
      const record = recordOf(members, (signedAt + 1) * 1000, lifetimeSeconds)
      return Object.keys(record.fields).length === 0 ? null : { record, stale, origin: { payload, members } }
    },
    seal (record, before = null) {
      return signer.sign(payloadOf(record, before, maxBytes), seconds())
    }
  }
}

function membersIn (text: string | null): ReadonlyMap<string, Source> | null {
  if (text === null) return null
  try {
    const source = readSource(text)
    return source.kind === 'dict' ? source.members : null
  } catch {
    return null
  }
}

/** @param endOfSecond the end of the second in which Flask has signed, in ms. All of it counts, as in Flask. */
function recordOf (members: ReadonlyMap<string, Source>, endOfSecond: number, lifetimeSeconds: number): SessionRecord {
  const user = userIn(members.get(USER))
  const fields: Array<[string, string]> = []
  for (const [key, source] of members) if (key !== PERMANENT) fields.push([key, jsonOf(source)])
  if (user !== null && typeof members.get(AUTHENTICATED_AT)?.value !== 'number') fields.push([AUTHENTICATED_AT, LONG_AGO])
  return {
    createdAt: endOfSecond,
    seenAt: endOfSecond,
    expiresAt: endOfSecond + lifetimeSeconds * 1000,
    permanent: isPermanent(members),
    user,
    // `__proto__` is a key like any other here.
    fields: Object.fromEntries(fields)
  }
}

/** A name is a `str`. What is text in JSON may be other than that in Flask. */
function userIn (name: Source | undefined): string | null {
  return typeof name?.value === 'string' && name.value !== '' && name.text.startsWith('"') ? name.value : null
}

function isPermanent (members: ReadonlyMap<string, Source>): boolean {
  return Boolean(members.get(PERMANENT)?.value)
}

function payloadOf ({ fields, permanent }: SessionRecord, before: FlaskSession | null, maxBytes: number): string {
  const origin = before?.origin.members ?? new Map<string, Source>()
  const members = membersOf(fields, origin)
  const flag = origin.get(PERMANENT)?.text
  if (permanent !== isPermanent(origin)) members.push([PERMANENT, String(permanent)])
  else if (flag !== undefined) members.push([PERMANENT, flag])
  if (before !== null && members.length === origin.size && members.every(([key, text]) => origin.get(key)?.text === text)) return before.origin.payload
  const text = escapeTag(members)
  if (text.length > maxBytes) throw new SessionTooLargeError(text.length, maxBytes)
  return toPayload(text)
}

function membersOf (fields: SessionFields, origin: ReadonlyMap<string, Source>): Array<[key: string, text: string]> {
  const members: Array<[string, string]> = []
  for (const [key, text] of Object.entries(fields)) {
    if (key === CLIENT || key === PERMANENT || (key === AUTHENTICATED_AT && text === LONG_AGO)) continue
    const source = origin.get(key)
    members.push([key, source !== undefined && jsonOf(source) === text ? source.text : writeTagged(parse(text), source)])
  }
  return members
}

function jsonOf ({ value }: Source): string {
  return JSON.stringify(value)
}

function parse (text: string): Json {
  return JSON.parse(text)
}
