import { createRequire } from 'node:module'

/**
 * Loads a CommonJS package when it is first asked for. A load that fails, as for want of file descriptors, is tried anew the
 * next time; `import()` would remember the failure for as long as the process runs.
 */
export function lazyPackage<T> (name: string): () => T {
  const require = createRequire(import.meta.url)
  // The place is looked for now: Node would remember as well that it could not read it.
  const path = require.resolve(name)
  return () => require(path) as T
}
