import fp from 'fastify-plugin'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createUnavailable } from '../common/unavailable.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether a route answers as well when there is too much to do. */
    answersUnderPressure?: boolean
  }
  interface Hatcheck {
    /** Whether there is more to do than can be done. */
    isOverloaded (): boolean
  }
}

export const OverloadedError = createUnavailable('HATCHECK_OVERLOADED', 'There is more to do here than can be done. Please try again in a moment.')

/**
 * The highest allowed mean delay of the event loop, in ms. Nothing in hatcheck delays it by a tenth of that, and a client that
 * waits longer has often gone: Kubernetes gives a probe 1 s.
 */
const LATEST_MS = 1_000
const SAMPLE_MS = 1_000
const RESOLUTION_MS = 10

/** Refuses requests with a 503 while the event loop is late, before any other work, so that the rest is answered in time. */
export default fp(async function overload (fastify) {
  const { hatcheck } = fastify
  const { metrics } = hatcheck
  hatcheck.isOverloaded = () => false
  // Applications set their own limits.
  if (metrics === null) return
  // One error for all: to make a stack trace for each would be more work.
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
  const isOverloaded = (): boolean => lateMs > LATEST_MS
  hatcheck.isOverloaded = isOverloaded
  // The first hook of all. It also notes the time, since a second hook would cost more than both tasks.
  fastify.addHook('onRequest', function arrive (request, _reply, done) {
    metrics.begin(request)
    if (!isOverloaded() || request.routeOptions.config.answersUnderPressure === true) {
      done()
      return
    }
    metrics.countShed()
    done(error)
  })
}, { name: 'overload', dependencies: ['config', 'metrics'] })
