import type { FastifyRequest } from 'fastify'
import type { CookieProfile } from './cookie-profile.js'
import { cookieValues, isTicketLike, type Ticket, type TicketSigner } from '../tickets/ticket.js'

/** The last Cookie header of a connection, and its tickets. */
interface LastRead {
  readonly header: string
  readonly name: string
  readonly signer: TicketSigner
  readonly tickets: readonly Ticket[]
}

const kLastRead = Symbol('hatcheck.tickets')
type Connection = FastifyRequest['raw']['socket'] & { [kLastRead]?: LastRead }

/** A longer header is not kept: there may be many connections, idle for long. */
const MAX_KEPT_LENGTH = 1_024
const NONE: readonly Ticket[] = []

/** How many tickets of one cookie name are verified. The others count as invalid. */
export const MAX_TICKETS = 8

/**
 * Makes a function that reads the tickets of a request: every cookie of the profile's name that verifies. A planted or stale
 * duplicate must not lock out a user who also has a live ticket.
 *
 * A browser sends the same header with every request of a connection. Comparing it costs less than reading it.
 */
export function ticketReader (
  currentSigner: () => TicketSigner,
  profileOf: (request: FastifyRequest) => CookieProfile,
  formerNames: readonly string[] = []
): (request: FastifyRequest) => readonly Ticket[] {
  return (request) => {
    const header = request.headers.cookie
    if (header === undefined) return NONE
    const { name } = profileOf(request)
    const signer = currentSigner()
    // An injected request may have no socket.
    const connection: Connection | undefined = request.raw.socket
    const last = connection?.[kLastRead]
    if (last !== undefined && last.header === header && last.name === name && last.signer === signer) return last.tickets
    const tickets = ticketsIn(header, name, signer, formerNames)
    if (connection !== undefined && header.length <= MAX_KEPT_LENGTH) connection[kLastRead] = { header, name, signer, tickets }
    return tickets
  }
}

/**
 * Returns the valid tickets in a Cookie header.
 *
 * @param formerNames names that the cookie had before. Their tickets come last, and are stale.
 */
export function ticketsIn (header: string, name: string, signer: TicketSigner, formerNames: readonly string[] = []): readonly Ticket[] {
  const tickets = ticketsOfName(header, name, signer)
  for (const former of formerNames) {
    if (former !== name) for (const ticket of ticketsOfName(header, former, signer)) tickets.push({ ...ticket, stale: true })
  }
  return tickets
}

function ticketsOfName (header: string, name: string, signer: TicketSigner): Ticket[] {
  return candidates(cookieValues(header, name)).map((value) => signer.verify(value)).filter((ticket) => ticket !== null)
}

/**
 * Selects the values to verify. Of too many it takes the last: browsers send cookies with longer paths first, and a sibling
 * domain needs longer paths to plant many cookies of one name.
 */
function candidates (values: readonly string[]): readonly string[] {
  return values.length <= MAX_TICKETS ? values : [...new Set(values.filter(isTicketLike))].slice(-MAX_TICKETS)
}
