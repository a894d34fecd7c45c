import type { FastifyRequest } from 'fastify'
import { guarded, isLate, reasonOf } from '../../store/errors.js'
import type { StoredSession } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import { LogoutUnconfirmedError } from '../model/errors.js'
import type { Stored } from '../model/stored.js'
import type { SessionBackend, SessionRef } from './backend.js'
import type { SessionEmitter } from './events.js'
import type { Upkeep } from './upkeep.js'

/** The sessions of another library that requests may present. */
interface OldSessions {
  presentedBy (request: FastifyRequest): ReadonlyArray<{ readonly ticket: Ticket }>
  /** Ends them. Returns the tickets of the sessions by which they continue, begun or not, and whether every end is stored. */
  endPresentedBy (request: FastifyRequest): Promise<{ tickets: Ticket[], isStored: boolean }>
}

interface EnderOptions {
  readonly backend: SessionBackend
  readonly emitter: SessionEmitter
  readonly upkeep: Pick<Upkeep, 'refuse' | 'discard' | 'isRefused'>
  /** null: there are none. */
  readonly oldSessions: OldSessions | null
  /** Returns the valid tickets in the header of a request. */
  ticketsOf (request: FastifyRequest): readonly Ticket[]
}

/** Ends sessions for requests, and emits the events. An end that the store cannot take is tried again; its ticket is refused meanwhile. */
export class Ender {
  readonly #options: EnderOptions

  constructor (options: EnderOptions) {
    this.#options = options
  }

  /**
   * Ends every session that a request presents. Otherwise a browser with two cookies would continue in the other session.
   *
   * @param stored the session of the request, which may be newer than its header
   * @param isAvailable whether the store has answered which of them are live
   * @param isSilent whether a store has just let the request wait in vain. Then nobody waits for the ends.
   * @throws LogoutUnconfirmedError if an end is not stored; the ticket is refused from now on.
   */
  async end (request: FastifyRequest, stored: Stored | null, { isAvailable, isSilent }: { isAvailable: boolean, isSilent: boolean }): Promise<void> {
    const { backend, upkeep, oldSessions, ticketsOf } = this.#options
    const own = stored?.ticket
    const tickets = own === undefined ? ticketsOf(request) : [own, ...ticketsOf(request)]
    const ending = this.#withOld(request, this.#endEach(request, tickets, async (ticket) => {
      const canEnd = !isAvailable || ticket.key === own?.key || await this.#canEnd(ticket)
      return canEnd ? await backend.end(ticket) : null
    }))
    if (!isSilent) return await ending
    ending.catch(() => {})
    const old = oldSessions?.presentedBy(request).map(({ ticket }) => ticket) ?? []
    for (const { key } of [...tickets, ...old]) upkeep.refuse(key)
    throw new LogoutUnconfirmedError()
  }

  /**
   * Ends every other session that a request presents. Its own continues without a user.
   *
   * @throws LogoutUnconfirmedError
   */
  async endOthers (request: FastifyRequest, own: Stored): Promise<void> {
    const { backend, ticketsOf } = this.#options
    const others = ticketsOf(request).filter(({ key }) => key !== own.ticket.key)
    await this.#withOld(request, this.#endEach(request, others, async (ticket) => {
      const record = await backend.read(ticket) === null ? null : await backend.remove(ticket)
      return record === null ? null : { key: ticket.key, record }
    }), own.ticket.key)
  }

  /** Ends a session whose cookie cannot be delivered. */
  async discard ({ ticket, record }: Stored, request: FastifyRequest): Promise<void> {
    const { backend, emitter, upkeep } = this.#options
    try {
      if (await backend.remove(ticket) !== null) emitter.emit('destroyed', ticket.key, record.user, request)
    } catch (error) {
      upkeep.discard(ticket.key)
      request.log.warn({ reason: reasonOf(error) }, 'the end of a session could not be stored; it will be tried again')
    }
  }

  /** Waits for the end of hatcheck's sessions, and ends those of another library. */
  async #withOld (request: FastifyRequest, ending: Promise<void>, exceptKey?: string): Promise<void> {
    const { oldSessions } = this.#options
    await (oldSessions === null ? ending : allDone(this.#endOld(oldSessions, request, exceptKey), ending))
  }

  /** Ends the sessions of another library that a request presents, and those by which they continue, begun or not. */
  async #endOld (oldSessions: OldSessions, request: FastifyRequest, exceptKey?: string): Promise<void> {
    const { backend } = this.#options
    const { tickets, isStored } = await oldSessions.endPresentedBy(request)
    await this.#endEach(request, tickets.filter(({ key }) => key !== exceptKey), (ticket) => backend.end(ticket))
    if (!isStored) throw new LogoutUnconfirmedError()
  }

  async #endEach (request: FastifyRequest, tickets: readonly SessionRef[], end: (ticket: SessionRef) => Promise<StoredSession | null>): Promise<void> {
    const { emitter, upkeep } = this.#options
    const confirmed = await Promise.all(distinct(tickets).map(async (ticket) => {
      try {
        const ended = await end(ticket)
        if (ended !== null) emitter.emit('destroyed', ended.key, ended.record.user, request)
        return true
      } catch (error) {
        upkeep.refuse(ticket.key)
        request.log.warn({ reason: reasonOf(error) }, 'the end of a session could not be stored; its ticket is refused until it is')
        return false
      }
    }))
    if (confirmed.includes(false)) throw new LogoutUnconfirmedError()
  }

  /**
   * Tells whether there may be something to end. Most duplicate cookies belong to sessions that ended long ago.
   *
   * @throws StoreUnavailableError if the store does not answer in time: the request does not wait again.
   */
  async #canEnd (ticket: SessionRef): Promise<boolean> {
    const { backend, upkeep } = this.#options
    if (upkeep.isRefused(ticket.key)) return true
    try {
      return await guarded('read', () => backend.canEnd(ticket))
    } catch (error) {
      if (isLate(error)) throw error
      return true
    }
  }
}

/** Returns one ticket for each key, the first. */
function distinct (tickets: readonly SessionRef[]): SessionRef[] {
  return [...new Map(tickets.toReversed().map((ticket) => [ticket.key, ticket])).values()]
}

/** Waits for all of them, even if one fails. @throws the first error */
async function allDone (...tasks: Array<Promise<void>>): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}
