import { sizeOf, type SessionRecord } from './record.js'
import type { RevocationStore } from './revocations.js'

/** A session as its cookie carries it. */
export interface Carried {
  /** The ID of the session. */
  readonly id: string
  readonly record: SessionRecord
  /** When the last copy of the cookie ends, in ms since the epoch. It stays the same as long as the ID does. */
  readonly endsAt: number
  /** The epoch of the user when the session began: see `RevocationStore`. */
  readonly epoch: number
  /** The further data that the codec has read, by which it writes unchanged values as they were. It stays with the session under another ID. */
  readonly origin?: unknown
}

/** A carried session, as it was read from a cookie. */
export interface Opened extends Carried {
  /** Whether the cookie has to be written again, since another key than the first has written it. */
  readonly isStale: boolean
}

/** How many characters the value of a cookie has at most. Browsers keep none that is longer. Source: RFC 6265, section 6.1. */
export const LONGEST_VALUE = 4_096

/** In bytes of JSON. */
const MOST_KEPT = 4_096

/**
 * Tells whether a session may be kept in memory between requests. A compressed cookie of a few hundred bytes can carry a hundred
 * times as much, and one visitor can have thousands of them.
 */
export function isKeepable ({ record }: Carried): boolean {
  return sizeOf(record.fields) <= MOST_KEPT
}

/** Writes and reads the values of session cookies that carry the session. */
export interface CookieCodec {
  /** Tells whether a value has the form of a cookie of this kind. Only {@link open} proves that it is one. */
  isLike (value: string): boolean
  /**
   * Reads the value of a cookie. Returns null unless it was written with one of the keys, for this name and realm. Tells
   * nothing about the times in it. Never throws.
   */
  open (value: string, name: string): Opened | null
  /** Returns how long the value of the cookie is, in characters. @throws SessionTooLargeError */
  lengthOf (session: Carried): number
  /** Returns the value of a cookie. */
  seal (session: Carried, name: string): string
}

/** Sessions that are kept in the cookies of the browsers. */
export interface CarriedSessions {
  /** The store that remembers which of them have ended. */
  readonly revocations: RevocationStore
  /** @param secrets the secret keys: the first writes, all read */
  codecOf (secrets: readonly Buffer[]): CookieCodec
}
