import { ConfigError } from './rule.js'

/** Makes the error for a package that is loaded where it is used, and cannot be found. */
export function notInstalled (name: string): Error {
  return new ConfigError(`${name} is required but not installed: run "npm install ${name}".`)
}

/**
 * Returns a function for the failure of `import('name')`. Bundlers accept that a package is missing only if the failure is
 * caught where the package is imported.
 */
export function unlessInstalled (name: string): (error: unknown) => never {
  return (error) => { throw isMissing(error, name) ? notInstalled(name) : error }
}

/** Tells whether an error means that a package could not be found, and not another package that it needs. */
export function isMissing (error: unknown, name: string): boolean {
  const { code, message = '' } = error as { code?: unknown, message?: string }
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && (message.includes(`'${name}'`) || message.includes(`'${name}/`))
}
