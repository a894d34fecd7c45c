import { randomUUID } from 'node:crypto'
import type { SessionRef } from '../../plugins/session/backend/backend.js'
import { inCookie } from '../../plugins/session/backend/in-cookie.js'
import type { Stored } from '../../plugins/session/model/stored.js'
import { createSealedCodec } from '../../plugins/storage/cookie/sealed.js'
import { CookieSessions } from '../../plugins/storage/cookie/sessions.js'
import type { RevocationStore } from '../../plugins/store/revocations.js'
import type { SessionStore, StoreOptions } from '../../plugins/store/sessions.js'
import type { Ticket } from '../../plugins/tickets/ticket.js'
import { testKey } from '../helper.js'

const NAME = 'hatcheck'
const HOUR = 3_600
const LONG = { idleSeconds: 400 * 24 * HOUR, lifetimeSeconds: 400 * 24 * HOUR }

/**
 * A store over sessions in cookies: it holds the cookie of each session as a browser does, presents it with each call, and
 * keeps what it gets. The key of a session is its ID.
 */
export function browserStore (revocations: RevocationStore, { now, maxBytes }: StoreOptions, close: () => unknown = () => {}): SessionStore {
  const cookies = new Map<string, string>()
  const secrets = [Buffer.from(testKey)]
  const ticketOf = (id: string): Ticket => ({ id, key: id, stale: false, touchedAt: 0, carried: null })
  const backend = inCookie({
    carried: { revocations, codecOf: (secrets) => createSealedCodec(secrets, NAME, maxBytes) },
    longestValue: 8_000,
    maxBytes,
    lifetimes: { browser: LONG, permanent: LONG },
    now,
    currentSecrets: () => secrets,
    ticketOf,
    newId: () => randomUUID()
  })
  const ends = new CookieSessions({ revocations, isEnforced: true, engine: { ping () {}, async close () { await close() } }, now })

  const ticketAt = (key: string): Ticket => backend.verifier.verify(cookies.get(key) ?? '', NAME) ?? ticketOf(key)
  const named = (key: string): SessionRef => ticketAt(key)
  const storedAt = (key: string): Stored | null => {
    const ticket = ticketAt(key)
    return ticket.carried === null ? null : { ticket, record: ticket.carried.record }
  }

  function keep (key: string, stored: Stored | null): boolean {
    if (stored !== null) cookies.set(key, backend.cookieValue(stored.ticket.id, stored, NAME))
    return stored !== null
  }

  return {
    sync: backend.sync,
    // Without a promise only if it never answers with one.
    read: (key) => backend.sync ? backend.read(named(key)) : Promise.resolve(backend.read(named(key))),
    create: async (key, record) => keep(key, await backend.create(ticketOf(key), record)),
    async patch (key, changes) {
      const stored = storedAt(key)
      return stored !== null && keep(key, await backend.patch(stored, changes))
    },
    async touch (key, seenAt, expiresAt) {
      const stored = storedAt(key)
      return stored !== null && keep(key, await backend.touch(stored, seenAt, expiresAt))
    },
    async take (key, prefix) {
      const stored = storedAt(key)
      if (stored === null) return {}
      const { taken, rest } = await backend.take(stored, prefix)
      keep(key, rest)
      return taken
    },
    async replace (key, nextKey, change) {
      const stored = storedAt(key)
      if (stored === null) return { outcome: 'gone' }
      const renewed = await backend.replace(stored, ticketOf(nextKey), change)
      if (renewed.outcome !== 'replaced') return renewed
      keep(nextKey, renewed.next)
      return { ...renewed, next: renewed.next?.record ?? null }
    },
    async remove (key, nextKey) {
      return nextKey === undefined ? await backend.remove(named(key)) : await ends.remove(key, nextKey)
    },
    successor: (key) => revocations.successor(key),
    removeOfUser: (user, exceptKey) => ends.removeOfUser(user, exceptKey),
    ping: () => ends.ping(),
    close: () => ends.close()
  }
}
