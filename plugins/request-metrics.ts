import fp from 'fastify-plugin'

/**
 * Counts every request as its answer leaves. The last of these hooks: one before it may fail, and then there is another
 * answer, which comes by here instead.
 */
export default fp(async function requestMetrics (fastify) {
  const { metrics } = fastify.hatcheck
  if (metrics === null) return
  fastify.addHook('onSend', function count (request, reply, _payload, done) {
    metrics.countRequest(request, reply)
    done()
  })
}, { name: 'request-metrics', dependencies: ['metrics', 'session'] })
