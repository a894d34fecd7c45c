// The packages in `peerDependenciesMeta` are dependencies in this folder, for the service, and optional peer dependencies of the
// published package: npm installs them only where somebody asks for them. This runs before `npm pack`, and with "undo" after it.
import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const MANIFEST = 'package.json'
const WHOLE = 'package.json.whole'

// Also after a `npm pack` that was interrupted.
if (existsSync(WHOLE)) renameSync(WHOLE, MANIFEST)
if (process.argv[2] !== 'undo') {
  copyFileSync(MANIFEST, WHOLE)
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8'))
  manifest.peerDependencies = {}
  for (const name of Object.keys(manifest.peerDependenciesMeta)) {
    manifest.peerDependencies[name] = manifest.dependencies[name]
    delete manifest.dependencies[name]
  }
  writeFileSync(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`)
}
