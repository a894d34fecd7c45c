import { CLIENT_FIELD } from '../../store/identity.js'
import type { SessionFields } from '../../store/sessions.js'
import { fromJson } from './json.js'

/** Where a session was begun, in words by which a person recognizes the device. */
export interface Client {
  /** Browser and system, such as `Firefox on Linux`; or `Unknown browser`. */
  readonly client: string
  /** The network, not the machine: `192.0.2.x`, `2001:db8:1::x`, `this machine`, or `unknown`. */
  readonly address: string
}

/** The client of a session whose browser is unknown, such as one that `app.sessions.begin` has begun. */
export const UNKNOWN_CLIENT: Client = { client: 'Unknown browser', address: 'unknown' }

/** Writes a client as the text of a field. {@link storedClient} reads it. */
export function clientField ({ client, address }: Client): string {
  return JSON.stringify([client, address])
}

/** Reads the client from the fields of a session. */
export function storedClient (fields: SessionFields): Client {
  const stored = fromJson(fields[CLIENT_FIELD])
  if (!Array.isArray(stored)) return UNKNOWN_CLIENT
  const [client, address] = stored
  return { client: String(client), address: String(address) }
}
