// Traces of hatcheck. Load it before the service: node --import ./otel.js …
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, BatchSpanProcessor, ConsoleSpanExporter } from '@opentelemetry/sdk-trace-base'
import { subscribe } from 'node:diagnostics_channel'

// Prints to standard output. For a collector: new OTLPTraceExporter() of @opentelemetry/exporter-trace-otlp-http.
const exporter = new ConsoleSpanExporter()

const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
trace.setGlobalTracerProvider(provider)
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const instrumentation = new FastifyOtelInstrumentation({
  registerOnInitialization: true,
  requestHook (span, { method, url, routeOptions }) {
    span.updateName(`${method} ${routeOptions.url ?? 'unknown'}`)
    // Without the query, which may contain secrets, as in the log.
    span.setAttribute('url.path', url.split('?', 1)[0])
  }
})
instrumentation.setTracerProvider(provider)

// Spans leave in batches: sends the last batch after the last response, before the process ends.
subscribe('fastify.initialization', ({ fastify }) => {
  fastify.addHook('onClose', () => provider.forceFlush())
})
