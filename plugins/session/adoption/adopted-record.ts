import { expiryOf } from '../../common/lifetimes.js'
import { IDENTITY_FIELDS, identityFields } from '../../store/identity.js'
import { sizeOf, sizeOfField, type SessionRecord } from '../../store/sessions.js'
import { assertEntry } from '../model/fields.js'
import { toJson } from '../model/json.js'
import type { Rules } from '../model/plan.js'

interface Adopted {
  /** The user who is logged in by the old session, or null. */
  readonly user: string | null
  /** Describes the client, as the text of a field. */
  readonly client: string
  readonly values: Readonly<Record<string, unknown>>
  /** How long the browser was to keep the old cookie, in ms; null: until it ends. */
  readonly maxAge: number | null
}

/**
 * Makes the record by which an old session continues. Its life begins now. It is permanent if the old cookie was to live longer
 * than a session that is not.
 *
 * The time of the login is unknown, so it is taken for long ago: sensitive actions ask for the password.
 *
 * @returns `record`, null if nothing is to be kept; and the keys that were left out: hatcheck cannot hold them, or the session
 * is too large with them. A session is worth more than one of its values.
 */
export function adoptedRecord ({ user, client, values, maxAge }: Adopted, { lifetimes, maxBytes, anonymousSessions, now }: Rules): { record: SessionRecord | null, leftOut: string[] } {
  if (user === null && !anonymousSessions) return { record: null, leftOut: [] }
  const leftOut: string[] = []
  const fields: Record<string, string> = {}
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue
    try {
      assertEntry(key, value)
      fields[key] = toJson(key, value)
    } catch {
      leftOut.push(key)
    }
  }
  if (user !== null) Object.assign(fields, identityFields(user, 0, client))
  const largestFirst = Object.keys(fields).filter((key) => user === null || !IDENTITY_FIELDS.includes(key))
    .sort((a, b) => sizeOfField(b, fields[b] as string) - sizeOfField(a, fields[a] as string))
  for (const key of largestFirst) {
    if (sizeOf(fields) <= maxBytes) break
    delete fields[key]
    leftOut.push(key)
  }
  if (Object.keys(fields).length === 0) return { record: null, leftOut }
  const times = { createdAt: now(), seenAt: now(), permanent: maxAge !== null && maxAge > lifetimes.browser.lifetimeSeconds * 1_000 }
  return { record: { ...times, expiresAt: expiryOf(times, lifetimes), user, fields }, leftOut }
}
