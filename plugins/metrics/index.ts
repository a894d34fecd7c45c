import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { performance } from 'node:perf_hooks'
import type { Registry } from 'prom-client'
import type { AuditEvent } from '../audit/index.js'
import type { ConfigPluginOptions } from '../config/index.js'
import type { CompleteSessionStore } from '../store/traits.js'
import { requestFrom, respondTo } from '../workers/ipc.js'
import { EventCounts } from './event-counts.js'
import { LiveSessions } from './live-sessions.js'
import { openRegistry } from './registry.js'
import { RequestCounts } from './request-counts.js'
import { StoreCalls } from './store-calls.js'

export type Metrics = ReturnType<typeof createMetrics>

/** Longer than the second for which the primary waits for its workers. */
const WAIT_MS = 2_000

/** The time at which a request arrived. */
const kBegun = Symbol('hatcheck.begun')
type Begun = FastifyRequest & { [kBegun]?: number }

/** Counts requests, events and store calls. A request only increments numbers; the output for Prometheus is made at each scrape. */
export default fp<ConfigPluginOptions>(async function metrics (fastify, { hatcheck: { metricsRoute } }) {
  const { hatcheck } = fastify
  hatcheck.provide('metrics', hatcheck.config.mode === 'plugin' ? null : createMetrics(fastify, metricsRoute))
}, { name: 'metrics', dependencies: ['config', 'workers'] })

function createMetrics (fastify: FastifyInstance, hasRoute: boolean) {
  const { hatcheck } = fastify
  const requests = new RequestCounts()
  const events = new EventCounts()
  const storeCalls = new StoreCalls()
  const { primary } = hatcheck.workers
  let opened: Registry | undefined

  /** Returns the registry with the metrics of hatcheck and of the process. The first call creates it. */
  function registry (): Registry {
    opened ??= openRegistry([requests, events, new LiveSessions(hatcheck.storage.sessions), storeCalls].flatMap((counts) => counts.families()))
    return opened
  }

  if (primary !== null) {
    const stopResponding = respondTo(primary, 'metrics', async () => await registry().getMetricsAsJSON())
    fastify.addHook('onClose', async () => { stopResponding() })
  }

  return {
    /** Whether the port of the service has the route `/metrics`, for this machine only. */
    hasRoute,
    /** Notes the time at which a request arrived. */
    begin (request: Begun): void { request[kBegun] = performance.now() },
    /** Counts a request as its response leaves. Must be called once per request. */
    countRequest (request: Begun, reply: FastifyReply): void {
      // Not reply.elapsedTime: without a logger, Fastify would have to listen to every response for it, which costs 2 µs.
      const { [kBegun]: begun = 0 } = request
      requests.count(request, reply.statusCode, begun === 0 ? 0 : performance.now() - begun)
    },
    /** Counts a request that was refused because the event loop is late. */
    countShed (): void { requests.countShed() },
    /** Counts an event of the audit log. */
    countEvent (event: AuditEvent, reason?: string): void { events.count(event, reason) },
    /** Wraps a store so that its calls are counted. */
    measured: (store: CompleteSessionStore): CompleteSessionStore => storeCalls.measured(store),
    registry,
    /** Renders the metrics in the text format of Prometheus. With several workers, the metrics of all of them are combined. */
    text: async (): Promise<string> => primary === null ? await registry().metrics() : String(await requestFrom(primary, 'metrics of all', WAIT_MS))
  }
}
