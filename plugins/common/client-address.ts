import type { FastifyRequest } from 'fastify'

/** Fastify's `ip` looks at every forwarded address each time, and a request can carry thousands. */
const addresses = new WeakMap<FastifyRequest, string | undefined>()

/** Returns the client's address; undefined on a Unix socket and for an injected request. */
export function clientAddress (request: FastifyRequest): string | undefined {
  if (!addresses.has(request)) {
    // Fastify's `ip` throws if it trusts a proxy and there is no socket.
    addresses.set(request, request.raw.socket === undefined ? undefined : request.ip as string | undefined)
  }
  return addresses.get(request)
}
