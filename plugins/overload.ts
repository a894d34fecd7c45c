import createError from '@fastify/error'
import underPressure, { type FastifyUnderPressureOptions } from '@fastify/under-pressure'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route does, in place of a 503, when there is too much to do. */
    pressureHandler?: NonNullable<FastifyUnderPressureOptions['pressureHandler']>
  }
}

export const OverloadedError = createError('HATCHECK_OVERLOADED', 'There is more to do here than can be done. Please try again in a moment.', 503)

/**
 * So late the event loop may be, in ms, in the mean of a second. Nothing that hatcheck does holds it up for a tenth of that,
 * and who is kept waiting for longer tends to be gone: Kubernetes gives a probe 1 s.
 */
const LATEST_MS = 1_000

/** Refuses requests that would come too late anyway, before anything is done for them, so that the rest is answered. */
export default fp(async function overload (fastify) {
  const { hatcheck } = fastify
  // An application has its own limits.
  if (hatcheck.config.mode === 'plugin') return
  // Always the same one: the trace of each would be one more thing to do.
  const error = Object.assign(new OverloadedError(), { headers: { 'retry-after': '1' } })
  await fastify.register(underPressure, {
    maxEventLoopDelay: LATEST_MS,
    pressureHandler () {
      hatcheck.metrics?.countShed()
      throw error
    }
  })
}, { name: 'overload', dependencies: ['config', 'metrics'] })
