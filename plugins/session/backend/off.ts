import type { FastifyRequest } from 'fastify'
import { SessionOffError } from '../model/errors.js'

/** @throws SessionOffError if the route of a request has no session. */
export function assertSessionIsOn ({ routeOptions }: FastifyRequest): void {
  // A request whose address is refused has no route.
  if (routeOptions.config?.session === false) throw new SessionOffError()
}
