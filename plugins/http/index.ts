import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { quietLevel } from '../common/log-level.js'
import { negotiator } from '../common/negotiator.js'
import { createSecurityHeaders } from './security-headers.js'
import { createDrain } from './drain.js'
import { createErrorHandler } from './error-handler.js'
import { createOutageLog } from './outages.js'
import { createParserErrors } from './parser-errors.js'

export type Http = ReturnType<typeof createHttp>

/** Makes what the answers of hatcheck's own routes share: headers, the error handler, the log of outages. */
export default fp(async function http (fastify) {
  fastify.hatcheck.provide('http', createHttp(fastify))
}, { name: 'http', dependencies: ['config', 'storage', 'session', 'audit', 'view', 'login'] })

function createHttp (fastify: FastifyInstance) {
  // Every error answer needs it, including that of an operation for which no file descriptor was free.
  if (fastify.hatcheck.config.hasRoutes) negotiator()
  const headers = createSecurityHeaders(fastify.hatcheck.config, fastify.hatcheck.view.sources)
  return {
    ...headers,
    ...createErrorHandler(fastify, { secureHeaders: headers.secureHeaders, noteOutage: createOutageLog(fastify) }),
    ...createParserErrors(fastify.log, headers.plainHeaders),
    /** The options of a route that is asked all the time: only warnings and errors are logged. */
    quiet: quietLevel(fastify.log.level),
    ...createDrain(fastify)
  }
}
