import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js'
import { isIP, isIPv4 as isPlainIPv4 } from 'node:net'

/** An IP address in its parts: four numbers, or eight groups of hexadecimal digits without leading zeros. */
type Address = { version: 4 | 6, parts: string[] }

/** The ranges of IPv6 that contain an IPv4 address: RFC 4291, section 2.5.5.2, and RFC 6052. */
const IPV4_WITHIN = ['ipv4Mapped', 'rfc6052']

/** Reads the address in a text, with or without a port, since some proxies add one. IPv4 within IPv6 is IPv4. Returns null if there is none. */
export function addressIn (text: string): Address | null {
  // Most are in this form, which has only one spelling.
  if (isPlainIPv4(text)) return { version: 4, parts: text.split('.') }
  const address = addressWithin(text)
  return address && partsOf(address)
}

/** The networks that contain an address. Without one, they are empty. */
export interface Networks {
  /** The network that one user has: an IPv4 address itself, the first 64 bits of an IPv6 address. */
  network: string
  /** The /56 of an IPv6 address, which is mostly one household; null for IPv4. */
  site: string | null
  /** The /48 of an IPv6 address, the /24 of an IPv4 address. */
  block: string
}

/** Without an address: over a Unix socket, or if a proxy writes `unknown`, `_hidden` or the like in its place. */
const NOWHERE: Networks = { network: '', site: null, block: '' }

/** Returns the networks that contain an address. */
export function networksOf (text: string): Networks {
  const address = addressWithin(text)
  if (address === null) return NOWHERE
  if (isIPv4(address)) return { network: address.toString(), site: null, block: `${ipaddr.IPv4.networkAddressFromCIDR(`${address.toString()}/24`).toString()}/24` }
  const within = (bits: 48 | 56 | 64): string => {
    const { parts } = partsOf(ipaddr.IPv6.networkAddressFromCIDR(`${address.toString()}/${bits}`))
    return `${parts.slice(0, Math.ceil(bits / 16)).join(':')}::/${bits}`
  }
  return { network: within(64), site: within(56), block: within(48) }
}

/** Reads an address in one of the forms that Node knows. Returns null if it is none. */
export function parseAddress (text: string): IPv4 | IPv6 | null {
  // ipaddr.js also reads old forms such as 127.1, and takes ::127.0.0.1 for ::ffff:127.0.0.1. The URL parser writes it as ::7f00:1.
  switch (isIP(text)) {
    case 4: return ipaddr.IPv4.parse(text)
    case 6: return ipaddr.IPv6.parse(new URL(`http://[${text.replace(/%.*$/s, '')}]`).hostname.slice(1, -1))
    default: return null
  }
}

function addressWithin (text: string): IPv4 | IPv6 | null {
  const address = parseAddress(text.replace(/^\[([^\]]*)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1').replace(/%.*$/s, ''))
  return address !== null && IPV4_WITHIN.includes(address.range()) ? new ipaddr.IPv4(address.toByteArray().slice(-4)) : address
}

function partsOf (address: IPv4 | IPv6): Address {
  return isIPv4(address)
    ? { version: 4, parts: address.toString().split('.') }
    : { version: 6, parts: address.toNormalizedString().split(':') }
}

function isIPv4 (address: IPv4 | IPv6): address is IPv4 {
  return address.kind() === 'ipv4'
}
