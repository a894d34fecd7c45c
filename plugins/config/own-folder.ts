import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError } from '../common/rule.js'

/**
 * Finds the folder of hatcheck's plugins and routes, which are loaded by file name. In a bundle, the code is in a file of the
 * application, beside the folders of the application.
 *
 * @param folder the folder of the running file; undefined in some bundles.
 * @throws ConfigError if it is not the folder of hatcheck.
 */
export function ownFolder (folder: string | undefined): string {
  if (folder !== undefined && [folder, dirname(folder)].some(isOwn) && existsSync(join(folder, 'plugins', 'config'))) return folder
  throw new ConfigError(`hatcheck cannot find its own files${folder === undefined ? '' : ` in ${folder}`}: it is part of a bundle. ` +
    'Declare it as external in the bundler (esbuild: external: [\'hatcheck\']) and install it beside the bundle.')
}

function isOwn (folder: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown }
    return name === 'hatcheck'
  } catch {
    return false
  }
}
