import type { FastifyRequest } from 'fastify'
import Bowser from 'bowser'
import { isLoopback } from '../common/loopback.js'
import { addressIn } from '../common/network.js'
import { CLIENT_FIELD } from './fields.js'
import { fromJson } from './json.js'
import type { SessionFields } from '../store/sessions.js'

/** From where a session was begun, in words that a person knows the device by. */
export interface Client {
  /** Browser and system, such as `Firefox on Linux`; `Unknown browser` if there is no telling. */
  readonly client: string
  /** The network, not the machine: `192.0.2.x`, `2001:db8:1::x`, `this machine`, or `unknown`. */
  readonly address: string
}

const UNKNOWN: Client = { client: 'Unknown browser', address: 'unknown' }

/** Every real one is shorter; the parser's patterns take their time with the others. */
const LONGEST_USER_AGENT = 512

/** What the parser cannot name it calls by the sender's own words, which are not for showing. */
const BROWSERS = new Set(Object.values(Bowser.BROWSER_MAP))
const SYSTEMS = new Set(Object.values(Bowser.OS_MAP))

/** The field for who sends a request. */
export function clientText (userAgent: string | undefined, ip: string | undefined): string {
  return JSON.stringify([clientOf(userAgent), networkOf(ip)])
}

/** Fastify looks at every forwarded address each time that it is asked, and there can be thousands. */
const addresses = new WeakMap<FastifyRequest, string | undefined>()

/** The address of the client; undefined on a Unix socket and for an injected request. */
export function clientAddress (request: FastifyRequest): string | undefined {
  if (!addresses.has(request)) {
    // Fastify's `ip` fails where it trusts a proxy and there is no socket.
    addresses.set(request, request.raw.socket === undefined ? undefined : request.ip as string | undefined)
  }
  return addresses.get(request)
}

/** What a session's fields say of it. */
export function storedClient (fields: SessionFields): Client {
  const stored = fromJson(fields[CLIENT_FIELD])
  if (!Array.isArray(stored)) return UNKNOWN
  const [client, address] = stored
  return { client: String(client), address: String(address) }
}

function clientOf (userAgent = ''): string {
  if (userAgent === '') return UNKNOWN.client
  if (/^curl\//i.test(userAgent)) return 'curl'
  const { browser, os } = Bowser.parse(userAgent.slice(0, LONGEST_USER_AGENT))
  if (browser.name === undefined || !BROWSERS.has(browser.name)) return UNKNOWN.client
  return os.name !== undefined && SYSTEMS.has(os.name) ? `${browser.name} on ${os.name}` : browser.name
}

/** The first 24 bits of an IPv4 address, 48 of an IPv6 address. */
function networkOf (ip = ''): string {
  // Behind a proxy it is whatever that has written.
  const address = addressIn(ip)
  if (address === null) return UNKNOWN.address
  const { version, parts } = address
  if (isLoopback(parts.join(version === 4 ? '.' : ':'))) return 'this machine'
  return version === 4 ? [...parts.slice(0, 3), 'x'].join('.') : `${parts.slice(0, 3).join(':')}::x`
}
