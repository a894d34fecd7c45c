// Traces of hatcheck. It has to be there before the service is: node --import ./otel.js …
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, BatchSpanProcessor, ConsoleSpanExporter } from '@opentelemetry/sdk-trace-base'
import { subscribe } from 'node:diagnostics_channel'

// To the standard output. For a collector: new OTLPTraceExporter() of @opentelemetry/exporter-trace-otlp-http.
const exporter = new ConsoleSpanExporter()

const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
trace.setGlobalTracerProvider(provider)
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const instrumentation = new FastifyOtelInstrumentation({
  registerOnInitialization: true,
  requestHook (span, { method, url, routeOptions }) {
    span.updateName(`${method} ${routeOptions.url ?? 'unknown'}`)
    // Without the query, which may have anything in it, as in the log.
    span.setAttribute('url.path', url.split('?', 1)[0])
  }
})
instrumentation.setTracerProvider(provider)

// Spans leave in batches: the last one once the last request is answered, before the process ends.
subscribe('fastify.initialization', ({ fastify }) => {
  fastify.addHook('onClose', () => provider.forceFlush())
})
