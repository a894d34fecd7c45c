import { lookup } from 'node:dns/promises'
import { isLoopback } from '../common/loopback.js'

/**
 * Finds the one address at which the service listens. For `localhost`, Fastify would make a server for each address, and only
 * the first would have the limits, the answers to invalid requests and the graceful stop of the service.
 */
export async function addressOf (host: string): Promise<string> {
  const { address } = await lookup(host, { order: isLoopback(host) ? 'ipv4first' : 'verbatim' })
  return address
}
