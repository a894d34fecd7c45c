import type { MaybePromise } from '../../common/maybe-promise.js'
import type { Replaced, SessionChanges, SessionFields, SessionRecord, SessionReplacement, StoredSession, UserLimit } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { TicketVerifier } from '../cookie/ticket-reader.js'
import type { Stored } from '../model/stored.js'

/** Identifies a session: its key, and the part of it that its cookie carries. */
export type SessionRef = Pick<Ticket, 'key' | 'carried'>

/** The outcome of {@link SessionBackend.replace}. */
export type Renewed = Exclude<Replaced, { outcome: 'replaced' }> | { readonly outcome: 'replaced', readonly last: SessionRecord, readonly next: Stored | null }

/**
 * Where the sessions of requests are: in a store, or in their cookies. Its methods are those of `SessionStore`, with a ticket
 * in place of a key. A change returns the session as it is from then on. If that has another ticket, the browser has to get
 * its cookie.
 */
export interface SessionBackend {
  /** Whether {@link read} returns at once, without a promise. */
  readonly sync: boolean
  /** Whether every change changes the cookie. */
  readonly changesCookie: boolean
  /** Whether an ended session stays dead although a browser still sends its cookie. */
  readonly remembersEnds: boolean
  /** Reads tickets with the current keys. */
  readonly verifier: TicketVerifier
  read (ticket: SessionRef): MaybePromise<SessionRecord | null>
  /** Returns null if the session has ended before it began, or exists. */
  create (ticket: Ticket, record: SessionRecord, limit?: UserLimit): MaybePromise<Stored | null>
  /** Returns null if the session has ended. */
  patch (stored: Stored, changes: SessionChanges): MaybePromise<Stored | null>
  /** Returns null if the session has ended. */
  touch (stored: Stored, seenAt: number, expiresAt: number): MaybePromise<Stored | null>
  take (stored: Stored, prefix: string): MaybePromise<{ taken: SessionFields, rest: Stored }>
  replace (stored: Stored, next: Ticket, change: SessionReplacement, limit?: UserLimit): MaybePromise<Renewed>
  remove (ticket: SessionRef): MaybePromise<SessionRecord | null>
  /**
   * Ends a session, or its successor if another request has just renewed it.
   *
   * @returns the session as it was at its end, or null if it was not live.
   */
  end (ticket: SessionRef): Promise<StoredSession | null>
  /** Tells whether {@link end} may find something to end. */
  canEnd (ticket: SessionRef): Promise<boolean>
  /** Returns the value of the cookie of a session. @param stored null if it is not stored yet */
  cookieValue (id: string, stored: Stored | null, cookieName: string): string
}
