import proxyAddr from '@fastify/proxy-addr'

/** More proxies than any real chain has. Without a limit, a long header of trusted addresses would take 20 ms to read. */
const MOST_HOPS = 16

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
