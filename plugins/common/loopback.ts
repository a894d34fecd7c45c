import { BlockList, isIP } from 'node:net'
import { Memo } from './memo.js'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Every request asks, and nearly always about the same host; finding out takes longer than reading a session. */
const answers = new Memo<boolean>(64)

/** Whether a host name or address, with or without a port, means this machine alone. */
export function isLoopback (host: string): boolean {
  let answer = answers.get(host)
  if (answer === undefined) {
    answer = findOut(host)
    answers.set(host, answer)
  }
  return answer
}

function findOut (host: string): boolean {
  const name = (isIP(host) === 6 ? host : host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')).toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  const version = isIP(name)
  return version !== 0 && loopback.check(name, version === 4 ? 'ipv4' : 'ipv6')
}
