import { createRequire } from 'node:module'

/**
 * Loads a CommonJS package when it is first used. A load that fails, such as without a free file descriptor, is tried again the
 * next time; `import()` would remember the failure as long as the process runs.
 */
export function lazyPackage<T> (name: string): () => T {
  const require = createRequire(import.meta.url)
  // Found now: Node would remember as well that it could not find it.
  const path = require.resolve(name)
  return () => require(path) as T
}
