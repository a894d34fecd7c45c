import { isIP } from 'node:net'

/** What stands before an IPv4 address that is written as an IPv6 address: RFC 4291, section 2.5.5.2, and RFC 6052. */
const IPV4_WITHIN = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0']

/**
 * Whose address it is: an IPv4 address as it is, of an IPv6 address the first 64 bits, since whoever has one has all the
 * others of that network. Some proxies write the port with it, which is left out; what is no address stays as it is.
 */
export function networkOf (address: string): string {
  const host = address.replace(/^\[([^\]]*)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1').replace(/%.*$/s, '')
  if (isIP(host) !== 6) return host
  const groups = groupsOf(host)
  if (!IPV4_WITHIN.includes(groups.slice(0, 6).join(':'))) return `${groups.slice(0, 4).join(':')}::/64`
  return groups.slice(6).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]).join('.')
}

/** All eight, without leading zeros. */
function groupsOf (address: string): string[] {
  // The URL parser writes them one way, also those with an IPv4 address at the end.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const [first, last] = [head, tail].map((part) => part === '' ? [] : part.split(':')) as [string[], string[]]
  return [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
}
