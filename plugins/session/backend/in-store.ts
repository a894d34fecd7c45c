import { after } from '../../common/maybe-promise.js'
import { fieldsWithout, withChanges, type StoredSession } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import type { TicketSigner } from '../../tickets/ticket.js'
import type { SessionBackend } from './backend.js'

/** Keeps the sessions in a store. */
export function inStore (store: CompleteSessionStore, currentSigner: () => TicketSigner): SessionBackend {
  return {
    sync: store.sync,
    changesCookie: false,
    remembersEnds: true,
    get verifier () { return currentSigner() },
    read: ({ key }) => store.read(key),
    create: async (ticket, record, limit) => await store.create(ticket.key, record, limit) ? { ticket, record } : null,
    patch: ({ ticket, record }, changes) => after(store.patch(ticket.key, changes), (isLive) => isLive ? { ticket, record: withChanges(record, changes) } : null),
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
    canEnd: async ({ key }) => await store.read(key) !== null || await store.successor(key) !== null,
    cookieValue: (id, stored) => currentSigner().sign(id, stored?.ticket)
  }
}

/**
 * Ends a session, or its successor if another request has just renewed it.
 *
 * @returns the session as it was at its end, or null if it was not live.
 */
export async function endIn (store: CompleteSessionStore, key: string): Promise<StoredSession | null> {
  const record = await store.remove(key)
  if (record !== null) return { key, record }
  const nextKey = await store.successor(key)
  return nextKey === null ? null : await endIn(store, nextKey)
}
