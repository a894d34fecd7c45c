import { isUserName } from '../../common/user-name.js'
import type { Carried } from '../../store/carried.js'
import { FlaskUserError, assertSize } from '../../store/errors.js'
import { CLIENT_FIELD, LOGIN_TIME_FIELD, USER_FIELD } from '../../store/identity.js'
import type { SessionRecord } from '../../store/record.js'
import { readSource } from './read.js'
import type { Json, Source } from './source.js'
import { escapeTag, writeTagged } from './write.js'

/** A session as Flask has written it, so that its unchanged values go back as they were. */
export class Origin {
  constructor (readonly payload: string, readonly members: ReadonlyMap<string, Source>) {}
}

/** Where Flask keeps `session.permanent`. */
const PERMANENT = '_permanent'
/** A login of Flask does not say when it was, so it counts as one of long ago. */
const LONG_AGO = '0'

const NONE: ReadonlyMap<string, Source> = new Map()

/** Returns the values in the JSON of a session; null if the text is not the JSON of one. */
export function membersIn (text: string | null): ReadonlyMap<string, Source> | null {
  if (text === null) return null
  try {
    const source = readSource(text)
    return source.kind === 'dict' ? source.members : null
  } catch {
    return null
  }
}

/** @param signedAt in seconds. Flask does not count the parts of a second, so all of it counts. */
export function recordOf (members: ReadonlyMap<string, Source>, signedAt: number, lifetimeSeconds: number): SessionRecord {
  const [user, time] = [userIn(members.get(USER_FIELD)), (signedAt + 1) * 1000]
  const fields: Array<[string, string]> = []
  for (const [key, source] of members) if (key !== PERMANENT) fields.push([key, jsonOf(source)])
  if (user !== null && typeof members.get(LOGIN_TIME_FIELD)?.value !== 'number') fields.push([LOGIN_TIME_FIELD, LONG_AGO])
  return {
    createdAt: time,
    seenAt: time,
    expiresAt: time + lifetimeSeconds * 1000,
    permanent: isPermanent(members),
    user,
    // `__proto__` is a key like any other here.
    fields: Object.fromEntries(fields)
  }
}

/**
 * Returns the JSON of a session for Flask, or its origin if nothing has changed.
 *
 * @throws FlaskUserError, FlaskDepthError, SessionTooLargeError
 */
export function textOf ({ record, origin: given }: Carried, maxBytes: number): string | Origin {
  const origin = given instanceof Origin ? given : null
  const before = origin?.members ?? NONE
  const members = membersOf(record, before)
  const flag = before.get(PERMANENT)?.text
  if (record.permanent !== isPermanent(before)) members.push([PERMANENT, String(record.permanent)])
  else if (flag !== undefined) members.push([PERMANENT, flag])
  if (origin !== null && members.length === before.size && members.every(([key, text]) => before.get(key)?.text === text)) return origin
  const text = escapeTag(members)
  assertSize(text.length, maxBytes)
  return text
}

function membersOf ({ fields, user }: SessionRecord, before: ReadonlyMap<string, Source>): Array<[key: string, text: string]> {
  const members: Array<[string, string]> = []
  for (const [key, text] of Object.entries(fields)) {
    // The client is for the list of sessions, which cookies cannot have.
    if (key === CLIENT_FIELD || key === PERMANENT) continue
    const source = before.get(key)
    const isLongAgo = key === LOGIN_TIME_FIELD && text === LONG_AGO
    const isUnchanged = source !== undefined && (isLongAgo || jsonOf(source) === text)
    if (isLongAgo && !isUnchanged) continue
    const value: Json = JSON.parse(text)
    if (key === USER_FIELD && value !== user && !(isUnchanged && userIn(source) === null)) throw new FlaskUserError()
    members.push([key, isUnchanged ? source.text : writeTagged(value, source)])
  }
  return members
}

/** A name is a `str`. What is text in JSON may be other than that in Flask. */
function userIn (name: Source | undefined): string | null {
  return isUserName(name?.value) && name?.text.startsWith('"') === true ? name.value : null
}

function isPermanent (members: ReadonlyMap<string, Source>): boolean {
  return Boolean(members.get(PERMANENT)?.value)
}

function jsonOf ({ value }: Source): string {
  return JSON.stringify(value)
}
