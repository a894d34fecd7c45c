import { fieldsWithout, withChanges, type MaybePromise, type Replaced, type SessionChanges, type SessionFields, type SessionRecord, type SessionReplacement, type StoredSession, type UserLimit } from '../store/sessions.js'
import type { CompleteSessionStore } from '../store/traits.js'
import type { Ticket, TicketSigner } from '../tickets/ticket.js'
import type { Stored } from './plan.js'
import type { TicketVerifier } from './ticket-reader.js'
import { endIn } from './upkeep.js'

/** What names a session: its key, and what its cookie carries. */
export type Named = Pick<Ticket, 'key' | 'carried'>

/** The outcome of {@link SessionKeeper.replace}. */
export type Renewed = Exclude<Replaced, { outcome: 'replaced' }> | { readonly outcome: 'replaced', readonly last: SessionRecord, readonly next: Stored | null }

/**
 * Where the sessions of requests are: in a store, or in their cookies. Its methods are those of `SessionStore`, with a ticket
 * in place of a key. A change returns the session as it is from then on. If that has another ticket, the browser has to get
 * its cookie.
 */
export interface SessionKeeper {
  /** Whether {@link read} returns at once, without a promise. */
  readonly sync: boolean
  /** Whether every change changes the cookie. */
  readonly changesCookie: boolean
  /** Reads tickets with the current keys. */
  readonly verifier: TicketVerifier
  read (ticket: Named): MaybePromise<SessionRecord | null>
  /** Returns null if the session has ended before it began, or exists. */
  create (ticket: Ticket, record: SessionRecord, limit?: UserLimit): MaybePromise<Stored | null>
  /** Returns null if the session has ended. */
  patch (stored: Stored, changes: SessionChanges): MaybePromise<Stored | null>
  /** Returns null if the session has ended. */
  touch (stored: Stored, seenAt: number, expiresAt: number): MaybePromise<Stored | null>
  take (stored: Stored, prefix: string): MaybePromise<{ taken: SessionFields, rest: Stored }>
  replace (stored: Stored, next: Ticket, change: SessionReplacement, limit?: UserLimit): MaybePromise<Renewed>
  remove (ticket: Named): MaybePromise<SessionRecord | null>
  /**
   * Ends a session, or its successor if another request has just renewed it.
   *
   * @returns the session as it was at its end, or null if it was not live.
   */
  end (ticket: Named): Promise<StoredSession | null>
  /** Tells whether {@link end} may find something to end. */
  mayLive (ticket: Named): Promise<boolean>
  /** Returns the value of the cookie of a session. @param stored null if it is not stored yet */
  cookieValue (id: string, stored: Stored | null, cookieName: string): string
}

/** Keeps the sessions in a store. */
export function inStore (store: CompleteSessionStore, currentSigner: () => TicketSigner): SessionKeeper {
  return {
    sync: store.sync,
    changesCookie: false,
    get verifier () { return currentSigner() },
    read: ({ key }) => store.read(key),
    create: async (ticket, record, limit) => await store.create(ticket.key, record, limit) ? { ticket, record } : null,
    patch: async ({ ticket, record }, changes) => await store.patch(ticket.key, changes) ? { ticket, record: withChanges(record, changes) } : null,
    touch: async (stored, seenAt, expiresAt) => await store.touch(stored.ticket.key, seenAt, expiresAt) ? stored : null,
    async take ({ ticket, record }, prefix) {
      const taken = await store.take(ticket.key, prefix)
      return { taken, rest: { ticket, record: { ...record, fields: fieldsWithout(taken, record.fields) } } }
    },
    async replace ({ ticket: { key } }, ticket, change, limit) {
      const replaced = await store.replace(key, ticket.key, change, limit)
      if (replaced.outcome !== 'replaced') return replaced
      const { next } = replaced
      return { ...replaced, next: next === null ? null : { ticket, record: next } }
    },
    remove: ({ key }) => store.remove(key),
    end: ({ key }) => endIn(store, key),
    mayLive: async ({ key }) => await store.read(key) !== null || await store.successor(key) !== null,
    cookieValue: (id) => currentSigner().sign(id)
  }
}
