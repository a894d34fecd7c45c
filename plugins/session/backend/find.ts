import type { FastifyRequest } from 'fastify'
import { expiryOf, type Lifetimes } from '../../common/lifetimes.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { guarded, storeUnavailable } from '../../store/errors.js'
import type { SessionRecord } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { Stored } from '../model/stored.js'
import type { SessionBackend } from './backend.js'
import { assertSessionIsOn } from './off.js'

interface FinderOptions {
  readonly backend: SessionBackend
  readonly lifetimes: Lifetimes
  ticketsOf (request: FastifyRequest): readonly Ticket[]
  /** Tells whether this process refuses a session although the store has it. */
  isRefused (key: string): boolean
  now (): number
}

export interface Finder {
  /** Finds the live session that a request presents. @throws StoreUnavailableError */
  find (request: FastifyRequest): MaybePromise<Stored | null>
  /** Reads the record again; null: the session has ended. @throws StoreUnavailableError */
  read (stored: Pick<Stored, 'ticket'>): Promise<SessionRecord | null>
  /** Finds the first live session of some tickets. @throws StoreUnavailableError */
  findAmong (tickets: readonly Ticket[]): Promise<Stored | null>
}

/** Makes the functions that find the live session of a request, and read it again. */
export function createFinder ({ backend, lifetimes, ticketsOf, isRefused, now }: FinderOptions): Finder {
  return {
    find: backend.sync ? findNow : find,
    findAmong,
    read: async ({ ticket }) => live(ticket, await guarded('read', () => backend.read(ticket)))
  }

  /** A synchronous store costs no promise. */
  function findNow (request: FastifyRequest): Stored | null {
    assertSessionIsOn(request)
    for (const ticket of ticketsOf(request)) {
      let record
      try {
        record = live(ticket, backend.read(ticket) as SessionRecord | null)
      } catch (error) {
        throw storeUnavailable(error, 'read')
      }
      if (record !== null) return { ticket, record }
    }
    return null
  }

  function find (request: FastifyRequest): MaybePromise<Stored | null> {
    assertSessionIsOn(request)
    const tickets = ticketsOf(request)
    return tickets.length === 0 ? null : findAmong(tickets)
  }

  /** Reads all of them at once, so that several tickets cost one round trip. */
  async function findAmong (tickets: readonly Ticket[]): Promise<Stored | null> {
    const reads = tickets.map((ticket) => ({ ticket, reading: guarded('read', () => backend.read(ticket)) }))
    // Reads after the first live session do not matter, even if they fail.
    if (reads.length > 1) for (const { reading } of reads) reading.catch(() => {})
    for (const { ticket, reading } of reads) {
      const record = live(ticket, await reading)
      if (record !== null) return { ticket, record }
    }
    return null
  }

  /** The lifetimes of the current configuration decide. The expiry in the record only says when the store may drop it. */
  function live (ticket: Ticket, record: SessionRecord | null): SessionRecord | null {
    if (record === null || isRefused(ticket.key)) return null
    return expiryOf(record, lifetimes) > now() ? record : null
  }
}
