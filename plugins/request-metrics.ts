import fp from 'fastify-plugin'

/**
 * Counts every request as its answer leaves. It must be the last onSend hook: if an earlier one fails, the answer to that error is
 * counted instead.
 */
export default fp(async function requestMetrics (fastify) {
  const { metrics } = fastify.hatcheck
  if (metrics === null) return
  fastify.addHook('onSend', function count (request, reply, _payload, done) {
    metrics.countRequest(request, reply)
    done()
  })
}, { name: 'request-metrics', dependencies: ['metrics', 'session', 'login'] })
