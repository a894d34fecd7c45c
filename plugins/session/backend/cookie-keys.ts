import type { CarriedSessions, CookieCodec, Opened } from '../../store/carried.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { TicketVerifier } from '../cookie/ticket-reader.js'

/** Reads and writes the cookies with one list of keys. */
interface Keyed {
  readonly secrets: readonly Buffer[]
  readonly codec: CookieCodec
  readonly verifier: TicketVerifier
}

/** Makes a function that returns the codec and the verifier of session cookies with the current keys. */
export function currentKeys (codecOf: CarriedSessions['codecOf'], currentSecrets: () => readonly Buffer[], ticketOf: (id: string) => Ticket): () => Keyed {
  let keyed: Keyed | null = null
  return () => {
    const secrets = currentSecrets()
    if (keyed?.secrets !== secrets) {
      const codec = codecOf(secrets)
      keyed = { secrets, codec, verifier: verifierWith(codec, ticketOf) }
    }
    return keyed
  }
}

function verifierWith (codec: CookieCodec, ticketOf: (id: string) => Ticket): TicketVerifier {
  /** By the opened value, which the codec remembers: to look a ticket up costs less than to hash its ID. */
  const tickets = new WeakMap<Opened, Ticket>()
  return {
    isLike: (value) => codec.isLike(value),
    verify (value, name) {
      const opened = codec.open(value, name)
      if (opened === null) return null
      let ticket = tickets.get(opened)
      if (ticket === undefined) {
        ticket = { ...ticketOf(opened.id), stale: opened.isStale, carried: opened }
        tickets.set(opened, ticket)
      }
      // Each cookie header has a ticket of its own: a touch reaches only the browser that gets the response.
      return { ...ticket }
    }
  }
}
