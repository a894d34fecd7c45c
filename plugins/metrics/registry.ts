import type { Metric, Registry } from 'prom-client'
import { lazyPackage } from '../common/lazy-package.js'
import type { Family } from './family.js'

/** Loaded on first use: it loads slowly, and many services are never scraped. */
const client = lazyPackage<typeof import('prom-client')>('prom-client')

/** Makes a registry with these families and the metrics of the process: CPU, memory, event loop, garbage collection. */
export function openRegistry (families: readonly Family[]): Registry {
  const { Registry, collectDefaultMetrics } = client()
  const registry = new Registry()
  for (const family of families) {
    const metric = { ...family, get: async () => ({ ...family, values: family.values() }) }
    // The types of prom-client describe only metrics that store their values; the registry accepts any object with these fields and get().
    registry.registerMetric(metric as unknown as Metric)
  }
  collectDefaultMetrics({ register: registry })
  return registry
}
