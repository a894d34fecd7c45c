import type { Metric, Registry } from 'prom-client'
import { lazyPackage } from '../common/lazy-package.js'
import type { Family } from './family.js'

/** It takes a while to load, and many never ask for it. */
const client = lazyPackage<typeof import('prom-client')>('prom-client')

/** A registry with these families, and what there is to tell of the process: CPU, memory, event loop, garbage collection. */
export function openRegistry (families: readonly Family[]): Registry {
  const { Registry, collectDefaultMetrics } = client()
  const registry = new Registry()
  for (const family of families) {
    const metric = { ...family, get: async () => ({ ...family, values: family.values() }) }
    // Its types know only metrics that are filled as things happen; it takes whatever has these fields and get().
    registry.registerMetric(metric as unknown as Metric)
  }
  collectDefaultMetrics({ register: registry })
  return registry
}
