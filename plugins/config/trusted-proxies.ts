import proxyAddr from '@fastify/proxy-addr'

/** More proxies than stand in a row anywhere. Without a limit, a header of addresses that look like theirs would take 20 ms to read. */
const MOST_HOPS = 16

/**
 * Answers whether the sender of a request, hop by hop, is a proxy whose forwarding headers are believed. For `trustProxy` of
 * Fastify.
 *
 * @param ranges as TRUST_PROXY has them.
 */
export function trustedProxies (ranges: string[]): (address: string, hop: number) => boolean {
  const isTrusted = proxyAddr.compile(ranges)
  return (address, hop) => hop < MOST_HOPS && isTrusted(address, hop)
}
