import type { FastifyInstance } from 'fastify'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createUnavailable } from '../common/http-errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route answers under overload as well. */
    answersUnderPressure?: boolean
  }
}

export const OverloadedError = createUnavailable('HATCHECK_OVERLOADED', 'The service is overloaded. Try again in a moment.')

/**
 * The mean delay of the event loop over a second, in ms, above which requests are refused. Nothing in hatcheck blocks it for a
 * tenth of that, and clients that wait longer give up: a Kubernetes probe waits 1 s.
 */
const LONGEST_DELAY_MS = 1_000
const SAMPLE_MS = 1_000
const RESOLUTION_MS = 10

/** Refuses requests while the event loop is late, before any work is done for them, so that the others are answered in time. */
export function refuseUnderOverload (fastify: FastifyInstance): void {
  const { metrics } = fastify.hatcheck
  // An application sets its own limits.
  if (metrics === null) return
  // One error for all requests: a stack trace for each costs time.
  const error = new OverloadedError()
  let lateMs = 0
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  const sampling = setInterval(() => {
    // The mean is NaN if the event loop has not turned since the last sample.
    lateMs = Number.isNaN(delays.mean) ? Infinity : delays.mean / 1e6 - RESOLUTION_MS
    delays.reset()
  }, SAMPLE_MS).unref()
  fastify.addHook('onClose', async () => {
    clearInterval(sampling)
    delays.disable()
  })
  // The first hook of all. It notes the time as well: one more hook would cost more than both.
  fastify.addHook('onRequest', function arrive (request, _reply, done) {
    metrics.begin(request)
    if (lateMs <= LONGEST_DELAY_MS || request.routeOptions.config.answersUnderPressure === true) {
      done()
      return
    }
    metrics.countShed()
    done(error)
  })
}
