import { createRequire } from 'node:module'

/**
 * Loads a CommonJS package when it is first used. A failed load, such as without a free file descriptor, is tried again at the
 * next use; `import()` would remember the failure as long as the process runs.
 */
export function lazyPackage<T> (name: string): () => T {
  const require = createRequire(import.meta.url)
  // Resolved at once, since Node also remembers that it could not find a package.
  const path = require.resolve(name)
  return () => require(path) as T
}
