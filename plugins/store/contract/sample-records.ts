import type { SessionChanges, SessionRecord, SessionReplacement, UserLimit } from '../record.js'
import type { SessionStore } from '../sessions.js'

/** The time at the beginning of each check, in ms since the epoch. */
export const START = 1_800_000_000_000
export const HOUR = 3_600_000

/** Makes a record for a test. It lives for an hour from the beginning of the check. */
export function recordOf (values: Partial<SessionRecord> = {}): SessionRecord {
  return { createdAt: START, seenAt: START, expiresAt: START + HOUR, permanent: false, user: null, fields: { a: '1', b: '"two"' }, ...values }
}

/** Makes changes for a test. Without values they change nothing in {@link recordOf}. */
export function changesOf (values: Partial<SessionChanges> = {}): SessionChanges {
  return { set: {}, remove: [], seenAt: START, expiresAt: START + HOUR, ...values }
}

/** Makes a replacement for a test. Without values the successor keeps every field, and only the key changes. */
export function replacementOf (values: Partial<SessionReplacement> = {}): SessionReplacement {
  return { ...changesOf(), keep: 'all', ...values }
}

/** Makes a limit of sessions for a user, and the list of the keys that it is called with. */
export function limitOf (perUser: number): { limit: UserLimit, told: string[] } {
  const told: string[] = []
  return { limit: { perUser, onEnded: (key) => { told.push(key) } }, told }
}

/** Returns keys without a live record: one that never existed, a removed one and, from now on, an expired one. */
export async function deadKeys (store: SessionStore, clock: { time: number }): Promise<string[]> {
  await store.create('removed', recordOf())
  await store.remove('removed')
  await store.create('expired', recordOf({ expiresAt: START + 1 }))
  clock.time = START + 1
  return ['never was', 'removed', 'expired']
}
