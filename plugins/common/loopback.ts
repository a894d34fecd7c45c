import ipaddr from 'ipaddr.js'
import { Memo } from './memo.js'
import { parseAddress } from './network.js'

/** Every request asks, nearly always about the same host, and the answer costs more than reading a session. */
const answers = new Memo<boolean>(64)

/** Tells whether a host name or address, with or without a port, means this machine alone. */
export function isLoopback (host: string): boolean {
  return answers.getOrMake(host, findOut)
}

function findOut (host: string): boolean {
  // Not by isIP: its pattern for IPv6 takes 5 ms to compile, and nearly every host is a name or IPv4.
  const isBareIPv6 = /^[^[:]*:.*:/.test(host)
  const name = (isBareIPv6 ? host : host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')).toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  const address = parseAddress(name)
  return address !== null && ipaddr.process(address.toString()).range() === 'loopback'
}
