import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isLocal } from '../common/forwarded.js'
import { isLoopback } from '../common/loopback.js'
import { contentCodingError, transferCodingError } from './codings.js'
import { createCrossOriginCheck } from './cross-origin.js'
import { createDemoCheck } from './demo-guard.js'
import { keepHeaderLines } from './header-limit.js'
import { headerError } from './host-header.js'
import { createOtherMethods } from './methods.js'
import { refuseUnderOverload } from './overload.js'
import { createProxyNote } from './untrusted-proxy.js'
import { dropVanishedClients } from './vanished-clients.js'

export type Guards = ReturnType<typeof createGuards>

/** Checks that come before a route. */
export default fp(async function guards (fastify) {
  keepHeaderLines(fastify)
  dropVanishedClients(fastify)
  refuseUnderOverload(fastify)
  fastify.hatcheck.provide('guards', createGuards(fastify))
}, { name: 'guards', dependencies: ['config', 'metrics'] })

function createGuards (fastify: FastifyInstance) {
  const { config } = fastify.hatcheck
  const demoError = createDemoCheck(config.mode)

  /** Says why a request is refused at every address: its header, or demo mode. Null if it is not. */
  function refusalOf (request: FastifyRequest): Error | null {
    return headerError(request) ?? transferCodingError(request) ?? demoError(request)
  }

  /** Tells whether a request comes from this machine: from a loopback address, to a loopback name, and through no visible proxy. */
  function isOnThisMachine (request: FastifyRequest): boolean {
    return isLoopback(request.socket.remoteAddress ?? '') && isLocal(request)
  }

  return {
    refusalOf,
    isOnThisMachine,
    demoError,
    ...createCrossOriginCheck(config),
    // In an application, a plugin such as @fastify/compress may decode the body.
    contentCodingError: config.mode === 'plugin' ? () => null : contentCodingError,
    noteUntrustedProxy: createProxyNote(config),
    /** Undefined in the plugin: the application answers other methods. */
    otherMethods: config.mode === 'plugin' ? undefined : createOtherMethods(fastify)
  }
}
