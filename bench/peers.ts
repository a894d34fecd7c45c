import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * Imports a package that bench/package.json names, or that the project has anyway.
 *
 * By its name in a variable, so that TypeScript needs none of its types: without `npm --prefix bench ci` there are none, and
 * those of several peers claim `request.session`, which in this code base is that of hatcheck.
 */
export async function importPeer (name: string): Promise<unknown> {
  return await import(pathToFileURL(fromBench().resolve(name)).href)
}

/** Tells whether a package is installed. */
export function hasPeer (name: string): boolean {
  try {
    fromBench().resolve(name)
    return true
  } catch {
    return false
  }
}

/** Returns the version of a package that is installed. */
export function versionOf (name: string): string {
  // Not its package.json by name, which many packages do not export.
  for (let folder = dirname(fromBench().resolve(name)); folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, 'package.json')
    const found = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as { name?: string, version?: string } : {}
    if (found.name === name && found.version !== undefined) return found.version
  }
  return 'unknown'
}

/** Returns the path of a file of bench/, wherever the compiled code is. */
export function fileOfBench (path: string): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const file = join(folder, 'bench', path)
    if (existsSync(file)) return file
    if (folder === dirname(folder)) throw new Error(`bench/${path} is missing`)
  }
}

function fromBench (): NodeJS.Require {
  return createRequire(fileOfBench('package.json'))
}
