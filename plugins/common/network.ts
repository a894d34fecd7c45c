import { isIP } from 'node:net'

/** An IP address in its parts: four numbers, or eight groups of hexadecimal digits without leading zeros. */
export type Address = { version: 4 | 6, parts: string[] }

/** What stands before an IPv4 address that is written as an IPv6 address: RFC 4291, section 2.5.5.2, and RFC 6052. */
const IPV4_WITHIN = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0']

/**
 * The address in a text, also where a proxy has written the port with it; null if it is none. IPv4 within IPv6 is IPv4.
 */
export function addressIn (text: string): Address | null {
  const host = text.replace(/^\[([^\]]*)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1').replace(/%.*$/s, '')
  switch (isIP(host)) {
    case 4:
      return { version: 4, parts: host.split('.') }
    case 6: {
      const groups = groupsOf(host)
      if (!IPV4_WITHIN.includes(groups.slice(0, 6).join(':'))) return { version: 6, parts: groups }
      return { version: 4, parts: groups.slice(6).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]).map(String) }
    }
    default:
      return null
  }
}

/**
 * Whose address it is: an IPv4 address as it is, of an IPv6 address the first 64 bits, since whoever has one has all the
 * others of that network. What is no address stays as it is.
 */
export function networkOf (text: string): string {
  const address = addressIn(text)
  if (address === null) return text
  return address.version === 4 ? address.parts.join('.') : `${address.parts.slice(0, 4).join(':')}::/64`
}

/** What an address is part of. A text that is no address is all of it. */
export interface Networks {
  /** As {@link networkOf} says. */
  network: string
  /** The /56 of an IPv6 address, which is mostly one household; null of an IPv4 address. */
  site: string | null
  /** The /48 of an IPv6 address, the /24 of an IPv4 address. */
  block: string
}

/** The networks around an address. */
export function networksOf (text: string): Networks {
  const network = networkOf(text)
  const address = addressIn(text)
  if (address === null) return { network, site: null, block: network }
  const { version, parts } = address
  const block = parts.slice(0, 3)
  if (version === 4) return { network, site: null, block: `${block.join('.')}.0/24` }
  const subnet = (parseInt(parts[3] as string, 16) & 0xff00).toString(16)
  return { network, site: `${[...block, subnet].join(':')}::/56`, block: `${block.join(':')}::/48` }
}

function groupsOf (address: string): string[] {
  // The URL parser writes them one way, also those with an IPv4 address at the end.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const [first, last] = [head, tail].map((part) => part === '' ? [] : part.split(':')) as [string[], string[]]
  return [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
}
