import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError } from '../common/rule.js'

/**
 * The folder of hatcheck's plugins and routes, which are loaded by their names. In a bundle the code is in a file of the
 * application, and beside it are the folders of the application.
 *
 * @param folder of the file that runs; undefined in a bundle without one.
 * @throws ConfigError if it is not that of hatcheck.
 */
export function ownFolder (folder: string | undefined): string {
  if (folder !== undefined && [folder, dirname(folder)].some(isOwn) && existsSync(join(folder, 'plugins', 'config'))) return folder
  throw new ConfigError(`hatcheck cannot find its own files${folder === undefined ? '' : ` in ${folder}`}: it has been bundled. ` +
    'It must stay external in the bundler (esbuild: external: [\'hatcheck\']) and be installed beside the bundle.')
}

function isOwn (folder: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown }
    return name === 'hatcheck'
  } catch {
    return false
  }
}
