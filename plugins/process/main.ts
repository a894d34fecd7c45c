import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Whether Node was started with this module, also by a link to it as npm makes them. */
export function isMain (url: string): boolean {
  const startedAs = process.argv[1]
  return startedAs !== undefined && realpathSync(startedAs) === fileURLToPath(url)
}
