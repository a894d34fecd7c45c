import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Tells whether Node was started with this module, directly or through a symbolic link, such as npm creates. */
export function isMain (url: string): boolean {
  const startedAs = process.argv[1]
  return startedAs !== undefined && realpathSync(startedAs) === fileURLToPath(url)
}
