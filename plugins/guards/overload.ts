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
 * So late the event loop may be, in ms, in the mean of a second. Nothing that hatcheck does holds it up for a tenth of that,
 * and who is kept waiting for longer tends to be gone: Kubernetes gives a probe 1 s.
 */
const LATEST_MS = 1_000
const SAMPLE_MS = 1_000
const RESOLUTION_MS = 10

/** Refuses requests that would come too late anyway, before anything is done for them, so that the rest is answered. */
export default fp(async function overload (fastify) {
  const { hatcheck } = fastify
  const { metrics } = hatcheck
  hatcheck.isOverloaded = () => false
  // An application has its own limits.
  if (metrics === null) return
  // Always the same one: the trace of each would be one more thing to do.
  const error = new OverloadedError()
  let lateMs = 0
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  const sampling = setInterval(() => {
    // Without a single turn of the event loop since the last sample there is no mean.
    lateMs = Number.isNaN(delays.mean) ? Infinity : delays.mean / 1e6 - RESOLUTION_MS
    delays.reset()
  }, SAMPLE_MS).unref()
  fastify.addHook('onClose', async () => {
    clearInterval(sampling)
    delays.disable()
  })
  const isOverloaded = (): boolean => lateMs > LATEST_MS
  hatcheck.isOverloaded = isOverloaded
  // The first hook of all. It notes the time as well, since a hook more costs more than what this does.
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
