import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../../test/fixtures/child.js'
import { PYTHON } from './process.js'

const OF_PYTHON: Record<string, string> = { flask: 'flask', 'flask-session': 'flask-session', 'redis.py': 'redis' }

/** Returns the version of a package as a peer loads it. */
export function versionOf (name: string): string {
  const ofPython = OF_PYTHON[name]
  if (ofPython !== undefined) return execFileSync(PYTHON, ['-c', `import importlib.metadata as m; print(m.version('${ofPython}'))`], { encoding: 'utf8' }).trim()
  const files = [...name === 'hatcheck' ? [join(checkout, 'package.json')] : [], join(checkout, 'bench/node_modules', name, 'package.json'), join(checkout, 'node_modules', name, 'package.json')]
  const file = files.find((file) => existsSync(file))
  return file === undefined ? 'missing' : JSON.parse(readFileSync(file, 'utf8')).version
}
