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
 * Tells whether a text is an address, a range, or a name of ranges. Fastify accepts each of them but a range of every address, which
 * {@link coverEveryAddress} finds.
 */
export function isAddressRange (text: string): boolean {
  if (NAMED_RANGES.has(text)) return true
  const { IPv4, IPv6 } = ipaddr
  return IPv4.isValidFourPartDecimal(text) || IPv6.isValid(text) || IPv4.isValidCIDRFourPartDecimal(text) || IPv6.isValidCIDR(text)
}

/** Tells whether ranges cover all of IPv4 or all of IPv6 between them: any client could then forge its address. */
export function coverEveryAddress (ranges: readonly string[]): boolean {
  const blocks = ranges.filter((range) => !NAMED_RANGES.has(range)).map(blockOf)
  return [32, 128].some((bits) => {
    let covered = 0n
    for (const { start, end } of blocks.filter((block) => block.bits === bits).sort((a, b) => Number(a.start > b.start) - Number(a.start < b.start))) {
      if (start > covered) return false
      if (end > covered) covered = end
    }
    return covered === 1n << BigInt(bits)
  })
}

/** Returns the numbers of the first address of a range and of the one after the last. IPv4 within IPv6 counts as IPv4. */
function blockOf (range: string): { bits: number, start: bigint, end: bigint } {
  const [text = '', length] = range.split('/')
  const address = ipaddr.process(text)
  const bits = address.kind() === 'ipv4' ? 32 : 128
  const prefix = length === undefined ? bits : Number(length) - (bits === 32 && text.includes(':') ? 96 : 0)
  const size = 1n << BigInt(bits - Math.max(prefix, 0))
  const start = BigInt(`0x${Buffer.from(address.toByteArray()).toString('hex')}`) / size * size
  return { bits, start, end: start + size }
}
