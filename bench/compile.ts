import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..')

/**
 * Compiles the servers to a folder outside the project: what is measured is the code as it is now, as plain JavaScript
 * with no loader around it, and nobody's dist/ is in the way.
 *
 * @param file the program to start, in bench/
 * @returns its path in the folder
 */
export async function compile (folder: string, signal: AbortSignal, file = 'server.js'): Promise<string> {
  const tsc = createRequire(import.meta.url).resolve('typescript/lib/tsc.js')
  await promisify(execFile)(process.execPath, [tsc, '-p', import.meta.dirname, '--outDir', folder], { signal })
  // The compiled files are ES modules and find their packages as the sources do.
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  for (const copied of ['package.json', 'contenders/flask_app.py']) copyFileSync(join(import.meta.dirname, copied), join(folder, 'bench', copied))
  const peers = join(import.meta.dirname, 'node_modules')
  if (existsSync(peers)) symlinkSync(peers, join(folder, 'bench', 'node_modules'), 'junction')
  return join(folder, 'bench', file)
}
