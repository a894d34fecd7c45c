import type { FastifyReply, FastifyRequest } from 'fastify'
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
import { TEXT_FORMAT } from './text-format.js'

export interface Metrics {
  /** Whether the port of the service has the route `/metrics`, for this machine only. */
  readonly hasRoute: boolean
  /** The content type of {@link text}. */
  readonly contentType: string
  /** Notes the time at which a request arrived. */
  begin (request: FastifyRequest): void
  /** Counts a request as its response leaves. Must be called once per request. */
  countRequest (request: FastifyRequest, reply: FastifyReply): void
  /** Counts a request that was refused because the event loop is late. */
  countShed (): void
  /** Counts an event of the audit log. */
  countEvent (event: AuditEvent, reason?: string): void
  /** Wraps a store so that its calls are counted. */
  measured (store: CompleteSessionStore): CompleteSessionStore
  /** Returns the registry with the metrics of hatcheck and of the process. The first call creates it. */
  registry (): Registry
  /** Renders the metrics in the text format of Prometheus. With several workers, the metrics of all of them are combined. */
  text (): Promise<string>
}

/** Longer than the second for which the primary waits for its workers. */
const WAIT_MS = 2_000

/** The time at which a request arrived. */
const kBegun = Symbol('hatcheck.begun')
type Begun = FastifyRequest & { [kBegun]?: number }

/** Counts requests, events and store calls. A request only increments numbers; the output for Prometheus is made at each scrape. */
export default fp<ConfigPluginOptions>(async function metrics (fastify, { hatcheck: { metricsRoute } }) {
  const { hatcheck } = fastify
  if (hatcheck.config.mode === 'plugin') {
    hatcheck.provide('metrics', null)
    return
  }
  const requests = new RequestCounts()
  const events = new EventCounts()
  const storeCalls = new StoreCalls()
  const { primary } = hatcheck.workers
  let registry: Registry | undefined

  const openOnce = (): Registry => {
    registry ??= openRegistry([requests, events, new LiveSessions(hatcheck.storage.sessions), storeCalls].flatMap((counts) => counts.families()))
    return registry
  }

  hatcheck.provide('metrics', {
    hasRoute: metricsRoute,
    contentType: TEXT_FORMAT,
    begin (request) { (request as Begun)[kBegun] = performance.now() },
    countRequest (request, reply) {
      // Not reply.elapsedTime: without a logger, Fastify would have to listen to every response for it, which costs 2 µs.
      const { [kBegun]: begun = 0 } = request as Begun
      requests.count(request, reply.statusCode, begun === 0 ? 0 : performance.now() - begun)
    },
    countShed () { requests.countShed() },
    countEvent (event, reason) { events.count(event, reason) },
    measured: (store) => storeCalls.measured(store),
    registry: openOnce,
    text: async () => primary === null ? await openOnce().metrics() : String(await requestFrom(primary, 'metrics of all', WAIT_MS))
  })
  if (primary !== null) {
    const stopResponding = respondTo(primary, 'metrics', async () => await openOnce().getMetricsAsJSON())
    fastify.addHook('onClose', async () => { stopResponding() })
  }
}, { name: 'metrics', dependencies: ['config', 'workers'] })
