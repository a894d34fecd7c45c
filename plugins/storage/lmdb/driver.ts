import { unlessInstalled } from '../../common/not-installed.js'
import { ConfigError } from '../../common/rule.js'

/** The part of the package lmdb that hatcheck calls. */
export type Lmdb = Pick<typeof import('lmdb'), 'open'>

/** Loads LMDB, which is native. @throws ConfigError if it is not installed, or is part of a bundle. */
export async function loadLmdb (): Promise<Lmdb> {
  return await import('lmdb').catch(unlessInstalled('lmdb')).catch((error: unknown) => { throw unlessBundled(error) })
}

/** The package looks for its native part beside its own files, which are not in a bundle. */
function unlessBundled (error: unknown): unknown {
  if (error instanceof ConfigError || (error as NodeJS.ErrnoException).errno !== undefined) return error
  return new ConfigError(`lmdb cannot be loaded (${(error as Error).message}). If the application is a bundle, declare lmdb as external in the bundler and install it beside the bundle.`)
}
