import type { SessionRecord } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'

/** A session that has begun, as a request knows it: its ticket, and its record in the store or in the cookie. */
export interface Stored {
  readonly ticket: Ticket
  readonly record: SessionRecord
}
