import { createHash, randomInt } from 'node:crypto'
import type { SessionRecord } from '../../plugins/store/record.js'

const HOUR_MS = 3_600_000
/** How long the sessions live that do not expire soon. */
export const LONGEST_LIFE_MS = 24 * HOUR_MS
const MOST_USERS = 10_000

/** The user who has {@link SESSIONS_OF_ONE} sessions more. */
export const ONE_USER = 'A user with many sessions'
export const SESSIONS_OF_ONE = 10_000
/** By this time after the start, half of the sessions have expired. */
export const HALF_EXPIRED_MS = 3 * HOUR_MS

/** The sessions of one size. A number names each, so that another process finds them. */
export interface Population {
  readonly sessions: number
  readonly users: number
  /** When it was made, in ms since the epoch. */
  readonly madeAt: number
}

/** Makes a population with ten sessions for each user; beyond 10,000 users, each has more. */
export function populationOf (sessions: number, madeAt: number): Population {
  return { sessions, users: Math.min(MOST_USERS, Math.ceil(sessions / 10)), madeAt }
}

/** Returns the key of a session. */
export function keyOf (number: number): string {
  return createHash('sha256').update(String(number)).digest('base64url')
}

/** Tells whether the session is in the half that expires soon. Every user has some of both. */
export function expiresSoon (number: number, { users }: Population): boolean {
  return Math.floor(number / users) % 2 === 1
}

/** Returns a random session that does not expire soon. */
export function anyLasting (population: Population): number {
  for (;;) {
    const number = randomInt(population.sessions)
    if (!expiresSoon(number, population)) return number
  }
}

/**
 * Returns the record of a session. The logins were made over an hour, so that no two sessions need to expire at once.
 *
 * @param login the record of a real login
 */
export function recordOf (number: number, login: SessionRecord, population: Population): SessionRecord {
  const { sessions, users, madeAt } = population
  const isOfOne = number >= sessions
  const user = isOfOne ? ONE_USER : `User number ${number % users}`
  const createdAt = madeAt - Math.floor(HOUR_MS * (number % sessions) / sessions)
  const livesFor = expiresSoon(number, population) && !isOfOne ? 2 * HOUR_MS : LONGEST_LIFE_MS
  return { ...login, user, createdAt, seenAt: createdAt, expiresAt: createdAt + livesFor, fields: { ...login.fields, client_name: JSON.stringify(user) } }
}
