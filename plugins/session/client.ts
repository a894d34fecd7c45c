import type { FastifyRequest } from 'fastify'
import Bowser from 'bowser'
import { isLoopback } from '../common/loopback.js'
import { addressIn } from '../common/network.js'
import { CLIENT_FIELD } from './fields.js'
import { fromJson } from './json.js'
import type { SessionFields } from '../store/sessions.js'

/** Where a session was begun, in words by which a person recognizes the device. */
export interface Client {
  /** Browser and system, such as `Firefox on Linux`; or `Unknown browser`. */
  readonly client: string
  /** The network, not the machine: `192.0.2.x`, `2001:db8:1::x`, `this machine`, or `unknown`. */
  readonly address: string
}

const UNKNOWN: Client = { client: 'Unknown browser', address: 'unknown' }

/** Real ones are shorter. The parser's patterns take long on longer text. */
const MAX_USER_AGENT = 512

/** The parser returns the sender's own words for a browser or system that it does not know. Those must not be shown. */
const BROWSERS = new Set(Object.values(Bowser.BROWSER_MAP))
const SYSTEMS = new Set(Object.values(Bowser.OS_MAP))

/** Describes the sender of a request, as the text of a field. */
export function clientText (userAgent: string | undefined, ip: string | undefined): string {
  return JSON.stringify([clientOf(userAgent), networkOf(ip)])
}

/** Fastify's `ip` looks at every forwarded address each time, and a request can carry thousands. */
const addresses = new WeakMap<FastifyRequest, string | undefined>()

/** Returns the client's address; undefined on a Unix socket and for an injected request. */
export function clientAddress (request: FastifyRequest): string | undefined {
  if (!addresses.has(request)) {
    // Fastify's `ip` throws if it trusts a proxy and there is no socket.
    addresses.set(request, request.raw.socket === undefined ? undefined : request.ip as string | undefined)
  }
  return addresses.get(request)
}

/** Reads the client from the fields of a session. */
export function storedClient (fields: SessionFields): Client {
  const stored = fromJson(fields[CLIENT_FIELD])
  if (!Array.isArray(stored)) return UNKNOWN
  const [client, address] = stored
  return { client: String(client), address: String(address) }
}

function clientOf (userAgent = ''): string {
  if (userAgent === '') return UNKNOWN.client
  if (/^curl\//i.test(userAgent)) return 'curl'
  const { browser, os } = Bowser.parse(userAgent.slice(0, MAX_USER_AGENT))
  if (browser.name === undefined || !BROWSERS.has(browser.name)) return UNKNOWN.client
  return os.name !== undefined && SYSTEMS.has(os.name) ? `${browser.name} on ${os.name}` : browser.name
}

/** Shows the first 24 bits of an IPv4 address, or 48 of an IPv6 address. */
function networkOf (ip = ''): string {
  // Behind a proxy, any text can stand here.
  const address = addressIn(ip)
  if (address === null) return UNKNOWN.address
  const { version, parts } = address
  if (isLoopback(parts.join(version === 4 ? '.' : ':'))) return 'this machine'
  return version === 4 ? [...parts.slice(0, 3), 'x'].join('.') : `${parts.slice(0, 3).join(':')}::x`
}
