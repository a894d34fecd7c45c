import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../../test/processes/child.js'
import { versionOf as versionOfPeer } from '../peers.js'
import { PYTHON } from './process.js'

const OF_PYTHON: Record<string, string> = { flask: 'flask', 'flask-session': 'flask-session', 'redis.py': 'redis' }

/** Returns the version of a package as a peer loads it. */
export function versionOf (name: string): string {
  const ofPython = OF_PYTHON[name]
  if (ofPython !== undefined) return execFileSync(PYTHON, ['-c', `import importlib.metadata as m; print(m.version('${ofPython}'))`], { encoding: 'utf8' }).trim()
  return name === 'hatcheck' ? JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')).version : versionOfPeer(name)
}
