import type { FastifyRequest } from 'fastify'
import type { CookieProfile } from './cookie-profile.js'
import { cookieValues, isTicketLike, type Ticket, type TicketSigner } from '../tickets/ticket.js'

/** What a connection has presented last. */
interface Presented {
  readonly header: string
  readonly name: string
  readonly signer: TicketSigner
  readonly tickets: readonly Ticket[]
}

const kPresented = Symbol('hatcheck.presented')
type Connection = FastifyRequest['raw']['socket'] & { [kPresented]?: Presented }

/** A longer header is not kept: a connection may be idle for long, and there may be many. */
const LONGEST_KEPT = 1_024
const NONE: readonly Ticket[] = []

/** How many tickets of one request are looked at. Any other is worth nothing. */
export const MOST_TICKETS = 8

/**
 * Reads the tickets of a request: the cookies of our name that verify, since a planted or stale duplicate must not lock
 * out a user who also has a live one. At most {@link MOST_TICKETS} are looked at.
 *
 * A browser sends the same header again and again over one connection, and comparing it costs less than reading it.
 */
export function ticketReader (currentSigner: () => TicketSigner, profileOf: (request: FastifyRequest) => CookieProfile): (request: FastifyRequest) => readonly Ticket[] {
  return (request) => {
    const header = request.headers.cookie
    if (header === undefined) return NONE
    const { name } = profileOf(request)
    const signer = currentSigner()
    // A request that was injected may have none.
    const connection: Connection | undefined = request.raw.socket
    const last = connection?.[kPresented]
    if (last !== undefined && last.header === header && last.name === name && last.signer === signer) return last.tickets
    const tickets = candidates(cookieValues(header, name)).map((value) => signer.verify(value)).filter((ticket) => ticket !== null)
    if (connection !== undefined && header.length <= LONGEST_KEPT) connection[kPresented] = { header, name, signer, tickets }
    return tickets
  }
}

/**
 * Which values are worth a MAC. Of too many these are the last: browsers send cookies with longer paths first, and only
 * with such paths can a neighbour plant many cookies of one name.
 */
function candidates (values: readonly string[]): readonly string[] {
  return values.length <= MOST_TICKETS ? values : [...new Set(values.filter(isTicketLike))].slice(-MOST_TICKETS)
}
