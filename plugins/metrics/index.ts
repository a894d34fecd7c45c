import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { performance } from 'node:perf_hooks'
import type { Registry } from 'prom-client'
import type { AuditEvent } from '../audit/index.js'
import type { ConfigPluginOptions } from '../config/index.js'
import type { CompleteSessionStore } from '../store/traits.js'
import { answer, ask } from '../workers/questions.js'
import { EventCounts } from './event-counts.js'
import { LiveSessions } from './live-sessions.js'
import { openRegistry } from './registry.js'
import { RequestCounts } from './request-counts.js'
import { StoreCalls } from './store-calls.js'

export interface Metrics {
  /** Whether this machine may read them at `/metrics`. */
  readonly hasRoute: boolean
  /** Notes when a request came. */
  begin (request: FastifyRequest): void
  /** Counts a request whose answer is on its way. Once for each. */
  countRequest (request: FastifyRequest, reply: FastifyReply): void
  /** Counts a request that was refused since the event loop is late. */
  countShed (): void
  /** Counts what the audit log is told of. */
  countEvent (event: AuditEvent, reason?: string): void
  /** The store, with its calls counted. */
  measured (store: CompleteSessionStore): CompleteSessionStore
  /** All of them, and those of the process. Made when it is first asked for. */
  registry (): Registry
  /** The same in the text format of Prometheus; of several workers, those of all together. */
  text (): Promise<string>
}

declare module 'fastify' {
  interface Hatcheck {
    /** What the service counts; null in an application, which counts as it likes. */
    metrics: Metrics | null
  }
}

/** The primary waits for a second for each of the workers. */
const WAIT_MS = 2_000

/** When a request came. */
const kBegun = Symbol('hatcheck.begun')
type Begun = FastifyRequest & { [kBegun]?: number }

/** Counting costs a request a few steps; what Prometheus is to read of it is made when it reads. */
export default fp<ConfigPluginOptions>(async function metrics (fastify, { hatcheck: { metricsRoute } }) {
  const { hatcheck } = fastify
  hatcheck.metrics = null
  if (hatcheck.config.mode === 'plugin') return
  const requests = new RequestCounts()
  const events = new EventCounts()
  const storeCalls = new StoreCalls()
  const { primary } = hatcheck.workers
  let registry: Registry | undefined

  const openOnce = (): Registry => {
    registry ??= openRegistry([requests, events, new LiveSessions(hatcheck.storage.sessions), storeCalls].flatMap((counts) => counts.families()))
    return registry
  }

  hatcheck.metrics = {
    hasRoute: metricsRoute,
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
    text: async () => primary === null ? await openOnce().metrics() : String(await ask(primary, 'metrics of all', WAIT_MS))
  }
  if (primary !== null) {
    const stopAnswering = answer(primary, 'metrics', async () => await openOnce().getMetricsAsJSON())
    fastify.addHook('onClose', async () => { stopAnswering() })
  }
}, { name: 'metrics', dependencies: ['config', 'workers'] })
