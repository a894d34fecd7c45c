import type { FastifyRequest } from 'fastify'
import { cookieValues } from '../../cookies/header.js'
import { isKeepable } from '../../store/carried.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { CookieProfile } from './cookie-profile.js'

/** Checks the values of session cookies. */
export interface TicketVerifier {
  /** Tells whether a value has the form of a ticket. */
  isLike (value: string): boolean
  /** Returns the ticket of a value; null if no key verifies it for a cookie of this name. */
  verify (value: string, name: string): Ticket | null
}

/** The last Cookie header that came over a socket, and its tickets. */
interface LastRead {
  readonly header: string
  readonly name: string
  readonly verifier: TicketVerifier
  readonly tickets: readonly Ticket[]
}

const kLastRead = Symbol('hatcheck.tickets')
type Socket = FastifyRequest['raw']['socket'] & { [kLastRead]?: LastRead }

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
  currentVerifier: () => TicketVerifier,
  profileOf: (request: FastifyRequest) => CookieProfile,
  formerNames: readonly string[]
): (request: FastifyRequest) => readonly Ticket[] {
  return (request) => {
    const header = request.headers.cookie
    if (header === undefined) return NONE
    const { name } = profileOf(request)
    const verifier = currentVerifier()
    // An injected request may have no socket.
    const socket: Socket | undefined = request.raw.socket
    const last = socket?.[kLastRead]
    if (last !== undefined && last.header === header && last.name === name && last.verifier === verifier) return last.tickets
    const tickets = ticketsIn(header, name, verifier, formerNames)
    if (socket !== undefined && header.length <= MAX_KEPT_LENGTH && tickets.every(isKept)) socket[kLastRead] = { header, name, verifier, tickets }
    return tickets
  }
}

/** Tells whether a ticket may be kept with its socket. */
function isKept ({ carried }: Ticket): boolean {
  return carried === null || isKeepable(carried)
}

/**
 * Returns the valid tickets in a Cookie header.
 *
 * @param formerNames names that the cookie had before. Their tickets come last, and are stale.
 */
export function ticketsIn (header: string, name: string, verifier: TicketVerifier, formerNames: readonly string[]): readonly Ticket[] {
  const tickets = ticketsOfName(header, name, verifier)
  for (const former of formerNames) {
    if (former !== name) for (const ticket of ticketsOfName(header, former, verifier)) tickets.push({ ...ticket, stale: true })
  }
  return tickets
}

function ticketsOfName (header: string, name: string, verifier: TicketVerifier): Ticket[] {
  return candidates(cookieValues(header, name), verifier).map((value) => verifier.verify(value, name)).filter((ticket) => ticket !== null)
}

/**
 * Selects the values to verify. Of too many it takes the last: browsers send cookies with longer paths first, and a sibling
 * domain needs longer paths to plant many cookies of one name.
 */
function candidates (values: readonly string[], { isLike }: TicketVerifier): readonly string[] {
  return values.length <= MAX_TICKETS ? values : [...new Set(values.filter((value) => isLike(value)))].slice(-MAX_TICKETS)
}
