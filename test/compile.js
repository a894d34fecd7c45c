// Compiles sources, tests and benchmarks to plain JavaScript in build/, in about a second. It checks no types: that is
// `npm run lint`, which takes half a minute.
import { buildSync } from 'esbuild'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const PROGRAM = ['app.ts', 'server.ts', 'cli.ts', ...sourcesIn('plugins'), ...sourcesIn('routes')]
const sources = [...PROGRAM, ...sourcesIn('test'), ...sourcesIn('bench')]

buildSync({
  absWorkingDir: root,
  entryPoints: sources,
  outbase: '.',
  outdir: 'build',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  loader: { '.json': 'copy' },
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning'
})
removeStale()
// The examples of the documentation import the package by its name, which is what is in dist/.
if (PROGRAM.some(isNewerThanDist)) execFileSync('npm', ['run', '--silent', 'build', '--', '--noCheck'], { cwd: root, stdio: 'inherit' })

function sourcesIn (folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((file) => /(?:(?<!\.d)\.ts|^view\/languages\/.*\.json)$/.test(file) && !/^fixtures\/(?:session-)?host\/|^node_modules\//.test(file))
    .map((file) => join(folder, file))
}

/** Plugins and routes are loaded by their folder: nothing may be left of a source that has gone. */
function removeStale () {
  const compiled = new Set(sources.flatMap((file) => [file.replace(/ts$/, 'js'), file.replace(/ts$/, 'js.map')]).map((file) => join(root, 'build', file)))
  for (const file of filesIn(join(root, 'build'))) if (/\.js(\.map)?$/.test(file) && !compiled.has(file)) rmSync(file)
}

/** Does not follow links, as `readdirSync` with `recursive` does: what they lead to is not ours to remove. */
function filesIn (folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesIn(path) : [path]
  })
}

function isNewerThanDist (file) {
  return ['dist/server.js', 'dist/session.js'].map((made) => join(root, made)).some((made) => !existsSync(made) || statSync(made).mtimeMs < statSync(join(root, file)).mtimeMs)
}
