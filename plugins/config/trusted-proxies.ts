import proxyAddr from '@fastify/proxy-addr'
import ipaddr from 'ipaddr.js'

/** More proxies than any real chain has. Without a limit, a long header of trusted addresses would take 20 ms to read. */
const MOST_HOPS = 16

/** Fastify's names for ranges of addresses. */
const NAMED_RANGES = new Set(['loopback', 'linklocal', 'uniquelocal'])

/**
 * Makes the function for Fastify's `trustProxy`: it answers for each hop whether the forwarding headers of that sender are
 * trusted.
 *
 * @param ranges addresses and ranges as in TRUST_PROXY.
 */
export function trustedProxies (ranges: string[]): (address: string, hop: number) => boolean {
  const isTrusted = proxyAddr.compile(ranges)
  return (address, hop) => hop < MOST_HOPS && isTrusted(address, hop)
}

/**
 * Answers whether TRUST_PROXY can have this text: an address, a range, or a name. Fastify accepts each of them.
 * The range of all addresses (`/0`) is refused, since any client could then forge its address.
 */
export function isAddressRange (text: string): boolean {
  if (NAMED_RANGES.has(text)) return true
  if (/\/0/.test(text)) return false
  const { IPv4, IPv6 } = ipaddr
  return IPv4.isValidFourPartDecimal(text) || IPv6.isValid(text) || IPv4.isValidCIDRFourPartDecimal(text) || IPv6.isValidCIDR(text)
}
