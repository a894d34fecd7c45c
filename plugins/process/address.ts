import { lookup } from 'node:dns/promises'
import { isLoopback } from '../common/loopback.js'
import { ConfigError } from '../common/rule.js'

/**
 * Finds the one address at which the service listens. For `localhost`, Fastify would make a server for each address, and only
 * the first would have the limits, the answers to invalid requests and the graceful stop of the service.
 *
 * @throws ConfigError if the name is unknown.
 */
export async function addressOf (host: string): Promise<string> {
  try {
    const { address } = await lookup(host, { order: isLoopback(host) ? 'ipv4first' : 'verbatim' })
    return address
  } catch (error) {
    throw new ConfigError(`HOST must be an address or a name of this machine: ${(error as Error).message}.`)
  }
}

/** Names the variables to check if the system does not let the process listen. */
export function listenError (port: 'PORT' | 'METRICS_PORT', error: unknown): Error {
  return new ConfigError(`HOST must be an address of this machine, and ${port} a free port that this user can open: ${(error as Error).message}.`)
}
