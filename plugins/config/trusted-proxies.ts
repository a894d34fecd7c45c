import proxyAddr from '@fastify/proxy-addr'
import ipaddr from 'ipaddr.js'

/** More proxies than stand in a row anywhere. Without a limit, a header full of addresses of proxies takes 20 ms to read. */
const MOST_HOPS = 16

/** Names that Fastify knows for ranges of addresses. */
const NAMED_RANGES = new Set(['loopback', 'linklocal', 'uniquelocal'])

/**
 * Makes the `trustProxy` function of Fastify: whether the sender of a request, hop by hop, is a proxy whose forwarding headers
 * are believed.
 *
 * @param ranges as TRUST_PROXY has them.
 */
export function trustedProxies (ranges: string[]): (address: string, hop: number) => boolean {
  const isTrusted = proxyAddr.compile(ranges)
  return (address, hop) => hop < MOST_HOPS && isTrusted(address, hop)
}

/**
 * Whether TRUST_PROXY may have this text: an address, a range, or a name that Fastify knows. Fastify takes each of them.
 * The range of all addresses (`/0`) is refused, since any client could then forge its address.
 */
export function isAddressRange (text: string): boolean {
  if (NAMED_RANGES.has(text)) return true
  if (/\/0/.test(text)) return false
  const { IPv4, IPv6 } = ipaddr
  return IPv4.isValidFourPartDecimal(text) || IPv6.isValid(text) || IPv4.isValidCIDRFourPartDecimal(text) || IPv6.isValidCIDR(text)
}
