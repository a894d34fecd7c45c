import type Bowser from 'bowser'
import { optionalPackage } from '../../common/lazy-package.js'
import { isLoopback } from '../../common/loopback.js'
import { Memo } from '../../common/memo.js'
import { addressIn } from '../../common/network.js'
import { clientField, UNKNOWN_CLIENT } from './client.js'

/** Loaded at the first login of a browser: it takes longer to load than the rest of this folder. */
const bowser = optionalPackage<typeof Bowser>('bowser')

/** Real ones are shorter. The parser's patterns take long on longer text. */
const MAX_USER_AGENT = 512

/** Parsing a header takes as long as the rest of a login, and many browsers send the same. */
const clients = new Memo<string>(512)

/** Describes the sender of a request, as the text of a field. */
export function clientText (userAgent: string | undefined, ip: string | undefined): string {
  return clientField({ client: clients.getOrMake((userAgent ?? '').slice(0, MAX_USER_AGENT), clientIn), address: networkOf(ip) })
}

function clientIn (userAgent: string): string {
  if (userAgent === '') return UNKNOWN_CLIENT.client
  if (/^curl\//i.test(userAgent)) return 'curl'
  const parser = bowser()
  if (parser === null) return UNKNOWN_CLIENT.client
  const { parse, BROWSER_MAP, OS_MAP } = parser
  const { browser, os } = parse(userAgent)
  // The parser returns the sender's own words for a browser or system that it does not know. Those must not be shown.
  if (!isOneOf(BROWSER_MAP, browser.name)) return UNKNOWN_CLIENT.client
  return isOneOf(OS_MAP, os.name) ? `${browser.name} on ${os.name}` : browser.name
}

function isOneOf (names: Record<string, string>, name: string | undefined): name is string {
  return name !== undefined && Object.values(names).includes(name)
}

/** Shows the first 24 bits of an IPv4 address, or 48 of an IPv6 address. */
function networkOf (ip = ''): string {
  // Behind a proxy, any text can stand here.
  const address = addressIn(ip)
  if (address === null) return UNKNOWN_CLIENT.address
  const { version, parts } = address
  if (isLoopback(parts.join(version === 4 ? '.' : ':'))) return 'this machine'
  return version === 4 ? [...parts.slice(0, 3), 'x'].join('.') : `${parts.slice(0, 3).join(':')}::x`
}
