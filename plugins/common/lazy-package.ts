// Not by its name: bundlers and their users declare a createRequire of their own.
import nodeModule from 'node:module'
import { isMissing, notInstalled } from './not-installed.js'

/** A bundle in CommonJS has no URL. */
const HERE = import.meta.url ?? __filename

/**
 * Loads a CommonJS package when it is first used. A failed load, such as without a free file descriptor, is tried again at the
 * next use; `import()` would remember the failure as long as the process runs.
 *
 * @returns a function that returns the package, and throws ConfigError if it is not installed.
 */
export function lazyPackage<T> (name: string): () => T {
  const load = optionalPackage<T>(name)
  return () => {
    const loaded = load()
    if (loaded === null) throw notInstalled(name)
    return loaded
  }
}

/** Returns the same for a package that hatcheck can do without: null if it is not installed. */
export function optionalPackage<T> (name: string): () => T | null {
  const require = nodeModule.createRequire(HERE)
  // Resolved at once, since Node also remembers that it could not find a package.
  const path = pathOf(name, require)
  return () => path === undefined ? null : require(path) as T
}

function pathOf (name: string, { resolve }: NodeJS.Require): string | undefined {
  try {
    return resolve(name)
  } catch (error) {
    if (isMissing(error, name)) return undefined
    throw error
  }
}
