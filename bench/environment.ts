import { cpus } from 'node:os'
import type { Contender } from './contenders/contender.js'
import { versionOf } from './peers.js'

/** Returns what ran and on what, for the reader of the results. */
export function environmentOf (contenders: readonly Contender[]): Record<string, string> {
  const packages = new Set(['fastify', '@fastify/session', ...contenders.flatMap(({ packages = [] }) => packages)])
  return {
    processor: `${cpus()[0]?.model.trim() ?? 'unknown'} (${cpus().length} cores)`,
    Node: process.versions.node,
    ...Object.fromEntries([...packages].map((name) => [name, versionOf(name)]))
  }
}
